"""Scores of windows and delays, the smoothed curve and its peak."""

from dataclasses import replace

import numpy as np
import pytest
from sync_helpers import changed, make_scores

from resync.config import FPS, HOP_S, CurveConfig
from resync.sync.activity import activity_share
from resync.sync.curve import (
    Scores,
    delay_grid,
    find_peak,
    frame_to_hop,
    has_face,
    log_odds,
    mean_curve,
    pair_cosines,
    probability_at,
    probability_curve,
    speech_at,
    voted_log_odds,
    weighted_log_odds,
)

RNG = np.random.default_rng
FIRM = CurveConfig(prior_windows=0.0)  # plain means


def bump(delay_hops, frames=50, reach=60, low=-4.0, high=3.0, width=4.0):
    """Scores whose log-odds have a bump at a delay (may lie between hops)."""
    delays = np.arange(-reach, reach + 1)
    odds = low + (high - low) * np.exp(-((delays - delay_hops) ** 2) / (2 * width**2))
    return make_scores(np.repeat(odds[None], frames, 0), delays)


def flat(odds, frames, reach=60, **audio):
    """Scores with the same log-odds for all windows and delays."""
    return make_scores(np.full((frames, 2 * reach + 1), odds), np.arange(-reach, reach + 1), **audio)


def peak_of(scores, config=CurveConfig()):
    return find_peak(probability_curve(scores, config), scores.delays)


def test_delay_grid():
    assert delay_grid(0.6).tolist() == list(range(-60, 61))
    assert len(delay_grid(10)) == 2001 and delay_grid(0.29)[-1] == 29
    assert delay_grid(0.02, -2.5).tolist() == [-252, -251, -250, -249, -248]


def test_delays_need_not_be_symmetric():
    delays = delay_grid(0.6, 2.5)
    scores = make_scores(np.repeat(-4 + 7 * np.exp(-((delays - 243.0) ** 2) / 32)[None], 50, 0), delays)
    assert peak_of(scores).delay_s == pytest.approx(2.43, abs=0.0015)


def test_audio_late_by_80_ms_gives_plus_8_hops():
    source = RNG(0).normal(size=(400, 16))
    source /= np.linalg.norm(source, axis=1, keepdims=True)
    first = frame_to_hop(np.arange(20, 60))
    assert first[:3].tolist() == [80, 84, 88]
    mouth = source[first]  # in sync with each frame
    late = np.concatenate([RNG(1).normal(size=(8, 16)), source])[:400]  # 8 hops late
    cosine = pair_cosines(mouth, late, first, delay_grid(0.2))
    assert cosine.shape == (40, 41) and (cosine.argmax(1) - 20 == 8).all()
    assert np.allclose(cosine.max(1), 1, atol=1e-5)


def test_cosines_are_nan_outside_the_audio():
    mouth, audio = np.eye(3, 4), np.eye(10, 4)
    first, delays = np.array([0, 4, 8]), np.array([-5, 0, 5])
    cosine = pair_cosines(mouth, audio, first, delays)
    assert np.isnan(cosine).tolist() == [[True, False, False], [True, False, False], [False, False, True]]
    assert cosine[0, 1] == 1  # mouth 0 . audio 0
    assert cosine[2, 0] == mouth[2] @ audio[3]
    assert np.isnan(pair_cosines(mouth, np.empty((0, 4)), first, delays)).all()
    assert pair_cosines(np.empty((0, 4)), audio, np.empty(0, int), delays).shape == (0, 3)
    assert np.isnan(pair_cosines(mouth, audio, first + 1000, delays)).all()


@pytest.mark.parametrize("delay", [-37.0, -12.4, 0.0, 0.25, 8.5, 23.7])
def test_a_shifted_curve_has_a_shifted_peak(delay):
    scores = bump(delay)
    top = find_peak(probability_curve(scores), scores.delays)
    assert top.delay_s == pytest.approx(delay / 100, abs=0.0015)
    assert top.index == round(delay) + 60 or abs(delay % 1 - 0.5) < 1e-9


def test_parabola_is_exact_for_a_parabola():
    delays = np.arange(-10, 11)
    assert find_peak(1 - 0.001 * (delays - 3.3) ** 2, delays).delay_s == pytest.approx(0.033)


def test_peak_on_the_edge_and_flat():
    delays = np.arange(-10, 11)
    assert find_peak(delays / 20 + 0.5, delays).delay_s == pytest.approx(0.1)
    assert find_peak(-delays / 20 + 0.5, delays).delay_s == pytest.approx(-0.1)
    flat = find_peak(np.full(21, 0.3), delays)
    assert np.isfinite(flat.delay_s) and flat.height == pytest.approx(0.3) == flat.runner_up


def test_runner_up_is_elsewhere():
    delays = np.arange(-60, 61)
    values = 0.1 + 0.8 * np.exp(-(delays**2) / 50) + 0.4 * np.exp(-((delays - 40) ** 2) / 50)
    top = find_peak(values, delays)
    assert top.delay_s == pytest.approx(0, abs=1e-3) and top.height == pytest.approx(0.9, abs=0.01)
    assert top.runner_up == pytest.approx(0.5, abs=0.01)
    assert find_peak(values[55:66], delays[55:66]).runner_up == 0  # nothing is that far away


