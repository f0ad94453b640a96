"""Reports as text for people."""

from dataclasses import replace

import pytest
from helpers import DRIFT, JUMP, LATE, UNDECIDED, WRITTEN

from resync.report.result import Outcome
from resync.report.text import MAX_PIECES, clock, confidence_text, delay_text, headline, outcome_text, report_text


def test_the_headline():
    assert headline(LATE) == "audio is 120 ms late (3.0 frames at 25 fps)"
    early = replace(LATE, audio_delay_ms=-83.4, audio_delay_frames=-2.0, fps=23.976)
    assert headline(early) == "audio is 83 ms early (2.0 frames at 23.976 fps)"
    fine = replace(LATE, verdict="in_sync", audio_delay_ms=12.0, audio_delay_frames=0.3, shift_ms=0.0)
    assert headline(fine).startswith("in sync") and "12 ms" in headline(fine)
    assert headline(UNDECIDED) == "undecided"


def test_the_headline_of_a_delay_that_changes():
    hint = "; a single shift cannot correct this, `fix"
    assert headline(DRIFT) == f"audio drifts by -30 ms per minute{hint} --fix-drift` can"
    named = headline(replace(DRIFT, drift_ratio="1001/1000"))
    assert named == f"audio drifts by -30 ms per minute (frame-rate ratio 1001/1000){hint} --fix-drift` can"
    assert headline(JUMP) == f"audio delay jumps from 240 ms late to 80 ms early at 0:07.2{hint} --fix-jumps` can"
    assert headline(replace(JUMP, pieces=3 * JUMP.pieces[:1], jumps=2 * JUMP.jumps)) == f"audio delay jumps 2 times{hint} --fix-jumps` can"
    both = headline(replace(JUMP, drift_ms_per_min=60.0))
    assert both.startswith("audio drifts by +60 ms per minute, and its delay jumps from") and both.endswith("--fix-drift --fix-jumps` can")


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
    wide = rows_of(Outcome("a", replace(LATE, range_ms=3000.0)))["analysed"]
    assert wide == "16.0 of 16.2 s, 1 face track, offsets up to 3 s, centerface on cpu, net:0123, in 1.5 s"
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
    fixed = rows_of(Outcome("a", DRIFT, "out.mp4", WRITTEN | {"reencoded": True}))
    assert "+30.2 ms per minute" in fixed[""] and "-60 ms at the start" in fixed[""] and "re-encoded" in fixed["output"]
    assert "cannot correct" not in fixed[""]
    refused = rows_of(Outcome("a", DRIFT, "out.mp4"))[""]
    assert refused.endswith("`fix --fix-drift` can; nothing was written")


def test_a_drift_and_its_interval():
    rows = rows_of(Outcome("a", DRIFT))
    assert list(rows) == ["", "confidence", "drift", "analysed"]
    assert rows["confidence"] == "very high (certainty 0.99)"
    assert rows["drift"] == "-30.2 ms per minute (90 % interval -33.1 to -27.3)"


def test_jumps_are_reported_piece_by_piece():
    rows = rows_of(Outcome("a", JUMP))
    assert list(rows) == ["", "confidence", "pieces", "analysed"]
    assert rows["pieces"] == "0:00.0 to 0:07.2  240 ms late, +-20 ms|0:07.2 to 0:16.0  80 ms early, +-22 ms"
    vague = replace(JUMP, jumps=(JUMP.jumps[0]._replace(earliest_s=5.0, latest_s=9.0),))
    assert rows_of(Outcome("a", vague))["pieces"].endswith("80 ms early, +-22 ms (starts between 0:05.0 and 0:09.0)")
    fixed = rows_of(Outcome("a", JUMP, "out.mp4", WRITTEN | {"reencoded": True}))
    assert fixed[""].endswith("jumps from 240 ms late to 80 ms early at 0:07.2; audio cut and placed in 2 pieces")
    many = replace(JUMP, pieces=10 * JUMP.pieces, jumps=19 * JUMP.jumps)
    lines = rows_of(Outcome("a", many))["pieces"].split("|")
    assert len(lines) == MAX_PIECES + 1 and lines[-1] == "and 8 more, see pieces in --json"


def test_who_speaks_where_there_are_several_faces():
    (face,) = LATE.faces
    two = replace(LATE, faces=(face, replace(face, box=(0.8, 0.1, 0.9, 0.4), start_s=1.0, speaking=())))
    rows = rows_of(Outcome("a", two))
    assert rows["faces"] == "face 1 (centre) speaks 10.0 of 16.0 s, face 2 (right) 0.0 of 15.0 s" and "2 face tracks" in rows["analysed"]
    assert "faces" not in rows_of(Outcome("a", replace(two, verdict="undecided", audio_delay_ms=None)))


def test_the_answer_for_each_audio_track():
    early = replace(LATE, audio_track=2, audio_delay_ms=-80.0, shift_ms=80.0, certainty=0.8)
    fine = replace(LATE, audio_track=3, verdict="in_sync", audio_delay_ms=12.0, shift_ms=0.0)
    commentary, drift = replace(UNDECIDED, audio_track=4), replace(DRIFT, audio_track=5)
    tracks = [LATE, early, fine, commentary, drift]
    assert rows_of(Outcome("a", LATE.with_tracks(tracks)))["tracks"].split("|") == [
        "audio track 1: 120 ms late, +-6 ms, confidence very high (certainty 0.97)",
        "audio track 2: 80 ms early, +-6 ms, confidence high (certainty 0.80)",
        "audio track 3: in sync, within 12 ms, confidence very high (certainty 0.97)",
        "audio track 4: undecided, follows audio track 1",
        "audio track 5: delay drifts",
    ]
    assert rows_of(Outcome("a", UNDECIDED.with_tracks([UNDECIDED])))["tracks"] == "audio track 1: undecided"


@pytest.mark.parametrize(
    "seconds, text", [(0, "0:00.0"), (59.97, "1:00.0"), (61.24, "1:01.2"), (3599.96, "1:00:00.0"), (7261, "2:01:01.0")]
)
def test_times_in_the_video(seconds, text):
    assert clock(seconds) == text


def test_delays_in_words():
    assert [delay_text(ms) for ms in (83.4, -83.4, 0.3, -0.0)] == ["83 ms late", "83 ms early", "0 ms", "0 ms"]


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


@pytest.mark.parametrize("value, word", [(0.95, "very high"), (0.7, "high"), (0.5, "fair"), (0.49, "too low"), (None, "unknown")])
def test_confidence_in_words(value, word):
    assert word in confidence_text(value) and (value is None or f"{value:.2f}" in confidence_text(value))
    assert confidence_text(0.8).startswith("high")


def test_an_error_is_its_one_line():
    assert outcome_text(Outcome("x.mp4", error="x.mp4: no such file")) == "x.mp4: no such file"
