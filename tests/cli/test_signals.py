"""Ctrl-C ends every command within two seconds with exit code 130, and leaves no process and no temporary file behind."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(not Path("/proc/self/task").is_dir(), reason="looks at processes in /proc")
SLOW_FFMPEG = """#!/bin/sh
for last; do :; done
echo half > "${last#file:}"
exec sleep 600
"""
HANG = """
import ctypes, os
is_file = os.path.isfile

def hang_on(path):
    if os.path.basename(path) != "hang.mp4":
        return is_file(path)
    open(os.fspath(path) + ".hangs", "w").close()
    mutex, libc = ctypes.create_string_buffer(64), ctypes.CDLL(None)
    while True:  # taken twice, it never returns, whatever signal comes
        libc.pthread_mutex_lock(mutex)

os.path.isfile = hang_on
"""
END_S = 4.0  # two seconds, and as many for a machine that is busy
START_S = 120.0


def descendants(pid):
    """Numbers of all processes that a process started, and that these started."""
    try:
        children = [int(child) for task in Path(f"/proc/{pid}/task").iterdir() for child in (task / "children").read_text().split()]
    except OSError:
        return []
    return [pid for child in children for pid in (child, *descendants(child))]


def is_running(pid):
    """Whether a process exists and is no zombie."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def has_open(pids, path):
    """Whether one of the processes reads a file."""
    for pid in pids:
        try:
            if any(os.path.samefile(descriptor, path) for descriptor in Path(f"/proc/{pid}/fd").iterdir()):
                return True
        except OSError:
            continue
    return False


