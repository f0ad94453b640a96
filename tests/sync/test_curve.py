"""Scores of windows and delays, the smoothed curve and its peak."""

import numpy as np
import pytest

from resync.config import HOP_S, CurveConfig
from resync.sync.activity import activity_share
from resync.sync.curve import Scores, delay_grid, find_peak, frame_to_hop, log_odds, pair_cosines, probability_at, probability_curve

RNG = np.random.default_rng


def bump(delay_hops, frames=50, reach=60, low=-4.0, high=3.0, width=4.0):
    """Scores whose log-odds have a bump at a delay (may lie between hops)."""
    delays = np.arange(-reach, reach + 1)
    odds = low + (high - low) * np.exp(-((delays - delay_hops) ** 2) / (2 * width**2))
    p = np.repeat(1 / (1 + np.exp(-odds))[None], frames, 0).astype(np.float32)
    return Scores(p, delays, np.arange(frames) / 25, np.ones(frames))


def changed(scores, **changes):
    return Scores(**{name: getattr(scores, name) for name in ("probability", "delays", "time_s", "weight")} | changes)


def test_delay_grid():
    assert delay_grid(0.6).tolist() == list(range(-60, 61))
    assert len(delay_grid(10)) == 2001 and delay_grid(0.29)[-1] == 29


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
    values = probability_curve(scores, CurveConfig(smooth_hops=0.01))
    assert np.allclose(values, scores.probability[0], atol=1e-4)
    mixed = changed(scores, probability=np.concatenate([np.full((25, 121), 0.9), np.full((25, 121), 0.1)]).astype(np.float32))
    assert np.allclose(probability_curve(mixed), 0.5, atol=1e-4)
    extreme = changed(scores, probability=np.where(np.arange(121) == 60, 1.0, 0.0) * np.ones((50, 1)))
    assert np.isfinite(probability_curve(extreme)).all() and probability_curve(extreme).argmax() == 60


def test_smoothing_suppresses_a_lone_spike():
    scores = bump(0, low=-3, high=-3)
    p = scores.probability.copy()
    p[:, 90] = 0.3
    assert probability_curve(changed(scores, probability=p)).max() < 0.15


def test_windows_count_by_their_weight():
    right, wrong = bump(20), bump(-20, frames=150)
    both = Scores.join([right, wrong])
    assert both.probability.shape == (200, 121) and len(both.time_s) == len(both.weight) == 200
    assert find_peak(probability_curve(both), both.delays).delay_s == pytest.approx(-0.2, abs=0.01)
    silent = changed(both, weight=np.r_[np.ones(50), np.zeros(150)])
    assert find_peak(probability_curve(silent), both.delays).delay_s == pytest.approx(0.2, abs=0.002)


def test_windows_without_a_face_do_not_count():
    scores = bump(20, frames=60)
    p = scores.probability.copy()
    p[10:40] = np.nan
    assert np.allclose(probability_curve(changed(scores, probability=p)), probability_curve(scores), atol=1e-5)


def test_no_weight_no_curve():
    scores = bump(0)
    assert np.isnan(probability_curve(changed(scores, weight=np.zeros(50)))).all()
    assert np.isnan(probability_curve(changed(scores, probability=np.full((50, 121), np.nan, np.float32)))).all()
    empty = Scores(np.empty((0, 121), np.float32), scores.delays, np.empty(0), np.empty(0))
    assert np.isnan(probability_curve(empty)).all()


def test_delays_that_few_windows_could_test_do_not_win():
    scores = bump(0, high=0.0)
    p = scores.probability.copy()
    p[:, 100:] = np.nan
    p[:3, 100:] = 0.999  # three windows whose audio reaches that far
    top = find_peak(probability_curve(changed(scores, probability=p)), scores.delays)
    assert top.delay_s == pytest.approx(0, abs=0.005)


def test_log_odds():
    assert np.allclose(log_odds(np.array([0.5, 0.9])), [0, np.log(9)])
    assert np.isfinite(log_odds(np.array([0.0, 1.0], np.float32))).all() and np.isnan(log_odds(np.array([np.nan])))[0]


def test_probability_at_a_delay():
    p = np.full((100, 21), 0.1, np.float32)
    p[:50, 15] = 0.9  # in sync at +5 hops, in the first half only
    p[80:, :] = np.nan
    scores = Scores(p, np.arange(-10, 11), np.arange(100) / 25, np.ones(100))
    smoothed = probability_at(scores, 15, CurveConfig(smooth_frames=11))
    assert np.allclose(smoothed[:44], 0.9, atol=1e-5) and np.allclose(smoothed[56:80], 0.1, atol=1e-5)
    assert np.isnan(smoothed[80:]).all() and (np.diff(smoothed[44:56]) < 0).all()
    assert np.allclose(probability_at(scores, 5)[:80], 0.1, atol=1e-5)


def test_activity_share():
    active = np.r_[np.zeros(20, bool), np.ones(20, bool)]
    assert np.allclose(activity_share(active, np.array([0, 10, 15, 20, 30, 40, -10, -50]), 20), [0, 0.5, 0.75, 1, 0.5, 0, 0, 0])


def test_a_single_window_is_not_smoothed_over_time():
    one = bump(20, frames=1)
    assert probability_at(one, 80)[0] == pytest.approx(float(one.probability.max()), abs=1e-5)
    assert HOP_S == 0.01
