"""A batch as a shell sees it: twelve clips, one damaged, one without audio; a killed worker, the cache, shards, every kind of output."""

import csv
import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import LATE

from resync import Analyzer, Config, MediaError, Overwrite
from resync.batch.inputs import find_inputs
from resync.batch.jobs import JobRunner
from resync.batch.run import BatchOptions, check_jobs, fix_jobs, run_batch
from resync.batch.settings import Models
from resync.report.table import HEADER

COMMAND = [sys.executable, "-m", "resync"]
DELAYS = {"late": 200, "in_sync": 0, "early": -200}
FAILING = {"damaged.mp4", "silent.mp4"}
HAS_PROC = Path("/proc/self/task").is_dir()


@pytest.fixture(scope="module")
def clips(delayed_clip, no_face, ffmpeg, tmp_path_factory):
    """Twelve clips in three folders: nine talking heads, one without a face, one damaged, one without an audio track."""
    folder = tmp_path_factory.mktemp("clips")
    for subfolder in ("a", "b", "b/deep"):
        (folder / subfolder).mkdir()
        for name, delay_ms in DELAYS.items():
            shutil.copy(delayed_clip(delay_ms), folder / subfolder / f"{name}.mp4")
    shutil.copy(no_face, folder / "noface.mp4")
    (folder / "damaged.mp4").write_bytes(delayed_clip(0).read_bytes()[:300])
    ffmpeg("-i", delayed_clip(0), "-an", "-c", "copy", folder / "silent.mp4")
    return folder


