"""The decision rule fitted to peaks, and its threshold."""

from dataclasses import replace

import numpy as np
import pytest
from training_helpers import peak_samples

from resync.config import DecisionRule
from resync.errors import DataError
from resync.sync.certainty import certainty
from resync.sync.curve import Peak
from resync.training.rule import ErrorRates, certainties, choose_threshold, error_rates, fit_rule, fit_weights, trade_off


def test_rule_separates_correct_from_wrong_peaks():
    samples = peak_samples()
    rule = fit_rule(samples)
    assert rule.height > 0 and rule.lead > 0
    assert ((certainties(samples, rule) > 0.5) == samples.correct).mean() > 0.8
    inverted = fit_rule(replace(samples, correct=~samples.correct))
    assert inverted.height == inverted.lead == 0, "a clearer peak must never lower the certainty"


def test_more_delays_tested_make_less_certain():
    rng = np.random.default_rng(1)
    samples = peak_samples()
    wide = rng.random(400) < np.where(samples.correct, 0.2, 0.8)
    assert fit_rule(replace(samples, range_s=np.where(wide, 10.0, 1.0))).reach > 0.3
    assert fit_rule(replace(samples, range_s=np.where(wide, 1.0, 10.0))).reach == 0


def test_certainty_is_that_of_the_analysis():
    samples, rule = peak_samples(), DecisionRule(-1.0, 0.5, 2.0, 0.3)
    delays, odds = np.arange(-300, 301), samples.features[0]
    values = 1 / (1 + np.exp(-np.array([odds[0] - odds[1], odds[0]])))
    peak = Peak(0.0, values[1], 1, values[0])
    wide = replace(samples, range_s=np.full(400, 3.0))
    assert certainties(wide, rule)[0] == pytest.approx(certainty(values, peak, delays, rule))
    tie = replace(samples, features=samples.features * (1, 0))
    assert certainties(tie, rule).max() == 0 == certainty(values, replace(peak, runner_up=values[1]), delays, rule)


def test_rule_needs_both_classes():
    samples = peak_samples()
    for correct in (np.ones(400, bool), np.zeros(400, bool)):
        with pytest.raises(DataError, match="400 peaks"):
            fit_rule(replace(samples, correct=correct))


def test_both_classes_weigh_the_same_and_joined_videos_more():
    samples = replace(peak_samples(), joined=np.arange(400) % 4 == 0)
    weight = fit_weights(samples)
    assert weight[samples.correct].sum() == pytest.approx(0.5) == pytest.approx(weight[~samples.correct].sum())
    for correct in (True, False):
        kind = samples.correct == correct
        assert weight[kind & samples.joined] == pytest.approx(3 * weight[kind & ~samples.joined][0])


def test_trade_off_is_monotonic():
    samples = replace(peak_samples(), joined=np.arange(400) % 4 == 0)
    rows = trade_off(samples, certainties(samples, fit_rule(samples)))
    for prefix in ("", "joined_"):
        answered, refused = [row[prefix + "answered"] for row in rows], [row[prefix + "swapped_refused"] for row in rows]
        assert answered == sorted(answered, reverse=True) and refused == sorted(refused)
        assert rows[-1][prefix + "wrong"] < rows[0][prefix + "wrong"] and answered[0] > 0.8


def test_threshold_keeps_every_error_rate_within_its_limit():
    # Wrong voices in pieces reach a certainty of 0.62, in joined videos of 0.33; a short piece and a wide range do not count.
    n = 200
    own = np.arange(n) < 100
    samples = replace(peak_samples(n), own=own, correct=own, joined=np.arange(n) >= 150, range_s=np.ones(n), seconds=np.full(n, 2.0))
    confident = np.where(own, 0.9, np.where(samples.joined, 0.33, 0.62))
    assert choose_threshold(samples, confident) == (0.65, ErrorRates(0, 0, 0), True)
    assert choose_threshold(samples, confident, ErrorRates(1, 0, 0)) == (0.35, ErrorRates(1, 0, 0), True)
    assert choose_threshold(replace(samples, seconds=np.full(n, 1.5)), confident)[0] == 0.35
    assert choose_threshold(replace(samples, range_s=np.full(n, 3.0)), confident)[0] == 0.35
    wrong_answer = replace(samples, correct=own & (np.arange(n) > 0))
    assert error_rates(wrong_answer, confident, 0.65) == ErrorRates(0, 0, 0.01)
    assert choose_threshold(wrong_answer, confident) == (0.95, ErrorRates(0, 0, 0), True), "one of a hundred answers is wrong"
    assert choose_threshold(wrong_answer, np.ones(n))[::2] == (0.95, False)
