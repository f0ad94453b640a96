"""The network: shapes, units, what it must not depend on, and what must learn."""

import numpy as np
import pytest
import torch

from resync.config import CropConfig
from resync.dimensions import Dimensions
from resync.model import BlurPool, DropBlock, ICSyncNet
from resync.training.losses import bbce

TINY = Dimensions(visual_widths=(4, 8, 8, 8), sound_widths=(4, 8, 8, 8), embedding=16, head=8, crop=CropConfig(size=32))


@pytest.fixture(autouse=True)
def one_thread():
    torch.set_num_threads(1)
    torch.manual_seed(0)


def pictures(n, size=32, seed=0):
    """Smooth random pictures, uint8 [n, 5, size, size] of 0 to 120."""
    coarse = torch.from_numpy(np.random.default_rng(seed).uniform(0, 120, (n, 5, 4, 4)))
    return torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear").to(torch.uint8)


def sounds(n, seed=0):
    return torch.randn(n, 20, 80, generator=torch.Generator().manual_seed(seed)) - 3


@pytest.mark.parametrize("size", [32, 50, 64])
def test_embeddings_have_unit_length(size):
    net = ICSyncNet(Dimensions(visual_widths=(4, 4, 8, 8), sound_widths=(4, 4, 8, 8), embedding=24, head=4, crop=CropConfig(size=size)))
    a, b = net.embed_mouth(pictures(6, size)), net.embed_sound(sounds(6))
    assert a.shape == b.shape == (6, 24) and a.dtype == b.dtype == torch.float32
    assert torch.allclose(a.norm(dim=1), torch.ones(6), atol=1e-5) and torch.allclose(b.norm(dim=1), torch.ones(6), atol=1e-5)
    assert (a.std(0) > 1e-4).any() and (b.std(0) > 1e-4).any()  # not the same for every input


def test_default_network_fits_its_input():
    net = ICSyncNet().eval()
    size = net.dimensions.crop.size
    with torch.inference_mode():
        assert net.embed_mouth(pictures(1, size)).shape == net.embed_sound(sounds(1)).shape == (1, net.dimensions.embedding)


def test_gradients_reach_every_parameter():
    net = ICSyncNet(TINY).train()
    cosine = net.embed_mouth(pictures(12)) @ net.embed_sound(sounds(12)).T
    same = torch.eye(12, dtype=torch.bool)
    bbce(net.logits(cosine), same, ~same).backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    assert without == []
    assert {"log_scale", "bias"} <= {name for name, _ in net.named_parameters()}


def with_biases(net):
    """A fresh network has none, and is then blind to any scale of its input."""
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.normal_(module.bias)
    return net.eval()


def test_light_does_not_matter():
    net = with_biases(ICSyncNet(TINY))
    with torch.inference_mode():
        base = net.embed_mouth(pictures(4))
        brighter = net.embed_mouth(pictures(4) + 90)
        contrast = net.embed_mouth((pictures(4).float() * 1.9).round().to(torch.uint8))
        other = net.embed_mouth(pictures(4, seed=1))
    away = (base - other).norm(dim=1).mean()
    assert away > 0.01
    assert (base - brighter).norm(dim=1).mean() < 1e-4
    assert (base - contrast).norm(dim=1).mean() < 0.3 * away


def test_sound_gain_does_not_matter():
    net = with_biases(ICSyncNet(TINY))
    with torch.inference_mode():
        base, louder, other = (net.embed_sound(x) for x in (sounds(4), sounds(4) + 1.3, sounds(4, seed=1)))
    assert (base - louder).norm(dim=1).max() < 1e-4 < 1e-3 < (base - other).norm(dim=1).min()


def test_order_of_frames_matters():
    net = ICSyncNet(TINY).eval()
    with torch.inference_mode():
        forth, back = net.embed_mouth(pictures(2)), net.embed_mouth(pictures(2).flip(1))
        early, late = net.embed_sound(sounds(2)), net.embed_sound(sounds(2).flip(1))
    assert (forth - back).norm(dim=1).min() > 1e-3 and (early - late).norm(dim=1).min() > 1e-3


def test_probability_rises_with_the_cosine():
    net = ICSyncNet(TINY)
    cosine = torch.linspace(-1, 1, 21)
    odds = net.logits(cosine)
    assert (odds.diff() > 0).all()
    net.log_scale.data.fill_(np.log(4.0))
    net.bias.data.fill_(-1.0)
    assert torch.allclose(net.logits(torch.tensor([0.5])), torch.tensor([1.0]))


def test_blurpool_kills_what_striding_would_keep():
    y, x = torch.meshgrid(torch.arange(16), torch.arange(16), indexing="ij")
    board = (1.0 - 2 * ((x + y) % 2)).expand(1, 3, -1, -1)
    assert board[:, :, ::2, ::2].abs().min() == 1  # plain striding takes it for a flat picture
    out = BlurPool(3)(board)
    assert out.shape == (1, 3, 8, 8) and out[:, :, 1:-1, 1:-1].abs().max() < 1e-6
    assert torch.allclose(BlurPool(3)(torch.full((1, 3, 16, 16), 2.0))[:, :, 1:-1, 1:-1], torch.tensor(2.0))


def test_blurpool_blurs_strided_axes_only():
    stripes = (1.0 - 2 * (torch.arange(16) % 2)).expand(1, 2, 16, 16)  # alternate along the width
    pool = BlurPool(2, (2, 1))
    assert torch.allclose(pool(stripes)[:, :, 1:-1], stripes[:, :, 1:7])
    assert pool(stripes.transpose(2, 3)).shape == (1, 2, 8, 16)
    assert pool(stripes.transpose(2, 3))[:, :, 1:-1].abs().max() < 1e-6
    assert pool(torch.ones(1, 2, 5, 5)).shape == (1, 2, 3, 5)


def test_dropblock_is_off_when_not_training():
    x = torch.rand(2, 3, 12, 12)
    drop = DropBlock(0.5)
    assert drop.eval()(x) is x or torch.equal(drop(x), x)
    assert torch.equal(DropBlock(0.0).train()(x), x)


def test_dropblock_hides_patches_and_keeps_the_mean():
    x = torch.ones(64, 3, 24, 24)
    y = DropBlock(0.15).train()(x)
    hidden = y == 0
    assert y.mean() == pytest.approx(1, abs=0.01)
    assert 0.08 < hidden.float().mean() < 0.2
    assert (hidden == hidden[:, :1]).all(), "a place is hidden in all channels"
    near = (hidden[..., 1:] & hidden[..., :-1]).float().mean()
    assert near > 0.5 * hidden.float().mean(), "patches, not points"


def test_set_dropblock_switches_all_of_it():
    net = ICSyncNet(TINY).train()
    for module in net.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # only DropBlock is left to chance
    stacks, mels = pictures(3), sounds(3)
    net.set_dropblock(0.3)
    assert not torch.equal(net.embed_mouth(stacks), net.embed_mouth(stacks))
    assert not torch.equal(net.embed_sound(mels), net.embed_sound(mels))
    net.set_dropblock(0.0)
    assert torch.equal(net.embed_mouth(stacks), net.embed_mouth(stacks))
    assert torch.equal(net.embed_sound(mels), net.embed_sound(mels))


def test_dimensions_survive_a_dict():
    again = Dimensions.from_dict(TINY.to_dict())
    assert again == TINY and again.visual_widths == (4, 8, 8, 8)
    with pytest.raises((TypeError, KeyError)):
        Dimensions.from_dict({"visual_widths": [1, 2]})
