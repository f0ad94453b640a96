"""Samples that no encoder should write. Damaged files: `benchmarks/fuzz.py`, of which `tests/test_chaos.py` runs a little."""

import numpy as np
import pytest
import soundfile
from helpers import ffmpeg

import resync
from resync.media.audio import read_audio


def test_clipped_audio_with_non_finite_samples(delayed_clip, tmp_path):
    audio = np.clip(20 * read_audio(delayed_clip(120.0), rate=48_000), -1, 1)
    audio[60_000:70_000] = np.nan
    audio[90_000:90_010] = np.inf
    wav, clip = tmp_path / "broken.wav", tmp_path / "clip.mov"
    soundfile.write(wav, audio, 48_000, subtype="FLOAT")
    ffmpeg("-i", delayed_clip(0), "-i", wav, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "copy", clip)
    samples = read_audio(clip)
    assert np.isfinite(samples).all() and not samples[20_200:23_200].any() and np.abs(samples).max() > 0.9
    assert resync.analyze(clip).audio_delay_ms == pytest.approx(120, abs=40)
