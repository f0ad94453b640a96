"""Log-mel frames: when, which band, how loud."""

import numpy as np
import pytest

from resync import mels
from resync.config import MelConfig
from resync.mels import log_mel, loudness, mel_bank, speech_mask, windows

RATE = 16000


def tone(hz, seconds=1.0, level=0.3):
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


@pytest.mark.parametrize("n", [0, 1, 159, 160, 161, 16000, 16159])
def test_one_frame_a_hop(n):
    out = log_mel(np.zeros(n, np.float32))
    assert out.shape == (n // 160, 80) and out.dtype == np.float32


@pytest.mark.parametrize("sample", [0, 1605, 1680, 1755, 4799, 4801])
def test_an_impulse_shows_in_its_frame(sample):
    sound = np.zeros(8000, np.float32)
    sound[sample] = 1
    assert int(np.argmax(loudness(log_mel(sound)))) == sample // 160


def test_frames_are_symmetric_about_their_middle():
    sound = np.zeros(8000, np.float32)
    sound[20 * 160 + 80] = 1
    level = loudness(log_mel(sound))
    assert level[19] == pytest.approx(level[21], abs=0.01) and level[20] > level[19] + 6
    assert level[18] == pytest.approx(-70, abs=0.1) == level[22]  # 25 ms reach no further


def test_a_sine_lands_in_its_band():
    mel = lambda hz: 2595 * np.log10(1 + hz / 700)  # noqa: E731
    for hz in (500, 1000, 2000, 4000, 7000):
        band = (mel(hz) - mel(55)) / (mel(7600) - mel(55)) * 81 - 1
        assert abs(int(np.argmax(log_mel(tone(hz))[50])) - band) < 1, hz


def test_low_tones_are_told_apart():
    bands = [int(np.argmax(log_mel(tone(hz))[50])) for hz in (80, 120, 160, 220, 300, 400)]
    assert bands == sorted(bands) and len(set(bands)) >= 5


def test_level_of_white_noise():
    out = log_mel(np.random.default_rng(0).normal(0, 0.1, 4 * RATE).astype(np.float32))
    assert loudness(out).mean() == pytest.approx(10 * np.log10(0.1**2 * 0.375), abs=0.3)  # 0.375: mean of a squared Hann window


def test_no_band_is_empty_and_all_have_unit_area():
    bank = mel_bank()
    assert bank.shape == (80, 257) and (bank >= 0).all()
    assert np.allclose(bank.sum(1), 1, atol=1e-5)


def test_gain_only_adds():
    quiet, loud = log_mel(tone(300, level=0.03)), log_mel(tone(300, level=0.3))
    assert np.allclose((loud - quiet)[10:-10].max(1), 2, atol=0.02)
    band = int(np.argmax(loud[50]))
    assert loud[50, band] - quiet[50, band] == pytest.approx(2, abs=0.01)


def test_long_sounds_are_computed_in_parts_without_a_seam(monkeypatch):
    sound = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)
    whole = log_mel(sound)
    monkeypatch.setattr(mels, "CHUNK", 37)
    assert np.allclose(log_mel(sound), whole, atol=1e-4)


def test_windows():
    frames = np.arange(30 * 80, dtype=np.float32).reshape(30, 80)
    cut = windows(frames)
    assert cut.shape == (11, 20, 80)
    assert np.array_equal(cut[7], frames[7:27])


def test_silence_has_no_speech():
    assert not speech_mask(log_mel(np.zeros(RATE, np.float32))).any()
    assert not speech_mask(log_mel(np.random.default_rng(0).normal(0, 1e-5, RATE).astype(np.float32))).any()
    assert speech_mask(np.zeros((0, 80), np.float32)).shape == (0,)


def test_speech_is_where_it_is_loud():
    sound = np.random.default_rng(0).normal(0, 1e-3, 3 * RATE).astype(np.float32)
    sound[RATE : 2 * RATE] += tone(200, level=0.3)
    mask = speech_mask(log_mel(sound))
    assert mask.shape == (300,) and mask[102:198].all()
    assert not mask[:98].any() and not mask[202:].any()


def test_another_hop_count():
    assert log_mel(np.zeros(16000, np.float32), MelConfig(bands=40)).shape == (100, 40)
