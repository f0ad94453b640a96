"""Which parts of a film are looked at, and in which order.

Short films are looked at whole. Of long ones some parts will do: where somebody speaks and a face is seen, spread
over the whole length, until the answer is sure. What is passed over is neither decoded nor read.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from .config import PlanConfig
from .faces import Detector
from .film import Film
from .media import MediaInfo, require_video
from .mels import log_mel, loudness, speech_mask


def is_long(info: MediaInfo, config: PlanConfig = PlanConfig()) -> bool:
    """Whether only parts of the film are looked at."""
    start, end = extent(info)
    return end - start > config.whole_s


def extent(info: MediaInfo) -> tuple[float, float]:
    """When the film begins and ends, in s."""
    video = require_video(info)
    return max(0.0, video.start_s), max(video.start_s + video.duration_s, info.duration_s)


def chosen_parts(film: Film, detector: Detector, config: PlanConfig = PlanConfig()) -> Iterator[tuple[float, float]]:
    """The parts to look at, (start, end) in s, for as long as they are asked for.

    Where fewer than `least_parts` promise anything, those that promise nothing fill up the number, so that
    "no face" is only said of what was looked at.
    """
    if not is_long(film.info, config):
        yield extent(film.info)
        return
    taken: list[tuple[float, float]] = []
    left: list[float] = []
    ears = _Ears(config)
    for start in spread(*extent(film.info), config):
        begin = _promising(film, start, detector, ears, config)
        if begin is None:
            left.append(start)
            continue
        part = _fitted(begin, start, taken, config)
        if part[1] - part[0] < config.part_s / 2:
            continue  # its neighbours, begun at earlier key frames, have had it
        taken.append(part)
        yield part
        if len(taken) == config.most_parts:
            return
    for start in left[: max(0, config.least_parts - len(taken))]:
        yield start, start + config.part_s


def _fitted(key: float, start: float, taken: list[tuple[float, float]], config: PlanConfig) -> tuple[float, float]:
    """A part that begins at the key frame before `start`, or later where that would overlap those taken."""
    low = max((end for begin, end in taken if begin <= start), default=key)
    high = min((begin for begin, _ in taken if begin > start), default=start + config.part_s)
    begin = key if key >= low else max(low, min(start, high - config.part_s))
    return begin, min(begin + config.part_s, high)


def spread(start: float, end: float, config: PlanConfig = PlanConfig()) -> list[float]:
    """Where parts could begin, in s: any first few already cover the whole length (van der Corput order).

    That is what tells drift from a constant delay.
    """
    count = max(2, min(config.candidates, int((end - start) // config.part_s)))
    room = (end - start - config.part_s) / (count - 1)
    return [start + i * room for i in sorted(range(count), key=lambda i: int(f"{i:016b}"[::-1], 2))]


def _promising(film: Film, start: float, detector: Detector, ears: _Ears, config: PlanConfig) -> float | None:
    """Where to begin for a part near `start`, None where nobody speaks or no face is seen there.

    The face is looked for in the key frame before `start`, which is also the cheapest place to begin.
    """
    middle = start + config.part_s / 2
    if not ears.hear(film.sound.read(middle - config.listen_s / 2, middle + config.listen_s / 2)):
        return None
    frame = film.glance(start)
    if frame is None or not len(detector(frame.picture).scores):
        return None
    return frame.time_s if 0 <= start - frame.time_s <= config.max_key_s else start


class _Ears:
    """Tells speech from silence and from a steady noise by its level alone, which is cheap."""

    def __init__(self, config: PlanConfig):
        self._config = config
        self._loudest = -np.inf

    def hear(self, sound: np.ndarray) -> bool:
        """Whether there may be speech in `sound`, float [n]: loud against what was heard before, and of changing level."""
        mels = log_mel(sound)
        voiced = speech_mask(mels)
        if np.mean(voiced) < self._config.min_voiced:
            return False
        quiet, loud = np.percentile(loudness(mels), [10, 95])
        self._loudest = max(self._loudest, loud)
        return loud > self._loudest - self._config.max_quieter_db and loud - quiet > self._config.min_change_db
