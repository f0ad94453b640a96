"""Scores of every window at every delay, and the one smoothed probability curve made of them.

NumPy only. A delay is in hops of 10 ms, positive when the audio is late.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ..config import FPS, HOP_S, HOPS_PER_FRAME, CurveConfig
from ..smoothing import expit, gaussian_filter, mean_filter

PAUSE_WEIGHT = 0.5  # of a window of audible audio without speech; measured: 2 to 3 % more pieces of 2 s right than with 0


@dataclass(frozen=True)
class Scores:
    """P(in sync) of each window of one segment at each delay.

    probability: float32 [windows, delays], NaN where there is no face or no audio; delays: int [delays] in
    hops, ascending without gaps; time_s: float [windows], start of the window; activity, audible: float
    [HOPS_PER_FRAME (windows - 1) + delays], shares (0..1) of active and of audible audio in the audio window that starts at
    each hop, counted from the hop that the first window is compared with at the first delay.
    """

    probability: np.ndarray
    delays: np.ndarray
    time_s: np.ndarray
    activity: np.ndarray
    audible: np.ndarray

    @property
    def speech(self) -> np.ndarray:
        """Share of active audio in the audio that each window is compared with at each delay: float [windows, delays], a view."""
        return self._at_delays(self.activity)

    @cached_property
    def weight(self) -> np.ndarray:
        """How much each score counts, 0..1: float [windows, delays], a view.

        Taken at the tested delay: what votes on a delay is the audio that this delay assigns to the window. Pauses, too, are
        evidence (a closed mouth), but less than speech; digital silence is none, because it also lies beyond the ends of the audio.
        """
        return self._at_delays(PAUSE_WEIGHT * self.audible + (1 - PAUSE_WEIGHT) * self.activity)

    def _at_delays(self, hops: np.ndarray) -> np.ndarray:
        if not len(self.time_s):
            return np.empty((0, len(self.delays)))
        return sliding_window_view(hops, len(self.delays))[::HOPS_PER_FRAME]

    @property
    def segments(self) -> tuple[Scores, ...]:
        """The one segment they belong to, so that `JoinedScores` can be used alike."""
        return (self,)

    def rows(self, start: int, stop: int) -> Scores:
        """Windows start .. stop - 1."""
        first, last = HOPS_PER_FRAME * start, HOPS_PER_FRAME * (stop - 1) + len(self.delays)
        hops = slice(first, last)
        return Scores(self.probability[start:stop], self.delays, self.time_s[start:stop], self.activity[hops], self.audible[hops])

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


def delay_grid(range_s: float, centre_s: float = 0.0) -> np.ndarray:
    """All delays to test, in hops: int [2 n + 1], up to range_s on either side of centre_s."""
    reach = round(range_s / HOP_S)
    return round(centre_s / HOP_S) + np.arange(-reach, reach + 1)


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
    """One probability per delay: the mean log-odds over the blocks that vote, smoothed over delays.

    Returns float [delays] in 0..1; NaN everywhere when no window has any weight. The mean is taken
    over log-odds because each window is evidence of its own; `expit` makes it a probability again.
    """
    odds, weight = voted_log_odds(scores, config)
    return mean_curve(odds.sum(0), weight.sum(0), config)


def voted_log_odds(scores: AnyScores, config: CurveConfig = CurveConfig()) -> tuple[np.ndarray, np.ndarray]:
    """As `weighted_log_odds` for blocks of one second, times the vote (0..1) of the `vote_s` that each block belongs to."""
    odds, weight = weighted_log_odds(scores)
    segment = np.repeat(np.arange(len(scores.segments)), [-(-len(s.time_s) // FPS) for s in scores.segments])
    vote = votes(odds, weight, segment, config)[:, None]
    return odds * vote, weight * vote


def votes(odds: np.ndarray, weight: np.ndarray, segment: np.ndarray, config: CurveConfig = CurveConfig()) -> np.ndarray:
    """The vote (0..1) of each block of one second, the same for the `vote_s` of a segment that it belongs to: float [blocks].

    Where no delay fits, nobody visible speaks (a voice-over, a listener, a cutaway): these seconds abstain, because
    their mean would only dilute that of the others. odds, weight: sums [blocks, delays]; segment: int [blocks], ascending.
    """
    starts = _group_starts(segment, round(config.vote_s))
    if not len(starts):
        return np.zeros(0)
    group_weight = np.add.reduceat(weight, starts)
    mean = _shrunk_mean(np.add.reduceat(odds, starts), group_weight, config)
    tested = group_weight > config.min_tested_share * max(1.0, group_weight.max())
    best = np.where(tested, gaussian_filter(mean, config.smooth_hops), config.prior_log_odds).max(1)
    vote = expit(config.vote_slope * (best - config.vote_log_odds))
    return np.repeat(vote, np.diff(np.append(starts, len(segment))))


def _group_starts(segment: np.ndarray, size: int) -> np.ndarray:
    """First block of each group of up to `size` consecutive blocks of one segment: int [groups]."""
    first = np.flatnonzero(np.diff(segment, prepend=-1))
    counts = np.diff(np.append(first, len(segment)))
    return np.concatenate([np.arange(at, at + count, size) for at, count in zip(first, counts)] or [np.zeros(0, int)])


def weighted_log_odds(scores: AnyScores, windows: int = FPS) -> tuple[np.ndarray, np.ndarray]:
    """Weighted log-odds and weights, each summed over blocks of so many windows of a segment: two float [blocks, delays].

    The last block of a segment may be shorter.
    """
    sums = [_block_sums(segment, windows) for segment in scores.segments if len(segment.time_s)]
    if not sums:
        return np.zeros((0, len(scores.delays))), np.zeros((0, len(scores.delays)))
    odds, weight = zip(*sums)
    return np.concatenate(odds), np.concatenate(weight)


def _block_sums(segment: Scores, windows: int) -> tuple[np.ndarray, np.ndarray]:
    odds = log_odds(segment.probability)
    known = np.isfinite(odds)
    weight = np.where(known, segment.weight, 0)
    starts = np.arange(0, len(odds), windows)
    return np.add.reduceat(np.where(known, odds, 0) * weight, starts, dtype=float), np.add.reduceat(weight, starts, dtype=float)


def mean_curve(odds: np.ndarray, weight: np.ndarray, config: CurveConfig = CurveConfig()) -> np.ndarray:
    """Smoothed probability [delays] from sums of weighted log-odds and of weights [delays]; NaN without any weight."""
    most = weight.max(initial=0)
    if not most > 0:
        return np.full(odds.shape, np.nan)
    mean = _shrunk_mean(odds, weight, config)
    tested = weight >= config.min_tested_share * most
    mean = np.where(tested, mean, mean[tested].min())
    return expit(gaussian_filter(mean, config.smooth_hops))


def _shrunk_mean(odds: np.ndarray, weight: np.ndarray, config: CurveConfig) -> np.ndarray:
    """Mean log-odds, shrunk towards the prior where there is little weight."""
    return (odds + config.prior_windows * config.prior_log_odds) / (weight + config.prior_windows)


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


def probability_at(scores: AnyScores, column: int | np.ndarray, config: CurveConfig = CurveConfig()) -> np.ndarray:
    """Smoothed P(in sync) of each window at one delay, given by its index, or one for each window: [windows], NaN without a face."""
    return running_mean(_at_columns([segment.probability for segment in scores.segments], column), config)


def speech_at(scores: AnyScores, column: int | np.ndarray) -> np.ndarray:
    """Share of active audio of each window at one delay, given by its index, or at one for each window: float [windows]."""
    return _at_columns([segment.speech for segment in scores.segments], column)


def _at_columns(tables: list[np.ndarray], column: int | np.ndarray) -> np.ndarray:
    """One column of each table [windows, delays], or one for each row of all of them: [windows of all]."""
    columns = np.broadcast_to(column, sum(map(len, tables)))
    ends = np.cumsum([len(table) for table in tables])[:-1]
    return np.concatenate([table[np.arange(len(table)), own] for table, own in zip(tables, np.split(columns, ends))])


def has_face(scores: AnyScores) -> np.ndarray:
    """Windows with a face and with audio at any delay: bool [windows]."""
    return np.concatenate([np.isfinite(segment.probability).any(1) for segment in scores.segments])


def running_mean(probability: np.ndarray, config: CurveConfig = CurveConfig()) -> np.ndarray:
    """Running mean over time of P [windows] or [windows, delays]; NaN stays NaN and does not count."""
    p = probability.astype(float)
    known = np.isfinite(p).astype(float)
    size = min(config.smooth_frames, max(1, len(p)))
    total = mean_filter(np.nan_to_num(p), size)
    count = mean_filter(known, size)
    return np.where(known > 0, total / np.maximum(count, 1e-9), np.nan)


def frame_to_hop(frames: np.ndarray) -> np.ndarray:
    """Hop at which each video frame starts."""
    return np.asarray(frames) * HOPS_PER_FRAME