def test_curve_is_a_probability_and_of_mean_log_odds():
    scores = bump(10)
    values = probability_curve(scores, replace(FIRM, smooth_hops=0.01))
    assert np.allclose(values, scores.probability[0], atol=1e-4)
    mixed = changed(scores, probability=np.where(np.arange(50)[:, None] % 2, 0.9, 0.1) * np.ones((50, 121), np.float32))
    assert np.allclose(probability_curve(mixed, FIRM), 0.5, atol=1e-4)
    extreme = changed(scores, probability=np.where(np.arange(121) == 60, 1.0, 0.0) * np.ones((50, 1)))
    assert np.isfinite(probability_curve(extreme)).all() and probability_curve(extreme).argmax() == 60


def test_smoothing_suppresses_a_lone_spike():
    scores = bump(0, low=-3, high=-3)
    p = scores.probability.copy()
    p[:, 90] = 0.3
    assert probability_curve(changed(scores, probability=p)).max() < 0.15


# --- what counts, and how much ---------------------------------------------------------------------


def test_speech_counts_in_full_pauses_half_and_digital_silence_not_at_all():
    for activity, audible, weight in ((1, 1, 1.0), (0.5, 1, 0.75), (0, 1, 0.5), (0, 0.5, 0.25), (0, 0, 0.0)):
        scores = flat(-2.0, 50, activity=activity, audible=audible)
        odds, total = weighted_log_odds(scores)
        assert (scores.weight == weight).all() and (scores.speech == activity).all()
        assert np.allclose(total, 25 * weight) and np.allclose(odds, -50 * weight, atol=1e-3)


def test_audio_is_weighed_at_the_tested_delay():
    """The audio is active from 1 s to 2 s: that is what each window is compared with at the delay that leads there."""
    scores = flat(0.0, 75, activity=lambda t: 1 <= t < 2 - 1e-9, audible=lambda t: 1 <= t < 2 - 1e-9)
    for delay_hops in (-40, 0, 40):
        heard = scores.time_s + delay_hops * HOP_S
        expected = (heard > 1 - 1e-6) & (heard < 2 - 1e-6)
        assert expected.sum() == 25 and (speech_at(scores, delay_hops + 60) == expected).all()
        assert (scores.weight[:, delay_hops + 60] == expected).all()


@pytest.mark.parametrize("late_s", [2.0, -2.4])
def test_sentence_far_from_its_lips_is_found_and_silence_does_not_vote(late_s):
    """Lips move from 3 to 4.4 s, their audio comes seconds later or earlier; whatever is compared with silence looks perfect."""
    spoken = lambda t: 3 <= t < 4.4  # noqa: E731
    heard = lambda t: float(spoken(t - late_s))  # noqa: E731
    delays, times = delay_grid(3.0), np.arange(200) / FPS
    odds = np.full((200, len(delays)), 6.0)
    against_speech = np.vectorize(heard)(times[:, None] + delays * HOP_S) > 0
    odds[against_speech] = -5.0
    fits = np.exp(-((delays - 100 * late_s) ** 2) / 32) * np.vectorize(spoken)(times)[:, None]
    odds = np.where(against_speech, odds + 8 * fits, odds)
    top = peak_of(make_scores(odds, delays, activity=heard, audible=heard))
    assert top.delay_s == pytest.approx(late_s, abs=0.01) and top.runner_up < 0.1
    assert top.height > 0.5


def test_rows_of_a_segment_keep_their_audio():
    scores = flat(0.0, 40, activity=lambda t: (round(100 * t) % 7) / 7, audible=lambda t: (round(100 * t) % 11) / 11)
    some = scores.rows(10, 30)
    assert (some.time_s == scores.time_s[10:30]).all() and some.probability.shape == (20, 121)
    assert (some.speech == scores.speech[10:30]).all() and (some.weight == scores.weight[10:30]).all()


def test_joined_scores_vote_by_their_windows():
    right, wrong = bump(20), bump(-20, frames=150)
    both = Scores.join([right, Scores.join([wrong])])
    assert len(both.segments) == 2 and len(both.time_s) == 200 and (both.delays == right.delays).all()
    assert peak_of(both).delay_s == pytest.approx(-0.2, abs=0.01)
    silent = Scores.join([right, changed(wrong, activity=0.0, audible=0.0)])
    assert peak_of(silent).delay_s == pytest.approx(0.2, abs=0.002)
    pausing = Scores.join([right, changed(bump(-20, frames=90), activity=0.0)])
    assert peak_of(pausing).delay_s == pytest.approx(0.2, abs=0.01), "90 pauses count less than 50 windows of speech"


def test_windows_without_a_face_do_not_count():
    scores = bump(20, frames=60)
    p = scores.probability.copy()
    p[10:40] = np.nan
    gap = changed(scores, probability=p)
    assert np.allclose(probability_curve(gap, FIRM), probability_curve(scores, FIRM), atol=1e-3)
    assert has_face(gap).tolist() == [True] * 10 + [False] * 30 + [True] * 20


