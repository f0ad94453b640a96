"""Log-mel spectrogram, one frame every 10 ms."""

from __future__ import annotations

import numpy as np

from ..config import SAMPLE_RATE, WINDOW_HOPS, MelConfig

CHUNK = 6000  # mel frames per batch, to bound the memory on long audio


def log_mel(audio: np.ndarray, config: MelConfig = MelConfig()) -> np.ndarray:
    """Log10 of the mel power of mono 16 kHz audio [n]: float32 [n // hop, bands].

    Frame t is centred on sample (t + 1/2) * hop, so WINDOW_HOPS frames from t on span exactly the 0.2 s that start
    at t * 10 ms.
    """
    count = len(audio) // config.hop
    pad = (config.window - config.hop) // 2
    padded = np.pad(np.asarray(audio, np.float32), (pad, config.window))
    frames = np.lib.stride_tricks.sliding_window_view(padded, config.window)[:: config.hop][:count]
    # A periodic Hann window, equal to scipy.signal.get_window("hann"): importing scipy.signal takes 0.25 s at start-up.
    taper = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(config.window) / config.window)).astype(np.float32)
    bank = mel_bank(config)
    out = np.empty((count, config.bands), np.float32)
    for i in range(0, count, CHUNK):
        power = np.abs(np.fft.rfft(frames[i : i + CHUNK] * taper, config.fft, axis=1)) ** 2 / config.window
        out[i : i + CHUNK] = np.log10(power @ bank.T + config.floor)
    return out


def mel_bank(config: MelConfig = MelConfig()) -> np.ndarray:
    """Triangular filters of unit area on the mel scale of O'Shaughnessy (1987): float32 [bands, fft // 2 + 1]."""
    mel = lambda hz: 2595 * np.log10(1 + np.asarray(hz) / 700)  # noqa: E731
    edges = 700 * (10 ** (np.linspace(mel(config.low_hz), mel(config.high_hz), config.bands + 2) / 2595) - 1)
    hz = np.arange(config.fft // 2 + 1) * SAMPLE_RATE / config.fft
    rise = (hz - edges[:-2, None]) / np.diff(edges)[:-1, None]
    fall = (edges[2:, None] - hz) / np.diff(edges)[1:, None]
    bank = np.clip(np.minimum(rise, fall), 0, None)
    # The lowest bands are narrower than one FFT bin and would be empty: give them the nearest bin.
    bank += (bank.sum(1, keepdims=True) == 0) * np.eye(len(hz))[np.round(edges[1:-1] / hz[1]).astype(int)]
    return (bank / bank.sum(1, keepdims=True)).astype(np.float32)


def constant_windows(mels: np.ndarray) -> np.ndarray:
    """Which windows of `mel_windows` have the same value throughout, as in digital silence: bool [n - 19].

    The level of a window is subtracted before it is embedded, so that these all have the same embedding.
    """
    over_time = lambda x: np.lib.stride_tricks.sliding_window_view(x, WINDOW_HOPS)  # noqa: E731
    return over_time(mels.min(1)).min(1) == over_time(mels.max(1)).max(1)


def mel_windows(mels: np.ndarray) -> np.ndarray:
    """All windows of 0.2 s, one every 10 ms: [n, bands] -> a view [n - 19, 20, bands]."""
    return np.lib.stride_tricks.sliding_window_view(mels, WINDOW_HOPS, axis=0).transpose(0, 2, 1)
