"""The line through a drifting delay, the interval of its slope, and frame-rate ratios by name."""

from fractions import Fraction

import numpy as np
import pytest
from scipy.stats import theilslopes

from resync.config import HOPS_PER_FRAME
from resync.sync.curve import Scores
from resync.sync.drift import RATIOS, blocks_of, find_ratio, fit_drift, named_ratio, theil_sen, visible_s


def points(slope, count=12, span_s=600.0, noise_s=0.006, start_s=0.1, seed=0):
    rng = np.random.default_rng(seed)
    times = np.linspace(0, span_s, count)
    return times, start_s + slope * times + rng.normal(0, noise_s, count)


def drifting(slope, seconds, start_s=0.0, reach=150, seed=0, on_screen=1.0):
    """Scores of a video whose delay is start_s + slope t; beyond the range nothing matches. on_screen: share of seconds with a speaker."""
    rng = np.random.default_rng(seed)
    delays, time_s = np.arange(-reach, reach + 1), np.arange(round(25 * seconds)) / 25
    at = 100 * (start_s + slope * (time_s + 0.1))
    visible = np.repeat(rng.random(round(seconds)) < on_screen, 25)[:, None]
    odds = -2.5 + 4 * visible * np.exp(-((delays - at[:, None]) ** 2) / (2 * 4.0**2))
    odds += 2.0 * np.repeat(rng.normal(0, 1, (len(time_s) // 5 + 1, len(delays))), 5, axis=0)[: len(time_s)]
    activity = np.ones(HOPS_PER_FRAME * (len(time_s) - 1) + len(delays))
    return Scores((1 / (1 + np.exp(-odds))).astype(np.float32), delays, time_s, activity, activity)


@pytest.mark.parametrize("slope", [0.0, 2e-4, -5e-4])
@pytest.mark.parametrize("count", [5, 12, 50])
def test_the_interval_holds_the_slope(slope, count):
    found = [fit_drift(*points(slope, count, seed=seed)) for seed in range(20)]
    assert sum(drift.low <= slope <= drift.high for drift in found) >= 17
    assert all(drift.low <= drift.slope <= drift.high for drift in found)
    assert np.median([drift.high - drift.low for drift in found]) < 2 * 0.06 / 600
    assert not any(drift.ratio for drift in found)


def test_more_segments_give_a_narrower_interval_but_never_none():
    few, many, exact = (fit_drift(*points(1e-4, count, noise_s=noise)) for count, noise in ((5, 0.01), (50, 0.01), (50, 0.0)))
    assert few.high - few.low > many.high - many.low >= exact.high - exact.low > 0.04 / 600


@pytest.mark.parametrize("count", [3, 4, 12, 37])
def test_the_line_is_that_of_scipy(count):
    times, delays = points(3e-4, count=count, noise_s=0.03)
    assert np.allclose(theil_sen(times, delays), theilslopes(delays, times, alpha=0.9), rtol=1e-9)


def test_outliers_do_not_bend_the_line():
    times, delays = points(3e-4, 20)
    delays[[3, 9, 15]] += [0.5, -0.8, 0.3]
    assert fit_drift(times, delays).slope == pytest.approx(3e-4, abs=4e-5)


def test_no_line_without_a_good_fit_or_with_few_delays():
    times, delays = points(0.0)
    assert fit_drift(times[:4], delays[:4]) is None
    assert fit_drift(times, np.where(times > 300, delays + 0.4, delays)) is None
    assert fit_drift(np.zeros(6), np.zeros(6)) is None


@pytest.mark.parametrize("ratio", RATIOS, ids=lambda ratio: ratio.name)
def test_a_line_with_the_slope_of_a_ratio_has_its_name_and_exactly_its_slope(ratio):
    drift = fit_drift(*points(ratio.slope, span_s=200))
    assert drift.ratio == ratio and drift.slope == ratio.slope
    assert drift.at(100) == pytest.approx(0.1 + 100 * ratio.slope, abs=0.005)


def test_names_and_tempo():
    """The audio is played `tempo` times as fast to be in sync: a delay that grows means audio that is too slow."""
    by_name = {ratio.name: ratio.tempo for ratio in RATIOS}
    assert by_name == {
        "25/24": Fraction(25, 24),
        "24/25": Fraction(24, 25),
        "1001/1000": Fraction(1001, 1000),
        "1000/1001": Fraction(1000, 1001),
        "25/23.976": 25 / Fraction(24000, 1001),
        "23.976/25": Fraction(24000, 1001) / 25,
    }
    assert all(ratio.slope > 0 for ratio in RATIOS if ratio.tempo > 1)


@pytest.mark.parametrize(("low", "high"), [(-2e-4, 1.2e-3), (0.0400, 0.0430), (4e-4, 8e-4), (1e-4, 2.2e-3)])
def test_no_name_where_another_or_none_is_possible(low, high):
    assert named_ratio(low, high) is None


@pytest.mark.parametrize("ratio", RATIOS, ids=lambda ratio: ratio.name)
def test_a_ratio_is_found_on_the_windows(ratio):
    seconds, start_s = (60, -1.2 * np.sign(ratio.slope)) if abs(ratio.slope) > 0.01 else (90, 0.0)
    drift = find_ratio(drifting(ratio.slope, seconds, start_s))
    assert drift.ratio == ratio
    assert drift.start_s == pytest.approx(start_s, abs=0.02)
    assert drift.low <= ratio.slope <= drift.high


def test_a_steep_drift_over_a_short_time_has_a_slope_but_no_name():
    """25/24 and 25/23.976 differ by 20 ms after 20 s."""
    drift = find_ratio(drifting(1 / 24, 22, -0.5))
    assert drift.ratio is None and drift.slope == pytest.approx(1 / 24, abs=1e-3)


def test_a_delay_that_soon_leaves_the_range_is_left_to_a_wider_one():
    assert find_ratio(drifting(1 / 24, 90, 0.5, reach=100)) is None


@pytest.mark.parametrize("seed", range(3))
def test_no_ratio_without_a_drift(seed):
    assert find_ratio(drifting(0.0, 60, 0.2, seed=seed)) is None
    assert find_ratio(drifting(3e-4, 60, 0.2, seed=seed)) is None
    assert find_ratio(drifting(0.0, 60, seed=seed, on_screen=0.0)) is None


def test_off_screen_voices_do_not_hide_a_ratio():
    assert find_ratio(drifting(-0.04, 60, 1.2, on_screen=0.5)).ratio.name == "24/25"


def test_sheared_blocks_have_one_delay():
    scores = drifting(0.02, 40, -0.4)
    blocks = blocks_of(Scores.join([scores.rows(0, 403), scores.rows(403, 1000)]))
    assert list(np.unique(blocks.segment)) == [0, 1] and np.diff(blocks.time_s).min() > 0
    odds, weight, delays = blocks.sheared(0.02).summed()
    assert delays[np.argmax(odds / np.maximum(weight, 50))] == pytest.approx(-40, abs=1)
    assert weight.sum() == pytest.approx(scores.weight.sum())
    grid = np.arange(-60, -20)
    assert blocks.sheared(0.02).on_grid(grid)[0].sum(0) == pytest.approx(odds[np.isin(delays, grid)], rel=1e-3)


def test_how_long_a_ratio_can_be_seen():
    assert visible_s(1 / 24, 1.0) == pytest.approx(24)
    assert visible_s(-0.001, 3.0, start_s=1.0) == pytest.approx(4000)
    assert visible_s(0.0, 1.0) == float("inf")
