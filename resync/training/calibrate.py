"""How far to trust the network, on people it never saw: what its P is worth, and the rule of `decide.certainty`.

Right answers are peaks of clips and pieces of clips within 60 ms of the reference delay; wrong
ones are all others, and every peak of a picture scored against another clip's sound. What is fitted
flatters the people it was fitted to: `held_out` asks every person of a fit to the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from .. import curve as curves
from ..config import HOP_S, HOPS_PER_FRAME, CurveConfig, DecideConfig
from ..curve import Scores
from ..decide import certainty, features, uncertainty
from ..errors import DataError
from ..model import ICSyncNet
from .evaluate import Embedded, estimate, pieces, reference, score

RIGHT_S = 0.06
LENGTHS = (2.0, 3.0, 5.0, 8.0)
FOLDS = 5


@dataclass(frozen=True)
class Samples:
    """features: [n, 2] of `decide.features`; right: bool [n]; own: bool [n], False for swapped voices; person: int [n], who is seen."""

    features: np.ndarray
    right: np.ndarray
    own: np.ndarray
    person: np.ndarray


def collect(net: ICSyncNet, embedded: list[Embedded], range_s: float = CurveConfig.range_s) -> Samples:
    """Peaks of all clips and their pieces, with their own sound and with another speaker's."""
    rows: list[tuple[tuple[float, float], bool, bool, int]] = []
    number = _people(embedded)
    for i, e in enumerate(embedded):
        scores = score(net, e, range_s=range_s)
        truth = reference(e.entry, estimate(scores))
        if truth is None:
            continue
        person = number[e.entry.name]
        rows += [(f, abs(d - truth) <= RIGHT_S, True, person) for f, d in _peaks(scores)]
        other = next((x for x in embedded[i - 1 :] + embedded if x.entry.speaker != e.entry.speaker), None)
        rows += [(f, False, False, person) for f, _ in _peaks(score(net, e, other, range_s))] if other else []
    return Samples(*(np.array(column) for column in zip(*rows)))


def fit_rule(samples: Samples, ridge: float = 1e-3) -> tuple[float, ...]:
    """Logistic regression of `right` on the features, both classes weighted alike; returns (constant, *slopes).

    Raises DataError when all peaks are right, or all wrong.
    """
    if samples.right.all() or not samples.right.any():
        raise DataError(f"{len(samples.right)} peaks, right and wrong ones, are needed to tell them apart; give more clips")
    x = np.concatenate([np.ones((len(samples.right), 1)), samples.features], 1)
    sign = np.where(samples.right, 1.0, -1.0)
    weight = np.where(samples.right, 0.5 / samples.right.mean(), 0.5 / (~samples.right).mean()) / len(sign)

    def loss(w: np.ndarray) -> float:
        return float(np.sum(weight * np.logaddexp(0, -sign * (x @ w))) + ridge * np.sum(w[1:] ** 2))

    # No slope below zero: a higher, clearer peak must never count against an answer.
    found = minimize(loss, np.zeros(x.shape[1]), bounds=[(None, None)] + [(0, None)] * (x.shape[1] - 1))
    return tuple(round(float(w), 3) for w in found.x)


def intervals(net: ICSyncNet, embedded: Iterable[Embedded], config: DecideConfig = DecideConfig()) -> dict[str, np.ndarray]:
    """How honest `uncertainty` is: errors over their half-widths, of which 90 % should be at most 1. Two arrays:

    clips: whole clips against the index's delay, which has an error of its own; pieces: neighbouring pieces of
    2 to 8 s of a clip against each other, half-widths added in squares, without the part that all pieces share.
    """
    clips, parts = [], []
    alone = replace(config, uncertainty_floor_s=0.0)
    for e in embedded:
        scores = score(net, e)
        if (found := _told(scores, config)) and e.entry.delay_ms is not None:
            clips.append(abs(found[0] - e.entry.delay_ms / 1000) / found[1])
        for seconds in LENGTHS:
            told = [_told(part, alone) for part in pieces(scores, seconds)]
            parts += [abs(a[0] - b[0]) / np.hypot(a[1], b[1]) for a, b in zip(told[::2], told[1::2]) if a and b]
    return {"clips": np.array(clips), "pieces": np.array(parts)}


def _told(scores: Scores, config: DecideConfig) -> tuple[float, float] | None:
    """Delay and uncertainty in s of a piece that is sure enough."""
    values = curves.curve(scores)
    if np.isnan(values).all():
        return None
    top = curves.peak(values, scores.delays)
    return (top.delay_s, uncertainty(scores, config)) if certainty(scores, values, top, config) >= config.min_certainty else None


def held_out(data: Samples | Pairs, fit: Callable, apply: Callable) -> np.ndarray:
    """`apply(part, fit(rest))` for every fifth of the people, put together again: [n]. Wants FOLDS people at least."""
    fold = np.unique(data.person, return_inverse=True)[1] % FOLDS
    cut = lambda keep: replace(data, **{k: v[keep] for k, v in vars(data).items()})  # noqa: E731
    out = np.empty(len(fold))
    for k in range(FOLDS):
        out[fold == k] = apply(cut(fold == k), fit(cut(fold != k)))
    return out