def default_interrupts():
    """A shell's background jobs ignore SIGINT, and so would the processes they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def long_clips(delayed_clip, ffmpeg, tmp_path_factory):
    """A folder with two clips that take long to analyse in full."""
    folder = tmp_path_factory.mktemp("long")
    for name in ("a.mp4", "b.mp4"):
        ffmpeg("-stream_loop", 60, "-i", delayed_clip(200), "-c", "copy", folder / name)
    return folder


@pytest.fixture
def start(tmp_path):
    """A function that starts resync as a shell does, in a process group of its own, until `is_busy(pids)`."""
    environment = {**os.environ, "TMPDIR": str(tmp_path / "tmp"), "IMAGEIO_FFMPEG_EXE": str(tmp_path / "ffmpeg")}
    (tmp_path / "tmp").mkdir()
    (tmp_path / "out").mkdir()
    (tmp_path / "sitecustomize.py").write_text(HANG)
    environment["PYTHONPATH"] = os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")])
    (tmp_path / "ffmpeg").write_text(SLOW_FFMPEG)
    (tmp_path / "ffmpeg").chmod(0o755)
    started = []

    def run(*args, is_busy):
        command = [sys.executable, "-m", "resync", *map(str, args)]
        process = subprocess.Popen(
            command, env=environment, cwd=tmp_path / "out", stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, start_new_session=True, preexec_fn=default_interrupts,
        )  # fmt: skip
        started.append(process)
        until = time.monotonic() + START_S
        while not is_busy([process.pid, *descendants(process.pid)]):
            assert process.poll() is None and time.monotonic() < until, process.communicate()
            time.sleep(0.05)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def assert_ends(process, tmp_path, code=130, signals=(signal.SIGINT, signal.SIGINT)):
    """The signals end a process, here sent as by the terminal: to its process group; the second one while the first is at work."""
    family = descendants(process.pid)
    began = time.monotonic()
    for number in signals:
        os.killpg(process.pid, number)
        time.sleep(0.2)
    _, err = process.communicate(timeout=60)
    took_s = time.monotonic() - began
    assert process.returncode == code and err == "", (process.returncode, err)
    assert took_s < END_S
    assert_gone(family, began + END_S)
    assert not list((tmp_path / "out").iterdir()) and not list((tmp_path / "tmp").iterdir())


def assert_gone(family, until):
    """All of these processes end in time."""
    while left := [pid for pid in family if is_running(pid)]:
        assert time.monotonic() < until, [Path(f"/proc/{pid}/cmdline").read_text() for pid in left]
        time.sleep(0.05)


def test_check(start, long_clips, tmp_path):
    clips = sorted(long_clips.iterdir())
    assert_ends(start("check", "-q", "--exhaustive", *clips, is_busy=lambda pids: has_open(pids, clips[0])), tmp_path)


@pytest.mark.parametrize("options", [(), ("-j", 2)])
def test_native_code_that_hangs(start, long_clips, tmp_path, options):
    """Python itself would not even notice the signal. Beside it, another process is at work."""
    hang, clip = tmp_path / "hang.mp4", long_clips / "a.mp4"
    hang.touch()

    def is_busy(pids):
        return (tmp_path / "hang.mp4.hangs").exists() and (not options or has_open(pids, clip))

    assert_ends(start("check", "-q", "--exhaustive", *options, hang, clip, is_busy=is_busy), tmp_path)


def test_plot(start, long_clips, tmp_path):
    clip = long_clips / "a.mp4"
    assert_ends(start("plot", "-q", "--exhaustive", clip, "p.png", is_busy=lambda pids: has_open(pids, clip)), tmp_path)


def test_fix_and_its_ffmpeg(start, delayed_clip, tmp_path):
    def is_busy(pids):
        return "sleep" in {Path(f"/proc/{pid}/comm").read_text().strip() for pid in pids if is_running(pid)}

    process = start("fix", "-q", "-j", 2, delayed_clip(200), delayed_clip(-200), "-o", ".", is_busy=is_busy)
    assert len(list((tmp_path / "out").iterdir())) >= 1
    assert_ends(process, tmp_path)


def test_termination_while_ffmpeg_hangs(start, delayed_clip, tmp_path):
    """As by the system at its end, or `timeout`."""
    process = start("shift", "-q", delayed_clip(200), "o.mp4", "--ms", 50, is_busy=lambda pids: list((tmp_path / "out").iterdir()))
    assert_ends(process, tmp_path, 143, (signal.SIGTERM, signal.SIGINT))


def test_killed_process_takes_its_workers_along(start, long_clips):
    clips = sorted(long_clips.iterdir())
    process = start("check", "-q", "--exhaustive", "-j", 2, *clips, is_busy=lambda pids: all(has_open(pids, clip) for clip in clips))
    family = descendants(process.pid)
    process.kill()
    process.wait()
    assert_gone(family, time.monotonic() + END_S)


def test_dask(start, long_clips, tmp_path):
    """The worker belongs to the cluster and stays, but it stops its work."""
    distributed = pytest.importorskip("distributed")
    clip = long_clips / "a.mp4"
    with distributed.LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:

        def is_at_work(pids=None):
            return has_open(descendants(os.getpid()), clip)

        process = start("check", "-q", "--exhaustive", "--dask", cluster.scheduler_address, clip, is_busy=is_at_work)
        assert_ends(process, tmp_path)
        until = time.monotonic() + END_S
        while is_at_work():
            assert time.monotonic() < until
            time.sleep(0.1)
        with distributed.Client(cluster) as client:
            assert client.submit(sum, [1, 2]).result(60) == 3


def test_file_that_takes_too_long_is_given_up(start, delayed_clip, tmp_path):
    """The next one is not, and nothing of the first is left."""
    process = start("fix", "--json", "--timeout", 8, delayed_clip(200), "gone.mp4", "-o", ".", is_busy=lambda pids: len(pids) > 3)
    family = descendants(process.pid)
    out, err = process.communicate(timeout=120)
    late, gone = [json.loads(line)["error"] for line in out.splitlines()]
    assert late.startswith(f"{delayed_clip(200)}: gave up after 8 s") and "--timeout" in late and "No such file" in gone
    assert process.returncode == 1 and err.count("gave up") == 1 and "Traceback" not in err
    assert_gone(family, time.monotonic() + END_S)
    assert not list((tmp_path / "out").iterdir()) and not list((tmp_path / "tmp").iterdir())
