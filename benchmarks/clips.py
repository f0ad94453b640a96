"""Thousands of small media files, each distinct, in no time: a few clips are encoded, the others differ in a number in their metadata."""

from __future__ import annotations

import subprocess
from pathlib import Path

import av
from imageio_ffmpeg import get_ffmpeg_exe

from resync.demo.clip import talking_clip, write_clip

SECONDS, SIDE = 0.6, 64  # of clips without a face
TALKING_S, DELAY_MS = 1.5, 200.0  # of clips with one, which gets an answer
SUFFIXES = (".mp4", ".mkv", ".mov", ".avi", ".flv")
NUMBER = b"00000000"  # in the comment of every encoded clip


def make_clips(folder: Path, count: int, talking_every: int = 10) -> list[Path]:
    """That many clips in `folder`, in all of SUFFIXES; one in `talking_every` shows a talking face, whose audio is late."""
    folder.mkdir(parents=True, exist_ok=True)
    plain, talking = ([_base(folder.parent / "base", suffix, face).read_bytes() for suffix in SUFFIXES] for face in (False, True))
    clips = []
    for number in range(count):
        kind, index = (talking, number // talking_every) if number % talking_every == 0 else (plain, number)
        index %= len(SUFFIXES)
        path = folder / f"{number:05d}{SUFFIXES[index]}"
        if not path.exists():
            path.write_bytes(kind[index].replace(NUMBER, b"%08d" % number))
        clips.append(path)
    return clips


def _base(folder: Path, suffix: str, talking: bool) -> Path:
    """The clip that others are copies of, encoded if it is missing."""
    folder.mkdir(parents=True, exist_ok=True)
    path, face = folder / f"{'talking' if talking else 'plain'}{suffix}", folder / "face.mp4"
    if path.exists():
        return path
    if talking and not face.exists():
        write_clip(talking_clip(TALKING_S, 1, size=(SIDE, SIDE)), face, DELAY_MS)
    pattern = ["-f", "lavfi", "-i", f"testsrc2=s={SIDE}x{SIDE}:r=25:d={SECONDS}", "-f", "lavfi", "-i", f"anoisesrc=d={SECONDS}:r=44100"]
    audio = ["-c:a", "libmp3lame" if suffix == ".avi" else "aac"]
    source = ["-i", face, "-c:v", "copy"] if talking else [*pattern, "-c:v", "libx264", "-preset", "ultrafast"]
    command = [get_ffmpeg_exe(), "-v", "error", "-y", *source, *audio, "-metadata", f"comment={NUMBER.decode()}", path]
    subprocess.run(list(map(str, command)), check=True)
    assert NUMBER in path.read_bytes()
    return path


def contents(path: Path) -> tuple:
    """What a media file holds, to compare it with another: codec, times and data of all packets. Raises av.FFmpegError."""
    with av.open(str(path)) as container:
        codecs = tuple(stream.codec_context.name for stream in container.streams if stream.codec_context)
        return codecs, tuple(
            (packet.stream_index, packet.pts, packet.duration, bytes(packet)) for packet in container.demux() if packet.size
        )
