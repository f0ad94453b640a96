"""resync as a moviepy effect: `clip.with_effects([Resync()])` puts the clip's audio in sync.

A clip is analysed as it plays, from its own frames and audio, not from the file it was read from: moviepy does not keep a
file's start times, and a clip may be cut, concatenated or composed of several.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import Lock

import numpy as np
from moviepy import AudioClip, Effect, VideoClip
from scipy.signal import resample_poly

from .api import Analyzer
from .config import FPS, SAMPLE_RATE, Config
from .errors import MediaError, UndecidedError
from .media.image import ArrayImage
from .media.probe import AudioInfo, MediaInfo, VideoInfo
from .media.source import AudioSource, VideoSource
from .media.video import Frame
from .report.result import Report

CHUNK = 2000  # samples requested at once, as moviepy does; its readers cannot give many more of a short file
SETTLE_S = 0.02  # of audio read on either side, so that the resampler has settled
DEFAULT_RATE = 44_100  # Hz, of audio clips that name no sample rate


@dataclass
class Resync(Effect):
    """Shifts the audio of a video clip so that it is in sync with the lips.

    shift_ms: shift by this much instead, + = later, without analysis. strict: raise UndecidedError when
    undecided; if False, the clip is then left as it is. config: settings of the analysis.
    Raises MediaError for a clip without audio or duration, and what `resync.analyze` raises.
    """

    shift_ms: float | None = None
    strict: bool = True
    config: Config = Config()

    def apply(self, clip: VideoClip) -> VideoClip:
        """A copy of `clip` with its audio shifted; its frames and duration stay."""
        require_video_and_audio(clip)
        shift_ms = self.shift_ms
        if shift_ms is None:
            report = analyze_clip(clip, self.config)
            if not report.decided and self.strict:
                why = report.reasons[0] if report.reasons else f"verdict {report.verdict}"
                raise UndecidedError(f"{report.file}: no certain offset ({why}); give Resync(shift_ms=...) or strict=False")
            shift_ms = report.shift_ms
        return clip.with_audio(shifted_audio(clip.audio, shift_ms / 1000, clip.duration)) if shift_ms else clip


def analyze_clip(clip: VideoClip, config: Config = Config()) -> Report:
    """The report that `resync.analyze` gives of a file, of a clip as moviepy plays it. Raises what it raises."""
    require_video_and_audio(clip)
    info = describe(clip)
    return Analyzer(config).analyze(VideoSource(info, partial(clip_frames, clip), ClipAudio(info.path, clip=clip.audio)))


@dataclass(frozen=True)
class ClipAudio(AudioSource):
    """The audio of a clip, read like that of a file, by one thread at a time: moviepy's readers keep a position."""

    clip: AudioClip = field(kw_only=True)
    lock: Lock = field(default_factory=Lock, kw_only=True, repr=False, compare=False)

    def read(self, start_s: float, end_s: float) -> np.ndarray:
        """See AudioSource."""
        rate = round(getattr(self.clip, "fps", None) or DEFAULT_RATE)
        settle = round(SETTLE_S * SAMPLE_RATE)
        start, count = round(start_s * SAMPLE_RATE), round((end_s - start_s) * SAMPLE_RATE)
        first = math.floor((start - settle) / SAMPLE_RATE)  # whole seconds, so that both rates start on the same sample
        last = math.ceil((start + count + settle) / SAMPLE_RATE)
        with self.lock:
            samples = samples_at(self.clip, np.arange(first * rate, last * rate) / rate)
        mono = samples.mean(1).astype(np.float32)
        offset = start - first * SAMPLE_RATE
        return resample_poly(mono, SAMPLE_RATE, rate)[offset : offset + count]


def samples_at(audio: AudioClip, times: np.ndarray) -> np.ndarray:
    """Samples of an audio clip at `times` in s: float [n, channels], zero before its start and after its end."""
    samples = np.zeros((len(times), audio.nchannels))
    inside = np.flatnonzero((times >= 0) & (times < (np.inf if audio.duration is None else audio.duration)))
    for chunk in np.array_split(inside, math.ceil(len(inside) / CHUNK)) if len(inside) else ():
        samples[chunk] = np.reshape(audio.get_frame(times[chunk]), (len(chunk), -1))[:, : audio.nchannels]
    return samples


def shifted_audio(audio: AudioClip, shift_s: float, duration: float) -> AudioClip:
    """The same audio `shift_s` later, `duration` long, silence where none is left."""

    def frame_function(t: float | np.ndarray) -> np.ndarray:
        samples = samples_at(audio, np.atleast_1d(t) - shift_s)
        return samples if isinstance(t, np.ndarray) else samples[0]

    # A clip's start in a composition is also that of its audio.
    return AudioClip(frame_function, duration=duration, fps=getattr(audio, "fps", None)).with_start(audio.start)


def clip_frames(clip: VideoClip, start_s: float, end_s: float) -> Iterator[Frame]:
    """The clip's frame nearest in time to each tick of the analysis clock, uint8 BGR, with the time when it is shown."""
    rate, duration = clip.fps or FPS, clip.duration
    shown = -1
    for tick in range(math.ceil(start_s * FPS - 1e-6), math.ceil(min(end_s, duration) * FPS - 1e-6)):
        number = min(round(tick / FPS * rate), math.ceil(duration * rate - 1e-6) - 1)
        if number != shown:
            shown, image = number, ArrayImage(np.ascontiguousarray(clip.get_frame(number / rate)[:, :, 2::-1].astype(np.uint8)))
        yield Frame(tick, tick / FPS, number / rate, image)


def describe(clip: VideoClip) -> MediaInfo:
    """A clip as if it were a file; one that was read from a file has its name."""
    width, height = clip.size
    video = VideoInfo(0, "moviepy", width, height, float(clip.fps or FPS), 0.0, clip.duration, 0)
    rate = round(getattr(clip.audio, "fps", None) or DEFAULT_RATE)
    audio = AudioInfo(1, "moviepy", rate, clip.audio.nchannels, "", 0.0, clip.audio.duration or clip.duration, None, None)
    return MediaInfo(Path(getattr(clip, "filename", None) or "clip"), "moviepy", clip.duration, 0.0, video, (audio,))


def require_video_and_audio(clip: VideoClip) -> None:
    """Raise MediaError for a clip without video, audio or duration."""
    name = getattr(clip, "filename", None) or "clip"
    if not isinstance(clip, VideoClip):
        raise MediaError(f"{name}: not a video clip; Resync needs one with frames")
    if clip.audio is None:
        raise MediaError(f"{name}: no audio; add it first, with with_audio")
    if not clip.duration:
        raise MediaError(f"{name}: no duration; set one with with_duration")
