"""From scores to an answer, or to the reasons why there is none. Pure: arrays in, Decision out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from . import curve as curves
from .config import FPS, HOP_S, CurveConfig, DecideConfig
from .curve import AnyScores, Scores


@dataclass(frozen=True)
class Segment:
    """A stretch of the film with an answer of its own. Times in s; delay and probability None without one."""

    start_s: float
    end_s: float
    delay_s: float | None
    probability: float | None


class Line(NamedTuple):
    """A delay that changes steadily: start_s at time zero, and slope in s of delay per s of film."""

    start_s: float
    slope: float


@dataclass(frozen=True)
class Decision:
    """verdict: in_sync, out_of_sync, drift or undecided; delay_s > 0: the sound is late; None where unknown.

    uncertainty_s: half-width of the 90 % interval of delay_s. drift: the line through the stretches' delays,
    None with too few of them or none that fits. reasons: why undecided, one line each with the number, the threshold and what would help.
    best_s, certainty: the delay that fits best and how sure it is (0..1), also where that is not enough for an answer; None where
    no single delay can be the best one: no speech, no face, a delay that moves or jumps, a peak at the end of the range.
    """

    verdict: str
    delay_s: float | None
    probability: float | None
    offscreen_ratio: float | None
    uncertainty_s: float | None
    drift: Line | None
    reasons: tuple[str, ...]
    segments: tuple[Segment, ...]
    curve: np.ndarray
    delays: np.ndarray
    best_s: float | None = None
    certainty: float | None = None


def decide(scores: AnyScores, parts: list[Scores], config: DecideConfig = DecideConfig(), smooth: CurveConfig = CurveConfig()) -> Decision:
    """Choose the delay of a film.

    scores: every analysed frame, those without a face as NaN rows; parts: the same, in stretches.
    """
    values = curves.curve(scores, smooth)
    speaking = scores.weight > 0
    if missing := _missing(scores, speaking, values, config):
        offscreen = 1.0 if speaking.any() else None
        return Decision("undecided", None, None, offscreen, None, None, (missing,), (), values, scores.delays)
    top = curves.peak(values, scores.delays)
    at_peak = curves.at_delay(scores, top.delay_s, smooth)
    heard = np.nan_to_num(at_peak[speaking])
    seen = np.isfinite(at_peak) & speaking
    segments = tuple(_segment(p, config, smooth) for p in parts)
    drift = _drift(segments, config)
    jump = _jump(segments, drift, config)
    moving = not jump and drift is not None and abs(drift.slope) * _span_s(segments) > config.max_spread_s
    # A delay that moves smears the curve of the whole film, so that one says nothing against it.
    reasons = jump or (() if moving else tuple(_doubts(scores, values, top, segments, drift, config)))
    if reasons:
        verdict = "undecided"
    elif moving:
        verdict = "drift"
    else:
        verdict = "in_sync" if abs(top.delay_s) <= config.in_sync_s else "out_of_sync"
    known = verdict in ("in_sync", "out_of_sync")
    single = not jump and not moving and _edge_s(values, top) >= config.edge_s
    return Decision(
        verdict=verdict,
        delay_s=top.delay_s if known else None,
        probability=float(np.mean(at_peak[seen])) if seen.any() else None,
        offscreen_ratio=float(np.mean(heard < 0.5)),
        uncertainty_s=uncertainty(scores, config, smooth) if known else None,
        drift=drift,
        reasons=reasons,
        segments=segments,
        curve=values,
        delays=scores.delays,
        best_s=top.delay_s if single else None,
        certainty=certainty(scores, values, top, config) if single else None,
    )


def _missing(scores: AnyScores, speaking: np.ndarray, values: np.ndarray, config: DecideConfig) -> str:
    """What there is nothing of to compare, speech or faces; empty when there is both."""
    looked, needed = len(speaking) / FPS, f"{config.min_speech_s:.1f} s are needed"
    if not speaking.any():
        return f"no speech: the sound is silent, 0.0 of {looked:.1f} s carry any ({needed}); try another --audio-track or a longer clip"
    if np.isnan(values).all():
        return f"no face was found where there is sound, 0.0 of {looked:.1f} s ({needed}); give a clip that shows the speaker's face"
    return ""


def _edge_s(values: np.ndarray, top: curves.Peak) -> float:
    """How far the peak lies from the end of the range, s."""
    return max(0.0, (len(values) // 2) * HOP_S - abs(top.delay_s))


def certainty(scores: AnyScores, values: np.ndarray, top: curves.Peak, config: DecideConfig = DecideConfig()) -> float:
    """How sure it is that the peak is the true delay, 0..1, by a logistic rule fitted on validation people.

    Two things count: how high the peak is, and how far it stands above the best other delay. (Its
    rise over the median of all delays was tried too, and got no weight.)
    """
    height, lead = features(scores, values, top)
    constant, of_height, of_lead = config.rule
    return float(1 / (1 + np.exp(-(constant + of_height * height + of_lead * lead))))


def features(scores: AnyScores, values: np.ndarray, top: curves.Peak) -> tuple[float, float]:
    """Height of the peak in log-odds, and its lead over the runner-up in log-odds x sqrt(seconds of speech seen).

    Evidence grows with the root of the time when moments are independent witnesses.
    """
    height = float(curves.log_odds(values[top.index]))
    lead = height - float(curves.log_odds(np.array(top.runner_up)))
    return height, lead * np.sqrt(spoken_s(scores))


def spoken_s(scores: AnyScores) -> float:
    """Seconds of picture with a face and speech."""
    return float(np.sum(scores.weight * curves.seen_at_all(scores))) / FPS


def uncertainty(scores: AnyScores, config: DecideConfig = DecideConfig(), smooth: CurveConfig = CurveConfig(), draws: int = 60) -> float:
    """Half-width in s of the 90 % interval of the delay, by a bootstrap over stretches of one second.

    Neighbouring windows overlap and are no independent witnesses; seconds nearly are. Half a
    step of the 10 ms grid is added, under which nothing was measured. What a bootstrap over one clip
    cannot see, that the network's zero varies between clips, is `uncertainty_floor_s`, added in squares.
    """
    odds, weight = curves.votes(scores)
    chosen = np.random.default_rng(0).multinomial(len(odds), np.full(len(odds), 1 / len(odds)), size=draws).astype(float)
    drawn = (curves.mean_curve(o, w, smooth) for o, w in zip(chosen @ odds, chosen @ weight))
    found = [curves.peak(c, scores.delays).delay_s for c in drawn if not np.isnan(c).all()]
    low, high = np.percentile(found, [5, 95])
    return float(np.hypot((high - low) / 2 + HOP_S / 2, config.uncertainty_floor_s))


def _doubts(
    scores: AnyScores, values: np.ndarray, top: curves.Peak, segments: tuple[Segment, ...], drift: Line | None, config: DecideConfig
):
    seconds = spoken_s(scores)
    if seconds < config.min_speech_s:
        yield f"only {seconds:.1f} s with a face and speech, {config.min_speech_s:.1f} s are needed; give a longer clip"
    edge = _edge_s(values, top)
    if edge < config.edge_s:
        yield (
            f"the best delay, {1000 * top.delay_s:+.0f} ms, is {1000 * edge:.0f} ms from the end of the range"
            f" ({1000 * config.edge_s:.0f} ms are needed); try a wider --range"
        )
    lead = features(scores, values, top)[1]
    sure = certainty(scores, values, top, config)
    if lead < config.min_lead:
        yield (
            f"no delay stands out: the best, {1000 * top.delay_s:+.0f} ms, leads the next by {lead:.2f}"
            f" ({config.min_lead:.2f} are needed); try a wider --range, a longer clip, or one where the speaker is seen"
        )
    elif sure < config.min_certainty:
        yield (
            f"no delay stands out: the best, {1000 * top.delay_s:+.0f} ms, has a certainty of {sure:.2f}"
            f" ({config.min_certainty:.2f} is needed); try a wider --range, a longer clip, or one where the speaker is seen"
        )
    told = [s.delay_s for s in segments if s.delay_s is not None]
    if len(told) >= 3 and drift is None:
        spread = float(np.percentile(told, 75) - np.percentile(told, 25))
        if spread > config.max_spread_s:
            yield (
                f"stretches of the film disagree by {1000 * spread:.0f} ms ({1000 * config.max_spread_s:.0f} ms are allowed);"
                " see segments in --json where, cut the film there and fix the parts"
            )


def _segment(part: Scores, config: DecideConfig, smooth: CurveConfig) -> Segment:
    start, end = float(part.time_s[0]), float(part.time_s[-1]) + 1 / FPS
    values = curves.curve(part, smooth)
    if np.isnan(values).all():
        return Segment(start, end, None, None)
    top = curves.peak(values, part.delays)
    p = curves.at_delay(part, top.delay_s, smooth)[part.weight > 0]
    sure = certainty(part, values, top, config) >= config.min_certainty
    return Segment(start, end, top.delay_s if sure else None, float(np.nanmean(p)) if np.isfinite(p).any() else None)


def _span_s(segments: tuple[Segment, ...]) -> float:
    return segments[-1].end_s - segments[0].start_s if segments else 0.0


def _told(segments: tuple[Segment, ...]) -> tuple[np.ndarray, np.ndarray]:
    """Middle and delay of every stretch that has an answer, in s, in order of time."""
    told = sorted(((s.start_s + s.end_s) / 2, s.delay_s) for s in segments if s.delay_s is not None)
    return np.array([t for t, _ in told]), np.array([d for _, d in told])


def _drift(segments: tuple[Segment, ...], config: DecideConfig) -> Line | None:
    """Line through the stretches' delays by Theil and Sen, None with too few stretches or none that fits."""
    times, delays = _told(segments)
    if len(delays) < config.min_drift_segments:
        return None
    from scipy.stats import theilslopes

    slope, offset, _, _ = theilslopes(delays, times)
    residual = np.percentile(np.abs(delays - offset - slope * times), 75)  # a median would let nearly half disagree
    return Line(float(offset), float(slope)) if residual < config.max_spread_s / 2 else None


def _jump(segments: tuple[Segment, ...], drift: Line | None, config: DecideConfig) -> tuple[str, ...]:
    """The reason not to answer where one step in time explains the delays far better than the line does.

    At least two stretches lie on either side: one alone is an outlier.
    """
    times, delays = _told(segments)
    if len(delays) < 4:
        return ()
    apart = lambda x: float(np.abs(x - np.median(x)).sum())  # noqa: E731
    k = min(range(2, len(delays) - 1), key=lambda k: apart(delays[:k]) + apart(delays[k:]))
    size = float(np.median(delays[k:]) - np.median(delays[:k]))
    line = apart(delays) if drift is None else float(np.abs(delays - drift.start_s - drift.slope * times).sum())
    if abs(size) <= config.max_spread_s or apart(delays[:k]) + apart(delays[k:]) > line / 2:
        return ()
    return (
        f"the delay jumps by {1000 * size:+.0f} ms between {times[k - 1]:.0f} and {times[k]:.0f} s"
        f" ({1000 * config.max_spread_s:.0f} ms are allowed); cut the film there and fix the parts",
    )
