"""How far to trust the network, on people it never saw: what its P is worth, and the rule of `decide.certainty`.

Right answers are peaks of clips and pieces of clips within 60 ms of the reference delay; wrong
ones are all others, and every peak of a picture scored against another clip's sound.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from .. import curve as curves
from ..config import HOP_S, HOPS_PER_FRAME
from ..curve import Scores
from ..decide import features
from ..model import ICSyncNet
from .dataset import Track
from .evaluate import embed_track, estimate, pieces, reference, score

RIGHT_S = 0.06
LENGTHS = (2.0, 3.0, 5.0, 8.0)


@dataclass(frozen=True)
class Samples:
    """features: [n, 2] of `decide.features`; right: bool [n]; own: bool [n], False for swapped voices."""

    features: np.ndarray
    right: np.ndarray
    own: np.ndarray


def collect(net: ICSyncNet, tracks: Iterable[Track], range_s: float = 0.6) -> Samples:
    """Peaks of all clips and their pieces, with their own sound and with another speaker's."""
    embedded = [embed_track(net, t) for t in tracks]
    rows: list[tuple[tuple[float, float], bool, bool]] = []
    for i, e in enumerate(embedded):
        scores = score(net, e, range_s=range_s)
        truth = reference(e.entry, estimate(scores))
        if truth is None:
            continue
        rows += [(f, abs(d - truth) <= RIGHT_S, True) for f, d in _peaks(scores)]
        other = next((x for x in embedded[i - 1 :] + embedded if x.entry.speaker != e.entry.speaker), None)
        rows += [(f, False, False) for f, _ in _peaks(score(net, e, other, range_s))] if other else []
    f, right, own = zip(*rows)
    return Samples(np.array(f), np.array(right), np.array(own))


def fit_rule(samples: Samples, ridge: float = 1e-3) -> tuple[float, ...]:
    """Logistic regression of `right` on the features, both classes weighted alike; returns (constant, *slopes)."""
    x = np.concatenate([np.ones((len(samples.right), 1)), samples.features], 1)
    sign = np.where(samples.right, 1.0, -1.0)
    weight = np.where(samples.right, 0.5 / samples.right.mean(), 0.5 / (~samples.right).mean()) / len(sign)

    def loss(w: np.ndarray) -> float:
        return float(np.sum(weight * np.logaddexp(0, -sign * (x @ w))) + ridge * np.sum(w[1:] ** 2))

    # No slope below zero: a higher, clearer peak must never count against an answer.
    found = minimize(loss, np.zeros(x.shape[1]), bounds=[(None, None)] + [(0, None)] * (x.shape[1] - 1))
    return tuple(round(float(w), 3) for w in found.x)


def trade_off(samples: Samples, rule: tuple[float, ...]) -> list[dict[str, float]]:
    """For thresholds of certainty: share of own voices answered, of answers wrong, of swapped voices refused."""
    certainty = 1 / (1 + np.exp(-(rule[0] + samples.features @ np.array(rule[1:]))))
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


def reliability(net: ICSyncNet, tracks: Iterable[Track], bins: int = 10) -> tuple[float, list[dict[str, float]]]:
    """Does P mean what it says? Expected calibration error and a table of predicted against observed.

    True pairs lie at the clip's reference delay, false ones two to fifteen frames from it. Both
    classes weigh the same, as in the balanced loss: P = 0.5 means as likely true as false.
    """
    counts = np.zeros((2, bins))
    sums = np.zeros(bins)
    for track in tracks:
        e = embed_track(net, track)
        scores = score(net, e, range_s=1.0)
        truth = reference(e.entry, estimate(scores))
        if truth is None:
            continue
        far = np.abs(scores.delays - round(truth / HOP_S))
        spoken = scores.probability[scores.weight > 0.5]
        for kind, columns in enumerate(((far >= 2 * HOPS_PER_FRAME) & (far <= 15 * HOPS_PER_FRAME), far == 0)):
            p = spoken[:, columns]
            p = p[np.isfinite(p)]
            # Each true pair stands for as many as there are false ones to it.
            weight = 1 / max(1, columns.sum())
            at = np.minimum((p * bins).astype(int), bins - 1)
            counts[kind] += weight * np.bincount(at, minlength=bins)
            sums += weight * np.bincount(at, p, minlength=bins)
    total = counts.sum(0).clip(1e-9)
    predicted, observed = sums / total, counts[1] / total
    error = float(np.sum(total / total.sum() * np.abs(predicted - observed)))
    rows = [
        {"predicted": round(a, 3), "observed": round(b, 3), "share": round(c, 3)}
        for a, b, c in zip(predicted, observed, total / total.sum())
    ]
    return round(error, 4), rows


def _peaks(scores: Scores):
    """Features and delay of the whole and of every piece."""
    for part in [scores, *(p for s in LENGTHS for p in pieces(scores, s))]:
        values = curves.curve(part)
        if not np.isnan(values).all():
            top = curves.peak(values, part.delays)
            yield features(part, values, top), top.delay_s
