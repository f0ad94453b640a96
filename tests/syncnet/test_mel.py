"""Log-mel frames: time, frequency and level."""

import numpy as np
import pytest

from resync.config import MelConfig
from resync.syncnet import mel
from resync.syncnet.mel import constant_windows, log_mel, mel_bank, mel_windows

RATE = 16000


def tone(hz, seconds=1.0, level=0.3):
    return (level * np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE)) / RATE)).astype(np.float32)


def level_db(mels):
    """Mean power of each frame in dB."""
    return 10 * np.log10(np.mean(10.0 ** mels.astype(float), axis=1))


@pytest.mark.parametrize("n", [0, 1, 159, 160, 161, 16000, 16159])
def test_one_frame_per_hop(n):
    out = log_mel(np.zeros(n, np.float32))
    assert out.shape == (n // 160, 80) and out.dtype == np.float32


@pytest.mark.parametrize("sample", [0, 1605, 1680, 1755, 4799, 4801])
def test_impulse_is_loudest_in_its_frame(sample):
    audio = np.zeros(8000, np.float32)
    audio[sample] = 1
    assert int(np.argmax(level_db(log_mel(audio)))) == sample // 160


def test_frames_are_centred_on_their_hop():
    audio = np.zeros(8000, np.float32)
    audio[20 * 160 + 80] = 1
    level = level_db(log_mel(audio))
    assert level[19] == pytest.approx(level[21], abs=0.01) and level[20] > level[19] + 6
    assert level[18] == pytest.approx(-70, abs=0.1) == level[22]  # the analysis window is 25 ms long


def test_sine_is_loudest_in_its_band():
    to_mel = lambda hz: 2595 * np.log10(1 + hz / 700)  # noqa: E731
    for hz in (500, 1000, 2000, 4000, 7000):
        band = (to_mel(hz) - to_mel(55)) / (to_mel(7600) - to_mel(55)) * 81 - 1
        assert abs(int(np.argmax(log_mel(tone(hz))[50])) - band) < 1, hz


def test_low_tones_fall_into_different_bands():
    bands = [int(np.argmax(log_mel(tone(hz))[50])) for hz in (80, 120, 160, 220, 300, 400)]
    assert bands == sorted(bands) and len(set(bands)) >= 5


def test_level_of_white_noise():
    out = log_mel(np.random.default_rng(0).normal(0, 0.1, 4 * RATE).astype(np.float32))
    assert level_db(out).mean() == pytest.approx(10 * np.log10(0.1**2 * 0.375), abs=0.3)  # 0.375: mean of the squared Hann window


def test_every_filter_has_unit_area():
    bank = mel_bank()
    assert bank.shape == (80, 257) and (bank >= 0).all()
    assert np.allclose(bank.sum(1), 1, atol=1e-5)


def test_gain_adds_a_constant():
    quiet, loud = log_mel(tone(300, level=0.03)), log_mel(tone(300, level=0.3))
    assert np.allclose((loud - quiet)[10:-10].max(1), 2, atol=0.02)
    band = int(np.argmax(loud[50]))
    assert loud[50, band] - quiet[50, band] == pytest.approx(2, abs=0.01)


def test_chunk_borders_do_not_change_the_result(monkeypatch):
    audio = np.random.default_rng(0).normal(0, 0.1, 5 * RATE).astype(np.float32)
    whole = log_mel(audio)
    monkeypatch.setattr(mel, "CHUNK", 37)
    assert np.allclose(log_mel(audio), whole, atol=1e-4)


def test_windows_span_20_frames_and_start_at_every_frame():
    frames = np.arange(30 * 80, dtype=np.float32).reshape(30, 80)
    windows = mel_windows(frames)
    assert windows.shape == (11, 20, 80)
    assert np.array_equal(windows[7], frames[7:27])


def test_number_of_bands_is_configurable():
    assert log_mel(np.zeros(16000, np.float32), MelConfig(bands=40)).shape == (100, 40)


def test_constant_windows_are_those_of_one_value():
    mels = np.random.default_rng(0).normal(size=(60, 80)).astype(np.float32)
    mels[10:35] = -7
    assert np.flatnonzero(constant_windows(mels)).tolist() == list(range(10, 16))
    mels[:] = np.arange(80)
    assert not constant_windows(mels).any(), "steady, but not the same in all bands"
