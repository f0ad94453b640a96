"""resync as an effect of moviepy: `clip.with_effects([Resync()])` puts the clip's sound into place.

A clip is analysed as it plays, by its own pictures and sound, not by the file that it comes from: moviepy does not keep a
file's start times, and a clip may be cut, joined or composed of several.
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

from .config import FPS, SAMPLE_RATE, Config
from .errors import MediaError, UndecidedError
from .external import Sound
from .film import Film
from .media import AudioInfo, Frame, MediaInfo, VideoInfo
from .pictures import ArrayPicture
from .pipeline import examine
from .report import Report

CHUNK = 2000  # samples asked for at once, as moviepy does; of a short file its reader cannot give many more
SETTLE_S = 0.02  # of sound read on either side, so that the resampler has settled


@dataclass
class Resync(Effect):
    """Moves the sound of a video clip to where the lips say that it belongs.

    shift_ms: move it by this much instead, + = later, with no analysis. strict: raise UndecidedError when there is no
    sure answer; if False, the clip then stays as it is. config: settings of the analysis.
    Raises MediaError for a clip without sound or duration, and what `resync.analyze` raises.
    """

    shift_ms: float | None = None
    strict: bool = True
    config: Config = Config()

    def apply(self, clip: VideoClip) -> VideoClip:
        """A copy of `clip` with its sound moved; its pictures and duration stay."""
        require_both(clip)
        shift_ms = self.shift_ms
        if shift_ms is None:
            report = analyze_clip(clip, self.config)
            if not report.decided and self.strict:
                why = report.reasons[0] if report.reasons else f"verdict {report.verdict}"
                raise UndecidedError(f"{report.file}: not sure how to move its sound ({why}); give Resync(shift_ms=...) or strict=False")
            shift_ms = report.shift_ms
        return clip.with_audio(moved(clip.audio, shift_ms / 1000, clip.duration)) if shift_ms else clip


def analyze_clip(clip: VideoClip, config: Config = Config()) -> Report:
    """What `resync.analyze` tells of a file, of a clip as moviepy plays it. Raises what it raises."""
    require_both(clip)
    info = describe(clip)
    return examine(Film(info, partial(pictures, clip), ClipSound(info.path, clip=clip.audio)), config).report


@dataclass(frozen=True)
class ClipSound(Sound):
    """The sound of a clip, read as that of a file is, by one thread at a time: moviepy's readers keep their place."""

    clip: AudioClip = field(kw_only=True)
    turn: Lock = field(default_factory=Lock, kw_only=True, repr=False, compare=False)

    def read(self, start_s: float, end_s: float) -> np.ndarray:
        """Mono float32 at SAMPLE_RATE, silence where there is none."""
        rate = round(getattr(self.clip, "fps", None) or 44_100)
        settle = round(SETTLE_S * SAMPLE_RATE)
        start, count = round(start_s * SAMPLE_RATE), round((end_s - start_s) * SAMPLE_RATE)
        first = math.floor((start - settle) / SAMPLE_RATE)  # whole seconds, so that both rates begin on the same sample
        last = math.ceil((start + count + settle) / SAMPLE_RATE)
        with self.turn:
            samples = samples_of(self.clip, np.arange(first * rate, last * rate) / rate)
        mono = samples.mean(1).astype(np.float32)
        begin = start - first * SAMPLE_RATE
        return resample_poly(mono, SAMPLE_RATE, rate)[begin : begin + count]


def samples_of(sound: AudioClip, times: np.ndarray) -> np.ndarray:
    """Samples of a clip of sound at `times` in s: float [n, channels], zero before its beginning and after its end."""
    found = np.zeros((len(times), sound.nchannels))
    inside = np.flatnonzero((times >= 0) & (times < (np.inf if sound.duration is None else sound.duration)))
    for some in np.array_split(inside, math.ceil(len(inside) / CHUNK)) if len(inside) else ():
        found[some] = np.reshape(sound.get_frame(times[some]), (len(some), -1))[:, : sound.nchannels]
    return found


def moved(sound: AudioClip, shift_s: float, duration: float) -> AudioClip:
    """The same sound `shift_s` later, `duration` long, silence where none is left."""

    def at(t: float | np.ndarray) -> np.ndarray:
        samples = samples_of(sound, np.atleast_1d(t) - shift_s)
        return samples if isinstance(t, np.ndarray) else samples[0]

    # A clip's start in a composition is also its sound's.
    return AudioClip(at, duration=duration, fps=getattr(sound, "fps", None)).with_start(sound.start)


def pictures(clip: VideoClip, start_s: float, end_s: float) -> Iterator[Frame]:
    """The clip's picture nearest in time to each tick of the analysis, uint8 BGR, with the time when it is shown."""
    rate, duration = clip.fps or FPS, clip.duration
    shown = -1
    for tick in range(math.ceil(start_s * FPS - 1e-6), math.ceil(min(end_s, duration) * FPS - 1e-6)):
        number = min(round(tick / FPS * rate), math.ceil(duration * rate - 1e-6) - 1)
        if number != shown:
            shown, picture = number, ArrayPicture(np.ascontiguousarray(clip.get_frame(number / rate)[:, :, 2::-1].astype(np.uint8)))
        yield Frame(tick, tick / FPS, number / rate, picture)


def describe(clip: VideoClip) -> MediaInfo:
    """A clip as if it were a file; one that comes from a file has its name."""
    width, height = clip.size
    video = VideoInfo(0, "moviepy", width, height, float(clip.fps or FPS), 0.0, clip.duration, 0)
    rate = round(getattr(clip.audio, "fps", None) or 44_100)
    sound = AudioInfo(1, "moviepy", rate, clip.audio.nchannels, "", 0.0, clip.audio.duration or clip.duration, None, None)
    return MediaInfo(Path(getattr(clip, "filename", None) or "clip"), "moviepy", clip.duration, 0.0, video, (sound,))


def require_both(clip: VideoClip) -> None:
    """Raise MediaError for what has no picture, sound or duration."""
    name = getattr(clip, "filename", None) or "clip"
    if not isinstance(clip, VideoClip):
        raise MediaError(f"{name}: no picture; Resync goes on a video clip")
    if clip.audio is None:
        raise MediaError(f"{name}: no sound; give the clip its sound first, by with_audio")
    if not clip.duration:
        raise MediaError(f"{name}: it has no duration; give it one by with_duration")
