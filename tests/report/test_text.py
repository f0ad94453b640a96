"""Reports as text for people."""

from dataclasses import replace

import pytest
from helpers import LATE, UNDECIDED, WRITTEN

from resync.report.result import Outcome
from resync.report.text import confidence_text, headline, outcome_text, report_text


def test_the_headline():
    assert headline(LATE) == "audio is 120 ms late (3.0 frames at 25 fps)"
    early = replace(LATE, audio_delay_ms=-83.4, audio_delay_frames=-2.0, fps=23.976)
    assert headline(early) == "audio is 83 ms early (2.0 frames at 23.976 fps)"
    fine = replace(LATE, verdict="in_sync", audio_delay_ms=12.0, audio_delay_frames=0.3, shift_ms=0.0)
    assert headline(fine).startswith("in sync") and "12 ms" in headline(fine)
    drift = replace(UNDECIDED, verdict="drift", drift_ms_per_min=-30.2)
    assert headline(drift) == ("audio drifts by -30 ms per minute; a single shift cannot correct this, `fix --fix-drift` can")
    assert headline(UNDECIDED) == "undecided"


def rows_of(outcome):
    """The rows of a report by label; a row without one belongs to the one above."""
    head, *rows = outcome_text(outcome).splitlines()
    assert all(row[:2] == "  " and row[12:14] == "  " and row[14] != " " for row in rows), rows
    out, label = {"": head}, ""
    for row in rows:
        label = row[2:12].strip() or label
        out[label] = f"{out[label]}|{row[14:]}" if label in out else row[14:]
    assert "None" not in outcome_text(outcome) and "nan" not in outcome_text(outcome)
    return out


def test_a_report_gives_verdict_confidence_and_what_was_analysed():
    rows = rows_of(Outcome("a b.mp4", LATE))
    assert list(rows) == ["", "confidence", "off-screen", "drift", "analysed"]
    assert rows[""] == "a b.mp4: audio is 120 ms late (3.0 frames at 25 fps)"
    assert rows["confidence"] == "very high (certainty 0.97), +-6 ms, probability in sync 0.87"
    assert rows["off-screen"] == "25 % of the speech is off screen (ratio 0.25)"
    assert rows["drift"] == "not measurable: needs 5 segments with a result, has 1"
    assert rows["analysed"] == "16.0 of 16.2 s, 1 face track, centerface on cpu, net:0123, in 1.5 s"
    assert "+3 ms per minute" in rows_of(Outcome("a", replace(LATE, drift_ms_per_min=3.1)))["drift"]
    assert rows_of(Outcome("a", replace(LATE, segments=5 * LATE.segments[:1])))["drift"] == "no steady drift"
    assert outcome_text(Outcome("a b.mp4", LATE)) == report_text(LATE)


def test_a_fix_reports_what_was_done():
    rows = rows_of(Outcome("a b.mp4", LATE, "out.mp4", WRITTEN))
    assert rows[""].endswith("late (3.0 frames at 25 fps); shifted 120 ms earlier")
    assert rows["output"] == "out.mp4|the first 120 ms of audio were cut"
    early = replace(LATE, audio_delay_ms=-80.0, shift_ms=80.0)
    assert rows_of(Outcome("a", early, "out.mp4", WRITTEN))[""].endswith("; shifted 80 ms later")
    fine = replace(LATE, verdict="in_sync", audio_delay_ms=12.0, shift_ms=0.0)
    assert rows_of(Outcome("a", fine, "out.mp4", WRITTEN))[""].endswith("in sync, within 12 ms; not shifted")
    drift = replace(UNDECIDED, verdict="drift", drift_ms_per_min=-30.2, drift_start_ms=60.0, reasons=())
    fixed = rows_of(Outcome("a", drift, "out.mp4", WRITTEN | {"reencoded": True}))
    assert "+30.2 ms per minute" in fixed[""] and "-60 ms at the start" in fixed[""] and "re-encoded" in fixed["output"]
    assert rows_of(Outcome("a", drift, "out.mp4"))[""].endswith("nothing was written")


def test_a_refusal_gives_reasons_and_the_best_guess():
    rows = rows_of(Outcome("a b.mp4", UNDECIDED))
    assert list(rows) == ["", "why", "analysed"]
    assert rows["why"] == "no face where there is audio" and "0 face tracks" in rows["analysed"]
    assert rows_of(Outcome("a b.mp4", UNDECIDED, "out.mp4"))[""] == "a b.mp4: undecided; nothing was written"
    rows = rows_of(Outcome("a", replace(UNDECIDED, best_delay_ms=-83.0, certainty=0.21, reasons=("one", "two")), "out.mp4"))
    assert rows["why"] == "one|two"
    assert rows["best guess"] == "83 ms early, confidence too low (certainty 0.21); `resync fix --force` would apply it"


def test_a_forced_fix_is_reported_as_such():
    forced = replace(UNDECIDED, best_delay_ms=-83.0, certainty=0.21, shift_ms=83.0, forced=True)
    rows = rows_of(Outcome("a", forced, "out.mp4", WRITTEN))
    assert rows[""] == "a b.mp4: undecided; forced: shifted 83 ms later" and "--force" in rows["best guess"] and "out.mp4" in rows["output"]


@pytest.mark.parametrize("value, word", [(0.95, "very high"), (0.6, "high"), (0.4, "fair"), (0.39, "too low"), (None, "unknown")])
def test_confidence_in_words(value, word):
    assert word in confidence_text(value) and (value is None or f"{value:.2f}" in confidence_text(value))
    assert confidence_text(0.6).startswith("high")


def test_an_error_is_its_one_line():
    assert outcome_text(Outcome("x.mp4", error="x.mp4: no such file")) == "x.mp4: no such file"
