"""Many results: aligned rows, CSV that parses, the summary line."""

import csv
import io
from collections import Counter
from dataclasses import replace

import pytest
from helpers import DRIFT, JUMP, LATE, REPORT_KEYS, UNDECIDED, WRITTEN

from resync.cli.output import COLOURS
from resync.report.result import Outcome
from resync.report.table import COLUMNS, HEADER, csv_row, outcome_csv, outcome_kind, summary, table_row

IN_SYNC = replace(LATE, verdict="in_sync", audio_delay_ms=-1.0, audio_delay_frames=-0.02, shift_ms=0.0)
FORCED = replace(UNDECIDED, best_delay_ms=80.0, shift_ms=-80.0, forced=True, certainty=0.1)
OUTCOMES = {
    "out of sync": Outcome("a b.mp4", LATE),
    "fixed": Outcome("a b.mp4", LATE, "out.mp4", WRITTEN),
    "in sync": Outcome("日本.mp4", replace(IN_SYNC, file="日本.mp4")),
    "forced": Outcome("f.mp4", FORCED, "out.mp4", WRITTEN),
    "drifting": Outcome("d.mp4", DRIFT),
    "jumping": Outcome("j.mp4", JUMP),
    "undecided": Outcome("u.mp4", UNDECIDED),
    "failed": Outcome("x.mp4", error="x.mp4: no such file"),
}


@pytest.mark.parametrize("word", OUTCOMES)
def test_kinds(word):
    assert outcome_kind(OUTCOMES[word]) == word
    assert outcome_kind(Outcome("a", IN_SYNC, "out.mp4", WRITTEN)) == "in sync"
    assert {outcome_kind(Outcome("a", report, "out.mp4", WRITTEN)) for report in (DRIFT, JUMP)} == {"fixed"}
    assert word in COLOURS


def test_rows_are_aligned_with_the_header():
    for outcome in OUTCOMES.values():
        row = table_row(outcome).splitlines()[0]
        assert row.index(outcome.file) == HEADER.index("file") and row.isprintable()
    row = table_row(OUTCOMES["fixed"])
    for name, value in (("frames", "3.0"), ("+-ms", "6"), ("certainty", "0.97"), ("off-screen", "0.25"), ("length", "16.2 s")):
        assert row.index(value) + len(value) == HEADER.index(name) + len(name), name
    assert row.startswith("120 ms late") and row.endswith("a b.mp4 -> out.mp4")
    assert "-0.0" not in table_row(OUTCOMES["in sync"])


def test_reasons_follow_the_row():
    row, reason = table_row(OUTCOMES["undecided"]).splitlines()
    assert row.startswith("undecided") and reason.strip() == "no face where there is audio" and reason.startswith("   ")


def test_how_the_delay_changes_follows_the_row():
    for word, change in (("drifting", "-30 ms per minute"), ("jumping", "from 240 ms late to 80 ms early at 0:07.2")):
        row, line = table_row(OUTCOMES[word]).splitlines()
        assert row.startswith(word) and change in line and line.startswith("   ")
    assert len(table_row(Outcome("j.mp4", JUMP, "out.mp4", WRITTEN)).splitlines()) == 1


def test_the_first_column_is_styled_by_kind_and_only_on_request():
    for kind, outcome in OUTCOMES.items():
        plain, styled = table_row(outcome), table_row(outcome, lambda kind, text: f"<{kind}:{text}>")
        assert styled.startswith(f"<{kind}:") and styled.split(">", 1)[1] == plain[14:]


def test_names_cannot_break_the_table():
    row = table_row(Outcome("a\n\x1b[2Jb.mp4", LATE))
    assert "\n" not in row and "\x1b" not in row


def test_csv_parses():
    text = "\n".join([csv_row(COLUMNS), *map(outcome_csv, OUTCOMES.values()), outcome_csv(Outcome('q",\n.mp4', LATE))])
    rows = list(csv.DictReader(io.StringIO(text)))
    assert set(COLUMNS) == {*REPORT_KEYS, "limits", "written", "error"} - {"schema", "segments", "jumps"} and COLUMNS[0] == "file"
    late, fixed, fine, forced, drift, jump, undecided, failed, odd = rows
    assert late["file"] == "a b.mp4" and float(late["audio_delay_ms"]) == 120 and late["written"] == late["error"] == ""
    assert fixed["written"] == "out.mp4" and float(fixed["shift_ms"]) == -120 and forced["forced"] == "True"
    assert undecided["audio_delay_ms"] == "" and undecided["reasons"] == "no face where there is audio"
    assert failed["error"] == "x.mp4: no such file" and failed["verdict"] == "" and odd["file"] == 'q",\n.mp4'
    assert drift["drift_interval_ms_per_min"] == "-33.1 -27.3" and late["drift_interval_ms_per_min"] == ""
    assert (jump["verdict"], jump["pieces"], late["pieces"], late["faces"], late["tracks"]) == ("jump", "2", "0", "1", "0")
    two = outcome_csv(Outcome("a", replace(UNDECIDED, reasons=("one; a", "two"))))
    assert "one; a | two" in two


def test_summary():
    assert summary(Counter({"failed": 1, "fixed": 7, "in sync": 3}), 0, 33.6) == "11 files in 34 s: 7 fixed, 3 in sync, 1 failed"
    assert summary(Counter({"jumping": 1}), 0, 0.2).endswith("1 jumping")
    assert summary(Counter({"undecided": 2}), 1, 0.2).endswith("2 undecided (1 cached)")
