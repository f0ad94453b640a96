"""Calibration on people the network was not trained on: of P, and of the certainty rule in `sync.decide`.

Positive samples are peaks of clips and of their segments within 60 ms of the reference delay; negative
samples are all other peaks, and every peak against another clip's audio. A fit is optimistic on the
people it was fitted to, so `held_out` evaluates each person with a fit to the other people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ..config import HOP_S, HOPS_PER_FRAME, CurveConfig, DecideConfig
from ..errors import DataError
from ..sync.curve import Scores, find_peak, log_odds, probability_curve
from ..sync.decide import certainty, features, uncertainty
from ..syncnet.model import ICSyncNet
from .evaluate import Embedded, curve_peak, reference_delay, score_track, split_segments

CORRECT_S = 0.06
SEGMENT_LENGTHS = (2.0, 3.0, 5.0, 8.0)  # s
FOLDS = 5
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
NO_CLIPS = "no clip with speech to calibrate on; give more clips, or another --split"


@dataclass(frozen=True)
class PeakSamples:
    """Peaks of probability curves.

    features: float [n, 2] of `decide.features`; correct: bool [n]; own: bool [n], False for another
    speaker's audio; person: int [n], number of the person in the video.
    """

    features: np.ndarray
    correct: np.ndarray
    own: np.ndarray
    person: np.ndarray


def collect_peaks(net: ICSyncNet, embedded: list[Embedded], range_s: float = CurveConfig.range_s) -> PeakSamples:
    """Peaks of all clips and their segments, against their own audio and against another speaker's. Raises DataError without any."""
    rows: list[tuple[tuple[float, float], bool, bool, int]] = []
    numbers = _person_numbers(embedded)
    for i, track in enumerate(embedded):
        scores = score_track(net, track, range_s=range_s)
        truth_s = reference_delay(track.entry, curve_peak(scores))
        if truth_s is None:
            continue
        person = numbers[track.entry.name]
        rows += [(f, abs(delay_s - truth_s) <= CORRECT_S, True, person) for f, delay_s in _peaks(scores)]
        other = next((e for e in embedded[i - 1 :] + embedded if e.entry.speaker != track.entry.speaker), None)
        if other:
            rows += [(f, False, False, person) for f, _ in _peaks(score_track(net, track, other, range_s))]
    if not rows:
        raise DataError(NO_CLIPS)
    return PeakSamples(*(np.array(column) for column in zip(*rows)))


def _peaks(scores: Scores) -> Iterator[tuple[tuple[float, float], float]]:
    """Features and delay in s of the whole clip and of each segment."""
    for segment in [scores, *(s for seconds in SEGMENT_LENGTHS for s in split_segments(scores, seconds))]:
        values = probability_curve(segment)
        if not np.isnan(values).all():
            peak = find_peak(values, segment.delays)
            yield features(segment, values, peak), peak.delay_s


def fit_rule(samples: PeakSamples, ridge: float = 1e-3) -> tuple[float, ...]:
    """Logistic regression of `correct` on the features, both classes weighted equally: (constant, *slopes).

    Raises DataError if all peaks are correct, or none.
    """
    if samples.correct.all() or not samples.correct.any():
        kind = "correct" if samples.correct.any() else "wrong"
        raise DataError(f"the {len(samples.correct)} peaks are all {kind}, a rule needs correct and wrong ones; give more clips")
    x = np.concatenate([np.ones((len(samples.correct), 1)), samples.features], 1)
    sign = np.where(samples.correct, 1.0, -1.0)
    weight = np.where(samples.correct, 0.5 / samples.correct.mean(), 0.5 / (~samples.correct).mean()) / len(sign)

    def loss(w: np.ndarray) -> float:
        return float(np.sum(weight * np.logaddexp(0, -sign * (x @ w))) + ridge * np.sum(w[1:] ** 2))

    # No negative slopes: a higher or clearer peak must never lower the certainty.
    fit = minimize(loss, np.zeros(x.shape[1]), bounds=[(None, None)] + [(0, None)] * (x.shape[1] - 1))
    return tuple(round(float(w), 3) for w in fit.x)


def certainties(samples: PeakSamples, rule: tuple[float, ...]) -> np.ndarray:
    """Certainty of every sample by a rule, computed as in `decide.certainty`: [n]."""
    return expit(rule[0] + samples.features @ np.array(rule[1:]))


def trade_off(samples: PeakSamples, certainty: np.ndarray) -> list[dict[str, float]]:
    """By threshold of certainty [n]: share of own audio answered, of those answers wrong, and of swapped audio refused."""
    own = samples.own
    rows = []
    for threshold in THRESHOLDS:
        answered = certainty >= threshold
        wrong = float(np.mean(~samples.correct[own & answered])) if (own & answered).any() else 0.0
        rows.append(
            {
                "threshold": threshold,
                "answered": round(float(np.mean(answered[own])), 4),
                "wrong": round(wrong, 4),
                "swapped_refused": round(float(np.mean(~answered[~own])), 4),
            }
        )
    return rows


@dataclass(frozen=True)
class Pairs:
    """Positive pairs of windows (at the clip's own delay) and negative ones (2 to 15 frames from it). Arrays [n].

    odds: log-odds; positive: bool; weight: equal in total for both classes, as in the balanced loss, so that P = 0.5
    means equally likely; person: number of the person in the video.
    """

    odds: np.ndarray
    positive: np.ndarray
    weight: np.ndarray
    person: np.ndarray


