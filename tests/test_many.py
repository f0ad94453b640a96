"""A batch as a shell sees it: twelve clips, one damaged, one mute; a worker killed; resumed, shared out, told in several ways."""

import csv
import io
import json
import os
import pty
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from resync.table import HEADER

COMMAND = [sys.executable, "-m", "resync"]
DELAYS = {"late": 200, "fine": 0, "early": -200}


@pytest.fixture(scope="module")
def clips(delayed_clip, no_face, ffmpeg, tmp_path_factory):
    """Twelve clips in three folders: nine that talk, one without a face, one damaged, one mute (no sound track)."""
    folder = tmp_path_factory.mktemp("clips")
    for place in ("a", "b", "b/deep"):
        (folder / place).mkdir()
        for name, delay_ms in DELAYS.items():
            shutil.copy(delayed_clip(delay_ms), folder / place / f"{name}.mp4")
    shutil.copy(no_face, folder / "noface.mp4")
    (folder / "damaged.mp4").write_bytes(delayed_clip(0).read_bytes()[:300])
    ffmpeg("-i", delayed_clip(0), "-an", "-c", "copy", folder / "mute.mp4")
    return folder


def run(*args, code, **kw):
    done = subprocess.run([*COMMAND, *map(str, args)], capture_output=True, text=True, stdin=subprocess.DEVNULL, **kw)
    assert done.returncode == code and "Traceback" not in done.stderr, (done.returncode, done.stdout, done.stderr)
    return done


