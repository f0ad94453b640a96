"""Sound to log-mel frames, every 10 ms."""

from __future__ import annotations

import numpy as np
from scipy.fft import rfft

from .config import SAMPLE_RATE, WINDOW_HOPS, MelConfig

CHUNK = 6000  # mel frames computed at once: bounds memory on long sounds


def log_mel(sound: np.ndarray, config: MelConfig = MelConfig()) -> np.ndarray:
    """Log10 mel power of mono 16 kHz `sound` [n]: float32 [n // hop, bands].

    Frame t is centred on sample (t + 1/2) * hop, so WINDOW_HOPS frames from t on span exactly
    the 0.2 s that begin at t * 10 ms.
    """
    count = len(sound) // config.hop
    pad = (config.window - config.hop) // 2
    padded = np.pad(np.asarray(sound, np.float32), (pad, config.window))
    frames = np.lib.stride_tricks.sliding_window_view(padded, config.window)[:: config.hop][:count]
    # Hann's, as `scipy.signal.get_window` gives it: to import that takes a quarter of a second, before anything else can begin.
    taper = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.window) / config.window)).astype(np.float32)
    bank = mel_bank(config)
    out = np.empty((count, config.bands), np.float32)
    for i in range(0, count, CHUNK):
        power = np.abs(rfft(frames[i : i + CHUNK] * taper, config.fft, axis=1)) ** 2 / config.window
        out[i : i + CHUNK] = np.log10(power @ bank.T + config.floor)
    return out


def mel_bank(config: MelConfig = MelConfig()) -> np.ndarray:
    """Triangular filters on the mel scale of O'Shaughnessy (1987), unit area: [bands, fft // 2 + 1]."""
    mel = lambda hz: 2595 * np.log10(1 + np.asarray(hz) / 700)  # noqa: E731
    edges = 700 * (10 ** (np.linspace(mel(config.low_hz), mel(config.high_hz), config.bands + 2) / 2595) - 1)
    hz = np.arange(config.fft // 2 + 1) * SAMPLE_RATE / config.fft
    rise = (hz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - hz) / np.diff(edges)[1:, None]
    bank = np.clip(np.minimum(rise, fall), 0, None)
    # Low bands are narrower than one FFT bin: without this they would be empty.
    bank += (bank.sum(1, keepdims=True) == 0) * np.eye(len(hz))[np.round(edges[1:-1] / hz[1]).astype(int)]
    return (bank / bank.sum(1, keepdims=True)).astype(np.float32)


def windows(mels: np.ndarray) -> np.ndarray:
    """All windows of five picture frames, one every 10 ms: [n - 19, 20, bands] view of [n, bands]."""
    return np.lib.stride_tricks.sliding_window_view(mels, WINDOW_HOPS, axis=0).transpose(0, 2, 1)


def loudness(mels: np.ndarray) -> np.ndarray:
    """Loudness of each mel frame in dB, from [n, bands] log10 power: [n]."""
    return 10 * np.log10(np.mean(10.0 ** mels.astype(np.float64), axis=1))


def speech_mask(mels: np.ndarray, floor_db: float = -60.0, span_db: float = 35.0) -> np.ndarray:
    """Mel frames that carry sound worth looking at: bool [n].

    A frame counts when it is within `span_db` of the loud parts (95th percentile) and above
    an absolute floor, so silence and faint background noise do not vote.
    """
    level = loudness(mels)
    if not len(level):
        return np.zeros(0, bool)
    return level > max(floor_db, float(np.percentile(level, 95)) - span_db)
