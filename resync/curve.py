"""Scores of every frame at every shift, and the one smoothed probability curve made of them.

NumPy and SciPy only. A delay is in hops of 10 ms, positive when the sound is late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.special import expit

from .config import FPS, HOP_S, HOPS_PER_FRAME, CurveConfig


@dataclass(frozen=True)
class Scores:
    """P(in sync) of each picture window at each delay.

    probability: float32 [frames, delays], NaN where there is no sound; delays: int [delays] in
    hops; time_s: float [frames], start of the window; weight: float [frames], share of the
    window's sound that carries speech (0..1), with which the frame votes.
    """

    probability: np.ndarray
    delays: np.ndarray
    time_s: np.ndarray
    weight: np.ndarray

    @property
    def runs(self) -> tuple[Scores, ...]:
        """What they are made of: one run of frames."""
        return (self,)

    @staticmethod
    def join(parts: Sequence[Scores | JoinedScores]) -> JoinedScores:
        """Scores of several stretches one after the other."""
        return JoinedScores(tuple(run for part in parts for run in part.runs))


@dataclass(frozen=True)
class JoinedScores:
    """Scores of several runs of frames, taken as one; see Scores. They stay where they are: of a long film they are large."""

    runs: tuple[Scores, ...]

    @property
    def delays(self) -> np.ndarray:
        """See Scores."""
        return self.runs[0].delays

    @cached_property
    def time_s(self) -> np.ndarray:
        """See Scores."""
        return np.concatenate([run.time_s for run in self.runs])

    @cached_property
    def weight(self) -> np.ndarray:
        """See Scores."""
        return np.concatenate([run.weight for run in self.runs])

    @property
    def probability(self) -> np.ndarray:
        """See Scores; a copy of all of it."""
        return np.concatenate([run.probability for run in self.runs])


AnyScores: TypeAlias = Scores | JoinedScores


@dataclass(frozen=True)
class Peak:
    """The best delay of a curve: seconds (sound late positive), height, index; the best height elsewhere, and its delay in s."""

    delay_s: float
    height: float
    index: int
    runner_up: float
    runner_up_s: float | None = None


def delay_grid(range_s: float) -> np.ndarray:
    """All delays tried, in hops: int [2 n + 1]."""
    reach = round(range_s / HOP_S)
    return np.arange(-reach, reach + 1)


def pair_cosines(mouth: np.ndarray, sound: np.ndarray, first_hop: np.ndarray, delays: np.ndarray) -> np.ndarray:
    """Cosine of picture window f with the sound window `delays[d]` hops later: [f, d], NaN outside the sound.

    mouth: [n, E] unit embeddings; sound: [m, E], one each hop; first_hop: int [n], the hop that
    begins together with each picture window.
    """
    at = first_hop[:, None] + delays[None]
    inside = (at >= 0) & (at < len(sound))
    cosine = np.full(at.shape, np.nan, np.float32)
    if len(mouth) and len(sound):
        low, high = max(0, at.min()), min(len(sound), at.max() + 1)
        table = mouth @ sound[low:high].T
        rows = np.broadcast_to(np.arange(len(mouth))[:, None], at.shape)
        cosine[inside] = table[rows[inside], at[inside] - low]
    return cosine


def curve(scores: AnyScores, config: CurveConfig = CurveConfig()) -> np.ndarray:
    """One probability per delay: the mean log-odds over frames that carry speech, smoothed over delays.

    Returns float [delays] in 0..1; NaN everywhere when no frame has a vote. The mean is taken
    of log-odds because each frame is evidence of its own; `expit` makes it a probability again.
    """
    odds, weight = votes(scores)
    return mean_curve(odds.sum(0), weight.sum(0), config)


def votes(scores: AnyScores, frames: int = FPS) -> tuple[np.ndarray, np.ndarray]:
    """Weighted log-odds and weights, each summed over stretches of `frames`: two float [stretches, delays]."""
    count = -(-len(scores.weight) // frames)
    total, voting = np.zeros((2, count, len(scores.delays)))
    first = 0
    for run in scores.runs:
        odds = log_odds(run.probability)
        seen = np.isfinite(odds)
        weight = run.weight[:, None] * seen
        stretch = (first + np.arange(len(weight))) // frames
        begins = np.flatnonzero(np.diff(stretch, prepend=-1))
        if len(begins):
            total[stretch[begins]] += np.add.reduceat(np.where(seen, odds, 0) * weight, begins)
            voting[stretch[begins]] += np.add.reduceat(weight, begins)
        first += len(weight)
    return total, voting


def mean_curve(odds: np.ndarray, weight: np.ndarray, config: CurveConfig = CurveConfig()) -> np.ndarray:
    """Sums of weighted log-odds and of weights [delays] -> smoothed probability [delays], NaN without any weight."""
    most = weight.max(initial=0)
    if not most > 0:
        return np.full(odds.shape, np.nan)
    mean = odds / np.maximum(weight, 1e-9)
    # Delays that few frames could try are not comparable with the rest.
    tried = weight >= 0.5 * most
    mean = np.where(tried, mean, mean[tried].min())
    return expit(gaussian_filter1d(mean, config.smooth_hops, mode="nearest"))


def log_odds(probability: np.ndarray) -> np.ndarray:
    """log(P / (1 - P)), finite for 0 and 1."""
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def peak(values: np.ndarray, delays: np.ndarray, apart_s: float = 0.12) -> Peak:
    """Highest point of a curve, finer than its grid by a parabola; runner-up is the best beyond `apart_s`."""
    i = int(np.argmax(values))
    step = 0.0
    if 0 < i < len(values) - 1:
        left, top, right = values[i - 1 : i + 2]
        bend = left - 2 * top + right
        step = 0.5 * (left - right) / bend if bend < 0 else 0.0
    best = Peak((float(delays[i]) + step) * HOP_S, float(values[i]), i, 0.0)
    far = np.flatnonzero(np.abs(delays - delays[i]) * HOP_S > apart_s)
    if not len(far):
        return best
    second = far[np.argmax(values[far])]
    return replace(best, runner_up=float(values[second]), runner_up_s=float(delays[second]) * HOP_S)


def at_delay(scores: AnyScores, delay_s: float, config: CurveConfig = CurveConfig()) -> np.ndarray:
    """Smoothed P(in sync) of each frame at one delay: [frames], NaN where there is no sound there."""
    column = column_of(scores.delays, delay_s)
    return over_time(np.concatenate([run.probability[:, column] for run in scores.runs]), config)


def seen_at_all(scores: AnyScores) -> np.ndarray:
    """Frames with a face and sound at any delay: bool [frames]."""
    return np.concatenate([np.isfinite(run.probability).any(1) for run in scores.runs])


def column_of(delays: np.ndarray, delay_s: float) -> int:
    """Index of the delay tried that is nearest to delay_s."""
    return int(np.argmin(np.abs(delays - delay_s / HOP_S)))


def over_time(probability: np.ndarray, config: CurveConfig = CurveConfig()) -> np.ndarray:
    """Running mean of P [frames] or [frames, delays] over frames; NaN stays NaN and does not count."""
    p = probability.astype(float)
    known = np.isfinite(p).astype(float)
    size = min(config.smooth_frames, max(1, len(p)))
    total = uniform_filter1d(np.nan_to_num(p), size, axis=0, mode="nearest")
    count = uniform_filter1d(known, size, axis=0, mode="nearest")
    return np.where(known > 0, total / np.maximum(count, 1e-9), np.nan)


def speech_weight(speech: np.ndarray, first_hop: np.ndarray, hops: int) -> np.ndarray:
    """Share of speech (bool per hop) in the `hops` that begin at each first_hop: float [n]."""
    total = np.concatenate([[0], np.cumsum(speech)])
    start = np.clip(first_hop, 0, len(speech))
    stop = np.clip(first_hop + hops, 0, len(speech))
    return (total[stop] - total[start]) / hops


def frame_hops(frames: np.ndarray) -> np.ndarray:
    """Hop at which each picture frame begins."""
    return np.asarray(frames) * HOPS_PER_FRAME
