"""From scores to an answer, or to the reasons why there is none. Pure: arrays in, Decision out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from ..config import FPS, HOP_S, WINDOW_FRAMES, CurveConfig, DecideConfig
from .curve import (
    AnyScores,
    Peak,
    Scores,
    find_peak,
    has_face,
    log_odds,
    mean_curve,
    probability_at,
    probability_curve,
    weighted_log_odds,
)


@dataclass(frozen=True)
class SegmentResult:
    """The result for one segment. Times in s; delay None where it is not certain enough, probability None without a face."""

    start_s: float
    end_s: float
    delay_s: float | None
    probability: float | None


class DriftLine(NamedTuple):
    """A delay that changes steadily: start_s at time zero, and slope in s of delay per s of video."""

    start_s: float
    slope: float


@dataclass(frozen=True)
class Decision:
    """The answer for one video. Delays are in s, positive when the audio is late; None where unknown.

    verdict: in_sync, out_of_sync, drift or undecided. uncertainty_s: half-width of the 90 % interval of delay_s.
    drift: the line through the segments' delays, None with too few of them or without a good fit.
    reasons: why undecided, one line each with the number, the threshold and what would help.
    curve: probability at each tested delay [delays]; delays_s: these delays [delays]; peak: the curve's, None without one.
    best_s, certainty: the best delay and how certain it is (0..1), also below the threshold; None where
    no single delay can be the best one: no speech, no face, a delay that drifts or jumps, a peak at the end of the range.
    """

    verdict: str
    delay_s: float | None
    probability: float | None
    offscreen_ratio: float | None
    uncertainty_s: float | None
    drift: DriftLine | None
    reasons: tuple[str, ...]
    segments: tuple[SegmentResult, ...]
    curve: np.ndarray
    delays_s: np.ndarray
    peak: Peak | None = None
    best_s: float | None = None
    certainty: float | None = None


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
    values = probability_curve(scores, smooth)
    active = scores.weight > 0
    delays_s = HOP_S * scores.delays - audio_start_s
    if missing := _missing_evidence(active, values, config):
        offscreen = 1.0 if active.any() else None
        return Decision("undecided", None, None, offscreen, None, None, (missing,), (), values, delays_s)
    on_grid = find_peak(values, scores.delays)
    top = _reported(on_grid, audio_start_s)
    at_peak = probability_at(scores, top.index, smooth)
    speech = np.nan_to_num(at_peak[active])
    visible = np.isfinite(at_peak) & active
    results = tuple(_segment_result(segment, config, smooth, audio_start_s) for segment in segments)
    drift = _drift(results, config)
    jump = _jump(results, drift, config)
    drifts = not jump and drift is not None and abs(drift.slope) * _duration_s(results) > config.max_spread_s
    edge_s = _edge_s(values, on_grid)
    # A drifting delay smears the curve of the whole video, so its height is no objection.
    reasons = jump or (() if drifts else tuple(_objections(scores, values, top, edge_s, results, drift, config)))
    verdict = "undecided" if reasons else "drift" if drifts else "in_sync" if is_in_sync(top.delay_s, config) else "out_of_sync"
    decided = verdict in ("in_sync", "out_of_sync")
    single = not jump and not drifts and edge_s >= config.edge_s
    return Decision(
        verdict=verdict,
        delay_s=top.delay_s if decided else None,
        probability=float(np.mean(at_peak[visible])) if visible.any() else None,
        offscreen_ratio=float(np.mean(speech < 0.5)),
        uncertainty_s=uncertainty(scores, config, smooth) if decided else None,
        drift=drift,
        reasons=reasons,
        segments=results,
        curve=values,
        delays_s=delays_s,
        peak=top,
        best_s=top.delay_s if single else None,
        certainty=certainty(scores, values, top, config) if single else None,
    )


def too_short(duration_s: float) -> Decision:
    """The decision for a video of less than one window."""
    empty = np.empty(0)
    reason = f"the video lasts {duration_s:.2f} s, one window needs {WINDOW_FRAMES / FPS:.2f} s; give a longer clip"
    return Decision("undecided", None, None, None, None, None, (reason,), (), empty, empty)


def is_in_sync(delay_s: float, config: DecideConfig = DecideConfig()) -> bool:
    """Whether a delay is small enough to leave alone; to the 0.1 ms that reports print, so that number and verdict agree."""
    return round(1000 * abs(delay_s), 1) <= 1000 * config.in_sync_s


def _reported(peak: Peak, audio_start_s: float) -> Peak:
    """A peak with its delays counted from where video and audio file start together."""
    runner_up_s = None if peak.runner_up_s is None else peak.runner_up_s - audio_start_s
    return replace(peak, delay_s=peak.delay_s - audio_start_s, runner_up_s=runner_up_s)


def _missing_evidence(active: np.ndarray, values: np.ndarray, config: DecideConfig) -> str:
    """What is missing for any comparison, speech or faces; empty when there is both."""
    analysed_s, needed = len(active) / FPS, f"{config.min_speech_s:.1f} s needed"
    if not active.any():
        return f"no speech: the audio is silent, 0.0 of {analysed_s:.1f} s are active ({needed}); try another --audio-track or clip"
    if np.isnan(values).all():
        return f"no face where there is audio: 0.0 of {analysed_s:.1f} s ({needed}); give a clip that shows the speaker's face"
    return ""


def _edge_s(values: np.ndarray, on_grid: Peak) -> float:
    """Distance of the peak from the end of the range, s."""
    return max(0.0, (len(values) // 2) * HOP_S - abs(on_grid.delay_s))


def certainty(scores: AnyScores, values: np.ndarray, top: Peak, config: DecideConfig = DecideConfig()) -> float:
    """How certain it is that the peak is the true delay, 0..1, by a logistic rule fitted on validation speakers.

    Two features count: the height of the peak and its lead over the runner-up. (Its
    rise over the median of all delays was tried too, and got no weight.)
    """
    height, lead = features(scores, values, top)
    constant, of_height, of_lead = config.rule
    return float(1 / (1 + np.exp(-(constant + of_height * height + of_lead * lead))))


def features(scores: AnyScores, values: np.ndarray, top: Peak) -> tuple[float, float]:
    """Height of the peak in log-odds, and its lead over the runner-up in log-odds x sqrt(seconds of visible speech).

    Evidence grows with the root of the time when windows are independent witnesses.
    """
    height = float(log_odds(values[top.index]))
    lead = height - float(log_odds(np.array(top.runner_up)))
    return height, lead * np.sqrt(speech_seconds(scores))


def speech_seconds(scores: AnyScores) -> float:
    """Seconds with a face and speech."""
    return float(np.sum(scores.weight * has_face(scores))) / FPS


def uncertainty(scores: AnyScores, config: DecideConfig = DecideConfig(), smooth: CurveConfig = CurveConfig(), draws: int = 60) -> float:
    """Half-width in s of the 90 % interval of the delay, by a bootstrap over blocks of one second.

    Neighbouring windows overlap and are no independent witnesses; seconds nearly are. Half a
    step of the 10 ms grid is added, below which nothing was measured. What a bootstrap over one clip
    cannot see, that the network's zero varies between clips, is `uncertainty_floor_s`, added in quadrature.
    """
    odds, weight = weighted_log_odds(scores)
    drawn = np.random.default_rng(0).multinomial(len(odds), np.full(len(odds), 1 / len(odds)), size=draws).astype(float)
    curves = (mean_curve(o, w, smooth) for o, w in zip(drawn @ odds, drawn @ weight))
    delays = [find_peak(curve, scores.delays).delay_s for curve in curves if not np.isnan(curve).all()]
    low, high = np.percentile(delays, [5, 95])
    return float(np.hypot((high - low) / 2 + HOP_S / 2, config.uncertainty_floor_s))


def _objections(
    scores: AnyScores,
    values: np.ndarray,
    top: Peak,
    edge_s: float,
    results: tuple[SegmentResult, ...],
    drift: DriftLine | None,
    config: DecideConfig,
) -> Iterator[str]:
    """Reasons not to trust the peak, one line each."""
    seconds, best = speech_seconds(scores), f"{1000 * top.delay_s:+.0f} ms"
    if seconds < config.min_speech_s:
        yield f"only {seconds:.1f} s with a face and speech ({config.min_speech_s:.1f} s needed); give a longer clip"
    if edge_s < config.edge_s:
        yield (
            f"the best offset, {best}, is {1000 * edge_s:.0f} ms from the end of the range"
            f" ({1000 * config.edge_s:.0f} ms needed); try a wider --range"
        )
    lead, sure = features(scores, values, top)[1], certainty(scores, values, top, config)
    cure = "try a wider --range, a longer clip, or one that shows the speaker"
    if lead < config.min_lead:
        yield f"no clear best offset: {best} scores only {lead:.2f} above the runner-up (threshold {config.min_lead:.2f}); {cure}"
    elif sure < config.min_certainty:
        yield f"no clear best offset: {best} has a certainty of only {sure:.2f} (threshold {config.min_certainty:.2f}); {cure}"
    delays = _segment_delays(results)[1]
    if len(delays) >= 3 and drift is None:
        spread = float(np.percentile(delays, 75) - np.percentile(delays, 25))
        if spread > config.max_spread_s:
            yield (
                f"segments disagree by {1000 * spread:.0f} ms ({1000 * config.max_spread_s:.0f} ms allowed);"
                " see where under segments in --json, cut the video there and fix each segment"
            )


def _segment_result(segment: Scores, config: DecideConfig, smooth: CurveConfig, audio_start_s: float) -> SegmentResult:
    start, end = float(segment.time_s[0]), float(segment.time_s[-1]) + 1 / FPS
    values = probability_curve(segment, smooth)
    if np.isnan(values).all():
        return SegmentResult(start, end, None, None)
    top = find_peak(values, segment.delays)
    p = probability_at(segment, top.index, smooth)[segment.weight > 0]
    certain = certainty(segment, values, top, config) >= config.min_certainty
    delay_s = top.delay_s - audio_start_s if certain else None
    return SegmentResult(start, end, delay_s, float(np.nanmean(p)) if np.isfinite(p).any() else None)


def _duration_s(results: tuple[SegmentResult, ...]) -> float:
    return results[-1].end_s - results[0].start_s if results else 0.0


def _segment_delays(results: tuple[SegmentResult, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Middle and delay of every segment with a result of its own, in s, in order of time."""
    known = sorted(((s.start_s + s.end_s) / 2, s.delay_s) for s in results if s.delay_s is not None)
    return np.array([time for time, _ in known]), np.array([delay for _, delay in known])


