"""Batched encoders: one embedding a window, whatever the batch."""

import numpy as np
import pytest
import torch

from resync import embed
from resync.config import CropConfig
from resync.dimensions import Dimensions
from resync.errors import DeviceError
from resync.model import ICSyncNet


@pytest.fixture(scope="module")
def net():
    torch.set_num_threads(1)
    torch.manual_seed(0)
    return ICSyncNet(
        Dimensions(visual_widths=(4, 4, 8, 8), sound_widths=(4, 4, 8, 8), embedding=12, head=4, crop=CropConfig(size=32))
    ).eval()


def test_mouth_windows(net, monkeypatch):
    monkeypatch.setitem(embed.BATCH, "cpu", 4)
    crops = np.random.default_rng(0).integers(0, 256, (14, 32, 32), np.uint8)
    out = embed.embed_mouth(net, crops)
    assert out.shape == (10, 12) and out.dtype == np.float32
    assert np.allclose(np.linalg.norm(out, axis=1), 1, atol=1e-5)
    for k in (0, 3, 4, 9):
        with torch.inference_mode():
            alone = net.embed_mouth(torch.from_numpy(crops[k : k + 5])[None])[0].numpy()
        assert np.allclose(out[k], alone, atol=1e-5)


def test_sound_windows(net, monkeypatch):
    monkeypatch.setitem(embed.BATCH, "cpu", 7)
    mels = np.random.default_rng(0).normal(-3, 1, (45, 80))
    out = embed.embed_sound(net, mels)
    assert out.shape == (26, 12) and out.dtype == np.float32
    for k in (0, 6, 7, 25):
        with torch.inference_mode():
            alone = net.embed_sound(torch.from_numpy(mels[k : k + 20]).float()[None])[0].numpy()
        assert np.allclose(out[k], alone, atol=1e-5)


def test_the_input_may_be_a_view(net):
    crops = np.random.default_rng(0).integers(0, 256, (20, 64, 64), np.uint8)[::2, ::2, ::-2]
    assert np.allclose(embed.embed_mouth(net, crops), embed.embed_mouth(net, crops.copy()))


def test_probability(net):
    cosine = np.array([[-1.0, 0.0, np.nan], [0.5, 1.0, 0.2]], np.float32)
    p = embed.probability(net, cosine)
    assert p.shape == cosine.shape and np.isnan(p[0, 2]) and np.isfinite(p).sum() == 5
    scale, bias = net.log_scale.exp().item(), net.bias.item()
    assert p[1, 0] == pytest.approx(1 / (1 + np.exp(-(0.5 * scale + bias))), rel=1e-4)
    assert p[0, 0] < p[0, 1] < p[1, 0] < p[1, 1]


def test_devices():
    assert embed.pick_device("cpu") == torch.device("cpu")
    assert embed.pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    for name in ("gpu", "cuda:99", "meta", "", "cpu:x", *([] if torch.cuda.is_available() else ["cuda"])):
        with pytest.raises(DeviceError) as error:
            embed.pick_device(name)
        assert "\n" not in str(error.value), name


@pytest.mark.parametrize("free, size", [(80 * 2**30, 1024), (2**30, 128), (1, 1)])
def test_batches_are_sized_to_the_card(monkeypatch, free, size):
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (free, 80 * 2**30))
    assert embed.batch_size(torch.device("cuda")) == size and embed.batch_size(torch.device("cpu")) == embed.BATCH["cpu"]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA")
def test_cuda_agrees_with_cpu(net):
    import copy

    crops = np.random.default_rng(0).integers(0, 256, (30, 32, 32), np.uint8)
    there = embed.embed_mouth(copy.deepcopy(net).cuda(), crops)
    assert np.allclose(there, embed.embed_mouth(net, crops), atol=5e-3)