def collect_pairs(net: ICSyncNet, embedded: list[Embedded]) -> Pairs:
    """All pairs with speech of all clips. Raises DataError without any."""
    numbers = _person_numbers(embedded)
    odds, positive, weight, person = [], [], [], []
    for track in embedded:
        scores = score_track(net, track, range_s=1.0)
        truth_s = reference_delay(track.entry, curve_peak(scores))
        if truth_s is None:
            continue
        distance = np.abs(scores.delays - round(truth_s / HOP_S))
        active = log_odds(scores.probability[scores.weight > 0.5])
        for label, columns in (
            (True, distance == 0),
            (False, (distance >= 2 * HOPS_PER_FRAME) & (distance <= 15 * HOPS_PER_FRAME)),
        ):
            values = active[:, columns]
            values = values[np.isfinite(values)]
            odds.append(values)
            positive.append(np.full(len(values), label))
            weight.append(np.full(len(values), 1 / max(1, columns.sum())))
            person.append(np.full(len(values), numbers[track.entry.name], np.int32))
    if not odds:
        raise DataError(NO_CLIPS)
    return Pairs(*(np.concatenate(column) for column in (odds, positive, weight, person)))


def fit_scale(pairs: Pairs) -> tuple[float, float]:
    """Slope and shift of the log-odds that calibrate P best (Platt 1999); (1, 0) changes nothing."""

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = w[0] * pairs.odds + w[1]
        error = expit(z) - pairs.positive
        value = np.average(np.logaddexp(0, z) - pairs.positive * z, weights=pairs.weight)
        return value, np.array([np.average(error * x, weights=pairs.weight) for x in (pairs.odds, 1.0)])

    # No negative slope, whatever the network: it would rank the best match last.
    slope, shift = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.01, None), (None, None)]).x
    return round(float(slope), 4), round(float(shift), 4)


def rescaled_odds(pairs: Pairs, scale: tuple[float, float]) -> np.ndarray:
    """Log-odds after a slope and a shift: [n]."""
    return scale[0] * pairs.odds + scale[1]


def reliability(pairs: Pairs, bins: int = 10) -> tuple[float, list[dict[str, float]]]:
    """Expected calibration error of P (Guo et al. 2017), and the reliability diagram: predicted against observed by bins of P."""
    p = expit(pairs.odds)
    index = np.minimum((p * bins).astype(int), bins - 1)
    total = np.bincount(index, pairs.weight, bins).clip(1e-12)
    predicted = np.bincount(index, pairs.weight * p, bins) / total
    observed = np.bincount(index, pairs.weight * pairs.positive, bins) / total
    share = total / total.sum()
    rows = [{"predicted": round(a, 3), "observed": round(b, 3), "share": round(c, 3)} for a, b, c in zip(predicted, observed, share)]
    return round(float(np.sum(share * np.abs(predicted - observed))), 4), rows


def held_out(data: PeakSamples | Pairs, fit: Callable, apply: Callable) -> np.ndarray:
    """`apply(fold, fit(rest))` for each of FOLDS folds of the people, in the order of the data: [n]. Needs FOLDS people at least."""
    fold = np.unique(data.person, return_inverse=True)[1] % FOLDS
    select = lambda rows: replace(data, **{name: column[rows] for name, column in vars(data).items()})  # noqa: E731
    out = np.empty(len(fold))
    for k in range(FOLDS):
        out[fold == k] = apply(select(fold == k), fit(select(fold != k)))
    return out


def error_ratios(net: ICSyncNet, embedded: Iterable[Embedded], config: DecideConfig = DecideConfig()) -> dict[str, np.ndarray]:
    """Errors divided by their reported uncertainty, of which 90 % should be at most 1. Two arrays:

    clips: whole clips against the index's delay, which has an error of its own; pieces: neighbouring segments of
    2 to 8 s of a clip against each other, half-widths added in quadrature, without the floor that all segments share.
    """
    clips, segments = [], []
    no_floor = replace(config, uncertainty_floor_s=0.0)
    for track in embedded:
        scores = score_track(net, track)
        result = _certain_delay(scores, config)
        if result and track.entry.delay_ms is not None:
            clips.append(abs(result[0] - track.entry.delay_ms / 1000) / result[1])
        for seconds in SEGMENT_LENGTHS:
            results = [_certain_delay(segment, no_floor) for segment in split_segments(scores, seconds)]
            segments += [abs(a[0] - b[0]) / np.hypot(a[1], b[1]) for a, b in zip(results[::2], results[1::2]) if a and b]
    return {"clips": np.array(clips), "pieces": np.array(segments)}


def _certain_delay(scores: Scores, config: DecideConfig) -> tuple[float, float] | None:
    """Delay and uncertainty in s, None below the threshold of certainty."""
    values = probability_curve(scores)
    if np.isnan(values).all():
        return None
    peak = find_peak(values, scores.delays)
    if certainty(scores, values, peak, config) < config.min_certainty:
        return None
    return peak.delay_s, uncertainty(scores, config)


def _person_numbers(embedded: list[Embedded]) -> dict[str, int]:
    """Number of the person by name of the track."""
    people = sorted({(e.entry.source, e.entry.speaker) for e in embedded})
    return {e.entry.name: people.index((e.entry.source, e.entry.speaker)) for e in embedded}
