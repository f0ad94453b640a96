"""Names that break lines, control a terminal or are no text: whatever is printed stays in its lines, and data stays exact."""

import csv
import io
import json
import os
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from xml.etree import ElementTree as ET

import pytest
from helpers import LATE

from resync import Analyzer
from resync.cli.output import OutputOptions, _printer
from resync.errors import MediaError
from resync.report.result import Outcome

CLIP = Path(__file__).parents[1] / "golden" / "small.mp4"
NAMES = ["two\nlines.mp4", "\x1b]0;title\x07\x1b[31m.mp4", "c1\x9b31m.mp4", "right\u202etfel.mp4", "latin\udce9.mp4"]
posix = pytest.mark.skipif(os.name == "nt", reason="not valid names on Windows")


@pytest.fixture
def analysed(monkeypatch):
    """Every file that exists has the same prepared report."""

    def analyze(self, source, **options):
        if not Path(source).exists():
            raise MediaError(f"{source}: cannot be read")
        return replace(LATE, file=str(source))

    monkeypatch.setattr(Analyzer, "analyze", analyze)


@pytest.fixture
def files(tmp_path):
    """Empty files with those names."""
    for name in NAMES:
        (tmp_path / name).touch()
    return NAMES


def harmless(text: str) -> bool:
    return all(line.isprintable() for line in text.split("\n"))


@posix
@pytest.mark.parametrize("name", NAMES)
def test_reports_and_errors_stay_in_their_lines(invoke, analysed, files, name):
    lines = invoke("check", name, code=0).stdout.splitlines()
    (Path("plain.mp4")).touch()
    plain = invoke("check", "plain.mp4", code=0).stdout.splitlines()
    assert all(map(str.isprintable, lines)) and lines[1:] == plain[1:] and "late" in lines[0]
    for command in (
        ["check", f"no{name}"],
        ["shift", "--ms", 40, f"no{name}", "out.mp4"],
        ["check", "plain.mp4", "--audio-track", 1, f"no{name}"],
    ):
        done = invoke(*command, code=1)
        assert harmless(done.output) and sum("cannot be read" in line for line in done.stderr.splitlines()) == 1


@posix
def test_tables_are_harmless(invoke, analysed, files):
    done = invoke("check", *files, code=0)
    assert harmless(done.output) and len(done.stdout.splitlines()) == 1 + len(files)


@posix
def test_json_keeps_the_names(invoke, analysed, files):
    lines = invoke("check", "--json", *files, "absent\x9b.mp4", code=1).stdout.splitlines()
    assert [json.loads(line)["file"] for line in lines] == [*files, "absent\x9b.mp4"] and all(map(str.isprintable, lines))


@posix
def test_csv_keeps_the_names_but_for_a_terminal(invoke, analysed, files, monkeypatch):
    named = [name for name in files if "\udce9" not in name]
    rows = list(csv.DictReader(io.StringIO(invoke("check", "--csv", *named, code=0).stdout, newline="")))
    assert [row["file"] for row in rows] == named
    monkeypatch.setattr(sys, "stdout", SimpleNamespace(isatty=lambda: True))
    assert all(_printer(2, OutputOptions(as_csv=True)).show(Outcome(name, LATE)).isprintable() for name in files)


@posix
def test_other_reports_are_well_formed(invoke, analysed, files, tmp_path):
    invoke("check", *files, "--limits", "r37", "--junit", "j.xml", "--log-file", "log", code=4)
    assert len(ET.parse("j.xml").findall(".//testcase")) == len(files)
    log = Path("log").read_text()
    assert harmless(log) and len(log.splitlines()) == 2 * len(files)  # started, finished


@posix
@pytest.mark.parametrize("name", NAMES)
def test_messages_about_written_files_are_harmless(invoke, name):
    shutil.copy(CLIP, name.replace(".mp4", ".mov"))
    done = invoke("shift", "--ms", -40, name.replace(".mp4", ".mov"), name, code=0)
    assert harmless(done.output) and len(done.stderr.splitlines()) == 2
    assert Path(name).stat().st_size > 1000 and len(os.listdir()) == 2


LONG = "y" * 300 + ".mp4"


@posix
@pytest.mark.parametrize(
    "command",
    [
        ["check", LONG],
        ["fix", "in.mp4", LONG],
        ["fix", LONG, "out.mp4"],
        ["shift", "--ms", 40, LONG, "out.mp4"],
        ["shift", "--ms", 40, "in.mp4", f"{LONG}/out.mp4"],
        ["plot", "in.mp4", LONG.replace("mp4", "png")],
        ["preview", "in.mp4", LONG],
        ["check", "in.mp4", "--plot", LONG.replace("mp4", "png")],
        ["check", "in.mp4", "--html", LONG.replace("mp4", "html")],
        ["check", "in.mp4", "--edl", LONG],
        ["check", "in.mp4", "--skip-done", LONG],
        ["check", "in.mp4", "--weights", LONG],
        ["filter", LONG, "-o", "out"],
        ["filter", ".", "-o", LONG],
        ["watch", LONG],
        ["demo", LONG],
        ["prepare", LONG, "cache"],
        ["evaluate", LONG],
    ],
    ids=lambda command: " ".join(map(str, command)).replace(LONG[:-4], "LONG"),
)
def test_names_that_are_too_long(invoke, tmp_path, command):
    shutil.copy(CLIP, tmp_path / "in.mp4")
    done = invoke(*command, code=1)
    assert len(done.stderr.splitlines()) == 1 and "File name too long" in done.stderr and "unexpected" not in done.stderr


@posix
def test_one_name_that_is_too_long_does_not_stop_a_batch(invoke, tmp_path):
    long = f"{'x' * 249}.mp4"  # an input may have it, but not with .resync added
    for name in (long, "in.mp4"):
        shutil.copy(CLIP, tmp_path / name)
    done = invoke("fix", long, "in.mp4", "-o", "out", code=1)
    assert os.listdir("out") == ["in.resync.mp4"] and "1 fixed, 1 failed" in done.stderr
