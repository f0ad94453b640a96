"""A delay that changes steadily: the line through it, its interval, and frame-rate ratios recognised by name.

delay(t) = start + slope t: what belongs to the frame at t is heard at t + start + slope t. The audio, played 1 + slope times as fast,
keeps pace with the video (`Correction.tempo`), so a ratio is the tempo that corrects it: 25/24 where a video was sped up from 24 to
25 fps and its audio was not. With a slope of 4 % the delay moves by a quarter of a second within one segment of 6 s, which smears the
segment's curve, and soon leaves the tested range. Ratios are therefore tested as hypotheses: each block of windows is shifted by
slope t before the blocks are added (a Radon transform of a handful of slopes), and the heights of the best delays are compared.

A ratio can be seen for as long as the delay is within the tested range, `visible_s`. A delay of 0 at the start reaches the end of
+-1 / 3 / 10 s after 24 / 72 / 240 s with 25/24 or 1001/960 and after 1000 / 3000 / 10000 s with 1001/1000.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import NamedTuple

import numpy as np

from ..config import FPS, HOP_S, WINDOW_FRAMES, DecideConfig
from ..smoothing import gaussian_filter
from .curve import AnyScores, find_peak, weighted_log_odds


@dataclass(frozen=True)
class DriftConfig:
    """When a line is a drift, and when a drift has a name."""

    max_spread_s: float = DecideConfig.max_spread_s  # three quarters of the delays are within half of this from the line
    min_points: int = 5  # delays of segments that a line needs
    evidence: float = 0.17  # nats per unit of summed log-odds: windows overlap (measured: 5 windows are worth 1.7)
    min_gain: float = 12.0  # nats by which a ratio explains the windows better than a constant delay and than any other ratio
    group_s: float = 4.0  # of windows, added under a ratio's slope, give one delay for the line
    min_group_gain: float = 4.0  # nats by which the best delay of a group leads the next
    floor_s: float = 2**0.5 * DecideConfig.uncertainty_floor_s  # of the change from end to end: different people may speak there
    max_half_width: float = 8e-4  # s per s; a ratio with a wider interval is not named: the next candidate is 1/1000 away


NEIGHBOUR_SLOPE = 1.2e-3  # 25/24 and 25/23.976 differ by less than this
NEAR_LINE_S = 0.3  # between the delays of groups under the slope of one ratio, and a line by its neighbour
Z_90 = 1.6448536  # standard deviations on either side that hold 90 % of a normal distribution
STEEP_SLOPE = 0.01  # a lesser one shows in the delays of segments


class Ratio(NamedTuple):
    """A frame-rate ratio. tempo: audio played so many times as fast is in sync; cause: what leads to it."""

    tempo: Fraction
    cause: str

    @property
    def name(self) -> str:
        """As users write it: 25/24, 1001/1000, 25/23.976."""
        return NAMES.get(self.tempo, f"{self.tempo.numerator}/{self.tempo.denominator}")

    @property
    def slope(self) -> float:
        """Change of the delay in s per s."""
        return float(self.tempo - 1)


NAMES = {Fraction(1001, 960): "25/23.976", Fraction(960, 1001): "23.976/25"}
RATIOS = tuple(
    Ratio(Fraction(*terms), f"audio made for {audio} fps, video played at {video} fps")
    for terms, audio, video in (
        ((25, 24), "24", "25"),
        ((24, 25), "25", "24"),
        ((1001, 1000), "23.976 or 29.97", "24 or 30"),
        ((1000, 1001), "24 or 30", "23.976 or 29.97"),
        ((1001, 960), "23.976", "25"),
        ((960, 1001), "25", "23.976"),
    )
)


@dataclass(frozen=True)
class Drift:
    """A delay of start_s at time zero that changes by `slope` s per s; low, high: 90 % interval of the slope.

    ratio: the frame-rate ratio that it is, None where it is none or could be several. Its slope is then the ratio's.
    """

    start_s: float
    slope: float
    low: float
    high: float
    ratio: Ratio | None = None

    def at(self, time_s: float) -> float:
        """The delay at a time, in s."""
        return self.start_s + self.slope * time_s


@dataclass(frozen=True)
class Blocks:
    """Evidence in blocks of a few windows.

    time_s: float [b], middle of the block; first: int [b], delay of its column 0 in hops; odds, weight: float32 [b, d], sums
    of weighted log-odds and of weights; segment: int [b], number of its segment.
    """

    time_s: np.ndarray
    first: np.ndarray
    odds: np.ndarray
    weight: np.ndarray
    segment: np.ndarray

    def sheared(self, slope: float) -> Blocks:
        """The same, with delays counted from a line of this slope through time zero."""
        return replace(self, first=self.first - np.round(slope * self.time_s / HOP_S).astype(int))

    def summed(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Sums of log-odds and weights over all blocks, and their delays in hops: [d'] each."""
        low, width = int(self.first.min()), self.odds.shape[1]
        odds, weight = np.zeros((2, int(self.first.max()) - low + width))
        for at, own, own_weight in zip(self.first - low, self.odds, self.weight):
            odds[at : at + width] += own
            weight[at : at + width] += own_weight
        return odds, weight, low + np.arange(len(odds))

    def worth(self, evidence: float) -> Blocks:
        """The same with evidence in nats, for a delay that holds in half of the blocks: in the others nobody visible speaks.

        So an off-screen voice does not count against the delay without bound. evidence: nats per unit of summed log-odds.
        """
        return replace(self, odds=np.logaddexp(0, np.float32(evidence) * self.odds) - np.log(np.float32(2)))

    def best_delay(self, evidence: float) -> int:
        """The delay (hops) that explains all blocks best; evidence: see `worth`."""
        total, _, delays = self.worth(evidence).summed()
        return int(delays[np.argmax(gaussian_filter(total, 2.0))])

    def on_grid(self, delays: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log-odds and weights of each block at these delays (hops): float32 [b, d'] each; 0 where a delay was not tested."""
        column = delays - self.first[:, None]
        inside = (column >= 0) & (column < self.odds.shape[1])
        column = np.where(inside, column, 0)
        odds, weight = (np.where(inside, np.take_along_axis(x, column, 1), np.float32(0)) for x in (self.odds, self.weight))
        return odds, weight


def blocks_of(scores: AnyScores, windows: int = WINDOW_FRAMES) -> Blocks:
    """The evidence of all segments in blocks of so many windows; no block spans two segments."""
    times, firsts, odds, weights, numbers = [], [], [], [], []
    for number, segment in enumerate(scores.segments):
        if not len(segment.time_s):
            continue
        own, own_weight = weighted_log_odds(segment, windows)
        starts = np.arange(0, len(segment.time_s), windows)
        count = np.diff(np.append(starts, len(segment.time_s)))
        times.append(np.add.reduceat(segment.time_s, starts) / count + WINDOW_FRAMES / FPS / 2)
        firsts.append(np.full(len(own), int(segment.delays[0])))
        odds.append(own.astype(np.float32))
        weights.append(own_weight.astype(np.float32))
        numbers.append(np.full(len(own), number))
    if not times:
        none = np.zeros((0, len(scores.delays)), np.float32)
        return Blocks(np.zeros(0), np.zeros(0, int), none, none, np.zeros(0, int))
    return Blocks(*(np.concatenate(x) for x in (times, firsts, odds, weights, numbers)))


def fit_drift(times: np.ndarray, delays: np.ndarray, config: DriftConfig = DriftConfig()) -> Drift | None:
    """Theil-Sen line through the delays of segments, with the 90 % interval of its slope and the ratio that lies in it.

    times, delays: float [n] in s. None with too few delays or without a good fit.
    """
    if len(delays) < config.min_points or not np.ptp(times) > 0:
        return None
    slope, offset, low, high = theil_sen(times, delays)
    residual = np.percentile(np.abs(delays - offset - slope * times), 75)  # a median would let nearly half disagree
    if not residual < config.max_spread_s / 2:
        return None
    floor = config.floor_s / max(float(np.ptp(times)), 1e-9)
    low, high = (float(slope + sign * np.hypot(bound - slope, floor)) for sign, bound in ((-1, low), (1, high)))
    return _named(Drift(float(offset), float(slope), low, high), times, delays, config)


def theil_sen(times: np.ndarray, values: np.ndarray) -> tuple[float, float, float, float]:
    """Slope and offset of the Theil-Sen line through values [n] at times [n], and the 90 % interval of the slope.

    Sen 1968; equal to scipy.stats.theilslopes, whose import takes half a second.
    """
    first, second = np.nonzero(np.subtract.outer(times, times) < 0)
    slopes = np.sort((values[second] - values[first]) / (times[second] - times[first]))
    slope, count = float(np.median(slopes)), len(values)
    deviation = Z_90 * np.sqrt(count * (count - 1) * (2 * count + 5) / 18)
    low, high = round((len(slopes) - deviation) / 2) - 1, round((len(slopes) + deviation) / 2)
    offset = float(np.median(values) - slope * np.median(times))
    return slope, offset, float(slopes[max(low, 0)]), float(slopes[min(high, len(slopes) - 1)])


def named_ratio(low: float, high: float, config: DriftConfig = DriftConfig()) -> Ratio | None:
    """The frame-rate ratio of a slope with this interval; None where none lies in it, or where the interval is too wide to tell."""
    if (high - low) / 2 > config.max_half_width or low <= 0 <= high:
        return None
    inside = [ratio for ratio in RATIOS if low <= ratio.slope <= high]
    return inside[0] if len(inside) == 1 else None


def _named(drift: Drift, times: np.ndarray, delays: np.ndarray, config: DriftConfig) -> Drift:
    """The drift with the slope of the ratio that lies in its interval."""
    ratio = named_ratio(drift.low, drift.high, config)
    if ratio is None:
        return drift
    return replace(drift, start_s=float(np.median(delays - ratio.slope * times)), slope=ratio.slope, ratio=ratio)


def find_ratio(scores: AnyScores, config: DriftConfig = DriftConfig()) -> Drift | None:
    """The drift by a frame-rate ratio, tested as a hypothesis on all windows; None where none explains them clearly better.

    Finds slopes too steep for the curves of single segments. Whether the delay itself is certain is for the caller to judge, by the
    curve of the sheared blocks. The drift has no name, and a slope of its own, where it is measured over most of the time and two
    ratios are possible; where the delay leaves the range before, a wider one has to be tried.
    """
    blocks = blocks_of(scores, 2 * WINDOW_FRAMES)
    if not len(blocks.time_s):
        return None
    gains = ratio_gains(blocks, config)
    best = max(RATIOS, key=lambda ratio: gains[ratio.slope]).slope
    # 25/24 and 25/23.976 differ by the slope of 1001/1000 only: the line through what is left tells them apart.
    if gains[best] - max(gain for slope, gain in gains.items() if not slope or abs(slope - best) > NEIGHBOUR_SLOPE) < config.min_gain:
        return None
    times, delays = np.array(list(_group_delays(blocks.sheared(best), config))).reshape(-1, 2).T
    rest = fit_drift(times, delays, config)
    if rest is None:
        return None
    found = Drift(rest.start_s, best + rest.slope, best + rest.low, best + rest.high)
    named = _named(found, times, delays + best * times, config)
    measured = abs(best) > STEEP_SLOPE and 2 * np.ptp(times) > np.ptp(blocks.time_s)
    return named if named.ratio or measured else None


def ratio_gains(blocks: Blocks, config: DriftConfig = DriftConfig()) -> dict[float, float]:
    """How well the best delay explains all blocks under each slope of interest, 0 among them: nats by slope."""
    worth = blocks.worth(config.evidence)
    heights = {slope: worth.sheared(slope).summed()[0] for slope in (0.0, *(ratio.slope for ratio in RATIOS))}
    return {slope: float(gaussian_filter(height, 2.0).max()) for slope, height in heights.items()}


def visible_s(slope: float, range_s: float, start_s: float = 0.0) -> float:
    """How long from the start the delay start_s + slope t stays within +-range_s."""
    return (range_s - np.sign(slope) * start_s) / abs(slope) if slope else float("inf")


def _group_delays(blocks: Blocks, config: DriftConfig) -> Iterator[tuple[float, float]]:
    """Time and delay, in s, of groups of neighbouring blocks whose best delay is clear, and near the one they have in common."""
    common = blocks.best_delay(config.evidence)
    near = common + np.arange(-100, 101)
    odds, weight = blocks.on_grid(near)
    size = max(1, round(config.group_s * FPS / (2 * WINDOW_FRAMES)))
    for number in np.unique(blocks.segment):
        own = np.flatnonzero(blocks.segment == number)
        for group in np.array_split(own, max(1, len(own) // size)):
            total, known = odds[group].sum(0), weight[group].sum(0)
            tested = known >= max(0.5 * known.max(), 1e-6)
            if not tested.any():
                continue
            curve = gaussian_filter(config.evidence * np.where(tested, total, total[tested].min()), 2.0)
            peak = find_peak(curve, near)
            if abs(peak.delay_s - HOP_S * common) <= NEAR_LINE_S and peak.height - peak.runner_up > config.min_group_gain:
                share = weight[group, peak.index] + 1e-6
                yield float(np.average(blocks.time_s[group], weights=share)), peak.delay_s
