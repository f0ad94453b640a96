"""The network: shapes, invariances, gradients, and its anti-aliasing and DropBlock layers."""

import numpy as np
import pytest
import torch

from resync.config import CropConfig
from resync.syncnet.dimensions import Dimensions
from resync.syncnet.model import BlurConv, BlurPool, DropBlock, ICSyncNet
from resync.training.losses import bbce

TINY = Dimensions(visual_widths=(4, 8, 8, 8), sound_widths=(4, 8, 8, 8), embedding=16, head=8, crop=CropConfig(size=32))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def mouth_windows(n, size=32, seed=0):
    """Smooth random images: uint8 [n, 5, size, size], 0 to 120."""
    coarse = torch.from_numpy(np.random.default_rng(seed).uniform(0, 120, (n, 5, 4, 4)))
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear").to(torch.uint8)


def mel_windows(n, seed=0):
    """Random log-mel windows: float [n, 20, 80]."""
    return torch.randn(n, 20, 80, generator=torch.Generator().manual_seed(seed)) - 3


@pytest.mark.parametrize("size", [32, 50, 64])
def test_embeddings_have_unit_length(size):
    net = ICSyncNet(Dimensions(visual_widths=(4, 4, 8, 8), sound_widths=(4, 4, 8, 8), embedding=24, head=4, crop=CropConfig(size=size)))
    mouths, audio = net.embed_mouths(mouth_windows(6, size)), net.embed_audio(mel_windows(6))
    for embeddings in (mouths, audio):
        assert embeddings.shape == (6, 24) and embeddings.dtype == torch.float32
        assert torch.allclose(embeddings.norm(dim=1), torch.ones(6), atol=1e-5)
        assert (embeddings.std(0) > 1e-4).any(), "the same for every input"


def test_default_dimensions_fit_each_other():
    net = ICSyncNet().eval()
    size = net.dimensions.crop.size
    with torch.inference_mode():
        assert net.embed_mouths(mouth_windows(1, size)).shape == net.embed_audio(mel_windows(1)).shape == (1, net.dimensions.embedding)


def test_gradients_reach_every_parameter():
    net = ICSyncNet(TINY).train()
    cosine = net.embed_mouths(mouth_windows(12)) @ net.embed_audio(mel_windows(12)).T
    in_sync = torch.eye(12, dtype=torch.bool)
    bbce(net.logits(cosine), in_sync, ~in_sync).backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []
    assert {"log_scale", "bias"} <= {name for name, _ in net.named_parameters()}


