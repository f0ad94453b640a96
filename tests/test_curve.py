"""Scores of frames and shifts, the smoothed curve and its peak."""

import numpy as np
import pytest

from resync import curve as curves
from resync.config import CurveConfig
from resync.curve import Scores, at_delay, curve, delay_grid, frame_hops, log_odds, pair_cosines, peak, speech_weight

RNG = np.random.default_rng


def bump(delay_hops, frames=50, reach=60, low=-4.0, high=3.0, width=4.0):
    """Scores whose log-odds have a bump at a delay (may lie between hops)."""
    delays = np.arange(-reach, reach + 1)
    odds = low + (high - low) * np.exp(-((delays - delay_hops) ** 2) / (2 * width**2))
    p = np.repeat(1 / (1 + np.exp(-odds))[None], frames, 0).astype(np.float32)
    return Scores(p, delays, np.arange(frames) / 25, np.ones(frames))


def with_(scores, **changes):
    return Scores(**{name: getattr(scores, name) for name in ("probability", "delays", "time_s", "weight")} | changes)


def test_delay_grid():
    assert delay_grid(0.6).tolist() == list(range(-60, 61))
    assert len(delay_grid(10)) == 2001 and delay_grid(0.29)[-1] == 29


def test_sound_later_by_80_ms_gives_plus_8_hops():
    source = RNG(0).normal(size=(400, 16))
    source /= np.linalg.norm(source, axis=1, keepdims=True)
    first = frame_hops(np.arange(20, 60))
    assert first[:3].tolist() == [80, 84, 88]
    mouth = source[first]  # what is said at the time of each picture
    late = np.concatenate([RNG(1).normal(size=(8, 16)), source])[:400]  # heard 8 hops later
    cosine = pair_cosines(mouth, late, first, delay_grid(0.2))
    assert cosine.shape == (40, 41) and (cosine.argmax(1) - 20 == 8).all()
    assert np.allclose(cosine.max(1), 1, atol=1e-5)


def test_cosines_are_nan_outside_the_sound():
    mouth, sound = np.eye(3, 4), np.eye(10, 4)
    first, delays = np.array([0, 4, 8]), np.array([-5, 0, 5])
    cosine = pair_cosines(mouth, sound, first, delays)
    assert np.isnan(cosine).tolist() == [[True, False, False], [True, False, False], [False, False, True]]
    assert cosine[0, 1] == 1  # mouth 0 . sound 0
    assert cosine[2, 0] == mouth[2] @ sound[3]
    assert np.isnan(pair_cosines(mouth, np.empty((0, 4)), first, delays)).all()
    assert pair_cosines(np.empty((0, 4)), sound, np.empty(0, int), delays).shape == (0, 3)
    assert np.isnan(pair_cosines(mouth, sound, first + 1000, delays)).all()


@pytest.mark.parametrize("delay", [-37.0, -12.4, 0.0, 0.25, 8.5, 23.7])
def test_a_shifted_curve_has_a_shifted_peak(delay):
    scores = bump(delay)
    found = peak(curve(scores), scores.delays)
    assert found.delay_s == pytest.approx(delay / 100, abs=0.0015)
    assert found.index == round(delay) + 60 or abs(delay % 1 - 0.5) < 1e-9


def test_parabola_is_exact_for_a_parabola():
    delays = np.arange(-10, 11)
    assert peak(1 - 0.001 * (delays - 3.3) ** 2, delays).delay_s == pytest.approx(0.033)


def test_peak_on_the_edge_and_flat():
    delays = np.arange(-10, 11)
    assert peak(delays / 20 + 0.5, delays).delay_s == pytest.approx(0.1)
    assert peak(-delays / 20 + 0.5, delays).delay_s == pytest.approx(-0.1)
    flat = peak(np.full(21, 0.3), delays)
    assert np.isfinite(flat.delay_s) and flat.height == pytest.approx(0.3) == flat.runner_up


def test_runner_up_is_elsewhere():
    delays = np.arange(-60, 61)
    values = 0.1 + 0.8 * np.exp(-(delays**2) / 50) + 0.4 * np.exp(-((delays - 40) ** 2) / 50)
    found = peak(values, delays)
    assert found.delay_s == pytest.approx(0, abs=1e-3) and found.height == pytest.approx(0.9, abs=0.01)
    assert found.runner_up == pytest.approx(0.5, abs=0.01)
    assert peak(values[55:66], delays[55:66]).runner_up == 0  # nothing is that far away