def run(*args, code):
    done = subprocess.run([*COMMAND, *map(str, args)], capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert done.returncode == code and "Traceback" not in done.stderr, (done.returncode, done.stdout, done.stderr)
    return done


def worker_pids(pid):
    """Process ids of the pool of a process, from /proc."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.fixture(scope="module")
def first_run(clips):
    """(stdout, stderr, exit code, cache) of a run over all clips in two processes; where there is /proc, one of them is killed."""
    cache = clips.parent / f"{clips.name}.cache"
    command = [*COMMAND, "check", "-r", "-j", "2", "--json", "--skip-done", cache, clips]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    first_line = process.stdout.readline()
    if HAS_PROC:
        os.kill(worker_pids(process.pid)[0], signal.SIGKILL)
    out, err = process.communicate()
    return first_line + out, err, process.returncode, cache


@pytest.fixture
def cache(first_run, tmp_path):
    """A copy of the results cache of that run."""
    return shutil.copy(first_run[3], tmp_path / "cache")


def test_every_clip_is_reported_once_even_if_a_worker_is_killed(first_run, clips):
    out, err, code, _ = first_run
    rows = {Path(row["file"]).relative_to(clips).as_posix(): row for row in map(json.loads, out.splitlines())}
    assert len(out.splitlines()) == len(rows) == 12
    assert sorted(rows) == sorted(path.relative_to(clips).as_posix() for path in clips.rglob("*.mp4"))
    for folder in ("a", "b", "b/deep"):
        for name, delay_ms in DELAYS.items():
            assert abs(rows[f"{folder}/{name}.mp4"]["audio_delay_ms"] - delay_ms) < 40, rows[f"{folder}/{name}.mp4"]
    assert rows["noface.mp4"]["verdict"] == "undecided"
    assert "damaged.mp4" in rows["damaged.mp4"]["error"] and "no audio track" in rows["silent.mp4"]["error"]
    assert code == 1
    assert "12 files in" in err and "3 in sync, 6 out of sync, 1 undecided, 2 failed" in err.splitlines()[-1]
    assert len([line for line in err.splitlines() if line.startswith("resync: ")]) == 2


def test_second_run_reuses_cached_results(first_run, cache, clips):
    second = run("check", "-r", "--json", "--skip-done", cache, clips, code=1)
    assert sorted(second.stdout.splitlines()) == sorted(first_run[0].splitlines())
    assert "2 failed (10 cached)" in second.stderr


def test_shards_cover_every_file_once(first_run, cache, clips):
    lines = []
    for index in (1, 2, 3):
        names = {file.path.name for file in find_inputs([clips], recursive=True) if file.in_shard(index, 3)}
        code = 1 if names & FAILING else 3 if "noface.mp4" in names else 0
        lines += run("check", "-qr", "--json", "--skip-done", cache, "--shard", f"{index}/3", clips, code=code).stdout.splitlines()
    assert sorted(lines) == sorted(first_run[0].splitlines())


def test_csv_parses(cache, clips):
    rows = list(csv.DictReader(io.StringIO(run("check", "-r", "--csv", "--skip-done", cache, clips, code=1).stdout)))
    assert len(rows) == 12 and sum(bool(row["error"]) for row in rows) == 2
    assert {row["verdict"] for row in rows if not row["error"]} == {"in_sync", "out_of_sync", "undecided"}


def test_table_is_aligned_and_without_colours_in_a_pipe(cache, clips):
    lines = run("check", "-r", "--skip-done", cache, clips, code=1).stdout.splitlines()
    assert lines[0] == HEADER
    rows = [line for line in lines[1:] if ".mp4" in line]
    assert len(rows) == 12 and all(row.index(str(clips)) == HEADER.index("file") for row in rows)
    assert "\x1b" not in "".join(lines)
    (reason,) = [line for line in lines[1:] if ".mp4" not in line]
    assert "no face" in reason and "0.6 s" in reason


def run_on_terminal(args, environment, stream, other):
    """Run resync with `stream`, stdout or stderr, on a terminal and the other stream to `other`; returns what the terminal received."""
    pty = pytest.importorskip("pty", reason="no pseudo-terminals")
    ours, theirs = pty.openpty()
    streams = {"stdout": other, "stderr": other} | {stream: theirs}
    inherited = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    process = subprocess.Popen(
        [*COMMAND, *map(str, args)], stdin=subprocess.DEVNULL, env=inherited | {"TERM": "xterm"} | environment, **streams
    )
    os.close(theirs)
    received = b""
    while True:
        try:
            block = os.read(ours, 4096)
        except OSError:  # the end, on Linux
            break
        if not block:
            break
        received += block
    os.close(ours)
    return received, process.wait()


@pytest.mark.parametrize("environment, coloured", [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colours_only_on_a_terminal_and_without_no_color(cache, clips, environment, coloured):
    args = ("check", "--skip-done", cache, clips / "a")
    received, code = run_on_terminal(args, environment, "stdout", subprocess.DEVNULL)
    assert code == 0 and b"late.mp4" in received
    assert (b"\x1b[3" in received) == coloured, received


def test_progress_bars_do_not_mix_with_results(cache, clips, tmp_path):
    args = ("check", "-r", "--json", "--skip-done", cache, clips)
    with open(tmp_path / "out", "w") as out:
        received, code = run_on_terminal(args, {}, "stderr", out)
    assert code == 1 and b"all files" in received and b"/12" in received
    assert len([json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]) == 12


def test_fix_keeps_the_folder_layout_and_resumes(delayed_clip, tmp_path):
    videos, out = tmp_path / "videos", tmp_path / "new" / "out"
    for folder, delay_ms in (("x", 200), ("y", 0)):
        (videos / folder).mkdir(parents=True)
        shutil.copy(delayed_clip(delay_ms), videos / folder / "clip.mp4")
    args = ("fix", "-r", "--json", "--skip-done", tmp_path / "cache", videos, "-o", out)
    first = run(*args, code=0)
    x, y = out / "x" / "clip.resync.mp4", out / "y" / "clip.resync.mp4"
    assert sorted(out.rglob("*.mp4")) == [x, y]
    assert "2 files" in first.stderr and "1 fixed, 1 in sync" in first.stderr
    written_ns = x.stat().st_mtime_ns
    y.unlink()
    second = run(*args, code=0)
    assert "1 cached" in second.stderr and len(second.stdout.splitlines()) == 2
    assert x.stat().st_mtime_ns == written_ns and y.exists()


def test_bad_arguments_are_refused_before_any_analysis(clips, tmp_path):
    out = tmp_path / "out"
    done = run("fix", clips / "a", clips / "b", "-o", out, code=1)
    assert len(done.stderr.splitlines()) == 1 and "both" in done.stderr and not out.exists()
    (tmp_path / "empty").mkdir()
    done = run("check", tmp_path / "empty", code=1)
    assert len(done.stderr.splitlines()) == 1 and "no media file" in done.stderr
    (tmp_path / "video.mp4").write_bytes(b"not results")
    done = run("check", "--skip-done", tmp_path / "video.mp4", clips, code=1)
    assert len(done.stderr.splitlines()) == 1 and (tmp_path / "video.mp4").read_bytes() == b"not results"


@pytest.mark.skipif(not HAS_PROC, reason="needs /proc to list processes")
def test_terminated_batch_ends_its_processes(clips):
    process = subprocess.Popen([*COMMAND, "check", "-qr", "-j", "2", str(clips)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    until = time.monotonic() + 60
    while len(pids := worker_pids(process.pid)) < 2 and time.monotonic() < until:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    messages = process.communicate(timeout=60)[1]
    assert len(pids) == 2 and process.returncode == 143 and b"Traceback" not in messages, messages
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)


def test_file_name_that_is_not_text(tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff.mp4"))
    try:
        odd.write_bytes(b"nothing")
    except (OSError, UnicodeError):
        pytest.skip("the file system takes only text")
    (row,) = map(json.loads, run("check", "-q", "--json", odd, code=1).stdout.splitlines())
    assert row["file"] == str(odd)


@pytest.fixture
def videos(tmp_path, monkeypatch):
    """A folder with four empty files, of which bad.mp4 fails; no network is needed to analyse them."""
    folder = tmp_path / "videos"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.mp4", "bad.mp4", "c.resync.mp4", "sub/d.mkv"):
        (folder / name).touch()

    def analyze(self, source, **options):
        if source.name == "bad.mp4":
            raise MediaError(f"{source}: bad")
        return replace(LATE, file=str(source))

    monkeypatch.setattr(Analyzer, "analyze", analyze)
    monkeypatch.setattr(JobRunner, "models", lambda self: Models.of_report(LATE))
    return folder


def test_run_batch_yields_cached_outcomes_first_and_continues_after_failures(videos, tmp_path):
    runner, options = JobRunner(Config()), BatchOptions(recursive=True, results=tmp_path / "cache")
    jobs = check_jobs([videos], options)
    assert [job.source for job in jobs] == [videos / "a.mp4", videos / "bad.mp4", videos / "sub" / "d.mkv"]
    started = []
    first = list(run_batch(jobs, runner, options, lambda job, progress: started.append(job.source.name)))
    assert started == ["a.mp4", "bad.mp4", "d.mkv"]
    assert [(finished.job, finished.cached) for finished in first] == [(job, False) for job in jobs]
    assert [finished.outcome.error for finished in first] == [None, f"{videos / 'bad.mp4'}: bad", None]
    second = list(run_batch(jobs, runner, options))
    assert [(finished.job.source.name, finished.cached) for finished in second] == [("a.mp4", True), ("d.mkv", True), ("bad.mp4", False)]


def test_fix_jobs_create_the_folders_of_their_shard_and_skip_own_outputs(videos, tmp_path):
    out, skipped = tmp_path / "out", []
    given = [videos, videos / "c.resync.mp4"]
    jobs = fix_jobs(given, out, BatchOptions(recursive=True), Overwrite.OWN, skipped.append)
    assert skipped == [videos / "c.resync.mp4"] and out.is_dir() and (out / "sub").is_dir()
    assert {job.target for job in jobs} == {out / "a.resync.mp4", out / "bad.resync.mp4", out / "sub" / "d.resync.mkv"}
    assert all(job.overwrite == Overwrite.OWN and not job.existed for job in jobs)
    shards = [fix_jobs(given, tmp_path / f"out{i}", BatchOptions(True, shard=(i, 2)), Overwrite.OWN) for i in (1, 2)]
    assert sorted(job.source for shard in shards for job in shard) == sorted(job.source for job in jobs)
    assert (tmp_path / "out1" / "sub").exists() != (tmp_path / "out2" / "sub").exists()
    (out / "a.resync.mp4").touch()
    assert [job.existed for job in fix_jobs([videos / "a.mp4"], out, BatchOptions(), Overwrite.OWN)] == [True]
