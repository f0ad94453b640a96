"""How certain a peak is, and how exactly it is known."""

from __future__ import annotations

import numpy as np

from ..config import FPS, HOP_S, CurveConfig, DecideConfig, DecisionRule
from ..smoothing import expit
from .curve import AnyScores, Peak, find_peak, has_face, log_odds, mean_curve, speech_at, voted_log_odds

TIE_SLOPE = 5.0  # a lead of 0.14 over the runner-up halves the certainty, one of 0.5 lowers it by 8 %


def certainty(values: np.ndarray, peak: Peak, delays: np.ndarray, rule: DecisionRule) -> float:
    """How certain it is that the peak of a curve [delays] is the true delay, 0..1, by a logistic rule (see DecisionRule).

    Length is no feature: in a long video a weak systematic preference of the network would become certain. What length
    does is to make the mean at all other delays smaller and steadier, and so the lead larger. A peak without a lead is none,
    however high (a loop, a repeated phrase), which a sum of both cannot say. delays: int [delays] in hops.
    """
    height, lead = features(values, peak)
    reach_s = HOP_S * (len(delays) - 1) / 2
    single = expit(rule.constant + rule.height * height + rule.lead * lead - rule.reach * np.log(max(reach_s, HOP_S)))
    return float(single * -np.expm1(-TIE_SLOPE * max(0.0, lead)))


def features(values: np.ndarray, peak: Peak) -> tuple[float, float]:
    """Height of the peak, and its lead over the runner-up, in log-odds."""
    height = float(log_odds(values[peak.index]))
    return height, height - float(log_odds(np.array(peak.runner_up)))


def speech_seconds(scores: AnyScores, column: int) -> float:
    """Seconds with a face and speech, at one delay given by its index."""
    return float(np.sum(speech_at(scores, column) * has_face(scores))) / FPS


def uncertainty(scores: AnyScores, config: DecideConfig = DecideConfig(), smooth: CurveConfig = CurveConfig(), draws: int = 60) -> float:
    """Half-width in s of the 90 % interval of the delay, by a bootstrap over blocks of one second.

    Neighbouring windows overlap and are no independent witnesses; seconds nearly are. Half a
    step of the 10 ms grid is added, below which nothing was measured. What a bootstrap over one clip
    cannot see, that the network's zero varies between clips, is `uncertainty_floor_s`, added in quadrature.
    """
    return interval(*voted_log_odds(scores, smooth), scores.delays, config, smooth, draws)


def interval(
    odds: np.ndarray,
    weight: np.ndarray,
    delays: np.ndarray,
    config: DecideConfig = DecideConfig(),
    smooth: CurveConfig = CurveConfig(),
    draws: int = 60,
) -> float:
    """The same from sums of weighted log-odds and of weights over seconds: float [seconds, delays]. delays: [delays] in hops."""
    drawn = np.random.default_rng(0).multinomial(len(odds), np.full(len(odds), 1 / len(odds)), size=draws).astype(float)
    curves = (mean_curve(o, w, smooth) for o, w in zip(drawn @ odds, drawn @ weight))
    peaks = [find_peak(curve, delays).delay_s for curve in curves if not np.isnan(curve).all()]
    low, high = np.percentile(peaks, [5, 95])
    return float(np.hypot((high - low) / 2 + HOP_S / 2, config.uncertainty_floor_s))
