"""--verbose and --log-file: what is logged, where it goes, and that nothing is logged without them."""

import logging
import re
import shutil
from dataclasses import replace
from io import BytesIO
from pathlib import Path

import pytest
from helpers import LATE

from resync import Analyzer
from resync.batch.settings import Models
from resync.cli.logs import logged

STAMP = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} resync\.[\w.]+: "


def test_fix_logs_stages_times_and_the_ffmpeg_command(resync, delayed_clip, tmp_path):
    shutil.copy(delayed_clip(200), tmp_path / "in.mp4")
    done = resync("fix", "-v", "--log-file", "a.log", "in.mp4", "out.mp4", code=0)
    lines = (tmp_path / "a.log").read_text().splitlines()
    assert all(re.match(STAMP, line) for line in lines)
    text = "\n".join(lines)
    for pattern in (
        r"in\.mp4: started",
        r"in\.mp4: mov,mp4,\S+, \d\.\d\d s, h264 \d+x\d+ 25 fps, aac \d+ Hz mono",
        r"detector centerface and network \S+ loaded on cpu in \d+\.\d\d s",
        r"in\.mp4: 0\.00 to 4\.\d\d s analysed in \d+\.\d\d s, face tracks: 1",
        r"in\.mp4: out_of_sync, best offset \+\d+ ms, certainty \d\.\d\d \(audio track 1, offsets up to 1 s, segments: 1\)",
        r"in\.mp4: \S*ffmpeg\S* .*-i file:in\.mp4 .*setts=",
        r"in\.mp4: ffmpeg ended with exit code 0 after \d+\.\d\d s",
        r"in\.mp4: finished in \d+\.\d\d s: out_of_sync",
    ):
        assert re.search(pattern, text), pattern
    shown = re.sub(r"^\d\d:\d\d:\d\d\.\d{3} ", "", done.stderr, flags=re.MULTILINE)
    assert shown.splitlines() == [re.sub(STAMP, "", line) for line in lines]
    assert done.stdout.startswith("in.mp4: audio is ")


@pytest.fixture
def analysed(tmp_path, monkeypatch):
    """A clip whose report needs no analysis."""
    monkeypatch.setattr(Analyzer, "analyze", lambda self, source, **options: replace(LATE, file=str(source)))
    monkeypatch.setattr("resync.batch.jobs.models", lambda config: Models.of_report(LATE))
    (tmp_path / "in.mp4").touch()


def test_nothing_is_logged_by_default(invoke, analysed):
    done = invoke("check", "in.mp4", code=0)
    assert done.stderr == "" and not logging.getLogger("resync").isEnabledFor(logging.INFO)
    assert "started" in invoke("check", "-v", "in.mp4", code=0).stderr
    assert not logging.getLogger("resync").isEnabledFor(logging.INFO) and not logging.getLogger("resync").handlers


def test_unexpected_errors_are_logged_with_their_traceback(invoke, analysed, monkeypatch, tmp_path):
    monkeypatch.setattr(Analyzer, "analyze", lambda self, source, **options: 1 / 0)
    done = invoke("check", "--log-file", "a.log", "in.mp4", code=1)
    assert len(done.stderr.splitlines()) == 1
    text = (tmp_path / "a.log").read_text()
    assert "in.mp4: unexpected error\nTraceback (most recent call last):\n" in text and "ZeroDivisionError" in text


def test_a_log_is_appended_to(invoke, analysed, tmp_path):
    args = ("check", "in.mp4", "--log-file", "a.log", "--skip-done", "cache")
    invoke(*args, code=0)
    first = (tmp_path / "a.log").read_text()
    invoke(*args, code=0)
    both = (tmp_path / "a.log").read_text()
    assert "in.mp4: finished" in first and both.startswith(first) and "in.mp4: cached result" in both[len(first) :]


def test_only_logs_of_resync_are_appended_to(invoke, analysed, delayed_clip, tmp_path):
    shutil.copy(delayed_clip(0), tmp_path / "video.mp4")
    (tmp_path / "notes.txt").write_text("2026 notes\n")
    for name in ("video.mp4", "notes.txt"):
        before = (tmp_path / name).read_bytes()
        done = invoke("check", "in.mp4", "--log-file", name, code=1)
        assert f"{name}: is not a log of resync" in done.stderr and len(done.stderr.splitlines()) == 1 and done.stdout == ""
        assert (tmp_path / name).read_bytes() == before
    assert "no/such.log: cannot be written" in invoke("check", "in.mp4", "--log-file", "no/such.log", code=1).stderr


def test_quiet_and_verbose_exclude_each_other(invoke, analysed):
    assert "not both" in invoke("check", "-qv", "in.mp4", code=2).stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_log_that_cannot_be_written_does_not_stop_the_work(tmp_path, capsys):
    def broken(text, err):
        raise BrokenPipeError

    with logged(True, tmp_path / "a.log", broken):
        for handler in logging.getLogger("resync").handlers:
            if isinstance(handler, logging.FileHandler):
                handler.setStream(open("/dev/full", "w")).close()
        logging.getLogger("resync.x").info("hello")
    assert capsys.readouterr() == ("", "")


def test_file_names_cannot_forge_lines_or_control_the_terminal(tmp_path):
    shown = BytesIO()
    with logged(True, None, lambda text, err: shown.write(text.encode())):
        logging.getLogger("resync.x").info("%s: started", "a\x1b[2J\udcff.mp4")
    assert b"\x1b" not in shown.getvalue() and shown.getvalue().endswith(b".mp4: started")
