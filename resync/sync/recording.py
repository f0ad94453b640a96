"""Where an external recording lies on a video's clock, roughly, by cross-correlation of onsets.

The lips then give the exact delay. Here and not in `media`, because finding the place is analysis: reading knows only `start_s`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from ..config import HOP, HOP_S, SAMPLE_RATE
from ..errors import MediaError
from ..media.audio import read_audio
from ..media.probe import MediaInfo, probe
from ..media.source import AudioSource
from ..syncnet.mel import log_mel

BANDS = 8  # onset bands by which two recordings are compared
CHUNK_S = 600.0  # of audio held in memory at once
MIN_SEPARATION_S = 0.5  # matches nearer than this are the same match
MIN_PROMINENCE = 1.4  # of the best match; measured: true matches of a few seconds 1.56 or more, false ones 1.22 or less
CHANCE_SIGMAS = 4.5  # standard deviations that the best of some thousand chance matches may reach


def locate_recording(recording: str | Path, video: MediaInfo, track: int = 0) -> AudioSource:
    """The audio file `recording`, placed on the video's clock by comparing it with the video's own track `track`.

    Without an audio track in the video, both are assumed to start together. Raises MediaError when `recording` has
    no audio, or when the two have nothing in common.
    """
    info = probe(recording)
    if not info.audio:
        raise MediaError(f"{recording}: no audio track in this file; give a recording")
    if not video.audio:
        return AudioSource(info.path)
    start_s, prominence = match_onsets(onset_bands(video, track), onset_bands(info, 0))
    if prominence < MIN_PROMINENCE:
        raise MediaError(
            f"{recording}: does not match the audio of {video.path} (best match only {prominence:.2f} times the next,"
            f" {MIN_PROMINENCE:.2f} needed); give a recording of the same scene, or a video without audio of its own"
        )
    return AudioSource(info.path, 0, start_s)


def onset_bands(info: MediaInfo, track: int) -> np.ndarray:
    """Rise of the level in each band from hop to hop: float32 [n, BANDS], 100 per second. Independent of gain and microphone.

    Hours of silence at the end, which a damaged header may declare, are left out.
    """
    bands = [np.zeros((0, BANDS), np.float32)]
    for audio in _chunks(info, track):
        if not audio.any():
            bands.append(np.zeros((len(audio) // HOP, BANDS), np.float32))
            continue
        mels = log_mel(audio)
        usable = mels.shape[1] // BANDS * BANDS
        levels = mels[:, :usable].reshape(len(mels), BANDS, usable // BANDS).mean(2)
        bands.append(np.diff(levels, axis=0, prepend=levels[:1]).clip(0))
    while len(bands) > 1 and not bands[-1].any():
        bands.pop()
    return np.concatenate(bands)


def match_onsets(video: np.ndarray, recording: np.ndarray) -> tuple[float, float]:
    """Where `recording` [m, B] lies in `video` [n, B]: its start in s (negative: before the video), and the prominence of that match.

    Prominence is the height of its correlation over that of the next best match, or over chance, whichever is less.
    """
    if not len(video) or not len(recording):
        return 0.0, 0.0
    from scipy.signal import correlate

    total = sum(correlate(a - a.mean(), b - b.mean(), method="fft") for a, b in zip(video.T, recording.T))
    best = int(np.argmax(total))
    apart = np.abs(np.arange(len(total)) - best) * HOP_S > MIN_SEPARATION_S
    second = float(total[apart].max()) if apart.any() else 0.0
    return (best - len(recording) + 1) * HOP_S, float(total[best] / max(second, CHANCE_SIGMAS * total.std(), 1e-9))


def _chunks(info: MediaInfo, track: int) -> Iterator[np.ndarray]:
    """The whole track as mono samples, CHUNK_S at a time."""
    end_s = info.audio[track].start_s + info.audio[track].duration_s
    for i in range(max(1, int(np.ceil(end_s / CHUNK_S)))):
        yield read_audio(info.path, start_s=i * CHUNK_S, end_s=min((i + 1) * CHUNK_S, end_s), rate=SAMPLE_RATE, track=track)
