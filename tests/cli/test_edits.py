"""check --edl, --otio and --fcpxml, and --timecode, as a shell sees them. The analysis itself is replaced by known reports."""

import json
import sys
from dataclasses import replace

import pytest
from click.testing import CliRunner
from helpers import JUMP, LATE, UNDECIDED, noise_input, pattern_input

from resync import Analyzer
from resync.cli.main import main
from resync.edits import write
from resync.errors import OutputError


@pytest.fixture
def clips(ffmpeg, tmp_path, monkeypatch):
    """Folder "in" with late.mov, sub/jump.mov and sub/undecided.mov, which start at 01:00:00:00; check knows what they are."""
    folder = tmp_path / "in"
    (folder / "sub").mkdir(parents=True)
    reports = {"late": LATE, "jump": JUMP, "undecided": UNDECIDED}
    ffmpeg(*pattern_input(16), *noise_input(seconds=16), "-c:v", "mpeg4", "-timecode", "01:00:00:00", folder / "late.mov")
    for name in ("jump", "undecided"):
        (folder / "sub" / f"{name}.mov").symlink_to(folder / "late.mov")
    monkeypatch.setattr(
        Analyzer, "analyze", lambda self, source, **_: replace(reports[source.stem], file=str(source), timecode="01:00:00:00")
    )
    monkeypatch.chdir(tmp_path)
    return folder


@pytest.fixture
def check():
    def run(*args, code):
        done = CliRunner().invoke(main, ["check", *map(str, args)])
        assert done.exit_code == code and (done.exception is None or isinstance(done.exception, SystemExit)), (done.output, done.exception)
        return done

    return run


def test_one_file_gets_one_list_in_each_format(check, clips, tmp_path):
    pytest.importorskip("opentimelineio")
    lists = [tmp_path / f"late.{suffix}" for suffix in ("edl", "otio", "fcpxml")]
    done = check(clips / "late.mov", "--edl", lists[0], "--otio", lists[1], "--fcpxml", lists[2], code=0)
    assert all("late.mov" in path.read_text() for path in lists)
    assert "ms late" in done.stdout and done.stderr == ""
    assert "-120.0 ms here (-3 frames)" in lists[0].read_text()


def test_a_batch_writes_a_folder_of_the_same_layout(check, clips, tmp_path):
    done = check("-r", clips, "--edl", "lists", "--json", code=3)
    assert sorted(path.relative_to(tmp_path).as_posix() for path in (tmp_path / "lists").rglob("*.edl")) == [
        "lists/late.mov.edl",
        "lists/sub/jump.mov.edl",
    ]
    assert f"{clips / 'sub' / 'undecided.mov'}: undecided, no edit list was written\n" in done.stderr
    assert [json.loads(line)["verdict"] for line in done.stdout.splitlines()] == ["out_of_sync", "jump", "undecided"]


def test_messages_can_be_turned_off(check, clips):
    assert check(clips / "sub" / "undecided.mov", "--edl", "x.edl", "-q", code=3).stderr == ""


def test_several_files_need_a_folder(check, clips, tmp_path):
    done = check(clips / "late.mov", clips / "sub" / "jump.mov", "--fcpxml", "x.fcpxml", code=2)
    assert "--fcpxml x.fcpxml: several IN need a folder, a name without .fcpxml" in done.stderr
    assert not (tmp_path / "x.fcpxml").exists()


def test_an_existing_list_is_kept_without_y(check, clips, tmp_path, monkeypatch):
    old = tmp_path / "late.edl"
    old.write_text("mine")
    with monkeypatch.context() as patch:
        patch.setattr(Analyzer, "analyze", lambda *args, **options: pytest.fail("refused before the long work"))
        assert "already exists" in check(clips / "late.mov", "--edl", old, code=1).stderr
    assert old.read_text() == "mine"
    check(clips / "late.mov", "--edl", old, "-y", code=0)
    assert old.read_text().startswith("TITLE: late")


def test_two_files_cannot_share_a_list(check, clips, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "late.mov").symlink_to(clips / "late.mov")
    assert "would be written there" in check(clips / "late.mov", tmp_path / "other" / "late.mov", "--edl", "lists", code=1).stderr


def test_a_list_that_cannot_be_written_fails_only_its_file(check, clips, tmp_path, monkeypatch):
    def full(target, data, *checks):
        if target.name == "late.mov.edl":
            raise OutputError(f"{target}: cannot be written (No space left on device); choose another location")
        target.write_bytes(data)

    monkeypatch.setattr(write, "write_output", full)
    done = check("-r", clips, "--edl", "lists", code=1)
    assert "resync: lists/late.mov.edl: cannot be written (No space left on device)" in done.stderr
    assert [path.name for path in (tmp_path / "lists").rglob("*.edl")] == ["jump.mov.edl"]


def test_missing_opentimelineio_is_one_line(check, clips, monkeypatch):
    monkeypatch.setitem(sys.modules, "opentimelineio", None)
    done = check(clips / "late.mov", "--otio", "x.otio", code=1)
    assert done.stderr == "resync: x.otio: OpenTimelineIO is not installed; pip install 'resync[edl]'\n"
    check(clips / "late.mov", "--edl", "x.edl", "--fcpxml", "x.fcpxml", code=0)  # these do not need it


def test_timecode_in_text_json_and_csv(check, clips):
    jump = clips / "sub" / "jump.mov"
    assert "01:00:07:05" in check(jump, "--timecode", code=3).stdout
    assert json.loads(check(jump, "--timecode", "--json", code=3).stdout)["jumps"][0]["at_timecode"] == "01:00:07:05"
    header, row = check(jump, "--csv", code=3).stdout.splitlines()
    assert dict(zip(header.split(","), row.split(",")))["timecode"] == "01:00:00:00"
