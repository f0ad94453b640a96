"""The level gate: which mel frames are loud enough to be speech."""

import numpy as np

from resync.sync.activity import activity_mask
from resync.syncnet.mel import log_mel

RATE = 16_000


def test_silence_and_faint_noise_are_not_active():
    assert not activity_mask(log_mel(np.zeros(RATE, np.float32))).any()
    assert not activity_mask(log_mel(np.random.default_rng(0).normal(0, 1e-5, RATE).astype(np.float32))).any()
    assert activity_mask(np.zeros((0, 80), np.float32)).shape == (0,)


def test_loud_frames_are_active():
    audio = np.random.default_rng(0).normal(0, 1e-3, 3 * RATE).astype(np.float32)
    audio[RATE : 2 * RATE] += 0.3 * np.sin(2 * np.pi * 200 * np.arange(RATE) / RATE)
    mask = activity_mask(log_mel(audio))
    assert mask.shape == (300,) and mask[102:198].all()
    assert not mask[:98].any() and not mask[202:].any()