def test_curve_is_a_probability_and_of_mean_log_odds():
    scores = bump(10)
    values = curve(scores, CurveConfig(smooth_hops=0.01))
    assert np.allclose(values, scores.probability[0], atol=1e-4)
    mixed = with_(scores, probability=np.concatenate([np.full((25, 121), 0.9), np.full((25, 121), 0.1)]).astype(np.float32))
    assert np.allclose(curve(mixed), 0.5, atol=1e-4)
    sure = with_(scores, probability=np.where(np.arange(121) == 60, 1.0, 0.0) * np.ones((50, 1)))
    assert np.isfinite(curve(sure)).all() and curve(sure).argmax() == 60


def test_smoothing_takes_a_lone_spike_down():
    scores = bump(0, low=-3, high=-3)
    p = scores.probability.copy()
    p[:, 90] = 0.3
    assert curve(with_(scores, probability=p)).max() < 0.15


def test_frames_vote_with_their_weight():
    right, wrong = bump(20), bump(-20, frames=150)
    both = Scores.join([right, wrong])
    assert both.probability.shape == (200, 121) and len(both.time_s) == len(both.weight) == 200
    assert peak(curve(both), both.delays).delay_s == pytest.approx(-0.2, abs=0.01)
    silent = with_(both, weight=np.r_[np.ones(50), np.zeros(150)])
    assert peak(curve(silent), both.delays).delay_s == pytest.approx(0.2, abs=0.002)


def test_frames_without_a_face_do_not_vote():
    scores = bump(20, frames=60)
    p = scores.probability.copy()
    p[10:40] = np.nan
    assert np.allclose(curve(with_(scores, probability=p)), curve(scores), atol=1e-5)


def test_no_vote_no_curve():
    scores = bump(0)
    assert np.isnan(curve(with_(scores, weight=np.zeros(50)))).all()
    assert np.isnan(curve(with_(scores, probability=np.full((50, 121), np.nan, np.float32)))).all()
    empty = Scores(np.empty((0, 121), np.float32), scores.delays, np.empty(0), np.empty(0))
    assert np.isnan(curve(empty)).all()


def test_delays_few_frames_could_try_do_not_win():
    scores = bump(0, high=0.0)
    p = scores.probability.copy()
    p[:, 100:] = np.nan
    p[:3, 100:] = 0.999  # three frames whose sound reaches that far
    found = peak(curve(with_(scores, probability=p)), scores.delays)
    assert found.delay_s == pytest.approx(0, abs=0.005)


def test_log_odds():
    assert np.allclose(log_odds(np.array([0.5, 0.9])), [0, np.log(9)])
    assert np.isfinite(log_odds(np.array([0.0, 1.0], np.float32))).all() and np.isnan(log_odds(np.array([np.nan])))[0]


def test_at_delay():
    p = np.full((100, 21), 0.1, np.float32)
    p[:50, 15] = 0.9  # in sync at +5 hops, in the first half only
    p[80:, :] = np.nan
    scores = Scores(p, np.arange(-10, 11), np.arange(100) / 25, np.ones(100))
    found = at_delay(scores, 0.052, CurveConfig(smooth_frames=11))
    assert np.allclose(found[:44], 0.9, atol=1e-5) and np.allclose(found[56:80], 0.1, atol=1e-5)
    assert np.isnan(found[80:]).all() and (np.diff(found[44:56]) < 0).all()
    assert np.allclose(at_delay(scores, -0.05)[:80], 0.1, atol=1e-5)


def test_speech_weight():
    speech = np.r_[np.zeros(20, bool), np.ones(20, bool)]
    assert np.allclose(speech_weight(speech, np.array([0, 10, 15, 20, 30, 40, -10, -50]), 20), [0, 0.5, 0.75, 1, 0.5, 0, 0, 0])


def test_a_face_that_fits_later_is_not_smoothed_over_shifts_only():
    one = bump(20, frames=1)
    assert at_delay(one, 0.2)[0] == pytest.approx(float(one.probability.max()), abs=1e-5)
    assert curves.HOP_S == 0.01
