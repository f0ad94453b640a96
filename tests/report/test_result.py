"""The answer for one file, as data and as JSON."""

import json
from dataclasses import replace

import pytest
from helpers import LATE, REPORT_KEYS, UNDECIDED, WRITTEN

from resync.remux.correction import Correction
from resync.report.result import Outcome, Report, error_json, ms, rounded


def test_json_has_exactly_the_documented_keys():
    text = LATE.to_json()
    assert "\n" not in text
    row = json.loads(text)
    assert sorted(row) == sorted(REPORT_KEYS)
    assert row["schema"] == 1 and row["file"] == "a b.mp4" and row["audio_delay_ms"] == 120 == -row["shift_ms"]
    assert row["reasons"] == []
    assert row["segments"] == [
        {"start_s": 0.0, "end_s": 8.0, "audio_delay_ms": 120.0, "probability": 0.877},
        {"start_s": 8.0, "end_s": 16.0, "audio_delay_ms": None, "probability": None},
    ]


def test_the_curve_is_included_on_request():
    row = json.loads(LATE.to_json(with_curve=True))
    assert sorted(row) == sorted([*REPORT_KEYS, "curve"])
    assert row["curve"] == {"shift_ms": [-120.0, 0.0], "probability": [0.9, 0.1]}


def test_unknown_is_null():
    row = json.loads(UNDECIDED.to_json())
    unknown = {k for k, v in row.items() if v is None}
    assert unknown == {
        "audio",
        "audio_delay_ms",
        "audio_delay_frames",
        "shift_ms",
        "probability_at_offset",
        "offscreen_ratio",
        "uncertainty_ms",
        "certainty",
        "best_delay_ms",
        "drift_ms_per_min",
        "drift_start_ms",
    }
    assert row["reasons"] == ["no face where there is audio"] and row["segments"] == []


def test_json_is_never_nan():
    with pytest.raises(ValueError):
        replace(LATE, uncertainty_ms=float("nan")).to_json()


def test_a_report_is_restored_from_its_json():
    for report in (LATE, UNDECIDED):
        again = Report.from_dict(json.loads(report.to_json(with_curve=True)))
        assert again.to_json(with_curve=True) == report.to_json(with_curve=True)
        assert Report.from_dict(json.loads(report.to_json())).curve == {}


def test_outcomes_as_json():
    assert Outcome("a b.mp4", LATE).to_json() == LATE.to_json()
    fixed, undecided = Outcome("a b.mp4", LATE, "out.mp4", WRITTEN), Outcome("a b.mp4", UNDECIDED, "out.mp4")
    assert json.loads(fixed.to_json())["written"] == WRITTEN and json.loads(undecided.to_json())["written"] is None
    failed = Outcome("x.mp4", error="x.mp4: no such file")
    assert failed.to_json() == error_json("x.mp4", "x.mp4: no such file")
    assert [o.settled for o in (fixed, undecided, failed, Outcome("a", LATE), Outcome("a", UNDECIDED))] == [True, False, False, True, False]


def test_decided():
    assert LATE.decided and replace(LATE, verdict="in_sync").decided
    assert not UNDECIDED.decided and not replace(UNDECIDED, verdict="drift").decided


def test_rounding():
    assert ms(None) is None and rounded(None) is None
    assert ms(0.12345) == 123.5 and rounded(0.98765) == 0.988
    assert str(ms(-0.00001)) == "0.0"  # no minus sign before zero


def test_error_json():
    row = json.loads(error_json("x/ü.mp4", "x/ü.mp4: no such file"))
    assert row == {"schema": 1, "file": "x/ü.mp4", "verdict": None, "error": "x/ü.mp4: no such file"}


def test_the_correction_of_a_report():
    assert LATE.correction() == Correction(-120.0)
    assert replace(LATE, verdict="in_sync", audio_delay_ms=12.0, shift_ms=0.0).correction() == Correction(0.0)
    assert UNDECIDED.correction() is None and UNDECIDED.correction(fix_drift=True) is None
    drift = replace(UNDECIDED, verdict="drift", drift_ms_per_min=60.0, drift_start_ms=80.0)
    assert drift.correction() is None and drift.correction(fix_drift=True) == Correction(-80.0, 1.001)


def test_forcing_uses_the_best_delay_of_an_undecided_report_only():
    guess = replace(UNDECIDED, best_delay_ms=-83.0, certainty=0.2)
    forced = guess.force()
    assert forced.forced and forced.verdict == "undecided" and forced.audio_delay_ms is None and forced.shift_ms == 83.0
    assert forced.correction() == Correction(83.0)
    assert replace(guess, best_delay_ms=15.0).force().shift_ms == 0.0, "in sync already"
    assert UNDECIDED.force() is UNDECIDED and LATE.force() is LATE
