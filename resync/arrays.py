"""A film that is in memory already: pictures and sound as arrays, for programs that have no file."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
from scipy.signal import resample_poly

from .config import FPS, SAMPLE_RATE
from .errors import MediaError
from .external import Sound
from .film import Film
from .media import AudioInfo, Frame, MediaInfo, VideoInfo
from .pictures import ArrayPicture

NAME = Path("arrays")  # stands for a file's name in reports and messages


@dataclass(frozen=True)
class ArraySound(Sound):
    """Samples in memory, read as the sound of a file is. samples: float32 [m], mono at SAMPLE_RATE."""

    samples: np.ndarray = field(kw_only=True)

    def read(self, start_s: float, end_s: float) -> np.ndarray:
        """Mono float32 at SAMPLE_RATE, silence where there is none."""
        start, count = round(start_s * SAMPLE_RATE), round((end_s - start_s) * SAMPLE_RATE)
        out = np.zeros(count, np.float32)
        first, last = max(0, start), min(len(self.samples), start + count)
        if first < last:
            out[first - start : last - start] = self.samples[first:last]
        return out


def film_of(pictures: np.ndarray, fps: float, sound: np.ndarray, rate: int) -> Film:
    """A film for `resync.analyze`, of pictures uint8 [n, H, W, 3] RGB and sound float [m] or [m, channels], which begin together.

    fps: pictures a second; rate: samples a second. Raises MediaError for arrays of another shape, and for none at all.
    """
    pictures, sound = np.asarray(pictures), np.asarray(sound, np.float32)
    if pictures.ndim != 4 or pictures.shape[3] != 3 or pictures.dtype != np.uint8 or not len(pictures):
        raise MediaError(f"{NAME}: pictures must be uint8 [n, height, width, 3], not {pictures.dtype} {list(pictures.shape)}")
    if sound.ndim not in (1, 2) or not len(sound):
        raise MediaError(f"{NAME}: sound must be float [m] or [m, channels], not {list(sound.shape)}")
    if not fps > 0 or not rate > 0:
        raise MediaError(f"{NAME}: fps and rate must be positive, not {fps:g} and {rate:g}")
    mono = resample_poly(sound.reshape(len(sound), -1).mean(1), SAMPLE_RATE, rate).astype(np.float32)
    duration_s, height, width = len(pictures) / fps, *pictures.shape[1:3]
    video = VideoInfo(0, "array", width, height, float(fps), 0.0, duration_s, 0)
    audio = AudioInfo(1, "array", rate, 1 if sound.ndim == 1 else sound.shape[1], "", 0.0, len(sound) / rate, None, None)
    info = MediaInfo(NAME, "array", max(duration_s, audio.duration_s), 0.0, video, (audio,))
    return Film(info, partial(_frames, pictures, float(fps)), ArraySound(NAME, samples=mono))


def _frames(pictures: np.ndarray, fps: float, start_s: float, end_s: float) -> Iterator[Frame]:
    """The picture nearest in time to each tick of the analysis, BGR."""
    for tick in range(math.ceil(start_s * FPS - 1e-6), math.ceil(min(end_s, len(pictures) / fps) * FPS - 1e-6)):
        number = min(round(tick / FPS * fps), len(pictures) - 1)
        picture = ArrayPicture(np.ascontiguousarray(pictures[number][:, :, ::-1]))
        yield Frame(tick, tick / FPS, number / fps, picture)
