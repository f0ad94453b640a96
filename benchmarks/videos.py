"""Videos to benchmark on, generated once: a talking head with grain, in three resolutions and four durations."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

from imageio_ffmpeg import get_ffmpeg_exe

from resync.demo.clip import talking_clip, write_clip

BASE_S = 60.0
DELAY_MS = 120.0  # of the audio of every video


class Resolution(NamedTuple):
    """Pixels, and a bit rate that is common for them."""

    width: int
    height: int
    bit_rate: str


RESOLUTIONS = {
    "720p": Resolution(1280, 720, "2500k"),
    "1080p": Resolution(1920, 1080, "5M"),
    "4k": Resolution(3840, 2160, "20M"),
}
DURATIONS_S = {"10s": 10, "60s": 60, "10min": 600, "2h": 7200}


def make_video(folder: Path, resolution: str, duration: str) -> Path:
    """Path of a video below `folder`, generated if it is missing: H.264 at 25 fps with AAC, MP4."""
    path = folder / f"{resolution}-{duration}.mp4"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        incomplete = path.with_name(f"incomplete-{path.name}")
        _ffmpeg(*_arguments(folder, resolution, duration), "-movflags", "+faststart", incomplete)
        incomplete.rename(path)
    return path


def _arguments(folder: Path, resolution: str, duration: str) -> list:
    """Arguments of ffmpeg: one minute is scaled and encoded, other durations are stream copies of that minute."""
    if duration == "60s":
        r = RESOLUTIONS[resolution]
        # Grain takes bits and decoding time, as in camera footage; a clean synthetic image would decode unrealistically fast.
        filters = f"scale={r.width}:{r.height}:flags=bicubic,noise=alls=8:allf=t"
        rate = ("-b:v", r.bit_rate, "-maxrate", r.bit_rate, "-bufsize", r.bit_rate)
        return ["-i", _base_minute(folder), "-vf", filters, "-c:v", "libx264", "-preset", "veryfast", "-g", "50", *rate, "-c:a", "copy"]
    minute, seconds = make_video(folder, resolution, "60s"), DURATIONS_S[duration]
    return ["-stream_loop", max(0, round(seconds / BASE_S) - 1), "-i", minute, "-t", seconds, "-c", "copy"]


def _base_minute(folder: Path) -> Path:
    path = folder / "minute.mp4"
    if not path.is_file():
        write_clip(talking_clip(BASE_S, 1, 25, (640, 360)), path, DELAY_MS)
    return path


def _ffmpeg(*arguments) -> None:
    subprocess.run([get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], check=True)
