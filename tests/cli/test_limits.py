"""check --limits and --junit: verdicts, exit codes, and a JUnit file in every kind of batch."""

import json
import re
import shutil
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from helpers import DRIFT, JUMP, LATE, UNDECIDED

from resync import Analyzer, MediaError
from resync.batch.settings import Models
from resync.report.limits import judge, parse_limits
from resync.report.result import Outcome

REPORTS = {
    "good.mp4": replace(LATE, verdict="in_sync", audio_delay_ms=5.0),
    "late.mp4": LATE,
    "drift.mp4": replace(DRIFT, duration_s=60.0),  # from 60 ms late to 30 ms late
    "jump.mp4": JUMP,
    "undecided.mp4": UNDECIDED,
}


@pytest.fixture
def clips(tmp_path, monkeypatch):
    """Empty files whose reports are REPORTS; bad.mp4 fails. No network is needed."""
    folder = tmp_path / "clips"
    folder.mkdir()
    for name in (*REPORTS, "bad.mp4"):
        (folder / name).touch()

    def analyze(self, source, **options):
        if source.name == "interrupt.mp4":
            raise KeyboardInterrupt
        if source.name not in REPORTS:
            raise MediaError(f"{source}: bad")
        return replace(REPORTS[source.name], file=str(source))

    monkeypatch.setattr(Analyzer, "analyze", analyze)
    monkeypatch.setattr("resync.batch.jobs.models", lambda config: Models.of_report(LATE))
    return folder


@pytest.mark.parametrize(
    "name, without, within_r37, within_wide",  # wide: 100 ms early to 300 ms late
    [
        ("good.mp4", 0, 0, 0),
        ("late.mp4", 0, 4, 0),
        ("drift.mp4", 3, 0, 0),
        ("jump.mp4", 3, 4, 0),
        ("undecided.mp4", 3, 3, 3),
        ("bad.mp4", 1, 1, 1),
    ],
)
def test_exit_codes(invoke, clips, name, without, within_r37, within_wide):
    invoke("check", clips / name, code=without)
    invoke("check", clips / name, "--limits", "r37", code=within_r37)
    invoke("check", clips / name, "--limits", "100:300", code=within_wide)
    invoke("check", clips / name, "--limits", "100:300", "--limits", "r37", code=within_r37)


def test_fail_over_ms_stays_and_can_be_combined(invoke, clips):
    invoke("check", clips / "late.mp4", "--fail-over-ms", 100, code=4)
    invoke("check", clips / "late.mp4", "--fail-over-ms", 100, "--limits", "bt1359", code=4)
    invoke("check", clips / "late.mp4", "--fail-over-ms", 130, "--limits", "bt1359", code=0)
    invoke("check", clips / "drift.mp4", "--fail-over-ms", 10, code=3)


def test_verdicts_in_every_kind_of_output(invoke, clips):
    text = invoke("check", clips / "late.mp4", "--limits", "r37", "--limits", "BT1359", "--limits", "r37", code=4).stdout
    assert (
        text.count("r37 (") == 1 and "fail, 120 ms late exceeds it by 60 ms" in text and "bt1359 (45 ms early to 125 ms late): pass" in text
    )
    row = json.loads(invoke("check", "--json", clips / "late.mp4", "--limits", "100:50", code=4).stdout)
    assert [(own["name"], own["verdict"]) for own in row["limits"]] == [("100:50", "fail")]
    lines = invoke("check", clips, "--limits", "r37", code=1).stdout.splitlines()
    assert lines[0].split()[-2:] == ["r37", "file"] and sum("FAIL" in line for line in lines) == 2
    lines = invoke("check", "--csv", clips, "--limits", "r37", code=1).stdout.splitlines()
    assert sum("r37 fail" in line for line in lines) == 2 and sum("r37 unknown" in line for line in lines) == 2


@pytest.mark.parametrize("value", ["r38", "40", "-1:5", ""])
def test_bad_limits_are_usage_errors(invoke, clips, value):
    error = invoke("check", clips, "--limits", value, code=2).stderr
    assert "--limits" in error and "EARLY:LATE" in error


def cases(path):
    return {case.get("name").rpartition("/")[2]: [detail.tag for detail in case] for case in ET.parse(path).getroot()[0]}


EXPECTED = {
    "good.mp4": [],
    "late.mp4": ["failure"],
    "drift.mp4": [],
    "jump.mp4": ["failure"],
    "undecided.mp4": ["skipped"],
    "bad.mp4": ["error"],
}


def test_junit_has_every_file_also_from_the_cache_and_needs_y_to_overwrite(invoke, clips, tmp_path):
    args = ("check", clips, "--limits", "r37", "--junit", "r.xml", "--skip-done", "cache")
    for options, cached in (((), "failed\n"), (("-y",), "(5 cached)\n")):
        assert invoke(*args, *options, code=1).stderr.endswith(cached)
        assert cases("r.xml") == EXPECTED and sorted(path.name for path in tmp_path.iterdir()) == ["cache", "clips", "r.xml"]
    before = (tmp_path / "r.xml").read_bytes()
    assert "-y" in invoke(*args, code=1).stderr and (tmp_path / "r.xml").read_bytes() == before


def test_junit_of_an_interrupted_batch_is_complete(invoke, clips):
    (clips / "interrupt.mp4").touch()
    invoke("check", clips, "--limits", "r37", "--junit", "r.xml", code=1)
    assert cases("r.xml") == {name: kind if name < "interrupt.mp4" else ["error"] for name, kind in EXPECTED.items()} | {
        "interrupt.mp4": ["error"]
    }


def test_junit_and_log_with_several_processes(resync, delayed_clip, tmp_path):
    (tmp_path / "clips").mkdir()
    for name, delay_ms in (("late", 200), ("in_sync", 0)):
        shutil.copy(delayed_clip(delay_ms), tmp_path / "clips" / f"{name}.mp4")
    (tmp_path / "clips" / "bad.mp4").write_bytes(b"not a video")
    done = resync("check", "-q", "-j", 2, "clips", "--limits", "r37", "--junit", "r.xml", "--log-file", "all.log", code=1)
    assert len(done.stderr.splitlines()) == 1  # the error
    assert cases(tmp_path / "r.xml") == {"bad.mp4": ["error"], "in_sync.mp4": [], "late.mp4": ["failure"]}
    log = (tmp_path / "all.log").read_text()
    assert re.search(r"resync\.sync\.measure: clips/in_sync\.mp4: in_sync, best offset", log)
    assert re.search(r"resync\.sync\.measure: clips/late\.mp4: out_of_sync, best offset \+", log)
    assert re.search(r"resync\.batch\.jobs: clips/bad\.mp4: finished in \S+ s: clips/bad\.mp4: not a media file", log)


def test_junit_must_not_be_an_input_or_a_video_and_needs_limits(invoke, clips, delayed_clip, ffmpeg, tmp_path):
    assert "--junit needs --limits" in invoke("check", clips, "--junit", "r.xml", code=2).stderr
    ffmpeg("-i", delayed_clip(0), "-c", "copy", "-f", "mp4", tmp_path / "video.xml")
    before = (tmp_path / "video.xml").read_bytes()
    for target in ("video.xml", "r.txt"):
        error = invoke("check", clips, "--limits", "r37", "-y", "--junit", target, code=1).stderr
        assert len(error.splitlines()) == 1 and target in error
    assert (tmp_path / "video.xml").read_bytes() == before


def test_limits_do_not_change_the_report():
    assert Outcome("a", LATE, limits=judge(LATE, [parse_limits("r37")])).report == LATE
