"""What is analysed: a file, or a film in memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .config import Config
from .external import Sound, place
from .media import Frame, MediaInfo, key_frame, probe, read_frames, require_video, require_video_and_sound


@dataclass(frozen=True)
class Film:
    """A description, pictures from one time to another, and what is listened to, on the same clock.

    key_frame: the last picture at or before a time that can be had without others; None where any picture can.
    """

    info: MediaInfo
    frames: Callable[[float, float], Iterator[Frame]]
    sound: Sound
    key_frame: Callable[[float], Frame | None] | None = None

    def glance(self, at_s: float) -> Frame | None:
        """The picture at a time, or the one before it that is cheaper to have; None where there is none."""
        return self.key_frame(at_s) if self.key_frame else next(self.frames(at_s, math.inf), None)


def open_film(path: str | Path, config: Config = Config(), audio: str | Path | None = None) -> Film:
    """A file, with its own sound or a recording. Raises MediaError."""
    info, side = probe(path), config.media.max_side
    return Film(
        info,
        lambda start_s, end_s: read_frames(path, start_s=start_s, end_s=end_s, max_side=side, nearest=True),
        _sound_of(info, audio, config.media.audio_track),
        partial(key_frame, path, max_side=side),
    )


def _sound_of(info: MediaInfo, audio: str | Path | None, track: int) -> Sound:
    """What is listened to: a track of the film, or a recording put on the film's clock."""
    if audio is None:
        require_video_and_sound(info, track)
        return Sound(info.path, track - 1)
    require_video(info)
    return place(audio, info, track - 1)
