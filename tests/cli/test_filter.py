"""The command filter, from a folder of clips to a clean one and its manifest."""

import json
import shutil
from dataclasses import replace

import pytest
from helpers import LATE

from resync import Analyzer


@pytest.fixture
def prepared(tmp_path, monkeypatch):
    """A folder of two clips whose reports are prepared: one in sync, and one undecided."""
    (tmp_path / "in").mkdir()
    for name in ("good.mp4", "bad.mp4"):
        (tmp_path / "in" / name).write_bytes(b"video")
    verdicts = {"good.mp4": {"audio_delay_ms": 4.0, "verdict": "in_sync"}, "bad.mp4": {"audio_delay_ms": None, "verdict": "undecided"}}
    monkeypatch.setattr(Analyzer, "analyze", lambda self, source, **options: replace(LATE, **verdicts[source.name]))


def test_filter_keeps_re_syncs_and_drops_and_goes_on_later(invoke, delayed_clip, no_face, tmp_path):
    (tmp_path / "in").mkdir()
    for delay_ms in (0, 200):
        shutil.copy(delayed_clip(delay_ms), tmp_path / "in" / f"{delay_ms}.mp4")
    shutil.copy(no_face, tmp_path / "in" / "noface.mp4")
    (tmp_path / "in" / "damaged.mp4").write_bytes(b"no video")
    done = invoke("filter", "in", "-o", "out", "--keep-within-ms", 40, code=1)
    rows = {row["path"]: row for row in map(json.loads, (tmp_path / "out" / "manifest.jsonl").read_text().splitlines())}
    assert [row["action"] for row in rows.values()] == ["keep", "resync", "failed", "drop"]
    lines = done.stdout.splitlines()
    assert lines[0].startswith("keep    0.mp4: audio is ") and lines[1].startswith("resync  200.mp4: audio is ")
    assert lines[2] == "failed  damaged.mp4" and lines[3].startswith("drop    noface.mp4: undecided: no face")
    assert "4 files in" in done.stderr and "1 kept, 1 re-synced, 1 dropped, 1 failed" in done.stderr
    assert "resync: in/damaged.mp4" in done.stderr and "--reencode-audio" in done.stderr
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["0.mp4", "200.mp4", "manifest.jsonl"]
    assert abs(Analyzer().analyze(tmp_path / "out" / "200.mp4").audio_delay_ms) <= 20
    (tmp_path / "in" / "damaged.mp4").unlink()
    again = invoke("filter", "in", "-o", "out", "--keep-within-ms", 40, code=0)
    assert again.stdout.splitlines() == [lines[0], lines[1], lines[3]] and "(3 cached)" in again.stderr


def test_dropping_is_no_failure(invoke, prepared, tmp_path):
    done = invoke("filter", "in", "-o", "out", code=0)
    assert [line[:8] for line in done.stdout.splitlines()] == ["drop    ", "keep    "] and "--reencode-audio" not in done.stderr
    assert (tmp_path / "out" / "good.mp4").read_bytes() == b"video" and not (tmp_path / "out" / "bad.mp4").exists()
    assert invoke("filter", "-q", "in", "-o", "out", code=0).stderr == ""


def test_dry_run(invoke, prepared, tmp_path):
    invoke("filter", "in", "--dry-run", "--manifest", "m.tsv", code=0)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in", "m.tsv"]


@pytest.mark.parametrize(
    "options",
    [
        "",
        "--dry-run",
        "--manifest m.jsonl",
        "-o out --keep-within-ms 50 --max-offset-ms 40",
        "-o out --min-certainty 2",
        "-o out --max-offscreen nan",
        "-o out --undecided maybe",
        "-o out --link soft",
        "-o out --shard 3/2",
        "-o out -q -v",
    ],
)
def test_usage_errors(invoke, prepared, tmp_path, options):
    invoke("filter", "in", *options.split(), code=2)
    assert [path.name for path in tmp_path.iterdir()] == ["in"]


@pytest.mark.parametrize("options, words", [("-o in", "is the input folder"), ("-o out --manifest m.csv", "end the name with .jsonl")])
def test_what_cannot_be_used_is_one_line(invoke, prepared, options, words):
    done = invoke("filter", "in", *options.split(), code=1)
    assert words in done.stderr and len(done.stderr.splitlines()) == 1 and done.stdout == ""


def test_an_empty_folder_is_one_line(invoke, tmp_path):
    (tmp_path / "in").mkdir()
    assert "no media file in this folder" in invoke("filter", "in", "-o", "out", code=1).stderr and not (tmp_path / "out").exists()
