"""A synthetic talking-head clip, made from a portrait and a seed.

One set of articulation contours (jaw, lips, tongue, voice) drives both a formant synthesiser and a warp of the
mouth in a portrait photograph, so audio and video are exactly in sync: the frame at time t shows the mouth that
produces the audio at time t. Used by `resync demo`, by the tests and as additional training data.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..remux.paths import Overwrite, output_errors, written_output
from ..remux.rendered import write_rendered
from .articulation import random_articulation
from .portrait import render
from .voice import VOICE_RATE, synthesise


@dataclass
class TalkingClip:
    """frames: uint8 [n, height, width, 3] RGB, frame k at k / fps seconds. audio: float32 [m], mono, `rate` Hz."""

    frames: np.ndarray
    fps: int
    audio: np.ndarray
    rate: int


def talking_clip(seconds: float = 6.0, seed: int = 0, fps: int = 25, size: tuple[int, int] = (320, 320)) -> TalkingClip:
    """Return a clip of `seconds`, identical for identical arguments; `size` is (width, height) in pixels.

    The seed determines the words, the voice (pitch, vocal tract, speech rate), framing, mirroring, head motion,
    light, contrast and noise. Raises ValueError for a length or frame rate that is not positive and for a size below 16 x 16.
    """
    if seconds <= 0 or fps <= 0 or min(size) < 16:
        raise ValueError("seconds and fps must be positive and size at least 16 x 16")
    words_rng, voice_rng, video_rng = (np.random.default_rng([seed, stream]) for stream in range(3))
    articulation = random_articulation(seconds, words_rng)
    audio = synthesise(articulation, round(seconds * VOICE_RATE), voice_rng)
    frames = render(articulation, round(seconds * fps), fps, size, video_rng)
    return TalkingClip(frames, fps, audio, VOICE_RATE)


def write_clip(clip: TalkingClip, path: str | Path, audio_delay_ms: float = 0.0) -> None:
    """Write H.264 and AAC to `path` (.mp4, .mkv or .mov), the audio `audio_delay_ms` late (negative: early).

    The duration does not change: late audio is cut at its end, early audio at its start. An existing file that
    resync wrote is replaced. Raises OutputError for any other media file, and when the file cannot be written.
    """
    from moviepy import VideoClip

    path, audio = Path(path), delay_samples(clip.audio, round(audio_delay_ms * clip.rate / 1000))
    # moviepy rounds the number of frames down: half a frame more makes it exact.
    video = VideoClip(lambda t: clip.frames[round(t * clip.fps)], duration=(len(clip.frames) + 0.5) / clip.fps)
    with written_output(path, overwrite=Overwrite.OWN) as out, output_errors(path):
        write_rendered(video, clip.fps, audio, clip.rate, out, ["-crf", "18", "-b:a", "128k"])


def delay_samples(audio: np.ndarray, samples: int) -> np.ndarray:
    """Return a copy of `audio` [n] delayed by `samples` (negative: advanced), padded with silence to the same length."""
    delayed = np.zeros_like(audio)
    n = len(audio)
    if abs(samples) < n:
        delayed[max(samples, 0) : n + min(samples, 0)] = audio[max(-samples, 0) : n - max(samples, 0)]
    return delayed