def certainties(samples: Samples, rule: tuple[float, ...]) -> np.ndarray:
    """Certainty of every sample by a rule, as `decide.certainty` computes it: [n]."""
    return expit(rule[0] + samples.features @ np.array(rule[1:]))


def trade_off(samples: Samples, certainty: np.ndarray) -> list[dict[str, float]]:
    """For thresholds of certainty [n]: share of own voices answered, of answers wrong, of swapped voices refused."""
    own = samples.own
    rows = []
    for threshold in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95):
        given = certainty >= threshold
        wrong = float(np.mean(~samples.right[own & given])) if (own & given).any() else 0.0
        rows.append(
            {
                "threshold": threshold,
                "answered": round(float(np.mean(given[own])), 4),
                "wrong": round(wrong, 4),
                "swapped_refused": round(float(np.mean(~given[~own])), 4),
            }
        )
    return rows


@dataclass(frozen=True)
class Pairs:
    """True pairs, at the clip's own delay, and false ones, two to fifteen frames from it. Arrays [n].

    weight: both classes weigh the same, as in the balanced loss: P = 0.5 means as likely true as false.
    person: number of who is seen.
    """

    odds: np.ndarray
    true: np.ndarray
    weight: np.ndarray
    person: np.ndarray


def collect_pairs(net: ICSyncNet, embedded: list[Embedded]) -> Pairs:
    """All pairs of windows with speech of all clips."""
    number = _people(embedded)
    odds, true, weight, person = [], [], [], []
    for e in embedded:
        scores = score(net, e, range_s=1.0)
        truth = reference(e.entry, estimate(scores))
        if truth is None:
            continue
        far = np.abs(scores.delays - round(truth / HOP_S))
        spoken = curves.log_odds(scores.probability[scores.weight > 0.5])
        for kind, columns in ((True, far == 0), (False, (far >= 2 * HOPS_PER_FRAME) & (far <= 15 * HOPS_PER_FRAME))):
            some = spoken[:, columns]
            some = some[np.isfinite(some)]
            odds.append(some)
            true.append(np.full(len(some), kind))
            weight.append(np.full(len(some), 1 / max(1, columns.sum())))
            person.append(np.full(len(some), number[e.entry.name], np.int32))
    return Pairs(*(np.concatenate(x) for x in (odds, true, weight, person)))


def fit_scale(pairs: Pairs) -> tuple[float, float]:
    """Slope and shift of the log-odds under which P is best calibrated (Platt 1999): (1, 0) changes nothing."""

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z = w[0] * pairs.odds + w[1]
        error = expit(z) - pairs.true
        value = np.average(np.logaddexp(0, z) - pairs.true * z, weights=pairs.weight)
        return value, np.array([np.average(error * x, weights=pairs.weight) for x in (pairs.odds, 1.0)])

    # No slope below zero, whatever the network: that would call what fits best least likely.
    slope, shift = minimize(loss, np.array([1.0, 0.0]), jac=True, method="L-BFGS-B", bounds=[(0.01, None), (None, None)]).x
    return round(float(slope), 4), round(float(shift), 4)


def scaled(pairs: Pairs, scale: tuple[float, float]) -> np.ndarray:
    """Log-odds under a slope and a shift: [n]."""
    return scale[0] * pairs.odds + scale[1]


def reliability(pairs: Pairs, bins: int = 10) -> tuple[float, list[dict[str, float]]]:
    """Does P mean what it says? Expected calibration error (Guo et al. 2017) and predicted against observed, by bins of P."""
    p = expit(pairs.odds)
    at = np.minimum((p * bins).astype(int), bins - 1)
    total = np.bincount(at, pairs.weight, bins).clip(1e-12)
    predicted = np.bincount(at, pairs.weight * p, bins) / total
    observed = np.bincount(at, pairs.weight * pairs.true, bins) / total
    share = total / total.sum()
    rows = [{"predicted": round(a, 3), "observed": round(b, 3), "share": round(c, 3)} for a, b, c in zip(predicted, observed, share)]
    return round(float(np.sum(share * np.abs(predicted - observed))), 4), rows


def _people(embedded: list[Embedded]) -> dict[str, int]:
    """Name of a track -> number of its person."""
    names = sorted({(e.entry.source, e.entry.speaker) for e in embedded})
    return {e.entry.name: names.index((e.entry.source, e.entry.speaker)) for e in embedded}


def _peaks(scores: Scores):
    """Features and delay of the whole and of every piece."""
    for part in [scores, *(p for s in LENGTHS for p in pieces(scores, s))]:
        values = curves.curve(part)
        if not np.isnan(values).all():
            top = curves.peak(values, part.delays)
            yield features(part, values, top), top.delay_s
