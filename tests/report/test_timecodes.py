"""Times of reports as timecode of the source."""

import json
from dataclasses import replace

import pytest
from helpers import JUMP, LATE

from resync.report.result import JumpResult, Outcome, Report
from resync.report.table import table_row
from resync.report.text import outcome_text

SOURCE = replace(JUMP, timecode="01:00:00:00", jumps=(JumpResult(7.2, 7.12, 7.28, -320.4),))
DROP = replace(JUMP, timecode="01:00:00;00", fps=29.97)


@pytest.mark.parametrize(
    "report, time_s, timecode",
    [
        (SOURCE, 0.0, "01:00:00:00"),
        (SOURCE, 7.2, "01:00:07:05"),
        (DROP, 60.06, "01:01:00;02"),
        (DROP, 0.033, "01:00:00;01"),  # times are rounded to milliseconds
        (replace(SOURCE, video_start_s=0.08), 0.08, "01:00:00:00"),
        (JUMP, 7.2, "00:00:07:05"),
        (replace(JUMP, timecode="not one"), 7.2, "00:00:07:05"),
    ],
)
def test_timecode_of_a_time(report, time_s, timecode):
    assert report.timecode_at(time_s) == timecode


def test_json_has_timecode_beside_the_seconds_when_asked_for():
    plain, row = SOURCE.to_dict(), json.loads(Outcome(SOURCE.file, SOURCE).to_json(with_timecode=True))
    assert row["timecode"] == plain["timecode"] == "01:00:00:00"
    assert row["pieces"][1] == plain["pieces"][1] | {"start_timecode": "01:00:07:05", "end_timecode": "01:00:16:00"}
    assert row["jumps"][0] == plain["jumps"][0] | {
        "at_timecode": "01:00:07:05",
        "earliest_timecode": "01:00:07:03",
        "latest_timecode": "01:00:07:07",
    }
    late = replace(LATE, timecode="01:00:00:00").to_dict(with_timecode=True)
    assert late["segments"][0]["end_timecode"] == "01:00:08:00" and late["faces"][0]["start_timecode"] == "01:00:00:00"
    assert not [name for entry in plain["pieces"] + plain["jumps"] + plain["segments"] for name in entry if "timecode" in name]


def test_json_with_timecode_is_read_back():
    assert Report.from_dict(SOURCE.to_dict(with_timecode=True, with_boxes=True)).pieces == SOURCE.pieces


def test_text_prints_timecode_when_asked_for():
    plain, text = (outcome_text(Outcome(SOURCE.file, SOURCE), with_timecode) for with_timecode in (False, True))
    assert "at 0:07.2" in plain and "timecode" not in plain
    assert "late to 80 ms early at 01:00:07:05;" in text and "  pieces      01:00:00:00 to 01:00:07:05  240 ms late" in text
    assert "  timecode    01:00:00:00 to 01:00:16:05 at 25 fps\n" in text
    assert "counted from the first frame: the file has no timecode" in outcome_text(Outcome(JUMP.file, JUMP), True)


def test_table_prints_timecode_when_asked_for():
    assert "01:00:07:05" in table_row(Outcome(SOURCE.file, SOURCE), with_timecode=True)
    assert "0:07.2" in table_row(Outcome(SOURCE.file, SOURCE))
