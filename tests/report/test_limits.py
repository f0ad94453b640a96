"""Limits: the numbers of the standards with their signs, verdicts at the boundaries, the worst delay of files that drift or jump."""

import json
from dataclasses import replace

import pytest
from helpers import DRIFT, JUMP, LATE, UNDECIDED

from resync.report.limits import STANDARDS, Limits, extreme_delays_ms, judge, parse_limits
from resync.report.result import Outcome
from resync.report.table import header, outcome_csv, table_row
from resync.report.text import limit_text, outcome_text

R37 = STANDARDS["r37"]


@pytest.mark.parametrize(
    "name, early_ms, late_ms",  # as the standards print them, where audio ahead of the video is positive: +40/-60 and so on
    [("r37", 40, 60), ("bt1359", 45, 125), ("bt1359-acceptability", 90, 185), ("atsc", 15, 45), ("film", 22, 22)],
)
def test_early_and_late_audio_have_their_own_limits(name, early_ms, late_ms):
    limits = STANDARDS[name]
    assert limits.name == name
    delays = (-early_ms - 0.1, -early_ms, 0, late_ms, late_ms + 0.1)
    assert [limits.verdict(delay) for delay in delays] == ["fail", "pass", "pass", "pass", "fail"]
    assert limits.verdict(None) == "unknown"


def test_parse_limits():
    assert parse_limits("r37") is parse_limits("R37") is R37
    assert parse_limits("40:60") == Limits("40:60", 40, 60) and parse_limits("0:12.5") == Limits("0:12.5", 0, 12.5)


@pytest.mark.parametrize("text", ["", "r38", "40", "40:", "1:2:3", "-40:60", "nan:60", "40:inf", "a:b"])
def test_limits_that_make_no_sense_are_refused_in_one_line(text):
    with pytest.raises(ValueError) as caught:
        parse_limits(text)
    assert repr(text) in str(caught.value) and "EARLY:LATE" in str(caught.value) and "\n" not in str(caught.value)


def delayed(delay_ms, uncertainty_ms=6.0):
    return replace(LATE, audio_delay_ms=delay_ms, uncertainty_ms=uncertainty_ms)


@pytest.mark.parametrize(
    "delay_ms, verdict, borderline", [(0, "pass", False), (55, "pass", True), (65, "fail", True), (-120, "fail", False)]
)
def test_a_limit_within_the_interval_is_borderline(delay_ms, verdict, borderline):
    (result,) = judge(delayed(delay_ms), [R37])
    assert (result.verdict, result.worst_delay_ms, result.borderline) == (verdict, delay_ms, borderline)
    assert ("borderline: the limit is within the 90 % interval" in limit_text(result)) == borderline


def test_without_an_interval_nothing_is_called_borderline():
    (result,) = judge(delayed(60.0, None), [R37])
    assert (result.verdict, result.borderline) == ("pass", None)


def test_undecided_and_failed_files_are_unknown():
    for report in (UNDECIDED, replace(UNDECIDED, best_delay_ms=500.0), None):
        (result,) = judge(report, [R37])
        assert (result.verdict, result.worst_delay_ms, result.borderline) == ("unknown", None, None)


def test_jumps_are_judged_by_the_worst_piece_of_each_side():
    early, late = judge(JUMP, [Limits("early", 40, 1000), Limits("late", 1000, 60)])  # pieces: 240 ms late, 80.4 ms early
    assert (early.verdict, early.worst_delay_ms) == ("fail", -80.4) and (late.verdict, late.worst_delay_ms) == ("fail", 240.0)
    assert judge(JUMP, [Limits("wide", 100, 300)])[0].verdict == "pass"


def test_pieces_that_drift_are_judged_at_both_ends():
    drifting = replace(JUMP, drift_ms_per_min=600.0)  # 10 ms per second: 240 ms + 72 ms within 7.2 s
    assert judge(drifting, [R37])[0].worst_delay_ms == 312.0


def test_drift_is_judged_at_both_ends_of_the_file():
    slow = replace(DRIFT, duration_s=600.0)  # 60 ms late at first, -30.2 ms per minute: 242 ms early at the end
    (at_the_end,) = judge(slow, [R37])
    assert (at_the_end.verdict, at_the_end.worst_delay_ms, at_the_end.borderline) == ("fail", -242.0, False)
    assert judge(slow, [Limits("late", 1000, 50)])[0].worst_delay_ms == 60.0
    assert judge(replace(slow, duration_s=60.0), [R37])[0].verdict == "pass"


def test_a_small_but_measured_drift_counts_and_noise_does_not():
    hour = replace(delayed(30.0), duration_s=3600.0, drift_ms_per_min=1.1, drift_start_ms=-3.0)
    assert extreme_delays_ms(replace(hour, drift_interval_ms_per_min=(0.6, 1.6))) == [(-3.0, 15.0), (63.0, 15.0)]
    assert extreme_delays_ms(replace(hour, drift_interval_ms_per_min=(-0.4, 2.6))) == [(30.0, 6.0)]


def outcome(report, *names):
    limits = [parse_limits(name) for name in names]
    return Outcome("a.mp4", report, limits=judge(report, limits)), limits


def test_json_has_the_limits_only_when_they_were_asked_for():
    judged, _ = outcome(delayed(58.0), "r37", "1:2")
    assert json.loads(judged.to_json())["limits"] == [
        {"name": "r37", "early_ms": 40, "late_ms": 60, "verdict": "pass", "worst_delay_ms": 58.0, "borderline": True},
        {"name": "1:2", "early_ms": 1, "late_ms": 2, "verdict": "fail", "worst_delay_ms": 58.0, "borderline": False},
    ]
    assert "limits" not in json.loads(Outcome("a.mp4", LATE).to_json())


def test_text_names_limit_verdict_and_excess():
    text = outcome_text(outcome(LATE, "r37", "bt1359")[0])
    assert "  limits      r37 (40 ms early to 60 ms late): fail, 120 ms late exceeds it by 60 ms\n" in text
    assert "              bt1359 (45 ms early to 125 ms late): pass, but borderline" in text
    assert "exceeds it by 0.1 ms" in limit_text(judge(delayed(60.04), [R37])[0])
    assert "(40 ms early to 60 ms late): unknown\n" in outcome_text(outcome(UNDECIDED, "r37")[0])


def test_the_table_has_a_column_for_each_limit():
    names = ("r37", "bt1359-acceptability")
    _, limits = outcome(LATE, *names)
    top = header(limits)
    failed = Outcome("a.mp4", error="a.mp4: bad", limits=judge(None, limits))
    for judged, marks in (
        (outcome(LATE, *names)[0], ("FAIL", "pass")),
        (outcome(delayed(63.0), *names)[0], ("FAIL?", "pass")),
        (outcome(UNDECIDED, *names)[0], ("-", "-")),
        (failed, ("-", "-")),
    ):
        row = table_row(judged).splitlines()[0]
        assert row.index("a.mp4") == top.index("file")
        assert tuple(row[top.index(name) :].split()[0] for name in names) == marks


def test_csv_has_one_column_of_limits():
    assert outcome_csv(outcome(LATE, "r37", "bt1359")[0]).endswith(",r37 fail | bt1359 pass,,")
