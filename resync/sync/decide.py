"""From scores to an answer, or to the reasons why there is none. Pure: arrays in, Decision out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..config import FPS, HOP_S, WINDOW_FRAMES, CurveConfig, DecideConfig, DecisionRule
from .certainty import certainty, speech_seconds, uncertainty
from .course import Course, columns_at, find_course, find_ratio_course, min_certainty
from .curve import AnyScores, Peak, Scores, find_peak, probability_at, probability_curve, speech_at
from .drift import Drift, fit_drift
from .pieces import Jump, Piece


@dataclass(frozen=True)
class SegmentResult:
    """The result for one segment. Times in s; delay None where it is not certain enough, probability None without a face."""

    start_s: float
    end_s: float
    delay_s: float | None
    probability: float | None


@dataclass(frozen=True)
class Decision:
    """The answer for one video. Delays are in s, positive when the audio is late; None where unknown.

    verdict: in_sync, out_of_sync, drift, jump or undecided. uncertainty_s: half-width of the 90 % interval of delay_s.
    drift: the line through the delay over time, None with too few segments or without a good fit. pieces: where the delay
    jumps, the pieces of the timeline with one delay each, and jumps between them; else empty.
    reasons: why undecided, one line each with the number, the threshold and what would help.
    curve: probability at each tested delay [delays]; delays_s: these delays [delays]; peak: the curve's, None without one.
    best_s: the best delay, also below the threshold; None where no single delay can be the best one: no speech, no face, a delay
    that drifts or jumps, a peak at the end of the range. certainty: how certain the answer is, or that best_s is the true delay (0..1).
    """

    verdict: str
    delay_s: float | None
    probability: float | None
    offscreen_ratio: float | None
    uncertainty_s: float | None
    drift: Drift | None
    reasons: tuple[str, ...]
    segments: tuple[SegmentResult, ...]
    curve: np.ndarray
    delays_s: np.ndarray
    peak: Peak | None = None
    best_s: float | None = None
    certainty: float | None = None
    pieces: tuple[Piece, ...] = ()
    jumps: tuple[Jump, ...] = ()


def decide(
    scores: AnyScores,
    segments: Sequence[Scores],
    config: DecideConfig = DecideConfig(),
    smooth: CurveConfig = CurveConfig(),
    audio_start_s: float = 0.0,
) -> Decision:
    """Choose the delay of a video; the only place where a verdict is given.

    scores: every analysed window, those without a face as NaN rows; segments: the same, one by one. audio_start_s: where
    the audio's own zero lies on the video's clock; delays in the Decision count from where both files start together.
    """
    rule = config.rule or DecisionRule()
    values = probability_curve(scores, smooth)
    if missing := _missing_evidence(scores, values):
        offscreen = 1.0 if _has_speech(scores) else None
        delays_s = HOP_S * scores.delays - audio_start_s
        return Decision("undecided", None, None, offscreen, None, None, (missing,), (), values, delays_s)
    top = find_peak(values, scores.delays)
    results = tuple(_segment_result(segment, rule, smooth) for segment in segments)
    points = _segment_delays(results)
    line = fit_drift(*points)
    seeming = find_course(scores, points, line, rule, config, smooth)
    course = _if_certain(seeming, rule)
    reasons = () if course else tuple(_objections(scores, values, top, results, line, seeming, config, audio_start_s))
    if reasons and (course := _if_certain(find_ratio_course(scores, rule, smooth), rule)):
        reasons = ()
    verdict = "undecided" if reasons else "jump" if course and course.jumps else "drift" if course else ""
    column = columns_at(course, scores.time_s, HOP_S * scores.delays) if course else top.index
    at_peak, active = probability_at(scores, column, smooth), speech_at(scores, column) > 0
    visible = np.isfinite(at_peak) & active
    single = course is None and _edge_s(scores.delays, top) >= config.edge_s
    decision = Decision(
        verdict=verdict,
        delay_s=None if verdict else top.delay_s,
        probability=float(np.mean(at_peak[visible])) if visible.any() else None,
        offscreen_ratio=float(np.mean(np.nan_to_num(at_peak[active]) < 0.5)) if active.any() else None,
        uncertainty_s=None if verdict else uncertainty(scores, config, smooth),
        drift=course.drift if course else line,
        reasons=reasons,
        segments=results,
        curve=values,
        delays_s=HOP_S * scores.delays,
        peak=top,
        best_s=top.delay_s if single else None,
        certainty=course.certainty if course else certainty(values, top, scores.delays, rule) if single else None,
        pieces=course.pieces if course else (),
        jumps=course.jumps if course else (),
    )
    decision = _counted_from(decision, audio_start_s)
    if decision.delay_s is None:
        return decision
    return replace(decision, verdict="in_sync" if is_in_sync(decision.delay_s, config) else "out_of_sync")


def too_short(duration_s: float) -> Decision:
    """The decision for a video of less than one window."""
    empty = np.empty(0)
    reason = f"the video lasts {duration_s:.2f} s, one window needs {WINDOW_FRAMES / FPS:.2f} s; give a longer clip"
    return Decision("undecided", None, None, None, None, None, (reason,), (), empty, empty)


def is_in_sync(delay_s: float, config: DecideConfig = DecideConfig()) -> bool:
    """Whether a delay is small enough to leave alone; to the 0.1 ms that reports print, so that number and verdict agree."""
    return round(1000 * abs(delay_s), 1) <= 1000 * config.in_sync_s


def _counted_from(decision: Decision, audio_start_s: float) -> Decision:
    """A decision on the video's clock, with its delays counted from where video and audio file start together."""
    if not audio_start_s:
        return decision

    def shifted(delay_s: float | None) -> float | None:
        return None if delay_s is None else delay_s - audio_start_s

    peak, drift = decision.peak, decision.drift
    return replace(
        decision,
        delay_s=shifted(decision.delay_s),
        drift=drift and replace(drift, start_s=drift.start_s - audio_start_s),
        segments=tuple(replace(segment, delay_s=shifted(segment.delay_s)) for segment in decision.segments),
        delays_s=decision.delays_s - audio_start_s,
        peak=peak and replace(peak, delay_s=peak.delay_s - audio_start_s, runner_up_s=shifted(peak.runner_up_s)),
        best_s=shifted(decision.best_s),
        pieces=tuple(replace(piece, delay_s=piece.delay_s - audio_start_s) for piece in decision.pieces),
    )


