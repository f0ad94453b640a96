"""How certain a peak is, and how exactly it is known."""

from dataclasses import replace

import numpy as np
import pytest
from sync_helpers import RULE, changed, judge, make_scores, sampled, speech

from resync.config import DecideConfig, DecisionRule
from resync.sync.certainty import certainty, features, speech_seconds, uncertainty
from resync.sync.curve import Peak, Scores, delay_grid, find_peak, probability_curve


def peak_and_certainty(scores, rule=RULE):
    values = probability_curve(scores)
    peak = find_peak(values, scores.delays)
    return peak, certainty(values, peak, scores.delays, rule)


def certainty_of(*segments):
    return peak_and_certainty(Scores.join(segments))[1]


def two_peaks(height, runner_up, reach=60):
    """Certainty of a curve with this peak and this runner-up, in log-odds."""
    values = np.full(2 * reach + 1, 0.001)
    values[[reach, reach + 40]] = 1 / (1 + np.exp([-height, -runner_up]))
    delays = np.arange(-reach, reach + 1)
    return certainty(values, find_peak(values, delays), delays, RULE)


def test_features_are_height_and_lead_in_log_odds():
    values = np.full(121, 0.1)
    values[60], values[100] = 0.9, 0.5
    height, lead = features(values, Peak(0.0, 0.9, 60, 0.5))
    assert height == pytest.approx(np.log(9)) and lead == pytest.approx(np.log(9))


def test_certainty_follows_the_rule():
    values = np.full(201, 0.1)
    values[100], values[150] = 0.9, 0.25
    delays = np.arange(-100, 101)
    peak = find_peak(values, delays)
    height, lead = np.log(9), np.log(9) + np.log(3)
    for rule in (RULE, DecisionRule(-9.0, 1.0, 2.0, 0.5, 0.3), DecisionRule(-7.0, 3.0, -1.0, 0.0, 0.3)):
        z = rule.constant + rule.height * height + rule.lead * lead - rule.reach * np.log(1.0)
        assert certainty(values, peak, delays, rule) == pytest.approx(1 / (1 + np.exp(-z)), rel=0.01)


def test_certainty_grows_with_height_and_lead():
    assert two_peaks(-1, -2) < two_peaks(0, -2) < two_peaks(0, -3) <= 1
    assert 0 <= two_peaks(-4, -4.1) < 0.01 and two_peaks(2, -3) > 0.99
    clear, faint, flat = (certainty_of(speech(0.1, high=high)) for high in (3.0, -2.5, -5.0))
    assert flat < faint < RULE.min_certainty < clear


def test_a_wider_range_costs_certainty():
    """More delays are more chances of a wrong one."""
    near, far = two_peaks(-1.0, -1.4), two_peaks(-1.0, -1.4, reach=1000)
    assert far < near
    centred = delay_grid(0.6, 5.0)
    values = np.full(121, 0.1)
    values[60] = 0.5
    same = certainty(values, find_peak(values, centred), centred, RULE)
    assert same == certainty(values, find_peak(values, centred - 500), centred - 500, RULE), "what counts is how many, not where"


def test_a_high_peak_without_a_lead_is_no_answer():
    assert two_peaks(3, 2.95) < RULE.min_certainty < 0.9 < two_peaks(3, 2)
    one, two = speech(0.3), speech(-0.3)
    d = judge(changed(one, probability=np.maximum(one.probability, two.probability)))
    assert d.verdict == "undecided" and any("no clear best offset" in reason for reason in d.reasons)


def noise(segments, bias, seconds=6.0):
    """Segments of a voice that fits nobody; blocks of 5 windows agree, as overlapping windows do. One delay is a little better."""
    delays = np.arange(-60, 61)
    for number in range(segments):
        rng = np.random.default_rng(number)
        odds = np.repeat(rng.normal(-2.5, 2.0, (round(seconds * 5), 121)), 5, axis=0)
        yield make_scores(odds + bias * np.exp(-((delays - 30) ** 2) / 50), delays, start_s=60.0 * number)


def test_certainty_of_a_weak_preference_does_not_grow_with_length():
    few, many = judge(*noise(5, 0.6)), judge(*noise(50, 0.6))
    for d in (few, many):
        assert d.verdict == "undecided", d
    assert many.best_s == pytest.approx(0.3, abs=0.03), "the preference is there"
    assert many.certainty < 0.3


def test_certainty_does_not_depend_on_the_length_of_clear_speech():
    """But a second of it is not enough."""
    one, eight, sixty = (certainty_of(speech(0.1, seconds=seconds, high=-1.5)) for seconds in (0.8, 8, 60))
    assert one < eight and abs(sixty - eight) < 0.05


def test_one_agreeing_segment_of_fifty_is_not_enough():
    """Fifty samples of wrong audio are fifty chances of a lucky one."""
    rng = np.random.default_rng(1)
    wrong = [speech(rng.uniform(-0.55, 0.55), seconds=6, start_s=60 * i, seed=i, high=-0.5) for i in range(49)]
    lucky = speech(0.3, seconds=6, start_s=60.0 * 49, seed=49)
    alone = judge(lucky)
    assert alone.verdict == "out_of_sync"
    d = judge(*wrong, lucky)
    assert d.verdict == "undecided" and (d.certainty is None or d.certainty < 0.3)


def test_voice_over_for_half_of_the_time_does_not_lower_the_certainty_much():
    speaker, both = sampled(0.2, 5, high=-0.5), sampled(0.2, 5, high=-0.5) + sampled(None, 5)
    assert certainty_of(*both) == pytest.approx(certainty_of(*speaker), abs=0.03)
    d = judge(*both)
    assert d.verdict == "out_of_sync" and d.delay_s == pytest.approx(0.2, abs=0.01)


def test_speech_seconds_count_speech_with_a_face_at_the_chosen_delay():
    scores = speech(0.0, seconds=4)
    p = scores.probability.copy()
    p[:25] = np.nan
    assert speech_seconds(changed(scores, probability=p, activity=0.5), 60) == pytest.approx(1.5)
    late = speech(0.0, seconds=4, activity=lambda t: t >= 2 - 1e-9)
    assert speech_seconds(late, 60) == pytest.approx(2.0)
    assert speech_seconds(late, 110) == pytest.approx(2.5, abs=0.03) and speech_seconds(late, 10) == pytest.approx(1.5, abs=0.03)


def test_uncertainty_grows_with_noise_and_is_repeatable():
    clear, noisy = speech(0.1), speech(0.1, noise=12.0, high=-1.0, seconds=3)
    assert uncertainty(clear) == uncertainty(clear)
    assert DecideConfig.uncertainty_floor_s <= uncertainty(clear) < uncertainty(noisy)
    exact = replace(DecideConfig(), uncertainty_floor_s=0.0)
    assert 0.005 <= uncertainty(clear, exact) < 0.01


def test_uncertainty_shrinks_with_length():
    exact = replace(DecideConfig(), uncertainty_floor_s=0.0)
    short, long = (uncertainty(speech(0.1, seconds=seconds, noise=8.0, high=-1.0), exact) for seconds in (16, 128))
    assert long - 0.005 < 0.5 * (short - 0.005), "half a step of the grid always remains"