def test_no_weight_no_curve():
    scores = bump(0)
    assert np.isnan(probability_curve(changed(scores, activity=0.0, audible=0.0))).all()
    assert np.isnan(probability_curve(changed(scores, probability=np.full((50, 121), np.nan, np.float32)))).all()
    empty = Scores(np.empty((0, 121), np.float32), scores.delays, np.empty(0), np.empty(0), np.empty(0))
    assert np.isnan(probability_curve(empty)).all() and empty.weight.shape == (0, 121)
    assert np.allclose(probability_curve(Scores.join([empty, scores])), probability_curve(scores))


def test_delays_that_few_windows_could_test_do_not_win():
    scores = bump(0, high=0.0)
    p = scores.probability.copy()
    p[:, 100:] = np.nan
    p[:3, 100:] = 0.999  # three windows whose audio reaches that far
    assert peak_of(changed(scores, probability=p)).delay_s == pytest.approx(0, abs=0.005)
    p[:10, 100:] = 0.999  # still fewer than the share of all that is needed
    assert peak_of(changed(scores, probability=p)).delay_s == pytest.approx(0, abs=0.005)


def test_few_windows_must_be_better_than_many():
    config = CurveConfig(smooth_hops=0.01)
    few, many = (mean_curve(np.array([n * 1.0, -500.0]), np.array([n, 100.0]), config)[0] for n in (40.0, 100.0))
    assert few < many < 1 / (1 + np.exp(-1))
    assert probability_curve(bump(0, frames=3)).max() < 0.2 < 0.8 < probability_curve(bump(0, frames=100)).max()


def test_time_in_which_no_delay_fits_abstains():
    """A voice-over for half of the time does not dilute the speaker."""
    speaker, nobody = bump(20, frames=200), flat(-5.0, 200)
    alone, both = peak_of(speaker), peak_of(Scores.join([speaker, nobody]))
    assert both.delay_s == pytest.approx(0.2, abs=0.002) and both.height == pytest.approx(alone.height, abs=0.02)
    odds, weight = voted_log_odds(Scores.join([speaker, nobody]))
    assert weight[:8].min() > 0.95 * 25 and weight[8:].max() < 0.1
    assert odds.shape == (16, 121)


def test_time_in_which_another_delay_fits_does_vote():
    alone, both = peak_of(bump(20, frames=200)), peak_of(Scores.join([bump(20, frames=200), bump(-30, frames=100)]))
    assert both.delay_s == pytest.approx(0.2, abs=0.002)
    assert both.height < alone.height - 0.2 and both.runner_up_s == pytest.approx(-0.3, abs=0.02)


def test_two_seconds_vote_together_and_no_group_spans_two_segments():
    one = np.vstack([bump(20, frames=25, high=5.0).probability, flat(-5.0, 25).probability])
    within = make_scores(log_odds(one), np.arange(-60, 61))
    _, weight = voted_log_odds(within)
    assert weight[0, 0] == pytest.approx(weight[1, 0]) and weight[0, 0] > 5, "a second without a fitting delay beside one with"
    _, apart = voted_log_odds(Scores.join([within.rows(0, 25), within.rows(25, 50)]))
    assert apart[0, 0] > 10 * apart[1, 0]


# --- one delay -------------------------------------------------------------------------------------


def test_log_odds():
    assert np.allclose(log_odds(np.array([0.5, 0.9])), [0, np.log(9)])
    assert np.isfinite(log_odds(np.array([0.0, 1.0], np.float32))).all() and np.isnan(log_odds(np.array([np.nan])))[0]


def test_probability_at_a_delay():
    p = np.full((100, 21), 0.1, np.float32)
    p[:50, 15] = 0.9  # in sync at +5 hops, in the first half only
    p[80:, :] = np.nan
    scores = Scores(p, np.arange(-10, 11), np.arange(100) / 25, np.ones(417), np.ones(417))
    smoothed = probability_at(scores, 15, CurveConfig(smooth_frames=11))
    assert np.allclose(smoothed[:44], 0.9, atol=1e-5) and np.allclose(smoothed[56:80], 0.1, atol=1e-5)
    assert np.isnan(smoothed[80:]).all() and (np.diff(smoothed[44:56]) < 0).all()
    assert np.allclose(probability_at(scores, 5)[:80], 0.1, atol=1e-5)
    changing = np.where(np.arange(100) < 50, 15, 5)
    two = Scores.join([scores.rows(0, 30), scores.rows(30, 100)])
    assert np.allclose(probability_at(two, changing, CurveConfig(smooth_frames=11)), smoothed, atol=1e-5, equal_nan=True)


def test_activity_share():
    active = np.r_[np.zeros(20, bool), np.ones(20, bool)]
    assert np.allclose(activity_share(active, np.array([0, 10, 15, 20, 30, 40, -10, -50]), 20), [0, 0.5, 0.75, 1, 0.5, 0, 0, 0])


def test_a_single_window_is_not_smoothed_over_time():
    one = bump(20, frames=1)
    assert probability_at(one, 80)[0] == pytest.approx(float(one.probability.max()), abs=1e-5)
    assert HOP_S == 0.01
