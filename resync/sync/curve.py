"""Scores of every window at every delay, and the one smoothed probability curve made of them.

NumPy and SciPy only. A delay is in hops of 10 ms, positive when the audio is late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from scipy.ndimage import gaussian_filter1d, uniform_filter1d
from scipy.special import expit

from ..config import FPS, HOP_S, HOPS_PER_FRAME, CurveConfig


@dataclass(frozen=True)
class Scores:
    """P(in sync) of each window of one segment at each delay.

    probability: float32 [windows, delays], NaN where there is no face or no audio; delays: int [delays] in
    hops; time_s: float [windows], start of the window; weight: float [windows], share of the
    window's audio that is active (0..1), by which the window is weighted.
    """

    probability: np.ndarray
    delays: np.ndarray
    time_s: np.ndarray
    weight: np.ndarray

    @property
    def segments(self) -> tuple[Scores, ...]:
        """The one segment they belong to, so that `JoinedScores` can be used alike."""
        return (self,)

    @staticmethod
    def join(segments: Sequence[Scores | JoinedScores]) -> JoinedScores:
        """Scores of several segments, one after the other."""
        return JoinedScores(tuple(segment for scores in segments for segment in scores.segments))


@dataclass(frozen=True)
class JoinedScores:
    """Scores of several segments, used as one; see Scores. Nothing is copied: for a long video they are large."""

    segments: tuple[Scores, ...]

    @property
    def delays(self) -> np.ndarray:
        """See Scores."""
        return self.segments[0].delays

    @cached_property
    def time_s(self) -> np.ndarray:
        """See Scores."""
        return np.concatenate([segment.time_s for segment in self.segments])

    @cached_property
    def weight(self) -> np.ndarray:
        """See Scores."""
        return np.concatenate([segment.weight for segment in self.segments])

    @property
    def probability(self) -> np.ndarray:
        """See Scores; a copy of all of it."""
        return np.concatenate([segment.probability for segment in self.segments])


AnyScores: TypeAlias = Scores | JoinedScores


@dataclass(frozen=True)
class Peak:
    """The best delay of a curve, and the runner-up.

    delay_s: in seconds, audio late positive; height: P at its grid point; index: of that grid point;
    runner_up: highest P elsewhere; runner_up_s: its delay in s, None where there is no other.
    """

    delay_s: float
    height: float
    index: int
    runner_up: float
    runner_up_s: float | None = None


def delay_grid(range_s: float) -> np.ndarray:
    """All delays to test, in hops: int [2 n + 1], from -range_s to +range_s."""
    reach = round(range_s / HOP_S)
    return np.arange(-reach, reach + 1)


def pair_cosines(mouth: np.ndarray, audio: np.ndarray, first_hop: np.ndarray, delays: np.ndarray) -> np.ndarray:
    """Cosine of video window w and the audio window `delays[d]` hops later: float32 [w, d], NaN outside the audio.

    mouth: [n, E] unit embeddings; audio: [m, E], one each hop; first_hop: int [n], the hop that
    starts together with each video window.
    """
    at = first_hop[:, None] + delays[None]
    inside = (at >= 0) & (at < len(audio))
    cosine = np.full(at.shape, np.nan, np.float32)
    if len(mouth) and len(audio):
        low, high = max(0, at.min()), min(len(audio), at.max() + 1)
        table = mouth @ audio[low:high].T
        rows = np.broadcast_to(np.arange(len(mouth))[:, None], at.shape)
        cosine[inside] = table[rows[inside], at[inside] - low]
    return cosine


def probability_curve(scores: AnyScores, config: CurveConfig = CurveConfig()) -> np.ndarray:
    """One probability per delay: the mean log-odds over windows with speech, smoothed over delays.

    Returns float [delays] in 0..1; NaN everywhere when no window has any weight. The mean is taken
    over log-odds because each window is evidence of its own; `expit` makes it a probability again.
    """
    odds, weight = weighted_log_odds(scores)
    return mean_curve(odds.sum(0), weight.sum(0), config)


def weighted_log_odds(scores: AnyScores, windows: int = FPS) -> tuple[np.ndarray, np.ndarray]:
    """Weighted log-odds and weights, each summed over blocks of so many windows: two float [blocks, delays]."""
    count = -(-len(scores.weight) // windows)
    total, total_weight = np.zeros((2, count, len(scores.delays)))
    first = 0
    for segment in scores.segments:
        odds = log_odds(segment.probability)
        known = np.isfinite(odds)
        weight = segment.weight[:, None] * known
        block = (first + np.arange(len(weight))) // windows
        starts = np.flatnonzero(np.diff(block, prepend=-1))
        if len(starts):
            total[block[starts]] += np.add.reduceat(np.where(known, odds, 0) * weight, starts)
            total_weight[block[starts]] += np.add.reduceat(weight, starts)
        first += len(weight)
    return total, total_weight


def mean_curve(odds: np.ndarray, weight: np.ndarray, config: CurveConfig = CurveConfig()) -> np.ndarray:
    """Smoothed probability [delays] from sums of weighted log-odds and of weights [delays]; NaN without any weight."""
    most = weight.max(initial=0)
    if not most > 0:
        return np.full(odds.shape, np.nan)
    mean = odds / np.maximum(weight, 1e-9)
    # Delays that few windows could test are not comparable with the rest.
    tested = weight >= 0.5 * most
    mean = np.where(tested, mean, mean[tested].min())
    return expit(gaussian_filter1d(mean, config.smooth_hops, mode="nearest"))


def log_odds(probability: np.ndarray) -> np.ndarray:
    """log(P / (1 - P)), finite for 0 and 1."""
    p = np.clip(probability, 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def find_peak(values: np.ndarray, delays: np.ndarray, apart_s: float = 0.12) -> Peak:
    """Highest point of a curve [delays], refined between grid points by a parabola; the runner-up is the best beyond `apart_s`.

    delays: [delays] in hops. Delays of the peak are in s.
    """
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


def probability_at(scores: AnyScores, column: int, config: CurveConfig = CurveConfig()) -> np.ndarray:
    """Smoothed P(in sync) of each window at one delay, given by its index: [windows], NaN without face or audio there."""
    return running_mean(np.concatenate([segment.probability[:, column] for segment in scores.segments]), config)


def has_face(scores: AnyScores) -> np.ndarray:
    """Windows with a face and with audio at any delay: bool [windows]."""
    return np.concatenate([np.isfinite(segment.probability).any(1) for segment in scores.segments])


def running_mean(probability: np.ndarray, config: CurveConfig = CurveConfig()) -> np.ndarray:
    """Running mean over time of P [windows] or [windows, delays]; NaN stays NaN and does not count."""
    p = probability.astype(float)
    known = np.isfinite(p).astype(float)
    size = min(config.smooth_frames, max(1, len(p)))
    total = uniform_filter1d(np.nan_to_num(p), size, axis=0, mode="nearest")
    count = uniform_filter1d(known, size, axis=0, mode="nearest")
    return np.where(known > 0, total / np.maximum(count, 1e-9), np.nan)


def frame_to_hop(frames: np.ndarray) -> np.ndarray:
    """Hop at which each video frame starts."""
    return np.asarray(frames) * HOPS_PER_FRAME
