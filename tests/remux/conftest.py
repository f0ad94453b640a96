"""Small media files in many containers, made with ffmpeg."""

import os
import subprocess

import pytest
from helpers import ffmpeg, noise_input, pattern_input

from resync.remux.ffmpeg import ffmpeg_exe

VIDEO = {
    "x264": ("libx264", "-preset", "ultrafast", "-bf", "2"),  # with B-frames: the hard case for timestamps
    "vp8": ("libvpx", "-deadline", "realtime", "-cpu-used", "8"),
    "mpeg4": ("mpeg4",),
    "mpeg4b": ("mpeg4", "-bf", "2"),
    "mpeg2": ("mpeg2video",),
}
CODECS = {
    "aac.mp4": ("x264", "aac"),
    "aac.m4v": ("x264", "aac"),
    "pcm.mov": ("x264", "pcm_s16le"),
    "aac.mkv": ("x264", "aac"),
    "opus.webm": ("vp8", "libopus"),
    "ac3.ts": ("x264", "ac3"),
    "mp2.mpg": ("mpeg2", "mp2"),
    "mp3.avi": ("mpeg4", "libmp3lame"),
    "pcm.mxf": ("mpeg2", "pcm_s16le"),
    "b_frames.avi": ("mpeg4b", "libmp3lame"),
}


@pytest.fixture(scope="session")
def media(tmp_path_factory):
    """Path of a file of 1.5 s by its name in CODECS; each is made once."""
    folder = tmp_path_factory.mktemp("media")

    def make(name):
        path = folder / name
        if not path.exists():
            video, audio = CODECS[name]
            ffmpeg(*pattern_input(), *noise_input(), "-c:v", *VIDEO[video], "-c:a", audio, path)
        if name.endswith(".ts") and subprocess.run([ffmpeg_exe(), "-v", "quiet", "-nostdin", "-i", path]).returncode < 0:
            pytest.skip("this build of ffmpeg crashes on every MPEG-TS")
        return path

    return make


@pytest.fixture(scope="session")
def rich_mkv(tmp_path_factory):
    """Two audio tracks (44.1 and 48 kHz, the second the default), subtitles, chapters, a font, a cover."""
    folder = tmp_path_factory.mktemp("rich")
    (folder / "s.srt").write_text("1\n00:00:00,500 --> 00:00:01,000\nhello\n")
    (folder / "font.ttf").write_bytes(b"\0\1\0\0" + b"x" * 100)
    (folder / "meta").write_text(";FFMETADATA1\ntitle=My video\nmine=kept\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1500\ntitle=one\n")
    ffmpeg(*pattern_input(0.04), "-frames:v", "1", folder / "cover.jpg")
    ffmpeg(
        *pattern_input(), *noise_input(1, 44_100), *noise_input(2), "-i", folder / "s.srt", "-i", folder / "meta",
        "-map", "1", "-map", "0", "-map", "2", "-map", "3", "-map_metadata", "4", "-map_chapters", "4",
        "-c:v", *VIDEO["x264"], "-c:a", "aac", "-c:s", "srt",
        "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu",
        "-disposition:a:0", "0", "-disposition:a:1", "default+comment", "-disposition:s", "forced",
        "-attach", folder / "font.ttf", "-metadata:s:t:0", "mimetype=font/ttf",
        "-attach", folder / "cover.jpg", "-metadata:s:t:1", "mimetype=image/jpeg", folder / "rich.mkv",
    )  # fmt: skip
    return folder / "rich.mkv"


@pytest.fixture(scope="session")
def camera_mov(tmp_path_factory):
    """Like a phone's video: rotated, with timecode track, chapter track and its own metadata keys."""
    folder = tmp_path_factory.mktemp("camera")
    (folder / "meta").write_text(";FFMETADATA1\ntitle=My video\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=a\n")
    ffmpeg(
        *pattern_input(), *noise_input(), "-i", folder / "meta", "-map", "0", "-map", "1", "-map_metadata", "2",
        "-c:v", *VIDEO["x264"], "-c:a", "aac", "-timecode", "01:00:00:00", "-movflags", "use_metadata_tags",
        "-metadata", "com.apple.quicktime.make=Apple", folder / "plain.mov",
    )  # fmt: skip
    ffmpeg("-display_rotation", "90", "-i", folder / "plain.mov", "-map", "0:v", "-map", "0:a", "-c", "copy",
           "-movflags", "use_metadata_tags", folder / "camera.mov")  # fmt: skip
    return folder / "camera.mov"


@pytest.fixture
def output_folder(tmp_path):
    """An empty folder; in the end it holds no temporary file."""
    folder = tmp_path / "output"
    folder.mkdir()
    yield folder
    assert not [name for name in os.listdir(folder) if name.startswith(".resync-")]
