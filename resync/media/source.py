"""What is analysed: a file, or frames and audio in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from ..config import FPS, SAMPLE_RATE, Config
from ..errors import MediaError
from .audio import read_audio
from .image import ArrayImage
from .probe import AudioInfo, MediaInfo, VideoInfo, probe, require_video, require_video_and_audio
from .video import Frame, read_frames, read_keyframe

ARRAYS_NAME = Path("arrays")  # stands for a file name in reports and messages


@dataclass(frozen=True)
class AudioSource:
    """An audio track on the clock of a video. track: counted from 0; start_s: where the zero of its own file lies on that clock."""

    path: Path
    track: int = 0
    start_s: float = 0.0

    def read(self, start_s: float, end_s: float) -> np.ndarray:
        """Mono float32 at SAMPLE_RATE from start_s to end_s of the video's clock, silence where there is none. Raises MediaError."""
        return read_audio(self.path, start_s=start_s - self.start_s, end_s=end_s - self.start_s, track=self.track)


@dataclass(frozen=True)
class ArrayAudio(AudioSource):
    """Samples in memory, read like the audio of a file. samples: float32 [m], mono at SAMPLE_RATE."""

    samples: np.ndarray = field(kw_only=True)

    def read(self, start_s: float, end_s: float) -> np.ndarray:
        """See AudioSource."""
        start, count = round(start_s * SAMPLE_RATE), round((end_s - start_s) * SAMPLE_RATE)
        out = np.zeros(count, np.float32)
        first, last = max(0, start), min(len(self.samples), start + count)
        if first < last:
            out[first - start : last - start] = self.samples[first:last]
        return out


@dataclass(frozen=True)
class VideoSource:
    """What a video contains, its frames between two times, and the audio to analyse, all on one clock.

    keyframe: returns the last frame at or before a time that decodes without others; None where every frame does.
    """

    info: MediaInfo
    frames: Callable[[float, float], Iterator[Frame]]
    audio: AudioSource
    keyframe: Callable[[float], Frame | None] | None = None

    def audio_tracks(self) -> list[AudioSource]:
        """Each audio track of the file, placed like the one to analyse."""
        return [replace(self.audio, track=number) for number in range(len(self.info.audio))]

    def cheap_frame(self, at_s: float) -> Frame | None:
        """The frame at a time, or an earlier one that is cheaper to decode; None where there is none."""
        return self.keyframe(at_s) if self.keyframe else next(self.frames(at_s, math.inf), None)


def open_source(path: str | Path, config: Config = Config(), *, needs_audio: bool = True) -> VideoSource:
    """A file, with its audio track `config.media.audio_track`.

    Raises MediaError for a file without video, and without that track unless needs_audio is False.
    """
    info, side = probe(path), config.media.max_side
    if needs_audio:
        require_video_and_audio(info, config.media.audio_track)
    else:
        require_video(info)
    return VideoSource(
        info,
        lambda start_s, end_s: read_frames(path, start_s=start_s, end_s=end_s, max_side=side, nearest=True, deblock=False),
        AudioSource(info.path, config.media.audio_track - 1),
        partial(read_keyframe, path, max_side=side),
    )


def from_arrays(frames: np.ndarray, fps: float, audio: np.ndarray, rate: int) -> VideoSource:
    """A source for `Analyzer.analyze` from frames and audio in memory, which start together.

    frames: uint8 [n, H, W, 3] RGB at `fps` frames per second; audio: float [m] or [m, channels] at `rate` Hz.
    Raises MediaError for arrays of another shape, and for empty ones.
    """
    frames, audio = np.asarray(frames), np.asarray(audio, np.float32)
    if frames.ndim != 4 or frames.shape[3] != 3 or frames.dtype != np.uint8 or not len(frames):
        raise MediaError(f"{ARRAYS_NAME}: frames must be uint8 [n, height, width, 3], not {frames.dtype} {list(frames.shape)}")
    if audio.ndim not in (1, 2) or not len(audio):
        raise MediaError(f"{ARRAYS_NAME}: audio must be float [m] or [m, channels], not {list(audio.shape)}")
    if not fps > 0 or not rate > 0:
        raise MediaError(f"{ARRAYS_NAME}: fps and rate must be positive, not {fps:g} and {rate:g}")
    from scipy.signal import resample_poly  # takes 0.25 s to import, and a file does not need it

    mono = resample_poly(audio.reshape(len(audio), -1).mean(1), SAMPLE_RATE, rate).astype(np.float32)
    duration_s, height, width = len(frames) / fps, *frames.shape[1:3]
    video_info = VideoInfo(0, "array", width, height, float(fps), 0.0, duration_s, 0)
    channels = 1 if audio.ndim == 1 else audio.shape[1]
    audio_info = AudioInfo(1, "array", rate, channels, "", 0.0, len(audio) / rate, None, None)
    info = MediaInfo(ARRAYS_NAME, "array", max(duration_s, audio_info.duration_s), 0.0, video_info, (audio_info,))
    return VideoSource(info, partial(_nearest_frames, frames, float(fps)), ArrayAudio(ARRAYS_NAME, samples=mono))


def _nearest_frames(frames: np.ndarray, fps: float, start_s: float, end_s: float) -> Iterator[Frame]:
    """The frame nearest in time to each tick of the analysis clock, BGR."""
    for tick in range(math.ceil(start_s * FPS - 1e-6), math.ceil(min(end_s, len(frames) / fps) * FPS - 1e-6)):
        number = min(round(tick / FPS * fps), len(frames) - 1)
        image = ArrayImage(np.ascontiguousarray(frames[number][:, :, ::-1]))
        yield Frame(tick, tick / FPS, number / fps, image)
