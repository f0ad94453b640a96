"""Calibration of a network: of P, of the decision rule, and of the uncertainty."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_helpers import embedded_track, make_entry, peak_samples

from resync.config import DecisionRule
from resync.errors import DataError
from resync.training import joined
from resync.training.calibrate import (
    Pairs,
    calibrate,
    collect_pairs,
    error_ratios,
    fit_scale,
    held_out,
    reliability,
    rescaled_odds,
)


def pairs_reliability(pairs):
    return reliability(1 / (1 + np.exp(-pairs.odds)), pairs.positive, pairs.weight)


@pytest.fixture
def tracks(monkeypatch):
    """Tracks of six people in which lips and audio agree more or less, and few joined videos of them."""
    monkeypatch.setattr(joined, "LAYOUTS", ((3, 2),))
    monkeypatch.setattr(joined, "OWN_VIDEOS", 3)
    monkeypatch.setattr(joined, "WRONG_VIDEOS", 6)
    return [noisy(embedded_track(make_entry(name, name), n=100, seed=i), 0.05 * i, i) for i, name in enumerate("abcdef")]


def noisy(track, level, seed):
    mouth = track.mouth + level * np.random.default_rng(seed).normal(size=track.mouth.shape).astype(np.float32)
    return replace(track, mouth=mouth / np.linalg.norm(mouth, axis=1, keepdims=True))


def test_calibrate_fits_all_that_belongs_to_the_network(net, tracks):
    net.rescale(0.2, 1.0)
    before = net.logits(torch.tensor([0.0, 1.0]))
    rows = list(calibrate(net, tracks))
    assert rows[0]["rescaled"] and rows[0]["best_slope"] > 1 and not torch.allclose(net.logits(torch.tensor([0.0, 1.0])), before)
    (rule,) = (row["rule"] for row in rows if "rule" in row)
    assert DecisionRule.from_dict(rule) == net.rule != DecisionRule()
    (threshold,) = (row for row in rows if "within_limits" in row)
    assert threshold["threshold"] == net.rule.min_certainty and threshold["held_out"]
    assert {row["certainty_of"] for row in rows if "certainty_of" in row} == {"right_and_wrong", "own"}
    assert sum("joined_answered" in row for row in rows) == 2 * sum("joined_answered" in row and row.get("held_out", False) for row in rows)
    again = next(calibrate(net, tracks))
    assert not again["rescaled"] and again["best_slope"] == pytest.approx(1, abs=0.01), "a calibrated network stays as it is"


def test_collect_pairs(net):
    pairs = collect_pairs(net, [embedded_track(make_entry("a"), seed=1)])
    assert pairs.odds[pairs.positive].mean() > pairs.odds[~pairs.positive].mean() + 1
    assert pairs.weight[pairs.positive].sum() == pytest.approx(pairs.weight[~pairs.positive].sum(), rel=0.2)


def test_without_clips(net):
    with pytest.raises(DataError, match="no clip"):
        list(calibrate(net, []))


def test_reliability_and_scale():
    rng = np.random.default_rng(0)
    odds = rng.normal(0, 2, 200_000)
    positive = rng.random(len(odds)) < 1 / (1 + np.exp(-odds))
    calibrated = Pairs(odds, positive, np.ones(len(odds)), np.arange(len(odds)) % 4)
    error, rows = pairs_reliability(calibrated)
    assert error < 0.01 and len(rows) == 10 and all(abs(row["predicted"] - row["observed"]) < 0.02 for row in rows)
    overconfident = replace(calibrated, odds=2 * odds + 1)
    assert pairs_reliability(overconfident)[0] > 0.05
    slope, shift = fit_scale(overconfident)
    assert slope == pytest.approx(0.5, abs=0.02) and shift == pytest.approx(-0.5, abs=0.03)
    assert pairs_reliability(replace(overconfident, odds=held_out(overconfident, fit_scale, rescaled_odds)))[0] < 0.01


def test_rescale_network(net):
    cosine = torch.linspace(-1, 1, 5)
    before = net.logits(cosine)
    net.rescale(0.5, -0.5)
    assert torch.allclose(net.logits(cosine), 0.5 * before - 0.5, atol=1e-6)


def test_nobody_is_evaluated_with_a_fit_to_themselves():
    person = np.array([0, 1, 0, 2, 3, 4, 5])
    samples = replace(peak_samples(7), person=person)
    evaluated = []

    def apply(fold, fitted_people):
        assert not set(fold.person) & fitted_people and set(fold.person) | fitted_people == set(person)
        evaluated.extend(fold.person)
        return fold.person

    out = held_out(samples, lambda rest: set(rest.person), apply)
    assert sorted(evaluated) == sorted(person) and out.tolist() == person.tolist()


def test_a_bin_without_weight_has_no_row():
    error, rows = reliability(np.array([0.1, 0.5, 0.95]), np.array([False, True, True]), np.array([1.0, 0.0, 3.0]))
    assert [row["predicted"] for row in rows] == [0.1, 0.95] and [row["share"] for row in rows] == [0.25, 0.75]
    assert error == pytest.approx(0.25 * 0.1 + 0.75 * 0.05)


def test_error_ratios(net):
    net.rule = DecisionRule(constant=50.0)  # a network with high certainty
    ratios = error_ratios(net, [embedded_track(make_entry("a"), seed=1), embedded_track(make_entry("b", delay_ms=300.0), seed=2)])
    correct, wrong = ratios["clips"]
    assert correct < 1 < wrong and len(ratios["pieces"]) and (ratios["pieces"] < 2).all()
