"""What was found, as text and as JSON."""

import json
from dataclasses import replace

import pytest

from resync.decide import Segment
from resync.report import Outcome, Report, error_json, headline, how_sure, ms, rounded

KEYS = [
    "schema",
    "file",
    "audio",
    "verdict",
    "audio_delay_ms",
    "audio_delay_frames",
    "shift_ms",
    "forced",
    "probability_at_offset",
    "offscreen_ratio",
    "uncertainty_ms",
    "certainty",
    "best_delay_ms",
    "drift_ms_per_min",
    "drift_start_ms",
    "reasons",
    "segments",
    "faces",
    "analysed_s",
    "duration_s",
    "fps",
    "detector",
    "device",
    "weights",
    "elapsed_s",
]

LATE = Report(
    file="a b.mp4",
    audio=None,
    verdict="out_of_sync",
    audio_delay_ms=120.0,
    audio_delay_frames=3.0,
    shift_ms=-120.0,
    forced=False,
    probability_at_offset=0.87,
    offscreen_ratio=0.25,
    uncertainty_ms=6.0,
    certainty=0.97,
    best_delay_ms=120.0,
    drift_ms_per_min=None,
    drift_start_ms=None,
    reasons=(),
    segments=(Segment(0.0, 8.004, 0.12, 0.87654), Segment(8.0, 16.0, None, None)),
    faces=1,
    analysed_s=16.0,
    duration_s=16.2,
    fps=25.0,
    detector="centerface",
    device="cpu",
    weights="net:0123",
    elapsed_s=1.5,
    curve={"shift_ms": [-120.0, 0.0], "probability": [0.9, 0.1]},
)
UNKNOWN = replace(
    LATE,
    verdict="undecided",
    audio_delay_ms=None,
    audio_delay_frames=None,
    shift_ms=None,
    probability_at_offset=None,
    offscreen_ratio=None,
    uncertainty_ms=None,
    certainty=None,
    best_delay_ms=None,
    reasons=("no face was found",),
    segments=(),
    faces=0,
)
WRITTEN = {"file": "out.mp4", "reencoded": False, "cut_ms": 120.0, "notes": ["the first 120 ms of sound were cut"]}


def test_json_has_exactly_the_documented_keys():
    text = LATE.to_json()
    assert "\n" not in text
    row = json.loads(text)
    assert sorted(row) == sorted(KEYS)
    assert row["schema"] == 1 and row["file"] == "a b.mp4" and row["audio_delay_ms"] == 120 == -row["shift_ms"]
    assert row["reasons"] == []
    assert row["segments"] == [
        {"start_s": 0.0, "end_s": 8.0, "audio_delay_ms": 120.0, "probability": 0.877},
        {"start_s": 8.0, "end_s": 16.0, "audio_delay_ms": None, "probability": None},
    ]


def test_the_curve_comes_when_asked_for():
    row = json.loads(LATE.to_json(with_curve=True))
    assert sorted(row) == sorted([*KEYS, "curve"])
    assert row["curve"] == {"shift_ms": [-120.0, 0.0], "probability": [0.9, 0.1]}


def test_unknown_is_null():
    row = json.loads(UNKNOWN.to_json())
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
    assert row["reasons"] == ["no face was found"] and row["segments"] == []


def test_json_is_never_nan():
    with pytest.raises(ValueError):
        replace(LATE, uncertainty_ms=float("nan")).to_json()


def test_words_for_people():
    assert headline(LATE) == "audio is 120 ms late (3.0 frames at 25 fps)"
    early = replace(LATE, audio_delay_ms=-83.4, audio_delay_frames=-2.0, fps=23.976)
    assert headline(early) == "audio is 83 ms early (2.0 frames at 23.976 fps)"
    fine = replace(LATE, verdict="in_sync", audio_delay_ms=12.0, audio_delay_frames=0.3, shift_ms=0.0)
    assert headline(fine).startswith("in sync") and "12 ms" in headline(fine)
    drift = replace(UNKNOWN, verdict="drift", drift_ms_per_min=-30.2)
    assert "drift" in headline(drift) and "-30 ms a minute" in headline(drift) and "--fix-drift" in headline(drift)
    assert headline(UNKNOWN) == "undecided"


def told(outcome):
    """The rows of a text by their label; a row without one belongs to the one above."""
    head, *rows = outcome.to_text().splitlines()
    assert all(row[:2] == "  " and row[12:14] == "  " and row[14] != " " for row in rows), rows
    out, label = {"": head}, ""
    for row in rows:
        label = row[2:12].strip() or label
        out[label] = f"{out[label]}|{row[14:]}" if label in out else row[14:]
    assert "None" not in outcome.to_text() and "nan" not in outcome.to_text()
    return out


