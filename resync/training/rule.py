"""The decision rule of a network, fitted to right and wrong peaks: certainty, its threshold, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from ..config import DecisionRule
from ..errors import DataError
from ..sync.certainty import TIE_SLOPE
from .peaks import RANGE_S, PeakSamples

JOINED_WEIGHT = 3.0  # of a joined video: there are fewer of them than pieces, and they are what most videos are
MIN_PIECE_S = 2.0  # shorter pieces do not count for the threshold
THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
THRESHOLD_STEPS = tuple(round(0.05 * n, 2) for n in range(1, 20))


@dataclass(frozen=True)
class ErrorRates:
    """Shares (0..1) of errors at one threshold, or the largest that are accepted.

    wrong_voices: clips and pieces of MIN_PIECE_S and more with another voice that get an answer; wrong_joined: joined
    videos without a voice of their own that do; wrong_answers: answers on own audio that are wrong.
    """

    wrong_voices: float
    wrong_joined: float
    wrong_answers: float


LIMITS = ErrorRates(0.015, 0.01, 0.002)


def fit_rule(samples: PeakSamples, ridge: float = 1e-4) -> DecisionRule:
    """The rule that makes `correct` most likely, with the weights of `fit_weights`; the threshold is left at its default.

    Raises DataError if all peaks are correct, or none.
    """
    if samples.correct.all() or not samples.correct.any():
        kind = "correct" if samples.correct.any() else "wrong"
        raise DataError(f"the {len(samples.correct)} peaks are all {kind}, a rule needs correct and wrong ones; give more clips")
    x = np.column_stack([np.ones(len(samples.correct)), samples.features, -np.log(samples.range_s)])
    weight, tie = fit_weights(samples), _tie_factor(samples)

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        z, slopes = x @ w, np.append(0.0, w[1:])
        single = expit(z)
        certain = np.minimum(single * tie, 1 - 1e-12)
        # The factor of a correct peak does not depend on w: only its logistic counts.
        likelihood = np.where(samples.correct, -np.logaddexp(0, -z), np.log1p(-certain))
        gradient = np.where(samples.correct, 1 - single, -certain * (1 - single) / (1 - certain))
        return float(ridge * np.sum(slopes**2) - np.sum(weight * likelihood)), 2 * ridge * slopes - x.T @ (weight * gradient)

    # No negative slopes: a higher or clearer peak, or fewer delays tested, must never lower the certainty.
    fit = minimize(loss, np.zeros(x.shape[1]), jac=True, method="L-BFGS-B", bounds=[(None, None)] + [(0, None)] * (x.shape[1] - 1))
    return DecisionRule(*(round(float(w), 3) for w in fit.x))


def fit_weights(samples: PeakSamples) -> np.ndarray:
    """Weight of each sample, [n]: correct and wrong ones weigh the same in total (0.5), joined videos JOINED_WEIGHT times a piece."""
    weight = np.where(samples.joined, JOINED_WEIGHT, 1.0)
    total = np.where(samples.correct, np.sum(weight * samples.correct), np.sum(weight * ~samples.correct))
    return 0.5 * weight / total


def certainties(samples: PeakSamples, rule: DecisionRule) -> np.ndarray:
    """Certainty of every sample by a rule, as in `sync.certainty`: [n]."""
    single = expit(rule.constant + samples.features @ (rule.height, rule.lead) - rule.reach * np.log(samples.range_s))
    return single * _tie_factor(samples)


def _tie_factor(samples: PeakSamples) -> np.ndarray:
    """By how much a small lead lowers the certainty, whatever the rule: 0..1, [n]."""
    return -np.expm1(-TIE_SLOPE * np.maximum(0.0, samples.features[:, 1]))


def choose_threshold(samples: PeakSamples, certainty: np.ndarray, limits: ErrorRates = LIMITS) -> tuple[float, ErrorRates, bool]:
    """The lowest threshold of the certainty [n] at which no error rate is above its limit, the rates there, and whether there is one.

    It is one of THRESHOLD_STEPS; where none is within the limits, the highest.
    """
    for threshold in THRESHOLD_STEPS:
        rates = error_rates(samples, certainty, threshold)
        if all(getattr(rates, name) <= limit for name, limit in vars(limits).items()):
            return threshold, rates, True
    return threshold, rates, False


def error_rates(samples: PeakSamples, certainty: np.ndarray, threshold: float) -> ErrorRates:
    """The error rates at a threshold of the certainty [n]; zero where there is no sample."""
    answered = certainty >= threshold
    pieces = ~samples.own & ~samples.joined & (samples.range_s == RANGE_S) & (samples.seconds >= MIN_PIECE_S)
    return ErrorRates(
        _share(answered[pieces]), _share(answered[~samples.own & samples.joined]), _share(~samples.correct[samples.own & answered])
    )


def trade_off(samples: PeakSamples, certainty: np.ndarray) -> list[dict[str, float]]:
    """By threshold of certainty [n]: shares of own audio answered, of these answers wrong, of swapped audio refused; then joined videos."""
    rows = []
    for threshold in THRESHOLDS:
        row = {"threshold": threshold}
        for prefix, kind in (("", ~samples.joined), ("joined_", samples.joined)):
            answered, own = certainty[kind] >= threshold, samples.own[kind]
            row[f"{prefix}answered"] = round(_share(answered[own]), 4)
            row[f"{prefix}wrong"] = round(_share(~samples.correct[kind][own & answered]), 4)
            row[f"{prefix}swapped_refused"] = round(_share(~answered[~own]), 4)
        rows.append(row)
    return rows


def _share(hits: np.ndarray) -> float:
    return float(np.mean(hits)) if len(hits) else 0.0
