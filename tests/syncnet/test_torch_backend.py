"""The PyTorch backend: one embedding per window whatever the batch size, and devices by name."""

import copy

import numpy as np
import pytest
import torch

from resync.config import CropConfig
from resync.errors import DeviceError
from resync.syncnet.dimensions import Dimensions
from resync.syncnet.model import ICSyncNet
from resync.syncnet.torch_backend import BATCH, batch_size, embed_audio, embed_mouths, pick_device, probability


@pytest.fixture(scope="module")
def net():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return ICSyncNet(
        Dimensions(visual_widths=(4, 4, 8, 8), sound_widths=(4, 4, 8, 8), embedding=12, head=4, crop=CropConfig(size=32))
    ).eval()


def test_every_window_of_crops_is_embedded_on_its_own(net, monkeypatch):
    monkeypatch.setitem(BATCH, "cpu", 4)
    crops = np.random.default_rng(0).integers(0, 256, (14, 32, 32), np.uint8)
    embeddings = embed_mouths(net, crops)
    assert embeddings.shape == (10, 12) and embeddings.dtype == np.float32
    assert np.allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    for k in (0, 3, 4, 9):
        with torch.inference_mode():
            single = net.embed_mouths(torch.from_numpy(crops[k : k + 5])[None])[0].numpy()
        assert np.allclose(embeddings[k], single, atol=1e-5)


def test_every_fourth_window_of_mels_is_embedded_on_its_own(net, monkeypatch):
    monkeypatch.setitem(BATCH, "cpu", 3)
    mels = np.random.default_rng(0).normal(-3, 1, (45, 80))
    embeddings = embed_audio(net, mels)
    assert embeddings.shape == (26, 12) and embeddings.dtype == np.float32
    for k in (0, 4, 8, 24, 25):
        with torch.inference_mode():
            single = net.embed_audio(torch.from_numpy(mels[k : k + 20]).float()[None])[0].numpy()
        assert np.allclose(embeddings[k], single, atol=1e-5)


def test_input_may_be_a_view(net):
    crops = np.random.default_rng(0).integers(0, 256, (20, 64, 64), np.uint8)[::2, ::2, ::-2]
    assert np.allclose(embed_mouths(net, crops), embed_mouths(net, crops.copy()))


def test_probability_is_a_sigmoid_of_the_scaled_cosine(net):
    cosine = np.array([[-1.0, 0.0, np.nan], [0.5, 1.0, 0.2]], np.float32)
    p = probability(net, cosine)
    assert p.shape == cosine.shape and np.isnan(p[0, 2]) and np.isfinite(p).sum() == 5
    scale, bias = net.log_scale.exp().item(), net.bias.item()
    assert p[1, 0] == pytest.approx(1 / (1 + np.exp(-(0.5 * scale + bias))), rel=1e-4)
    assert p[0, 0] < p[0, 1] < p[1, 0] < p[1, 1]


def test_pick_device():
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("gpu", "cuda:99", "meta", "", "cpu:x", *([] if torch.cuda.is_available() else ["cuda"])):
        with pytest.raises(DeviceError) as error:
            pick_device(name)
        assert "\n" not in str(error.value), name


@pytest.mark.parametrize("free, size", [(80 * 2**30, 1024), (2**30, 128), (1, 1)])
def test_batch_size_fits_the_free_memory_of_the_gpu(monkeypatch, free, size):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 * 2**30))
    assert batch_size(torch.device("cuda")) == size and batch_size(torch.device("cpu")) == BATCH["cpu"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_cuda_agrees_with_the_cpu(net):
    crops = np.random.default_rng(0).integers(0, 256, (30, 32, 32), np.uint8)
    assert np.allclose(embed_mouths(copy.deepcopy(net).cuda(), crops), embed_mouths(net, crops), atol=5e-3)