def test_text_says_the_verdict_then_how_sure_then_what_was_looked_at():
    rows = told(Outcome("a b.mp4", LATE))
    assert list(rows) == ["", "how sure", "offscreen", "drift", "looked at"]
    assert rows[""] == "a b.mp4: audio is 120 ms late (3.0 frames at 25 fps)"
    assert rows["how sure"] == "very sure (certainty 0.97), +-6 ms, probability in sync 0.87 there"
    assert "0.25" in rows["offscreen"] and "25 %" in rows["offscreen"]
    assert "unknown" in rows["drift"] and "5 stretches" in rows["drift"] and rows["drift"].endswith("has 1")
    assert rows["looked at"] == "16.0 of 16.2 s, 1 face track, centerface on cpu, net:0123, in 1.5 s"
    assert "+3 ms a minute" in told(Outcome("a", replace(LATE, drift_ms_per_min=3.1)))["drift"]
    assert told(Outcome("a", replace(LATE, segments=5 * LATE.segments[:1])))["drift"] == "none that is steady"
    assert Outcome("a b.mp4", LATE).to_text() == LATE.to_text()


def test_text_of_a_fix_says_what_was_done():
    rows = told(Outcome("a b.mp4", LATE, "out.mp4", WRITTEN))
    assert rows[""].endswith("late (3.0 frames at 25 fps); moved 120 ms earlier")
    assert rows["wrote"] == "out.mp4|the first 120 ms of sound were cut"
    early = replace(LATE, audio_delay_ms=-80.0, shift_ms=80.0)
    assert told(Outcome("a", early, "out.mp4", WRITTEN))[""].endswith("; moved 80 ms later")
    fine = replace(LATE, verdict="in_sync", audio_delay_ms=12.0, shift_ms=0.0)
    assert told(Outcome("a", fine, "out.mp4", WRITTEN))[""].endswith("in sync, within 12 ms; not moved")
    drift = replace(UNKNOWN, verdict="drift", drift_ms_per_min=-30.2, drift_start_ms=60.0, reasons=())
    mended = told(Outcome("a", drift, "out.mp4", WRITTEN | {"reencoded": True}))
    assert "+30.2 ms a minute" in mended[""] and "-60 ms at the start" in mended[""] and "encoded anew" in mended["wrote"]
    assert told(Outcome("a", drift, "out.mp4"))[""].endswith("nothing written")


def test_text_of_a_refusal_says_why_and_what_would_help():
    rows = told(Outcome("a b.mp4", UNKNOWN))
    assert list(rows) == ["", "why", "looked at"] and rows["why"] == "no face was found" and "0 face tracks" in rows["looked at"]
    assert told(Outcome("a b.mp4", UNKNOWN, "out.mp4"))[""] == "a b.mp4: undecided; nothing written"
    rows = told(Outcome("a", replace(UNKNOWN, best_delay_ms=-83.0, certainty=0.21, reasons=("one", "two")), "out.mp4"))
    assert rows["why"] == "one|two"
    assert rows["best guess"] == "83 ms early, not sure (certainty 0.21); `resync fix --force` would take it"


def test_text_of_what_was_forced_says_so():
    forced = replace(UNKNOWN, best_delay_ms=-83.0, certainty=0.21, shift_ms=83.0, forced=True)
    rows = told(Outcome("a", forced, "out.mp4", WRITTEN))
    assert rows[""] == "a b.mp4: undecided; forced: moved 83 ms later" and "--force" in rows["best guess"] and "out.mp4" in rows["wrote"]


@pytest.mark.parametrize("value, word", [(0.95, "very sure"), (0.6, "sure"), (0.4, "fairly sure"), (0.39, "not sure"), (None, "unknown")])
def test_certainty_in_words(value, word):
    assert word in how_sure(value) and (value is None or f"{value:.2f}" in how_sure(value))
    assert how_sure(0.6).startswith("sure")


def test_a_report_comes_back_from_its_json():
    for report in (LATE, UNKNOWN):
        again = Report.from_dict(json.loads(report.to_json(with_curve=True)))
        assert again.to_json(with_curve=True) == report.to_json(with_curve=True)
        assert Report.from_dict(json.loads(report.to_json())).curve == {}


def test_outcomes_as_json():
    assert Outcome("a b.mp4", LATE).to_json() == LATE.to_json()
    fixed, not_sure = Outcome("a b.mp4", LATE, "out.mp4", WRITTEN), Outcome("a b.mp4", UNKNOWN, "out.mp4")
    assert json.loads(fixed.to_json())["written"] == WRITTEN and json.loads(not_sure.to_json())["written"] is None
    failed = Outcome("x.mp4", error="x.mp4: no such file")
    assert failed.to_json() == error_json("x.mp4", "x.mp4: no such file") and failed.to_text() == "x.mp4: no such file"
    assert [o.settled for o in (fixed, not_sure, failed, Outcome("a", LATE), Outcome("a", UNKNOWN))] == [True, False, False, True, False]


def test_decided():
    assert LATE.decided and replace(LATE, verdict="in_sync").decided
    assert not UNKNOWN.decided and not replace(UNKNOWN, verdict="drift").decided


def test_rounding():
    assert ms(None) is None and rounded(None) is None
    assert ms(0.12345) == 123.5 and rounded(0.98765) == 0.988
    assert str(ms(-0.00001)) == "0.0"  # no minus before nothing


def test_error_json():
    row = json.loads(error_json("x/ü.mp4", "x/ü.mp4: no such file"))
    assert row == {"schema": 1, "file": "x/ü.mp4", "verdict": None, "error": "x/ü.mp4: no such file"}
