"""A delay that changes over time: a drift, jumps, or both, and how certain that is."""

from dataclasses import replace

import numpy as np
import pytest
from sync_helpers import RULE, judge, sampled, speech

from resync.config import DecideConfig, DecisionRule
from resync.sync.course import Course, delay_at, find_course
from resync.sync.curve import Scores
from resync.sync.drift import Drift
from resync.sync.pieces import Piece

NEVER = DecideConfig(rule=replace(RULE, constant=-100.0))


def piece(start_s, end_s, delay_s):
    return Piece(start_s, end_s, delay_s, 0.02, 0.9)


def test_delay_at_follows_the_course():
    times = np.array([0.0, 9.0, 11.0, 30.0])
    line = Drift(0.1, 0.01, 0.009, 0.011)
    assert delay_at(Course(line, (), (), 1.0), times).tolist() == pytest.approx([0.1, 0.19, 0.21, 0.4])
    pieces = (piece(0, 10, 0.1), piece(10, 20, -0.3))
    assert delay_at(Course(None, pieces, (), 1.0), times).tolist() == [0.1, 0.1, -0.3, -0.3]
    both = delay_at(Course(line, pieces, (), 1.0), times)
    assert both.tolist() == pytest.approx([0.1, 0.19, -0.29, -0.1]), "the drift counts from the start of each piece"
    assert delay_at(Course(None, (), (), 1.0), times).tolist() == [0] * 4


@pytest.mark.parametrize("slope_per_min", [0.02, 0.1, -0.1])
def test_a_steady_change_is_one_drift_not_many_jumps(slope_per_min):
    d = judge(*sampled(lambda t: slope_per_min * (t - 270) / 60))
    assert d.verdict == "drift" and d.pieces == d.jumps == ()
    assert d.drift.low <= slope_per_min / 60 <= d.drift.high and d.drift.low < d.drift.slope < d.drift.high
    assert 60 * d.drift.slope == pytest.approx(slope_per_min, rel=0.05)


@pytest.mark.parametrize("at", [2, 5, 7])
def test_one_jump_is_no_drift(at):
    d = judge(*(speech(0.12 * (i >= at), start_s=60 * i, seed=i) for i in range(10)))
    assert d.verdict == "jump" and d.drift is None and len(d.jumps) == 1 and d.jumps[0].size_s == pytest.approx(0.12, abs=0.015)


def test_a_drift_with_a_jump_is_both():
    d = judge(*sampled(lambda t: -0.12 + 0.03 * t / 60 + (0.25 if t > 270 else 0)))
    assert d.verdict == "jump" and len(d.pieces) == 2
    assert 60 * d.drift.slope == pytest.approx(0.03, rel=0.1) and d.drift.low < 0.03 / 60 < d.drift.high
    before, after = d.pieces
    assert before.delay_s == pytest.approx(-0.12, abs=0.01) == d.drift.start_s
    assert after.delay_s == pytest.approx(-0.12 + 0.03 * after.start_s / 60 + 0.25, abs=0.01), "at the start of the piece"
    assert d.jumps[0].size_s == pytest.approx(0.25, abs=0.015)


@pytest.mark.parametrize("slope, name", [(1 / 24, "25/24"), (-1 / 25, "24/25"), (1 / 1000, "1001/1000")])
def test_frame_rate_ratios_are_drifts_with_a_name(slope, name):
    """4 % smear the curve of every single segment."""
    d = judge(*sampled(lambda t: slope * (t - 40), count=10, every_s=9, reach=250))
    assert d.verdict == "drift" and d.drift.ratio.name == name and d.pieces == ()
    assert d.drift.slope == pytest.approx(slope) and d.drift.start_s == pytest.approx(-40 * slope, abs=0.015)
    assert d.certainty > 0.9


def test_all_windows_say_where_the_line_of_a_drift_lies():
    """The slope of a line through few delays may be right where its start is not."""
    scores = Scores.join(sampled(lambda t: -0.12 + 0.03 * t / 60))
    coarse = Drift(-0.12 + 0.05, 0.03 / 60, 0.02 / 60, 0.04 / 60)
    course = find_course(scores, (np.zeros(0), np.zeros(0)), coarse, RULE)
    assert course.drift.start_s == pytest.approx(-0.12, abs=0.005) and course.drift.slope == coarse.slope and course.pieces == ()
    assert find_course(scores, (np.zeros(0), np.zeros(0)), replace(coarse, start_s=-0.12 + 0.2), RULE) is None, "that is another line"


def test_a_constant_delay_has_no_course():
    for late, seconds in ((0.2, 8), (0.2, 60), (None, 20)):
        d = judge(speech(late, seconds=seconds))
        assert d.pieces == d.jumps == () and d.verdict == ("undecided" if late is None else "out_of_sync")


def test_probability_and_off_screen_ratio_follow_the_course():
    segments = [speech(-0.1 + 0.3 * (i >= 5), start_s=60 * i, seed=i) for i in range(10)]
    segments[7] = speech(None, start_s=420, seed=7)
    jump = judge(*segments)
    assert jump.verdict == "jump" and jump.offscreen_ratio == pytest.approx(0.1, abs=0.02) and jump.probability > 0.8
    drift = judge(*sampled(lambda t: -0.12 + 0.03 * t / 60))
    assert drift.verdict == "drift" and drift.offscreen_ratio < 0.02 and drift.probability > 0.9


def test_a_course_must_be_certain():
    for segments, verdict in (
        (sampled(lambda t: 0.03 * t / 60), "drift"),
        ([speech(0.3 * (i >= 5), start_s=60 * i, seed=i) for i in range(10)], "jump"),
        (sampled(lambda t: (t - 40) / 24, count=10, every_s=9, reach=250), "drift"),
    ):
        sure, unsure = judge(*segments), judge(*segments, config=NEVER)
        assert sure.verdict == verdict and sure.certainty > 0.9
        assert unsure.verdict == "undecided" and unsure.pieces == () and any("certainty" in reason for reason in unsure.reasons)


def test_certainty_of_a_course_is_that_of_its_windows_shifted_back():
    """As if the delay had been constant."""
    rule = DecideConfig(rule=DecisionRule(constant=-4.0, height=1.0, lead=0.6, reach=0.1, min_certainty=0.05))
    still, moving = judge(*sampled(0.0), config=rule), judge(*sampled(lambda t: 0.03 * (t - 270) / 60), config=rule)
    assert moving.verdict == "drift" and 0.3 < still.certainty < 0.95
    assert moving.certainty == pytest.approx(still.certainty, abs=0.1)
    assert moving.peak.height < still.peak.height - 0.3, "whose unshifted curve is much worse"
