"""Augmentation of crops and mel frames."""

from dataclasses import replace

import pytest
import torch
from training_helpers import DISABLED

from resync.training.augment import Augment, augment_audio, view_crops
from resync.training.cache import MARGIN


@pytest.fixture
def crops():
    """Cached crops with a gray ramp, 3 sequences of 6 frames."""
    torch.manual_seed(0)
    y, x = torch.meshgrid(torch.arange(112.0), torch.arange(112.0), indexing="ij")
    return (x + y / 4).to(torch.uint8).expand(3, 6, -1, -1)


@pytest.fixture
def mels():
    torch.manual_seed(0)
    return torch.randn(4, 60, 80) - 3


def test_without_augmentation_views_are_the_center(crops):
    views = view_crops(crops, 64, 1 / MARGIN, DISABLED)
    assert views.shape == (3, 6, 64, 64) and torch.equal(views[0], views[2])
    assert views[0, 0].mean().item() == pytest.approx(crops[0, 0].float().mean().item(), abs=0.6)
    assert (views[0, 0, 0, -1] - views[0, 0, 0, 0]).item() == pytest.approx(63 * 1.4, abs=1.5)  # 1.4 cached pixels per pixel


def test_one_random_view_per_sequence(crops):
    views = view_crops(crops, 64, 1 / MARGIN, replace(DISABLED, scale=0.15, shift=0.06, roll=0.15, stretch=0.08))
    assert not torch.allclose(views[0], views[1]) and torch.equal(views[0, 0], views[0, 5])


def test_gray_levels_stay_in_range(crops):
    strong = Augment(warp=0.05, shade=20.0, coarse=0.5, blocks=0.5, blur=0.5, occlude=1.0)
    for augment in (Augment(), strong):
        views = view_crops(crops, 64, 1 / MARGIN, augment)
        assert views.shape == (3, 6, 64, 64) and views.min() >= 0 and views.max() <= 255
        assert not torch.allclose(views[0], views[1])


def test_block_artefacts_keep_block_means(crops):
    augment = replace(DISABLED, contrast=1e-9, blocks=1.0)
    torch.manual_seed(1)
    views = view_crops(crops, 64, 1 / MARGIN, augment)
    torch.manual_seed(1)
    plain = view_crops(crops, 64, 1 / MARGIN, replace(augment, blocks=1e-9))
    assert not torch.allclose(views, plain, atol=0.5)
    means = [torch.nn.functional.avg_pool2d(x, 8) for x in (views, plain)]
    assert (means[0] - means[1]).abs().max() < 1


def test_without_augmentation_audio_is_unchanged(mels):
    assert torch.allclose(augment_audio(mels, DISABLED), mels, atol=1e-4)


def test_added_noise_only_raises_the_level(mels):
    before = mels.clone()
    noisy = augment_audio(mels, replace(DISABLED, voices=1.0, hiss=1.0, echo=1.0))
    assert torch.isfinite(noisy).all() and (noisy > mels - 1e-4).all() and (noisy > mels + 0.05).any()
    assert torch.equal(mels, before)


def test_masked_bands_are_flat(mels):
    flat = (augment_audio(mels, replace(DISABLED, mask=1.0)).std(1) < 1e-6).sum(1)
    assert (flat <= 16).all() and flat.max() >= 1
    low_pass = augment_audio(mels, replace(DISABLED, low_pass=1.0)).std(1) < 1e-6
    assert not low_pass[:, :40].any() and low_pass[:, 79].all()


def test_echo_decays_after_the_sound():
    click = torch.full((1, 60, 80), -6.0)
    click[:, 20] = 0
    torch.manual_seed(0)
    out = augment_audio(click, replace(DISABLED, echo=1.0))[0, :, 0]
    assert out[13:20].max() < -5 and out[20] > -0.1
    assert out[21] > -3 and (out[20:34].diff() < 1e-3).all() and out[40] < -5


def test_vocal_tract_scaling_shifts_bands():
    tone = torch.full((40, 10, 80), -6.0)
    tone[:, :, 40] = 0
    torch.manual_seed(0)
    peaks = augment_audio(tone, replace(DISABLED, tract=0.12)).argmax(2)[:, 0]
    assert len(set(peaks.tolist())) > 3 and peaks.min() >= 34 and peaks.max() <= 46
