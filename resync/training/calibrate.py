"""Calibration on people the network was not trained on: of P, of the decision rule, and of the uncertainty.

A fit is optimistic on the people it was fitted to, so `held_out` evaluates each person with a fit to the other people.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ..config import HOP_S, HOPS_PER_FRAME, DecideConfig, DecisionRule
from ..errors import DataError
from ..sync.certainty import certainty, uncertainty
from ..sync.curve import Scores, find_peak, log_odds, probability_curve
from ..syncnet.model import ICSyncNet
from .embed import Embedded, curve_peak, reference_delay, score_track, split_segments
from .joined import FOLDS
from .peaks import NO_CLIPS, PeakSamples, collect_peaks
from .people import person_numbers
from .rule import LIMITS, certainties, choose_threshold, fit_rule, fit_weights, trade_off

SEGMENT_LENGTHS = (2.0, 3.0, 5.0, 8.0)  # s
MIN_GAIN = 0.005  # of the expected calibration error: scale and bias stay where a fit gains less, which may be chance


def calibrate(net: ICSyncNet, embedded: list[Embedded]) -> Iterator[dict]:
    """Calibrate a network in place, its scale and bias and its decision rule, and yield rows of figures on the way. Raises DataError."""
    yield from _calibrate_scale(net, collect_pairs(net, embedded))
    yield from _calibrate_rule(net, collect_peaks(net, embedded))
    for kind, ratios in error_ratios(net, embedded).items():
        if len(ratios):
            yield {f"uncertainty_of_{kind}": {"answers": len(ratios), "covered": round(float((ratios <= 1).mean()), 4)}}


def _calibrate_scale(net: ICSyncNet, pairs: Pairs) -> Iterator[dict]:
    """Rescale the log-odds of a network if that makes P better calibrated, for people left out of the fit where there are enough."""
    scale = fit_scale(pairs)
    refit = rescaled_odds(pairs, scale)
    tested = held_out(pairs, fit_scale, rescaled_odds) if _enough_people(pairs) else refit
    before, after = (reliability(expit(odds), pairs.positive, pairs.weight)[0] for odds in (pairs.odds, tested))
    rescale = before - after > MIN_GAIN
    if rescale:
        net.rescale(*scale)
    yield {"expected_calibration_error": before, "best_slope": scale[0], "best_shift": scale[1], "rescaled": rescale}
    yield {"held_out": _enough_people(pairs), "expected_calibration_error": after}
    yield from reliability(expit(refit if rescale else pairs.odds), pairs.positive, pairs.weight)[1]


def _calibrate_rule(net: ICSyncNet, samples: PeakSamples) -> Iterator[dict]:
    """Fit the decision rule of a network; its threshold rests on people left out of the fit, where there are enough."""
    rule = fit_rule(samples)
    fitted, test = certainties(samples, rule), {"held_out": _enough_people(samples)}
    tested = held_out(samples, fit_rule, certainties) if _enough_people(samples) else fitted
    threshold, rates, within_limits = choose_threshold(samples, tested)
    net.rule = replace(rule, min_certainty=threshold)
    yield {"rule": asdict(net.rule)}
    for prefix, kind in (("", ~samples.joined), ("joined_", samples.joined)):
        yield {f"{prefix}peaks": int(kind.sum()), "own": int((kind & samples.own).sum()), "correct": int((kind & samples.correct).sum())}
    yield test | {"threshold": threshold, "within_limits": within_limits, **_rounded(asdict(rates)), "limits": asdict(LIMITS)}
    for name, weight in (("right_and_wrong", fit_weights(samples)), ("own", samples.own.astype(float))):
        for row in reliability(tested, samples.correct, weight)[1]:
            yield test | {"certainty_of": name, **row}
    yield from trade_off(samples, fitted)
    if test["held_out"]:
        yield from (test | row for row in trade_off(samples, tested))


def _enough_people(data: PeakSamples | Pairs) -> bool:
    return len(set(data.person)) >= FOLDS


def _rounded(row: dict[str, float]) -> dict[str, float]:
    return {name: round(value, 4) for name, value in row.items()}


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
    numbers = person_numbers(e.entry for e in embedded)
    odds, positive, weight, person = [], [], [], []
    for track in embedded:
        scores = score_track(net, track, range_s=1.0)
        truth_s = reference_delay(track.entry, curve_peak(scores))
        if truth_s is None:
            continue
        distance = np.abs(scores.delays - round(truth_s / HOP_S))
        active = log_odds(scores.probability[scores.speech[:, distance.argmin()] > 0.5])
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


def reliability(p: np.ndarray, correct: np.ndarray, weight: np.ndarray, bins: int = 10) -> tuple[float, list[dict[str, float]]]:
    """Expected calibration error of probabilities (Guo et al. 2017), and the reliability diagram: predicted against observed by bins of p.

    p, correct, weight: [n]. A bin without weight has no row.
    """
    index = np.minimum((p * bins).astype(int), bins - 1)
    total = np.bincount(index, weight, bins)
    used = total > 0
    predicted = np.bincount(index, weight * p, bins)[used] / total[used]
    observed = np.bincount(index, weight * correct, bins)[used] / total[used]
    share = total[used] / total.sum()
    rows = [{"predicted": round(a, 3), "observed": round(b, 3), "share": round(c, 3)} for a, b, c in zip(predicted, observed, share)]
    return round(float(np.sum(share * np.abs(predicted - observed))), 4), rows


def held_out(data: PeakSamples | Pairs, fit: Callable, apply: Callable) -> np.ndarray:
    """`apply(fold, fit(rest))` for each of FOLDS folds of the people, in the order of the data: [n]. Needs FOLDS people at least."""
    fold = data.person % FOLDS
    select = lambda rows: replace(data, **{name: column[rows] for name, column in vars(data).items()})  # noqa: E731
    out = np.empty(len(fold))
    for k in range(FOLDS):
        out[fold == k] = apply(select(fold == k), fit(select(fold != k)))
    return out


def error_ratios(net: ICSyncNet, embedded: Iterable[Embedded]) -> dict[str, np.ndarray]:
    """Errors of answers divided by their reported uncertainty, of which 90 % should be at most 1. Two arrays:

    clips: whole clips against the index's delay, which has an error of its own; pieces: neighbouring segments of
    2 to 8 s of a clip against each other, half-widths added in quadrature, without the floor that all segments share.
    """
    clips, segments = [], []
    config = DecideConfig()
    no_floor = replace(config, uncertainty_floor_s=0.0)
    for track in embedded:
        scores = score_track(net, track)
        result = _certain_delay(scores, net.rule, config)
        if result and track.entry.delay_ms is not None:
            clips.append(abs(result[0] - track.entry.delay_ms / 1000) / result[1])
        for seconds in SEGMENT_LENGTHS:
            results = [_certain_delay(segment, net.rule, no_floor) for segment in split_segments(scores, seconds)]
            segments += [abs(a[0] - b[0]) / np.hypot(a[1], b[1]) for a, b in zip(results[::2], results[1::2]) if a and b]
    return {"clips": np.array(clips), "pieces": np.array(segments)}


def _certain_delay(scores: Scores, rule: DecisionRule, config: DecideConfig) -> tuple[float, float] | None:
    """Delay and uncertainty in s, None below the threshold of certainty."""
    values = probability_curve(scores)
    if np.isnan(values).all():
        return None
    peak = find_peak(values, scores.delays)
    if certainty(values, peak, scores.delays, rule) < rule.min_certainty:
        return None
    return peak.delay_s, uncertainty(scores, config)
