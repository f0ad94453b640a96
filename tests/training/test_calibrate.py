"""Calibration of P and the certainty rule."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_helpers import embedded_track, make_entry

from resync.errors import DataError
from resync.training.calibrate import (
    Pairs,
    PeakSamples,
    certainties,
    collect_pairs,
    collect_peaks,
    error_ratios,
    fit_rule,
    fit_scale,
    held_out,
    reliability,
    rescaled_odds,
    trade_off,
)


@pytest.fixture
def samples():
    """400 peaks of 7 people; the first feature says most, the third nothing."""
    rng = np.random.default_rng(0)
    correct = rng.random(400) < 0.7
    features = rng.normal(0, 1, (400, 3)) + np.outer(correct, [2.0, 1.0, 0.0])
    return PeakSamples(features, correct, correct | (rng.random(400) < 0.3), np.arange(400) % 7)


def test_rule_separates_correct_from_wrong_peaks(samples):
    rule = fit_rule(samples)
    assert len(rule) == 4 and rule[1] > rule[2] > 0 and min(rule[1:]) >= 0
    assert ((certainties(samples, rule) > 0.5) == samples.correct).mean() > 0.85
    inverted = fit_rule(replace(samples, features=-samples.features))
    assert min(inverted[1:]) >= 0, "a clearer peak must never lower the certainty"


def test_rule_needs_both_classes(samples):
    for correct in (np.ones(400, bool), np.zeros(400, bool)):
        with pytest.raises(DataError, match="400 peaks"):
            fit_rule(replace(samples, correct=correct))


def test_trade_off_is_monotonic(samples):
    rows = trade_off(samples, certainties(samples, fit_rule(samples)))
    answered, refused = [row["answered"] for row in rows], [row["swapped_refused"] for row in rows]
    assert answered == sorted(answered, reverse=True) and refused == sorted(refused)
    assert rows[-1]["wrong"] < rows[0]["wrong"] and answered[0] > 0.8


def test_collect_peaks(net):
    tracks = [embedded_track(make_entry("a", "p"), late_hops=4, seed=1), embedded_track(make_entry("b", "q"), late_hops=30, seed=2)]
    samples = collect_peaks(net, tracks)
    each = 1 + 3 + 2 + 1  # whole clip, segments of 2, 3 and 5 s of six seconds
    assert samples.features.shape == (4 * each, 2) and samples.own.sum() == 2 * each
    assert samples.correct[samples.own].tolist() == [True] * each + [False] * each  # b is 300 ms from the index's delay
    assert not samples.correct[~samples.own].any(), "no delay is correct for another speaker's audio"


def test_collect_pairs(net):
    pairs = collect_pairs(net, [embedded_track(make_entry("a"), seed=1)])
    assert pairs.odds[pairs.positive].mean() > pairs.odds[~pairs.positive].mean() + 1
    assert pairs.weight[pairs.positive].sum() == pytest.approx(pairs.weight[~pairs.positive].sum(), rel=0.2)


def test_without_clips(net):
    for collect in (collect_pairs, collect_peaks):
        with pytest.raises(DataError, match="no clip"):
            collect(net, [])


def test_reliability_and_scale():
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 2, 200_000)
    positive = rng.random(len(odds)) < 1 / (1 + np.exp(-odds))
    calibrated = Pairs(odds, positive, np.ones(len(odds)), np.arange(len(odds)) % 4)
    error, rows = reliability(calibrated)
    assert error < 0.01 and len(rows) == 10 and all(abs(row["predicted"] - row["observed"]) < 0.02 for row in rows)
    overconfident = replace(calibrated, odds=2 * odds + 1)
    assert reliability(overconfident)[0] > 0.05
    slope, shift = fit_scale(overconfident)
    assert slope == pytest.approx(0.5, abs=0.02) and shift == pytest.approx(-0.5, abs=0.03)
    assert reliability(replace(overconfident, odds=held_out(overconfident, fit_scale, rescaled_odds)))[0] < 0.01


def test_rescale_network(net):
    cosine = torch.linspace(-1, 1, 5)
    before = net.logits(cosine)
    net.rescale(0.5, -0.5)
    assert torch.allclose(net.logits(cosine), 0.5 * before - 0.5, atol=1e-6)


def test_nobody_is_evaluated_with_a_fit_to_themselves():
    person = np.array(["a", "b", "a", "c", "d", "e", "f"])
    samples = PeakSamples(np.zeros((7, 2)), np.ones(7, bool), np.ones(7, bool), person)
    evaluated = []

    def apply(fold, fitted_people):
        assert not set(fold.person) & fitted_people and set(fold.person) | fitted_people == set(person)
        evaluated.extend(fold.person)
        return np.array([ord(p) for p in fold.person])

    out = held_out(samples, lambda rest: set(rest.person), apply)
    assert sorted(evaluated) == sorted(person) and out.tolist() == [ord(p) for p in person]


def test_error_ratios(net):
    net.rescale(1.0, 5.0)  # a network with high certainty
    ratios = error_ratios(net, [embedded_track(make_entry("a"), seed=1), embedded_track(make_entry("b", delay_ms=300.0), seed=2)])
    correct, wrong = ratios["clips"]
    assert correct < 1 < wrong and len(ratios["pieces"]) and (ratios["pieces"] < 2).all()
