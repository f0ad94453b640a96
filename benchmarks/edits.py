"""Edited videos with a known delay, made of clips of talking faces, for `edited.py`: cuts, dissolves, cutaways, music and others.

Every clip is brought to zero delay first: its own, measured delay is taken out. `framings.py` composes the frames.
"""

from __future__ import annotations

import json
import subprocess
import wave
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path

import click
import numpy as np
from copies import speaker_of
from imageio_ffmpeg import get_ffmpeg_exe

FPS = 25
RATE = 48_000
SIDE = 360  # px, of a decoded clip
WIDTH, HEIGHT = 640, 360
SAMPLES = RATE // FPS  # in one frame
DELAYS_MS = (0, 350, -620, 900, -170, -900, 530, -350, 80)
LOUD = 0.15  # RMS of the loud frames of every clip
REFUSED = ("wrong_voice", "dubbed")  # kinds without a right answer

FrameAt = Callable[[int], np.ndarray]  # frame number of the shot (may lie a little outside) -> [HEIGHT, WIDTH, 3]
Framing = Callable[[np.ndarray, int], np.ndarray]  # square frame, frame number of the clip -> [HEIGHT, WIDTH, 3]


@dataclass(frozen=True)
class Clip:
    """A clip and its own measured delay in s."""

    path: Path
    seconds: float
    delay_s: float

    @property
    def speaker(self) -> str:
        """See `copies.speaker_of`."""
        return speaker_of(self.path)

    @property
    def count(self) -> int:
        """Number of frames that are used; 0.2 s at the end are left out."""
        return int((self.seconds - 0.2) * FPS)

    def frames(self) -> np.ndarray:
        """uint8 [count, SIDE, SIDE, 3]."""
        return _decode(self.path, self.count)

    def audio(self) -> np.ndarray:
        """float32 [count * SAMPLES] in sync with the frames, of equal loudness for all clips."""
        return _voice(self.path, self.count, self.delay_s)


@lru_cache(maxsize=4)
def _decode(path: Path, count: int) -> np.ndarray:
    graph = f"fps={FPS}:start_time=0,scale={SIDE}:{SIDE}:force_original_aspect_ratio=increase,crop={SIDE}:{SIDE}"
    raw = _ffmpeg("-i", path, "-vf", graph, "-frames:v", count, "-f", "rawvideo", "-pix_fmt", "rgb24", "-")
    frames = np.frombuffer(raw, np.uint8).reshape(-1, SIDE, SIDE, 3)
    return frames[np.minimum(np.arange(count), len(frames) - 1)] if len(frames) < count else frames