def with_biases(net):
    """Give the batch norms random biases: without them a network ignores any scale of its input."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias)
    return net.eval()


def test_lighting_does_not_matter():
    net = with_biases(ICSyncNet(TINY))
    with torch.inference_mode():
        base = net.embed_mouths(mouth_windows(4))
        brighter = net.embed_mouths(mouth_windows(4) + 90)
        contrast = net.embed_mouths((mouth_windows(4).float() * 1.9).round().to(torch.uint8))
        other = net.embed_mouths(mouth_windows(4, seed=1))
    distance = (base - other).norm(dim=1).mean()
    assert distance > 0.01
    assert (base - brighter).norm(dim=1).mean() < 1e-4
    assert (base - contrast).norm(dim=1).mean() < 0.3 * distance


def test_audio_gain_does_not_matter():
    net = with_biases(ICSyncNet(TINY))
    with torch.inference_mode():
        base, louder, other = (net.embed_audio(x) for x in (mel_windows(4), mel_windows(4) + 1.3, mel_windows(4, seed=1)))
    assert (base - louder).norm(dim=1).max() < 1e-4 < 1e-3 < (base - other).norm(dim=1).min()


def test_order_of_frames_matters():
    net = ICSyncNet(TINY).eval()
    with torch.inference_mode():
        mouths, mouths_reversed = net.embed_mouths(mouth_windows(2)), net.embed_mouths(mouth_windows(2).flip(1))
        audio, audio_reversed = net.embed_audio(mel_windows(2)), net.embed_audio(mel_windows(2).flip(1))
    assert (mouths - mouths_reversed).norm(dim=1).min() > 1e-3 and (audio - audio_reversed).norm(dim=1).min() > 1e-3


def test_log_odds_increase_with_the_cosine():
    net = ICSyncNet(TINY)
    cosine = torch.linspace(-1, 1, 21)
    assert (net.logits(cosine).diff() > 0).all()
    net.log_scale.data.fill_(np.log(4.0))
    net.bias.data.fill_(-1.0)
    assert torch.allclose(net.logits(torch.tensor([0.5])), torch.tensor([1.0]))


def test_blurpool_removes_what_would_alias():
    y, x = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    checkerboard = (1.0 - 2 * ((x + y) % 2)).expand(1, 3, -1, -1)
    assert checkerboard[:, :, ::2, ::2].abs().min() == 1  # plain striding aliases it to a flat image
    pool = BlurPool((16, 16))
    out = pool(checkerboard)
    assert out.shape == (1, 3, 8, 8) and out[:, :, 1:-1, 1:-1].abs().max() < 1e-6
    assert torch.allclose(pool(torch.full((1, 3, 16, 16), 2.0))[:, :, 1:-1, 1:-1], torch.tensor(2.0))


def test_blurpool_blurs_strided_axes_only():
    stripes = (1.0 - 2 * (torch.arange(16) % 2)).expand(1, 2, 16, 16)  # alternating along the width
    pool = BlurPool((16, 16), (2, 1))
    assert torch.allclose(pool(stripes)[:, :, 1:-1], stripes[:, :, 1:7])
    assert pool(stripes.transpose(2, 3)).shape == (1, 2, 8, 16)
    assert pool(stripes.transpose(2, 3))[:, :, 1:-1].abs().max() < 1e-6
    assert BlurPool((5, 5), (2, 1))(torch.ones(1, 2, 5, 5)).shape == (1, 2, 3, 5)


@pytest.mark.parametrize("size", [(16, 16), (15, 9)])
def test_blurconv_is_a_convolution_and_then_a_blurpool(size):
    """Away from the edges, where the one pads the image and the other the result of the convolution."""
    convolution, x = BlurConv(3, 4, 3, padding=1, bias=False), torch.randn(2, 3, *size)
    one = convolution(x)
    two = BlurPool(size)(torch.nn.functional.conv2d(x, convolution.weight, padding=1))
    assert one.shape == two.shape and torch.allclose(one[:, :, 1:-1, 1:-1], two[:, :, 1:-1, 1:-1], atol=1e-5)


def test_weights_files_without_the_field_have_a_stem_at_full_resolution():
    """Those of resync up to 0.4.0."""
    older = {name: value for name, value in TINY.to_dict().items() if name != "blur_stem"}
    assert TINY.blur_stem and not Dimensions.from_dict(older).blur_stem


def test_dropblock_is_the_identity_in_eval_mode_and_at_probability_zero():
    x = torch.rand(2, 3, 12, 12)
    drop = DropBlock(0.5)
    assert drop.eval()(x) is x or torch.equal(drop(x), x)
    assert torch.equal(DropBlock(0.0).train()(x), x)


def test_dropblock_drops_patches_and_keeps_the_mean():
    x = torch.ones(64, 3, 24, 24)
    y = DropBlock(0.15).train()(x)
    dropped = y == 0
    assert y.mean() == pytest.approx(1, abs=0.01)
    assert 0.08 < dropped.float().mean() < 0.2
    assert (dropped == dropped[:, :1]).all(), "the same mask in all channels"
    neighbours = (dropped[..., 1:] & dropped[..., :-1]).float().mean()
    assert neighbours > 0.5 * dropped.float().mean(), "patches, not single units"


def test_set_dropblock_reaches_both_encoders():
    net = ICSyncNet(TINY).train()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # leaves DropBlock as the only random layer
    mouths, mels = mouth_windows(3), mel_windows(3)
    net.set_dropblock(0.3)
    assert not torch.equal(net.embed_mouths(mouths), net.embed_mouths(mouths))
    assert not torch.equal(net.embed_audio(mels), net.embed_audio(mels))
    net.set_dropblock(0.0)
    assert torch.equal(net.embed_mouths(mouths), net.embed_mouths(mouths))
    assert torch.equal(net.embed_audio(mels), net.embed_audio(mels))


def test_dimensions_round_trip_through_a_dict():
    restored = Dimensions.from_dict(TINY.to_dict())
    assert restored == TINY and restored.visual_widths == (4, 8, 8, 8)
    with pytest.raises((TypeError, KeyError)):
        Dimensions.from_dict({"visual_widths": [1, 2]})
