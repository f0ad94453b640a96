"""A delay that changes over time: a drift, or pieces with jumps between them, perhaps with a drift in common."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from ..config import FPS, HOP_S, CurveConfig, DecideConfig, DecisionRule
from .certainty import certainty
from .curve import AnyScores, find_peak, mean_curve, votes
from .drift import Drift, blocks_of, find_ratio, fit_drift
from .pieces import Jump, Piece, Pieces, find_pieces

MIN_JUMP_CERTAINTY = 0.95  # pieces can be laid through anything, a steep drift for instance; measured: jumps have 0.999
CHANGE_COST_S = 0.03  # of a jump, and of a drift: what it must save of the distance between the course and the delays of the segments


@dataclass(frozen=True)
class Course:
    """How the delay changes.

    drift: its line, in each piece parallel to it; None without. pieces, jumps: empty without a jump. certainty: that this
    is its true course, by the curve of the windows shifted back by it.
    """

    drift: Drift | None
    pieces: tuple[Piece, ...]
    jumps: tuple[Jump, ...]
    certainty: float


def find_course(
    scores: AnyScores,
    points: tuple[np.ndarray, np.ndarray],
    line: Drift | None,
    rule: DecisionRule,
    config: DecideConfig = DecideConfig(),
    smooth: CurveConfig = CurveConfig(),
) -> Course | None:
    """How the delay of a video seems to change, however certain that is; None where it is constant.

    points: times and delays of the segments with a result of their own, in s; line: the one through them. A drift counts when it
    moves the delay by more than `max_spread_s`. Steps through a line explain it badly or are many, and a line explains a step badly.
    """
    first, last = float(scores.time_s[0]), float(scores.time_s[-1])
    found = find_pieces(scores, smooth=smooth)
    courses = [_with_pieces(None, found)] if len(found.pieces) > 1 else []
    lines = [line]
    if line is None and len(found.pieces) > 2:  # steep, or with jumps
        lines = [find_ratio(scores) or _line_through(found.pieces), _line_within(found.pieces, points)]
    for drift in lines:
        if drift is not None and abs(drift.slope) * (last - first) > config.max_spread_s:
            courses.append(_with_pieces(drift, find_pieces(scores, drift.slope, smooth=smooth)))
    return _with_certainty(scores, min(courses, key=lambda course: _cost_s(course, points)), rule, smooth) if courses else None


def _with_pieces(drift: Drift | None, found: Pieces) -> Course:
    if not found.jumps:
        return Course(drift, (), (), 0.0)
    first = found.pieces[0]
    return Course(drift and replace(drift, start_s=float(first.delay_s - drift.slope * first.start_s)), found.pieces, found.jumps, 0.0)


def _cost_s(course: Course, points: tuple[np.ndarray, np.ndarray]) -> float:
    """How far the delays of the segments are from a course, summed up, and what its changes cost, in s."""
    times, delays = points
    changes = len(course.jumps) + (course.drift is not None)
    return float(np.abs(delays - delay_at(course, times)).sum()) + CHANGE_COST_S * changes


def find_ratio_course(scores: AnyScores, rule: DecisionRule, smooth: CurveConfig = CurveConfig()) -> Course | None:
    """A drift by a frame-rate ratio, too steep for the curves of single segments to show; None where there is none."""
    drift = find_ratio(scores)
    return None if drift is None else _with_certainty(scores, Course(drift, (), (), 0.0), rule, smooth)


def min_certainty(course: Course, rule: DecisionRule) -> float:
    """The certainty from which a course is an answer."""
    return max(rule.min_certainty, MIN_JUMP_CERTAINTY) if course.jumps else rule.min_certainty


def delay_at(course: Course, time_s: np.ndarray) -> np.ndarray:
    """The delay at these times, in s."""
    slope = course.drift.slope if course.drift else 0.0
    if not course.pieces:
        return course.drift.start_s + slope * time_s if course.drift else np.zeros(len(time_s))
    starts = np.array([piece.start_s for piece in course.pieces])
    number = np.clip(np.searchsorted(starts, time_s, side="right") - 1, 0, None)
    delays = np.array([piece.delay_s for piece in course.pieces])
    return delays[number] + slope * (time_s - starts[number])


def columns_at(course: Course, time_s: np.ndarray, delays_s: np.ndarray) -> np.ndarray:
    """Index of the delay that is right at each time, as far as it was tested: int [n]. delays_s: [delays], HOP_S apart."""
    columns = np.round((delay_at(course, time_s) - delays_s[0]) / HOP_S).astype(int)
    return np.clip(columns, 0, len(delays_s) - 1)


def _with_certainty(scores: AnyScores, course: Course, rule: DecisionRule, smooth: CurveConfig) -> Course | None:
    """The course with its certainty, None where the windows shifted back by it fit another delay better."""
    blocks = blocks_of(scores, FPS)
    shifted = replace(blocks, first=blocks.first - np.round(delay_at(course, blocks.time_s) / HOP_S).astype(int))
    odds, weight = (x.astype(float) for x in shifted.on_grid(scores.delays))
    vote = votes(odds, weight, blocks.segment, smooth)
    values = mean_curve(vote @ odds, vote @ weight, smooth)
    if np.isnan(values).all():
        return None
    peak = find_peak(values, scores.delays)
    sure = certainty(values, peak, scores.delays, rule)
    if abs(peak.delay_s) > DecideConfig.max_spread_s:
        return None
    if course.drift and not course.pieces:  # all windows together say exactly where its line lies
        course = replace(course, drift=replace(course.drift, start_s=float(course.drift.start_s + peak.delay_s)))
    return replace(course, certainty=sure)


def _line_through(pieces: tuple[Piece, ...]) -> Drift | None:
    """The line of which these pieces may be the steps; None where they are not on one."""
    middles = np.array([(piece.start_s + piece.end_s) / 2 for piece in pieces])
    return fit_drift(middles, np.array([piece.delay_s for piece in pieces]))


def _line_within(pieces: tuple[Piece, ...], points: tuple[np.ndarray, np.ndarray]) -> Drift | None:
    """The slope with which the delays of the segments change within the pieces, as a line; None where they have none in common."""
    times, delays = (x.copy() for x in points)
    number = np.searchsorted([piece.start_s for piece in pieces], times, side="right") - 1
    for own in (number == i for i in np.unique(number)):
        times[own] -= times[own].mean()
        delays[own] -= delays[own].mean()
    return fit_drift(times, delays)