@lru_cache(maxsize=16)
def _voice(path: Path, count: int, delay_s: float) -> np.ndarray:
    raw = _ffmpeg("-i", path, "-vn", "-af", f"aresample={RATE}:async=1:first_pts=0", "-ac", 1, "-f", "f32le", "-")
    audio = fit(np.frombuffer(raw, np.float32), count * SAMPLES, round(-delay_s * RATE))
    level = np.sqrt(np.mean(audio[: len(audio) // 1200 * 1200].reshape(-1, 1200) ** 2, axis=1))
    return audio * np.float32(LOUD / max(1e-4, np.percentile(level, 90)))


def _ffmpeg(*arguments: object, stdin: bytes | None = None) -> bytes:
    command = [get_ffmpeg_exe(), "-v", "error", *([] if stdin else ["-nostdin"]), *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True)
    if done.returncode:
        raise click.ClickException(f"ffmpeg failed: {done.stderr.decode(errors='replace').strip()[:300]}")
    return done.stdout


def fit(audio: np.ndarray, count: int, shift: int = 0) -> np.ndarray:
    """`count` samples of `audio` played `shift` samples later, silence elsewhere."""
    out = np.zeros(count, np.float32)
    first, last = max(0, shift), min(count, len(audio) + shift)
    if first < last:
        out[first:last] = audio[first - shift : last - shift]
    return out


@dataclass(frozen=True)
class Take:
    """Frames start .. start + count - 1 of a clip, with their audio."""

    clip: Clip
    start: int
    count: int

    def square(self, k: int) -> np.ndarray:
        """Frame k of the take; the nearest frame of the clip where there is none."""
        return self.clip.frames()[min(max(self.start + k, 0), self.clip.count - 1)]

    @property
    def audio(self) -> np.ndarray:
        return self.clip.audio()[self.start * SAMPLES : (self.start + self.count) * SAMPLES]

    def split(self, lengths: Iterator[int], least: int = 30) -> list[Take]:
        """Consecutive takes of these lengths, in frames; the last one takes what is left."""
        out, start = [], 0
        while start < self.count:
            count = next(lengths)
            if self.count - start - count < least:
                count = self.count - start
            out.append(Take(self.clip, self.start + start, count))
            start += count
        return out


@dataclass(frozen=True)
class Shot:
    """What is visible and audible between two cuts. fade: frames of the dissolve from the shot before, 0 for a cut."""

    count: int
    frame_at: FrameAt
    voice: np.ndarray
    faces: tuple[str, ...]
    speaker: str | None
    on_screen: bool
    fade: int = 0


@dataclass(frozen=True)
class Edit:
    """An edited video. pieces: (start in s, delay in ms); ratio: audio duration over video duration."""

    kind: str
    shots: list[Shot]
    pieces: list[tuple[float, int]]
    ratio: float = 1.0
    bed: np.ndarray | None = field(default=None, repr=False)

    @cached_property
    def count(self) -> int:
        return sum(shot.count for shot in self.shots)

    def frames(self) -> Iterator[np.ndarray]:
        """All frames, dissolves included."""
        for i, shot in enumerate(self.shots):
            before, after = self.shots[i - 1] if i else None, self.shots[i + 1] if i + 1 < len(self.shots) else None
            for k in range(shot.count):
                image = shot.frame_at(k)
                left = after.fade // 2 - (shot.count - k) if after else -1
                if before and k < shot.fade - shot.fade // 2:
                    image = blend(before.frame_at(before.count + k), image, (k + shot.fade // 2 + 1) / (shot.fade + 1))
                elif after and left >= 0:
                    image = blend(image, after.frame_at(k - shot.count), (left + 1) / (after.fade + 1))
                yield image

    def audio(self) -> np.ndarray:
        """The audio track, with its delays and music."""
        content = np.concatenate([_soft_ends(shot.voice) for shot in self.shots])
        total = self.count * SAMPLES
        if self.ratio != 1:
            at = (np.arange(total) - self.pieces[0][1] * RATE / 1000) / self.ratio
            out = np.interp(at, np.arange(len(content)), content, left=0, right=0).astype(np.float32)
        else:
            out = np.zeros(total, np.float32)
            starts = [start for start, _ in self.pieces[1:]]
            for (start, delay_ms), end in zip(self.pieces, [*starts, total / RATE]):
                piece = np.zeros_like(content)
                a, b = round(start * RATE), round(end * RATE)
                piece[a:b] = _soft_ends(content[a:b])
                shift = round(delay_ms * RATE / 1000)
                out[max(0, a + shift) :] = 0  # what an earlier piece leaves there is lost
                out += fit(piece, total, shift)
        return out if self.bed is None else out + fit(self.bed, total)

    def truth(self) -> dict:
        """What is right, for the file beside the video."""
        starts = np.cumsum([0, *(shot.count for shot in self.shots)]) / FPS
        ends = [*(start for start, _ in self.pieces[1:]), self.count / FPS]
        return {
            "kind": self.kind,
            "seconds": self.count / FPS,
            "answerable": self.kind not in REFUSED,
            "ratio": self.ratio,
            "pieces": [{"start_s": s, "end_s": e, "audio_delay_ms": d} for (s, d), e in zip(self.pieces, ends)],
            "shots": [
                {"start_s": float(a), "end_s": float(b), "faces": shot.faces, "speaker": shot.speaker, "on_screen": shot.on_screen}
                | {"dissolve_s": shot.fade / FPS}
                for a, b, shot in zip(starts, starts[1:], self.shots)
            ],
        }


def blend(a: np.ndarray, b: np.ndarray, share: float) -> np.ndarray:
    return (a * (1 - share) + b * share).astype(np.uint8)


def _soft_ends(audio: np.ndarray, seconds: float = 0.01) -> np.ndarray:
    """No clicks where takes are joined."""
    n = min(len(audio) // 2, round(seconds * RATE))
    gain = np.ones(len(audio), np.float32)
    gain[:n], gain[len(gain) - n :] = np.linspace(0, 1, n), np.linspace(1, 0, n)
    return audio * gain


def write(edit: Edit, target: Path) -> None:
    """The video and its truth, as `target` and a JSON file of the same name."""
    sound = target.with_suffix(".wav")
    with wave.open(str(sound), "wb") as out:
        out.setparams((1, 2, RATE, 0, "NONE", ""))
        out.writeframes((np.clip(edit.audio(), -1, 1) * 32767).astype("<i2").tobytes())
    part = target.with_suffix(".part.mp4")
    raw = ["-f", "rawvideo", "-pix_fmt", "rgb24", "-s", f"{WIDTH}x{HEIGHT}", "-r", FPS, "-i", "-", "-i", sound]
    codec = "-c:v libx264 -preset ultrafast -crf 21 -g 50 -pix_fmt yuv420p -c:a aac -b:a 128k -y".split()
    command = [get_ffmpeg_exe(), "-v", "error", *map(str, raw), *codec, str(part)]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as process:
        assert process.stdin
        for image in edit.frames():
            process.stdin.write(np.ascontiguousarray(image, np.uint8).data)
    if process.returncode:
        raise click.ClickException(f"{target}: ffmpeg cannot write it")
    sound.unlink()
    target.with_suffix(".json").write_text(json.dumps(edit.truth(), indent=1))
    part.replace(target)


def seed_of(*parts: object) -> int:
    return zlib.crc32(" ".join(map(str, parts)).encode())
