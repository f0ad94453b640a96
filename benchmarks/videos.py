"""Videos to benchmark on, generated once: a talking head with grain, in three resolutions and four durations, and an edited video."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from imageio_ffmpeg import get_ffmpeg_exe
from PIL import Image

from resync.demo.clip import TalkingClip, talking_clip, write_clip

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
EDITED = "720p-edited"  # one to six faces in each shot, of which one speaks
SHOTS, FACES, SHOT_S = 200, 6, (0.5, 2.5)  # shots of the edited video, most faces in one, and their lengths


def make_video(folder: Path, resolution: str, duration: str) -> Path:
    """Path of a video below `folder`, generated if it is missing: H.264 at 25 fps with AAC, MP4."""
    path = folder / f"{resolution}-{duration}.mp4"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        incomplete = path.with_name(f"incomplete-{path.name}")
        _ffmpeg(*_arguments(folder, resolution, duration), "-movflags", "+faststart", incomplete)
        incomplete.rename(path)
    return path


def edited_clip(seed: int = 0) -> TalkingClip:
    """Shots of a speaker alone or among listeners, who are the same portrait at another time: 640 x 360 px."""
    rng = np.random.default_rng(seed)
    counts = np.round(rng.uniform(*SHOT_S, SHOTS) * 25).astype(int)
    clip = talking_clip(counts.sum() / 25, 1, 25, (180, 180))
    shots = np.split(np.arange(counts.sum()), np.cumsum(counts)[:-1])
    frames = [_shot(clip.frames, numbers, rng) for numbers in shots]
    return TalkingClip(np.concatenate(frames), clip.fps, clip.audio, clip.rate)


def _shot(frames: np.ndarray, numbers: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One shot: a row or two of faces over a plain background, the one that speaks in a place of its own."""
    faces = int(rng.integers(1, FACES + 1))
    columns, rows = min(faces, 3), 1 + (faces > 3)
    side = min(640 // columns, 360 // rows)
    speaker, mirrored, background = rng.integers(faces), rng.random(faces) < 0.5, rng.integers(30, 200, 3)
    out = np.tile(background.astype(np.uint8), (len(numbers), 360, 640, 1))
    for face in range(faces):
        shown = numbers if face == speaker else (numbers + 250 * (face + 1)) % len(frames)
        x, y = face % columns * 640 // columns, face // columns * 360 // rows
        for image, number in zip(out, shown):
            one = np.asarray(Image.fromarray(frames[number]).resize((side, side), Image.Resampling.BILINEAR))
            image[y : y + side, x : x + side] = one[:, ::-1] if mirrored[face] else one
    return out


def _arguments(folder: Path, resolution: str, duration: str) -> list:
    """Arguments of ffmpeg: one minute and the edited video are scaled and encoded, the others are stream copies of that minute."""
    if duration == "edited":
        return ["-i", _generated_clip(folder / "edited-source.mp4", edited_clip), *_encoding(RESOLUTIONS[resolution])]
    if duration == "60s":
        minute = _generated_clip(folder / "minute.mp4", lambda: talking_clip(BASE_S, 1, 25, (640, 360)))
        return ["-i", minute, *_encoding(RESOLUTIONS[resolution])]
    minute, seconds = make_video(folder, resolution, "60s"), DURATIONS_S[duration]
    return ["-stream_loop", max(0, round(seconds / BASE_S) - 1), "-i", minute, "-t", seconds, "-c", "copy"]


def _encoding(r: Resolution) -> list:
    """Options of ffmpeg that scale and encode a clip."""
    # Grain takes bits and decoding time, as in camera footage; a clean synthetic image would decode unrealistically fast.
    filters = f"scale={r.width}:{r.height}:flags=bicubic,noise=alls=8:allf=t"
    rate = ("-b:v", r.bit_rate, "-maxrate", r.bit_rate, "-bufsize", r.bit_rate)
    return ["-vf", filters, "-c:v", "libx264", "-preset", "veryfast", "-g", "50", *rate, "-c:a", "copy"]


def _generated_clip(path: Path, make: Callable[[], TalkingClip]) -> Path:
    """The path itself, after the clip has been written there if it is missing."""
    if not path.is_file():
        write_clip(make(), path, DELAY_MS)
    return path


def _ffmpeg(*arguments) -> None:
    subprocess.run([get_ffmpeg_exe(), "-v", "error", "-y", *map(str, arguments)], check=True)