def _has_speech(scores: AnyScores) -> bool:
    return any(bool((segment.activity > 0).any()) for segment in scores.segments)


def _missing_evidence(scores: AnyScores, values: np.ndarray) -> str:
    """What is missing for any comparison, speech or faces; empty when there is both."""
    analysed_s, needed = len(scores.time_s) / FPS, f"{DecideConfig.min_speech_s:.1f} s needed"
    if not _has_speech(scores):
        return f"no speech: the audio is silent, 0.0 of {analysed_s:.1f} s are active ({needed}); try another --audio-track or clip"
    if np.isnan(values).all():
        return f"no face where there is audio: 0.0 of {analysed_s:.1f} s ({needed}); give a clip that shows the speaker's face"
    return ""


def _if_certain(course: Course | None, rule: DecisionRule) -> Course | None:
    return course if course and course.certainty >= min_certainty(course, rule) else None


def _edge_s(delays: np.ndarray, top: Peak) -> float:
    """Distance of the peak from the nearer end of the range, s."""
    return max(0.0, min(top.delay_s - HOP_S * int(delays[0]), HOP_S * int(delays[-1]) - top.delay_s))


def _objections(
    scores: AnyScores,
    values: np.ndarray,
    top: Peak,
    results: tuple[SegmentResult, ...],
    line: Drift | None,
    seeming: Course | None,
    config: DecideConfig,
    audio_start_s: float,
) -> Iterator[str]:
    """Reasons not to trust the peak, one line each."""
    rule = config.rule or DecisionRule()
    seconds, edge_s = speech_seconds(scores, top.index), _edge_s(scores.delays, top)
    best = f"{1000 * (top.delay_s - audio_start_s):+.0f} ms"
    if seconds < config.min_speech_s:
        yield f"only {seconds:.1f} s with a face and speech ({config.min_speech_s:.1f} s needed); give a longer clip"
    if edge_s < config.edge_s:
        yield (
            f"the best offset, {best}, is {1000 * edge_s:.0f} ms from the end of the range"
            f" ({1000 * config.edge_s:.0f} ms needed); try a wider --range"
        )
    if (sure := certainty(values, top, scores.delays, rule)) < rule.min_certainty:
        yield (
            f"no clear best offset: {best} has a certainty of only {sure:.2f} (threshold {rule.min_certainty:.2f});"
            " try a longer clip, or one that shows the speaker"
        )
    elif seeming and seeming.certainty > sure:
        yield (
            f"the offset seems to change over time, but with a certainty of only {seeming.certainty:.2f}"
            f" (threshold {min_certainty(seeming, rule):.2f}); see segments in --json"
        )
    delays = _segment_delays(results)[1]
    if len(delays) >= 3 and line is None:
        spread = float(np.percentile(delays, 75) - np.percentile(delays, 25))
        if spread > config.max_spread_s:
            yield (
                f"segments disagree by {1000 * spread:.0f} ms ({1000 * config.max_spread_s:.0f} ms allowed);"
                " see where under segments in --json, cut the video there and fix each segment"
            )


def _segment_result(segment: Scores, rule: DecisionRule, smooth: CurveConfig) -> SegmentResult:
    start, end = float(segment.time_s[0]), float(segment.time_s[-1]) + 1 / FPS
    values = probability_curve(segment, smooth)
    if np.isnan(values).all():
        return SegmentResult(start, end, None, None)
    top = find_peak(values, segment.delays)
    p = probability_at(segment, top.index, smooth)[segment.speech[:, top.index] > 0]
    certain = certainty(values, top, segment.delays, rule) >= rule.min_certainty
    return SegmentResult(start, end, top.delay_s if certain else None, float(np.nanmean(p)) if np.isfinite(p).any() else None)


def _segment_delays(results: tuple[SegmentResult, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Middle and delay of every segment with a result of its own, in s, in order of time."""
    known = sorted(((s.start_s + s.end_s) / 2, s.delay_s) for s in results if s.delay_s is not None)
    return np.array([time for time, _ in known]), np.array([delay for _, delay in known])
