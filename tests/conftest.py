"""Media that several test files share, made by the tests themselves."""

import os
import subprocess
from pathlib import Path

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "2")

SHARED = Path(__file__).resolve().parents[2] / "shared"


@pytest.fixture(scope="session")
def ffmpeg():
    """Run the packaged ffmpeg program with these arguments."""
    from resync.remux import ffmpeg_exe

    def run(*args):
        done = subprocess.run([ffmpeg_exe(), "-v", "error", "-nostdin", "-y", *map(str, args)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


@pytest.fixture(scope="session")
def talking():
    """A self-made talking clip of 5 s, in memory."""
    from resync.synth import talking_clip

    return talking_clip(seconds=5, seed=1, size=(256, 256))


@pytest.fixture(scope="session")
def delayed_clip(talking, tmp_path_factory):
    """Path of the talking clip with its sound delayed by so many ms; made once each."""
    from resync.synth import write_clip

    folder = tmp_path_factory.mktemp("talking")

    def make(delay_ms=0, suffix=".mp4"):
        path = folder / f"delay{delay_ms:+g}{suffix}"
        if not path.exists():
            write_clip(talking, path, delay_ms)
        return path

    return make


@pytest.fixture(scope="session")
def no_face(ffmpeg, delayed_clip, tmp_path_factory):
    """A test pattern with a speaking voice."""
    path = tmp_path_factory.mktemp("noface") / "noface.mp4"
    ffmpeg(
        "-f",
        "lavfi",
        "-i",
        "testsrc2=s=320x240:r=25:d=3",
        "-i",
        delayed_clip(),
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-t",
        "3",
        "-pix_fmt",
        "yuv420p",
        path,
    )
    return path


@pytest.fixture(scope="session")
def mute(ffmpeg, delayed_clip, tmp_path_factory):
    """A talking face with a silent sound track."""
    path = tmp_path_factory.mktemp("mute") / "mute.mp4"
    ffmpeg(
        "-i",
        delayed_clip(),
        "-f",
        "lavfi",
        "-i",
        "anullsrc=r=44100:cl=mono",
        "-map",
        "0:v",
        "-map",
        "1:a",
        "-c:v",
        "copy",
        "-shortest",
        path,
    )
    return path


@pytest.fixture(scope="session")
def real_clips():
    """Real talking-face clips; the test is skipped where there are none."""
    clips = sorted((SHARED / "data" / "val").glob("*.mkv"))
    if not clips:
        pytest.skip("no real clips beside the repository")
    return clips
