"""Films to measure on, made once: a talking head with film grain, in three sizes and four lengths."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from imageio_ffmpeg import get_ffmpeg_exe

from resync.synth import talking_clip, write_clip

BASE_S = 60.0
DELAY_MS = 120.0  # of the sound in every film


class Size(NamedTuple):
    """Pixels and the bit rate that such films usually have."""

    width: int
    height: int
    rate: str


SIZES = {"720p": Size(1280, 720, "2500k"), "1080p": Size(1920, 1080, "5M"), "4k": Size(3840, 2160, "20M")}
LENGTHS = {"10s": 10, "60s": 60, "10min": 600, "2h": 7200}


def film(folder: Path, size: str, length: str) -> Path:
    """The film of that size and length below `folder`, made if it is not there: H.264 at 25 fps with AAC, MP4."""
    path = folder / f"{size}-{length}.mp4"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"part-{path.name}")
        _ffmpeg(*_recipe(folder, size, length), "-movflags", "+faststart", part)
        part.rename(path)
    return path


def _recipe(folder: Path, size: str, length: str) -> list:
    """How ffmpeg makes it: a minute by scaling and encoding, other lengths by copying packets of that minute."""
    if length == "60s":
        s = SIZES[size]
        # Grain costs bits and decoding time as a camera's does; without it a drawn picture would decode unfairly fast.
        look = f"scale={s.width}:{s.height}:flags=bicubic,noise=alls=8:allf=t"
        coding = ("-c:v", "libx264", "-preset", "veryfast", "-g", "50", "-b:v", s.rate, "-maxrate", s.rate, "-bufsize", s.rate)
        return ["-i", _minute(folder), "-vf", look, *coding, "-c:a", "copy"]
    minute, seconds = film(folder, size, "60s"), LENGTHS[length]
    return ["-stream_loop", max(0, round(seconds / BASE_S) - 1), "-i", minute, "-t", seconds, "-c", "copy"]


def _minute(folder: Path) -> Path:
    path = folder / "minute.mp4"
    if not path.is_file():
        write_clip(talking_clip(BASE_S, 1, 25, (640, 360)), path, DELAY_MS)
    return path


def _ffmpeg(*arguments) -> None:
    subprocess.run([get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], check=True)
