"""What is left of a file that was being written: nothing, however the writing ends."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from PIL import Image

from resync.partfile import MARKER, clear_leftovers, is_foreign_media, marker_options, part_file

SLOW_FFMPEG = """#!/bin/sh
for last; do :; done
echo half > "${last#file:}"
echo $$ > "$(dirname "$0")/pid"
exec sleep 60
"""


def parts(folder):
    return list(folder.glob(".resync-*"))


def test_a_part_is_gone_in_the_end(tmp_path):
    with pytest.raises(RuntimeError):
        with part_file(tmp_path / "out.mp4") as part:
            part.write_text("half")
            assert part.parent == tmp_path and part.suffix == ".mp4" and parts(tmp_path) == [part]
            raise RuntimeError
    with part_file(tmp_path / "out.mp4") as part:
        part.write_text("whole")
        part.rename(tmp_path / "out.mp4")
    assert [p.name for p in tmp_path.iterdir()] == ["out.mp4"]


def test_only_what_nobody_writes_any_more_is_cleared(tmp_path):
    with part_file(tmp_path / "out.mp4") as mine:
        mine.write_text("half")
        done = subprocess.Popen([sys.executable, "-c", ""])
        done.wait()
        dead = mine.with_name(mine.name.replace(f"-{os.getpid()}-", f"-{done.pid}-"))
        far = mine.with_name(mine.name.replace(mine.name[8:16], "0" * 8))
        old = far.with_name(far.name.replace(".mp4", ".mkv"))
        for path in (dead, far, old, tmp_path / ".resync-notes"):
            path.write_text("half")
        os.utime(old, (0, 0))
        clear_leftovers(tmp_path)
        assert {p.name for p in tmp_path.iterdir()} == {mine.name, far.name, ".resync-notes"}


def interruptible():
    """A shell's background jobs ignore SIGINT, and so would what they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def is_running(pid):
    """Neither gone nor a zombie."""
    try:
        return "Z" not in open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()[0]
    except OSError:
        return False


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks at processes as Linux shows them")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_killed_while_ffmpeg_writes(delayed_clip, tmp_path, number):
    source, folder = delayed_clip(), tmp_path / "out"
    folder.mkdir()
    slow = tmp_path / "ffmpeg"
    slow.write_text(SLOW_FFMPEG)
    slow.chmod(0o755)
    before = source.read_bytes()
    command = [sys.executable, "-m", "resync", "shift", str(source), str(folder / "out.mp4"), "--ms", "100"]
    environment = {**os.environ, "IMAGEIO_FFMPEG_EXE": str(slow)}
    run = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible)
    end = time.monotonic() + 60
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()):
        assert run.poll() is None and time.monotonic() < end, run.communicate()[1]
        time.sleep(0.05)
    child = int((tmp_path / "pid").read_text())
    run.send_signal(number)
    talk = run.communicate(timeout=30)[1]
    assert run.returncode != 0 and "Traceback" not in talk
    if number == signal.SIGKILL:  # nobody could clean up, so the next run does
        os.kill(child, signal.SIGKILL)
        assert len(parts(folder)) == 1
        again = subprocess.run(command, capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        assert [p.name for p in folder.iterdir()] == ["out.mp4"]
    else:
        assert not list(folder.iterdir())
        while is_running(child):
            assert time.monotonic() < end, "ffmpeg goes on without us"
            time.sleep(0.05)
    assert source.read_bytes() == before


def test_files_may_not_grow(delayed_clip, tmp_path):
    resource = pytest.importorskip("resource")
    source = delayed_clip()
    command = [sys.executable, "-m", "resync", "shift", str(source), str(tmp_path / "out.mp4"), "--ms", "100"]
    limit = lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))  # noqa: E731
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 1 and done.stderr.startswith("resync: ") and done.stderr.count("\n") == 1, done.stderr
    assert "out.mp4" in done.stderr and "choose another place" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.matrix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
@pytest.mark.parametrize("point", range(1, 11))
def test_killed_at_ten_points(delayed_clip, tmp_path, number, point):
    """While it starts, loads, looks and writes: a whole output or none, the input as it was, nothing left behind."""
    source, out = delayed_clip(200), tmp_path / "out.mp4"
    command = [sys.executable, "-m", "resync", "fix", "-q", str(source), str(out)]
    before, began = source.read_bytes(), time.monotonic()
    assert subprocess.run(command, capture_output=True).returncode == 0
    took, whole = time.monotonic() - began, out.read_bytes()
    out.unlink()
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=interruptible)
    try:
        run.wait(took * point / 10.5)
    except subprocess.TimeoutExpired:
        run.send_signal(number)
    talk = run.communicate(timeout=60)[1]
    if point > 1:  # before its first line of code Python has its own way of being interrupted
        assert "Traceback" not in talk
    assert source.read_bytes() == before
    if number == signal.SIGKILL:
        time.sleep(1)  # an ffmpeg left alone ends by itself
        clear_leftovers(tmp_path)
    assert not parts(tmp_path)
    assert not out.exists() or len(out.read_bytes()) == len(whole)


@pytest.mark.parametrize(
    "name, codecs",
    [
        ("a.mp4", ("mpeg4", "aac")),
        ("a.mov", ("mpeg4", "pcm_s16le")),
        ("a.mkv", ("mpeg4", "aac")),
        ("a.webm", ("libvpx", "libopus")),
        ("a.avi", ("mpeg4", "libmp3lame")),
        ("a.ogv", ("libtheora", "libvorbis")),
        ("a.mxf", ("mpeg2video", "pcm_s16le")),
        ("a.ts", ("mpeg2video", "mp2")),
    ],
)
def test_only_marked_media_are_our_own(ffmpeg, tmp_path, name, codecs):
    path = tmp_path / name
    made = (
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=64x48:r=25:d=1",
        "-f",
        "lavfi",
        "-i",
        "anoisesrc=r=48000:d=1",
        "-c:v",
        codecs[0],
        "-c:a",
        codecs[1],
    )
    ffmpeg(*made, path)
    assert is_foreign_media(path)
    options = marker_options(path.suffix)
    ffmpeg(*made, *(("-movflags", "use_metadata_tags") if path.suffix == ".mov" else ()), *options, path)
    assert is_foreign_media(path) == (not options) == (path.suffix == ".ts")  # MPEG-TS keeps no such metadata


def test_sound_files_are_marked_and_other_files_are_no_media(tmp_path):
    with soundfile.SoundFile(tmp_path / "a.wav", "w", 16000, 1) as out:
        out.software = MARKER
        out.write(np.zeros(100))
    soundfile.write(tmp_path / "b.wav", np.zeros(100), 16000)
    (tmp_path / "c.mp4").write_text("damaged")
    (tmp_path / "d.txt").write_text("text")
    Image.new("L", (8, 8)).save(tmp_path / "e.png")
    (tmp_path / "f.mp4").touch()
    assert [is_foreign_media(tmp_path / n) for n in ("a.wav", "b.wav", "c.mp4", "d.txt", "e.png", "f.mp4")] == [
        False,
        True,
        True,
        False,
        False,
        False,
    ]
