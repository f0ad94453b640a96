"""Running the ffmpeg program, and its failures."""

import subprocess

import pytest

from resync.errors import RemuxError
from resync.remux.ffmpeg import ffmpeg_exe, run_ffmpeg


def test_a_missing_ffmpeg_package_is_reported(monkeypatch):
    def missing():
        raise RuntimeError("none")

    monkeypatch.setattr("imageio_ffmpeg.get_ffmpeg_exe", missing)
    with pytest.raises(RemuxError, match="IMAGEIO_FFMPEG_EXE"):
        ffmpeg_exe()


def test_an_ffmpeg_program_that_does_not_exist_is_reported(tmp_path):
    with pytest.raises(RemuxError, match="no-ffmpeg: cannot be run"):
        run_ffmpeg([str(tmp_path / "no-ffmpeg"), "out.mp4"], tmp_path / "in.mp4", tmp_path / "out.mp4")


def test_errors_name_the_target_and_the_cause_in_one_line(tmp_path):
    temporary, target = tmp_path / ".resync-x.webm", tmp_path / "o.webm"
    command = [ffmpeg_exe(), "-nostdin", "-loglevel", "error", "-f", "lavfi", "-i", "sine=d=0.1", "-c:a", "aac", str(temporary)]
    with pytest.raises(RemuxError, match=r"in\.mp4: ffmpeg could not write o\.webm \(.+\); write an \.mkv file") as caught:
        run_ffmpeg(command, tmp_path / "in.mp4", target)
    assert not any(word in str(caught.value) for word in ("\n", "0x", ".resync-"))


def test_ffmpeg_does_not_read_standard_input(monkeypatch):
    stdins, popen = [], subprocess.Popen

    def spy(*args, **kwargs):
        stdins.append(kwargs.get("stdin"))
        return popen(*args, **kwargs)

    monkeypatch.setattr(subprocess, "Popen", spy)
    run_ffmpeg([ffmpeg_exe(), "-version"], "in.mp4", "out.mp4")
    assert stdins == [subprocess.DEVNULL]
