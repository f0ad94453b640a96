"""The answer for one file, as data and as JSON."""

import json
from dataclasses import replace

import numpy as np
import pytest
from helpers import BOXES, DRIFT, JUMP, LATE, REPORT_KEYS, UNDECIDED, WRITTEN

from resync.remux.correction import Correction
from resync.report.result import Outcome, Report, error_json, ms, rounded


def test_json_has_exactly_the_documented_keys():
    text = LATE.to_json()
    assert "\n" not in text
    row = json.loads(text)
    assert list(row) == REPORT_KEYS
    assert row["schema"] == 2 and row["file"] == "a b.mp4" and row["audio_delay_ms"] == 120 == -row["shift_ms"]
    assert row["reasons"] == []
    assert row["segments"] == [
        {"start_s": 0.0, "end_s": 8.0, "audio_delay_ms": 120.0, "probability": 0.877},
        {"start_s": 8.0, "end_s": 16.0, "audio_delay_ms": None, "probability": None},
    ]
    face = {"start_s": 0.0, "end_s": 15.96, "box": [0.31, 0.2, 0.69, 0.84], "audio_delay_ms": 121.0, "probability": 0.91}
    speech = {"speech_share": 0.75, "speaking": [[0.0, 5.0], [7.0, 12.0]]}
    assert row["faces"] == [face | speech | {"certainty": 0.98, "uncertainty_ms": 19.0}]


def test_pieces_and_jumps_are_on_the_clock_of_the_video():
    row = json.loads(JUMP.to_json())
    late, early = row["pieces"]
    assert late == {"start_s": 0.0, "end_s": 7.2, "audio_delay_ms": 240.0, "uncertainty_ms": 20.0, "certainty": 1.0}
    assert early["start_s"] == late["end_s"] and early["audio_delay_ms"] == -80.4
    assert row["jumps"] == [{"at_s": 7.2, "earliest_s": 7.1, "latest_s": 7.3, "size_ms": -320.4}]
    assert json.loads(DRIFT.to_json())["drift_interval_ms_per_min"] == [-33.1, -27.3]


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
        "drift_interval_ms_per_min",
        "drift_ratio",
        "timecode",
    }
    assert row["reasons"] == ["no face where there is audio"] and row["segments"] == []


def test_json_is_never_nan():
    with pytest.raises(ValueError):
        replace(LATE, uncertainty_ms=float("nan")).to_json()


def test_a_report_is_restored_from_its_json():
    for report in (LATE, UNDECIDED, DRIFT, JUMP, LATE.with_tracks([LATE, UNDECIDED])):
        again = Report.from_dict(json.loads(report.to_json(with_curve=True)))
        assert again.to_json(with_curve=True) == report.to_json(with_curve=True) and again.pieces == report.pieces
        assert Report.from_dict(json.loads(report.to_json())).curve == {}


def test_the_boxes_of_faces_are_restored_where_they_are_included():
    (face,) = Report.from_dict(json.loads(json.dumps(LATE.to_dict(with_boxes=True)))).faces
    assert face == LATE.faces[0] and face.boxes.time_s.tolist() == BOXES.time_s.tolist()
    assert np.abs(face.boxes.edges - BOXES.edges).max() < 1e-5 and face.boxes.edges.dtype == np.float32
    (face,) = Report.from_dict(json.loads(LATE.to_json())).faces
    assert face == LATE.faces[0] and face.boxes.time_s.shape == (0,) and face.boxes.edges.shape == (0, 4)


def test_outcomes_as_json():
    assert Outcome("a b.mp4", LATE).to_json() == LATE.to_json()
    fixed, undecided = Outcome("a b.mp4", LATE, "out.mp4", WRITTEN), Outcome("a b.mp4", UNDECIDED, "out.mp4")
    assert json.loads(fixed.to_json())["written"] == WRITTEN and json.loads(undecided.to_json())["written"] is None
    failed = Outcome("x.mp4", error="x.mp4: no such file")
    assert failed.to_json() == error_json("x.mp4", "x.mp4: no such file")
    assert [o.settled for o in (fixed, undecided, failed, Outcome("a", LATE), Outcome("a", UNDECIDED))] == [True, False, False, True, False]


def test_decided():
    assert LATE.decided and replace(LATE, verdict="in_sync").decided
    assert not UNDECIDED.decided and not DRIFT.decided and not JUMP.decided


def test_rounding():
    assert ms(None) is None and rounded(None) is None
    assert ms(0.12345) == 123.5 and rounded(0.98765) == 0.988
    assert str(ms(-0.00001)) == "0.0"  # no minus sign before zero


def test_error_json():
    row = json.loads(error_json("x/ü.mp4", "x/ü.mp4: no such file"))
    assert row == {"schema": 2, "file": "x/ü.mp4", "verdict": None, "error": "x/ü.mp4: no such file"}


def test_the_correction_of_a_report():
    assert LATE.correction() == Correction(-120.0)
    assert replace(LATE, verdict="in_sync", audio_delay_ms=12.0, shift_ms=0.0).correction() == Correction(0.0)
    assert UNDECIDED.correction() is None and UNDECIDED.correction(fix_drift=True, fix_jumps=True) is None
    drift = replace(DRIFT, drift_ms_per_min=60.0, drift_start_ms=80.0)
    assert drift.correction() is None and drift.correction(fix_jumps=True) is None
    assert drift.correction(fix_drift=True) == Correction(-80.0, 1.001)


def test_the_correction_of_jumps_places_each_piece():
    assert JUMP.correction() is None and JUMP.correction(fix_drift=True) is None
    correction = JUMP.correction(fix_jumps=True)
    assert [(piece.start_s, piece.shift_ms, piece.tempo) for piece in correction.timeline] == [(0, -240, 1), (7.2, 80.4, 1)]
    both = replace(JUMP, drift_ms_per_min=60.0, drift_start_ms=240.0)  # 1 ms per s: within the second piece, the delay starts at -80.4
    assert both.correction(fix_jumps=True) is None and both.correction(fix_drift=True) is None
    late, early = both.correction(fix_drift=True, fix_jumps=True).timeline
    assert late.source_s(3.0) == pytest.approx(3.0 + 0.240 + 0.003) and early.source_s(7.2) == pytest.approx(7.2 - 0.0804)


def test_forcing_uses_the_best_delay_of_an_undecided_report_only():
    guess = replace(UNDECIDED, best_delay_ms=-83.0, certainty=0.2)
    forced = guess.force()
    assert forced.forced and forced.verdict == "undecided" and forced.audio_delay_ms is None and forced.shift_ms == 83.0
    assert forced.correction() == Correction(83.0)
    assert replace(guess, best_delay_ms=15.0).force().shift_ms == 0.0, "in sync already"
    assert UNDECIDED.force() is UNDECIDED and LATE.force() is LATE
