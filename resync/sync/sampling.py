"""Which segments of a video are analysed, and in which order.

Short videos are analysed in full. From long ones, segments are sampled where somebody speaks and a face is visible, spread
over the whole length, until the answer is certain. What is skipped is neither decoded nor read.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..config import SamplingConfig
from ..faces.detect import Detector
from ..media.probe import MediaInfo, require_video
from ..media.source import VideoSource
from ..syncnet.mel import log_mel
from .activity import activity_mask, loudness_db


def is_long(info: MediaInfo, config: SamplingConfig = SamplingConfig()) -> bool:
    """Whether the video is sampled instead of analysed in full."""
    start, end = time_span(info)
    return end - start > config.full_scan_s


def time_span(info: MediaInfo) -> tuple[float, float]:
    """When the video starts and ends, in s."""
    video = require_video(info)
    return max(0.0, video.start_s), max(video.start_s + video.duration_s, info.duration_s)


def planned_s(info: MediaInfo, config: SamplingConfig = SamplingConfig()) -> float:
    """Seconds that will be analysed; for long videos, at least."""
    start, end = time_span(info)
    return config.min_samples * config.sample_s if is_long(info, config) else end - start


def sampled_segments(source: VideoSource, detector: Detector, config: SamplingConfig = SamplingConfig()) -> Iterator[tuple[float, float]]:
    """The segments to analyse, (start, end) in s, for as long as the caller asks for more.

    Where fewer than `min_samples` candidates look promising, others fill up the number, so that
    "no face" is only reported for what was analysed.
    """
    if not is_long(source.info, config):
        yield time_span(source.info)
        return
    taken: list[tuple[float, float]] = []
    rejected: list[float] = []
    gate, left = _SpeechGate(config), candidate_starts(*time_span(source.info), config)
    while left:
        candidate = farthest(left, [start for start, _ in taken] or rejected)
        left.remove(candidate)
        start = _promising_start(source, candidate, detector, gate, config)
        if start is None:
            rejected.append(candidate)
            continue
        segment = _fit_between(start, candidate, taken, config)
        if segment[1] - segment[0] < config.sample_s / 2:
            continue  # its neighbours, which start at earlier keyframes, cover it
        taken.append(segment)
        yield segment
        if len(taken) == config.max_samples:
            return
    for candidate in rejected[: max(0, config.min_samples - len(taken))]:
        yield candidate, candidate + config.sample_s


def _fit_between(keyframe_s: float, candidate: float, taken: list[tuple[float, float]], config: SamplingConfig) -> tuple[float, float]:
    """A segment that starts at the keyframe before the candidate, or later where that would overlap those taken."""
    low = max((end for start, end in taken if start <= candidate), default=keyframe_s)
    high = min((start for start, _ in taken if start > candidate), default=candidate + config.sample_s)
    start = keyframe_s if keyframe_s >= low else max(low, min(candidate, high - config.sample_s))
    return start, min(start + config.sample_s, high)


def candidate_starts(start: float, end: float, config: SamplingConfig = SamplingConfig()) -> list[float]:
    """Where a sample may start, in s, evenly spread from the first to the last place."""
    count = max(2, min(config.candidates, int((end - start) // config.sample_s)))
    return np.linspace(start, end - config.sample_s, count).tolist()


def farthest(candidates: list[float], taken: list[float]) -> float:
    """The candidate farthest from those taken; the first one where none is.

    Any first few cover the whole length, also where some places have no speech or no face. That is what tells a drift
    or a jump from a constant delay.
    """
    if not taken:
        return min(candidates)
    distance = np.abs(np.array(candidates)[:, None] - np.array(taken)).min(1)
    return candidates[int(np.argmax(distance))]


def _promising_start(source: VideoSource, candidate: float, detector: Detector, gate: _SpeechGate, config: SamplingConfig) -> float | None:
    """Where to start a segment near the candidate, None where nobody speaks or no face is visible.

    The face is looked for in the keyframe before the candidate, which is also the cheapest place to start.
    """
    middle = candidate + config.sample_s / 2
    if not gate.has_speech(source.audio.read(middle - config.probe_audio_s / 2, middle + config.probe_audio_s / 2)):
        return None
    frame = source.cheap_frame(candidate)
    if frame is None or not len(detector(frame.image).scores):
        return None
    return frame.time_s if 0 <= candidate - frame.time_s <= config.max_keyframe_gap_s else candidate


class _SpeechGate:
    """Separates speech from silence and steady noise by its level alone, which is cheap."""

    def __init__(self, config: SamplingConfig):
        self._config = config
        self._loudest = -np.inf

    def has_speech(self, audio: np.ndarray) -> bool:
        """Whether there may be speech in `audio`, float [n]: loud relative to what came before, and of changing level."""
        mels = log_mel(audio)
        if np.mean(activity_mask(mels)) < self._config.min_active_share:
            return False
        quiet, loud = np.percentile(loudness_db(mels), [10, 95])
        self._loudest = max(self._loudest, loud)
        return loud > self._loudest - self._config.max_level_drop_db and loud - quiet > self._config.min_level_range_db