def workers(pid):
    """Processes of a pool, as Linux lists them."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes()]


@pytest.fixture(scope="module")
def batch(clips):
    """(stdout, stderr, exit code, ledger) of one run over all clips in two processes, one of them killed on the way."""
    ledger = clips.parent / f"{clips.name}.done"
    command = [*COMMAND, "check", "-r", "-j", "2", "--json", "--skip-done", ledger, clips]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, stdin=subprocess.DEVNULL)
    first = process.stdout.readline()
    if os.path.isdir("/proc/self/task"):
        os.kill(workers(process.pid)[0], signal.SIGKILL)
    out, err = process.communicate()
    return first + out, err, process.returncode, ledger


def test_every_clip_is_told_once_though_a_worker_is_killed(batch, clips):
    out, err, code, _ = batch
    rows = {Path(row["file"]).relative_to(clips).as_posix(): row for row in map(json.loads, out.splitlines())}
    assert len(out.splitlines()) == 12 == len(rows)
    assert sorted(rows) == sorted(p.relative_to(clips).as_posix() for p in clips.rglob("*.mp4"))
    for place in ("a", "b", "b/deep"):
        for name, delay_ms in DELAYS.items():
            assert abs(rows[f"{place}/{name}.mp4"]["audio_delay_ms"] - delay_ms) < 40, rows[f"{place}/{name}.mp4"]
    assert rows["noface.mp4"]["verdict"] == "undecided"
    assert "damaged.mp4" in rows["damaged.mp4"]["error"] and "no sound" in rows["mute.mp4"]["error"]
    assert code == 1
    assert "12 files in" in err and "3 in sync, 6 out of sync, 1 undecided, 2 failed" in err.splitlines()[-1]
    assert len([line for line in err.splitlines() if line.startswith("resync: ")]) == 2


@pytest.fixture
def done(batch, tmp_path):
    """The results of that run, to go on from."""
    return shutil.copy(batch[3], tmp_path / "done")


def test_a_second_run_only_does_what_is_not_done(batch, done, clips):
    again = run("check", "-r", "--json", "--skip-done", done, clips, code=1)
    by_file = lambda text: sorted(text.splitlines())  # noqa: E731
    assert by_file(again.stdout) == by_file(batch[0])
    assert "2 failed (10 known from before)" in again.stderr


def test_shares_cover_all_exactly_once(batch, done, clips):
    shares = [run("check", "-qr", "--json", "--skip-done", done, "--shard", f"{i}/3", clips, code=code) for i, code in share_codes(clips)]
    assert sorted("".join(s.stdout for s in shares).splitlines()) == sorted(batch[0].splitlines())


def share_codes(clips):
    """(share, exit code it must have) for three shares."""
    from resync.inputs import find

    inputs = find([clips], recursive=True)
    for i in (1, 2, 3):
        mine = {one.path.name for one in inputs if one.in_share(i, 3)}
        yield i, 1 if mine & {"damaged.mp4", "mute.mp4"} else 3 if "noface.mp4" in mine else 0


def test_csv_parses(done, clips):
    told = run("check", "-r", "--csv", "--skip-done", done, clips, code=1).stdout
    rows = list(csv.DictReader(io.StringIO(told)))
    assert len(rows) == 12 and sum(bool(row["error"]) for row in rows) == 2
    assert {row["verdict"] for row in rows if not row["error"]} == {"in_sync", "out_of_sync", "undecided"}


def test_the_table_is_aligned_and_plain_in_a_pipe(done, clips):
    lines = run("check", "-r", "--skip-done", done, clips, code=1).stdout.splitlines()
    assert lines[0] == HEADER
    rows = [line for line in lines[1:] if ".mp4" in line]
    assert len(rows) == 12 and all(row.index(str(clips)) == HEADER.index("file") for row in rows)
    assert "\x1b" not in "".join(lines)
    (reason,) = [line for line in lines[1:] if ".mp4" not in line]
    assert "no face" in reason and "0.6 s" in reason


@pytest.mark.parametrize("environment, coloured", [({}, True), ({"NO_COLOR": "1"}, False)])
def test_colour_only_on_a_terminal_and_not_against_no_color(done, clips, environment, coloured):
    ours, theirs = pty.openpty()
    plain = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
    folder = clips / "a"
    command = [*COMMAND, "check", "--skip-done", str(done), str(folder)]
    process = subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL, env=plain | environment)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 4096)
        except OSError:  # as a Linux terminal ends
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert process.wait() == 0 and b"late.mp4" in shown
    assert (b"\x1b[3" in shown) == coloured, shown


def test_bars_on_a_terminal_leave_the_results_whole(done, clips, tmp_path):
    ours, theirs = pty.openpty()
    command = [*COMMAND, "check", "-r", "--json", "--skip-done", str(done), str(clips)]
    with open(tmp_path / "out", "w") as out:
        process = subprocess.Popen(command, stdout=out, stderr=theirs, stdin=subprocess.DEVNULL, env=os.environ | {"TERM": "xterm"})
        os.close(theirs)
        shown = b""
        while process.poll() is None or shown[-1:] != b"\n":
            try:
                shown += os.read(ours, 4096)
            except OSError:
                break
    os.close(ours)
    assert b"all files" in shown and b"/12" in shown
    assert len([json.loads(line) for line in (tmp_path / "out").read_text().splitlines()]) == 12


def test_fix_lays_the_outputs_out_as_the_inputs_and_resumes(delayed_clip, tmp_path):
    films, out = tmp_path / "films", tmp_path / "new" / "out"
    for place, delay_ms in (("x", 200), ("y", 0)):
        (films / place).mkdir(parents=True)
        shutil.copy(delayed_clip(delay_ms), films / place / "clip.mp4")
    args = ("fix", "-r", "--json", "--skip-done", tmp_path / "done", films, "-o", out)
    first = run(*args, code=0)
    assert sorted(p.relative_to(out).as_posix() for p in out.rglob("*.mp4")) == ["x/clip.resync.mp4", "y/clip.resync.mp4"]
    assert "2 files" in first.stderr and "1 fixed, 1 in sync" in first.stderr
    times = {p: p.stat().st_mtime_ns for p in out.rglob("*.mp4")}
    (out / "y" / "clip.resync.mp4").unlink()
    again = run(*args, code=0)
    assert "1 known from before" in again.stderr and sorted(again.stdout) != [] and len(again.stdout.splitlines()) == 2
    assert (out / "x" / "clip.resync.mp4").stat().st_mtime_ns == times[out / "x" / "clip.resync.mp4"]
    assert (out / "y" / "clip.resync.mp4").exists()


def test_refusals_before_the_work(clips, tmp_path):
    out = tmp_path / "out"
    done = run("fix", clips / "a", clips / "b", "-o", out, code=1)
    assert len(done.stderr.splitlines()) == 1 and "both" in done.stderr and not out.exists()
    (tmp_path / "empty").mkdir()
    done = run("check", tmp_path / "empty", code=1)
    assert len(done.stderr.splitlines()) == 1 and "no media file" in done.stderr
    (tmp_path / "film.mp4").write_bytes(b"not results")
    done = run("check", "--skip-done", tmp_path / "film.mp4", clips, code=1)
    assert len(done.stderr.splitlines()) == 1 and (tmp_path / "film.mp4").read_bytes() == b"not results"
    for wrong in ("0/3", "4/3", "x", "1"):
        run("check", "--shard", wrong, clips, code=2)
    run("check", "--json", "--csv", clips, code=2)
    run("fix", clips / "a", code=2)


def test_an_interrupted_batch_ends_its_processes(clips):
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("looks at processes as Linux shows them")
    process = subprocess.Popen([*COMMAND, "check", "-qr", "-j", "2", str(clips)], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    end = time.monotonic() + 60
    while len(pids := workers(process.pid)) < 2 and time.monotonic() < end:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    talk = process.communicate(timeout=60)[1]
    assert len(pids) == 2 and process.returncode == 143 and b"Traceback" not in talk, talk
    assert not any(os.path.exists(f"/proc/{pid}") for pid in pids)


def test_names_that_are_no_text(done, clips, tmp_path):
    odd = Path(os.fsdecode(bytes(tmp_path) + b"/odd\xff.mp4"))
    try:
        odd.write_bytes(b"nothing")
    except OSError:
        pytest.skip("the file system takes only text")
    (row,) = map(json.loads, run("check", "-q", "--json", odd, code=1).stdout.splitlines())
    assert row["file"] == str(odd)