def _drift(results: tuple[SegmentResult, ...], config: DecideConfig) -> DriftLine | None:
    """Theil-Sen line through the segments' delays, None with too few segments or without a good fit."""
    times, delays = _segment_delays(results)
    if len(delays) < config.min_drift_segments:
        return None
    from scipy.stats import theilslopes

    slope, offset, _, _ = theilslopes(delays, times)
    residual = np.percentile(np.abs(delays - offset - slope * times), 75)  # a median would let nearly half disagree
    return DriftLine(float(offset), float(slope)) if residual < config.max_spread_s / 2 else None


def _jump(results: tuple[SegmentResult, ...], drift: DriftLine | None, config: DecideConfig) -> tuple[str, ...]:
    """The reason not to answer where one step in time explains the delays far better than the line does.

    At least two segments lie on either side: a single one is an outlier.
    """
    times, delays = _segment_delays(results)
    if len(delays) < 4:
        return ()
    spread = lambda x: float(np.abs(x - np.median(x)).sum())  # noqa: E731
    k = min(range(2, len(delays) - 1), key=lambda k: spread(delays[:k]) + spread(delays[k:]))
    size = float(np.median(delays[k:]) - np.median(delays[:k]))
    line = spread(delays) if drift is None else float(np.abs(delays - drift.start_s - drift.slope * times).sum())
    if abs(size) <= config.max_spread_s or spread(delays[:k]) + spread(delays[k:]) > line / 2:
        return ()
    return (
        f"the delay jumps by {1000 * size:+.0f} ms between {times[k - 1]:.0f} and {times[k]:.0f} s"
        f" ({1000 * config.max_spread_s:.0f} ms allowed); cut the video there and fix each segment",
    )
