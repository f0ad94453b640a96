"""What was found, as text and as JSON."""

import json
from dataclasses import replace

import pytest

from resync.decide import Segment
from resync.report import Report, error_json, headline, ms, rounded

KEYS = [
    "schema",
    "file",
    "audio",
    "verdict",
    "audio_delay_ms",
    "audio_delay_frames",
    "shift_ms",
    "probability_at_offset",
    "offscreen_ratio",
    "uncertainty_ms",
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
    probability_at_offset=0.87,
    offscreen_ratio=0.25,
    uncertainty_ms=6.0,
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
    reasons=("no face was found",),
    segments=(),
    faces=0,
)


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


def test_text():
    lines = LATE.to_text().splitlines()
    assert lines[0] == "a b.mp4: audio is 120 ms late (3.0 frames at 25 fps)"
    assert "0.87" in lines[1] and "0.25" in lines[1] and "6 ms" in lines[1]
    assert "16.0 of 16.2 s" in lines[-1] and "1 face track," in lines[-1] and "centerface on cpu" in lines[-1]
    unknown = UNKNOWN.to_text()
    assert unknown.startswith("a b.mp4: undecided") and "no face was found" in unknown and "0 face tracks" in unknown
    assert "None" not in unknown and "None" not in replace(LATE, uncertainty_ms=None).to_text()


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
