"""Temporary files are removed however a process ends, and foreign media files are recognised."""

import errno
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import soundfile
from helpers import ffmpeg
from PIL import Image

from resync.errors import OutputError
from resync.remux.paths import MARKER, Overwrite, check_output, is_foreign_media, marker_options, written_output
from resync.remux.temporary import clear_leftovers

SLOW_FFMPEG = """#!/bin/sh
for last; do :; done
echo half > "${last#file:}"
echo $$ > "$(dirname "$0")/pid"
exec sleep 60
"""
SIGNALS = ("SIGINT", "SIGTERM", "SIGKILL")
KILL_POINTS = 10
posix_only = pytest.mark.skipif(os.name == "nt", reason="POSIX signals and limits")


def temporary_files(folder):
    return list(folder.glob(".resync-*"))


# --- killed processes ------------------------------------------------------------------------------


def reset_sigint():
    """A shell's background jobs ignore SIGINT, and so would the processes they start."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def is_running(pid):
    """Whether a process exists and is no zombie (where /proc shows that)."""
    try:
        os.kill(pid, 0)
        with open(f"/proc/{pid}/stat") as stat:
            return stat.read().rsplit(")", 1)[1].split()[0] != "Z"
    except ProcessLookupError:
        return False
    except FileNotFoundError:
        return not os.path.isdir("/proc/self")


@posix_only
@pytest.mark.parametrize("name", SIGNALS)
def test_killed_while_ffmpeg_writes(delayed_clip, tmp_path, name):
    source, folder = delayed_clip(), tmp_path / "out"
    folder.mkdir()
    slow = tmp_path / "ffmpeg"
    slow.write_text(SLOW_FFMPEG)
    slow.chmod(0o755)
    before = source.read_bytes()
    command = [sys.executable, "-m", "resync", "shift", str(source), str(folder / "out.mp4"), "--ms", "100"]
    environment = {**os.environ, "IMAGEIO_FFMPEG_EXE": str(slow)}
    process = subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, preexec_fn=reset_sigint)
    deadline = time.monotonic() + 60
    while not ((tmp_path / "pid").exists() and (tmp_path / "pid").read_text().strip()):
        assert process.poll() is None and time.monotonic() < deadline, process.communicate()[1]
        time.sleep(0.05)
    child = int((tmp_path / "pid").read_text())
    process.send_signal(getattr(signal, name))
    stderr = process.communicate(timeout=30)[1]
    assert process.returncode != 0 and "Traceback" not in stderr
    if name == "SIGKILL":  # no clean-up is possible, so the next command does it
        os.kill(child, signal.SIGKILL)
        assert len(temporary_files(folder)) == 1
        again = subprocess.run(command, capture_output=True, text=True)
        assert again.returncode == 0, again.stderr
        assert os.listdir(folder) == ["out.mp4"]
    else:
        assert not os.listdir(folder)
        while is_running(child):
            assert time.monotonic() < deadline, "ffmpeg outlives its parent"
            time.sleep(0.05)
    assert source.read_bytes() == before


@posix_only
def test_a_file_size_limit_is_reported(delayed_clip, tmp_path):
    import resource

    def limit():
        resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))

    source = delayed_clip()
    command = [sys.executable, "-m", "resync", "shift", str(source), str(tmp_path / "out.mp4"), "--ms", "100"]
    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=limit)
    assert done.returncode == 1 and done.stderr.startswith("resync: ") and done.stderr.count("\n") == 1, done.stderr
    assert "out.mp4" in done.stderr and "choose another place" in done.stderr
    assert not os.listdir(tmp_path)


@pytest.fixture(scope="module")
def uninterrupted(delayed_clip, tmp_path_factory):
    """(seconds that `resync fix` takes, size of its output)."""
    out = tmp_path_factory.mktemp("uninterrupted") / "out.mp4"
    start = time.monotonic()
    subprocess.run([sys.executable, "-m", "resync", "fix", "-q", str(delayed_clip(200)), str(out)], check=True)
    return time.monotonic() - start, out.stat().st_size


def kill_points():
    """All points with all signals; by default each point with one signal, the others are in the matrix."""
    return [
        pytest.param(point, name, marks=() if point % len(SIGNALS) == number else pytest.mark.matrix)
        for point in range(1, KILL_POINTS + 1)
        for number, name in enumerate(SIGNALS)
    ]


@posix_only
@pytest.mark.parametrize(("point", "name"), kill_points())
def test_killed_at_any_point_leaves_a_complete_output_or_none(delayed_clip, uninterrupted, tmp_path, point, name):
    """While it starts, loads, analyses and writes: the source is unchanged and no temporary file is left."""
    source, out = delayed_clip(200), tmp_path / "out.mp4"
    before, (duration_s, size) = source.read_bytes(), uninterrupted
    command = [sys.executable, "-m", "resync", "fix", "-q", str(source), str(out)]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, preexec_fn=reset_sigint)
    try:
        process.wait(duration_s * point / (KILL_POINTS + 0.5))
    except subprocess.TimeoutExpired:
        process.send_signal(getattr(signal, name))
    stderr = process.communicate(timeout=60)[1]
    if point > 1:  # before its first line of code Python reports an interruption in its own way
        assert "Traceback" not in stderr
    assert source.read_bytes() == before
    if name == "SIGKILL":
        time.sleep(1)  # an orphaned ffmpeg ends by itself
        clear_leftovers(tmp_path)
    assert not temporary_files(tmp_path)
    assert not out.exists() or out.stat().st_size == size


# --- foreign media ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "video", "audio"),
    [("a.mp4", "mpeg4", "aac"), ("a.mov", "mpeg4", "pcm_s16le"), ("a.mkv", "mpeg4", "aac"), ("a.webm", "libvpx", "libopus"),
     ("a.avi", "mpeg4", "libmp3lame"), ("a.ogv", "libtheora", "libvorbis"), ("a.mxf", "mpeg2video", "pcm_s16le"),
     ("a.ts", "mpeg2video", "mp2")],
)  # fmt: skip
def test_video_without_the_marker_is_foreign(tmp_path, name, video, audio):
    path = tmp_path / name
    streams = ("-f", "lavfi", "-i", "testsrc2=s=64x48:r=25:d=1", "-f", "lavfi", "-i", "anoisesrc=r=48000:d=1", "-c:v", video, "-c:a", audio)
    ffmpeg(*streams, path)
    assert is_foreign_media(path)
    options = marker_options(path.suffix)
    ffmpeg(*streams, *(("-movflags", "use_metadata_tags") if path.suffix == ".mov" else ()), *options, path)
    assert is_foreign_media(path) == (not options) == (path.suffix == ".ts")  # MPEG-TS keeps no such metadata


def test_audio_without_the_marker_is_foreign(tmp_path):
    with soundfile.SoundFile(tmp_path / "own.wav", "w", 16_000, 1) as out:
        out.software = MARKER
        out.write(np.zeros(100))
    soundfile.write(tmp_path / "foreign.wav", np.zeros(100), 16_000)
    assert not is_foreign_media(tmp_path / "own.wav") and is_foreign_media(tmp_path / "foreign.wav")


@pytest.mark.parametrize("suffix", [".mp4", ".MKV", ".wav", ".flac", ".mp3", ".m4a", ".ogg"])
def test_damaged_media_files_are_foreign_by_their_suffix_unless_empty(tmp_path, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_text("damaged")
    assert is_foreign_media(path)
    with pytest.raises(OutputError, match="--overwrite-media"):
        check_output(tmp_path / "in.mp4", path, Overwrite.OWN)
    check_output(tmp_path / "in.mp4", path, Overwrite.ANY)
    path.write_text("")
    assert not is_foreign_media(path)


def test_images_and_other_files_are_not_media(tmp_path):
    (tmp_path / "a.txt").write_text("text")
    Image.new("L", (8, 8)).save(tmp_path / "a.png")
    Image.new("L", (8, 8)).save(tmp_path / "a.gif")
    assert not any(is_foreign_media(path) for path in tmp_path.iterdir())


@pytest.mark.parametrize("kind", ["folder", "no folder", "no suffix", "input", "existing"])
def test_bad_output_paths_are_refused(tmp_path, kind):
    source, existing = tmp_path / "in.mp4", tmp_path / "old.csv"
    source.write_text("source")
    existing.write_text("old")
    path, message = {
        "folder": (tmp_path, "is a folder"),
        "no folder": (tmp_path / "no" / "o.mp4", "does not exist"),
        "no suffix": (tmp_path / "o", "end the name with .mp4"),
        "input": (source, "is the input itself"),
        "existing": (existing, "overwrite it with -y"),
    }[kind]
    with pytest.raises(OutputError, match=message):
        check_output(source, path)
    check_output(source, tmp_path / "new.csv")
    check_output(source, existing, overwrite=True)


# --- outputs get their names -----------------------------------------------------------------------


@pytest.mark.parametrize("links", [True, False])
def test_what_appears_meanwhile_is_not_replaced(tmp_path, monkeypatch, links):
    """Another program writes a file of the same name during the work; also where the file system has no hard links."""

    def refuse(*args):
        raise PermissionError(errno.EPERM, "not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(OutputError, match="o.txt: already exists"):
        with written_output(tmp_path / "o.txt") as out:
            out.write_text("ours")
            (tmp_path / "o.txt").write_text("theirs")
    for overwrite in (Overwrite.NEVER, Overwrite.OWN):
        with pytest.raises(OutputError, match="o.wav"):
            with written_output(tmp_path / "o.wav", overwrite=overwrite) as out:
                out.write_text("ours")
                soundfile.write(tmp_path / "o.wav", np.zeros(100), 16_000)
    assert (tmp_path / "o.txt").read_text() == "theirs" and soundfile.info(tmp_path / "o.wav").frames == 100
    with written_output(tmp_path / "new.txt") as out:
        out.write_text("ours")
    assert sorted(os.listdir(tmp_path)) == ["new.txt", "o.txt", "o.wav"] and (tmp_path / "new.txt").read_text() == "ours"


def test_errors_of_the_system_are_one_line(tmp_path):
    with pytest.raises(OutputError, match="^[^\n]*o.txt: cannot be written [^\n]*; choose another place$"):
        with written_output(tmp_path / "o.txt") as out:
            out.unlink()
    with pytest.raises(OutputError, match="does not exist"), written_output(tmp_path / "no" / "o.txt"):
        pytest.fail("the body ran")
    assert not os.listdir(tmp_path)
