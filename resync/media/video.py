"""Video frames on the analysis grid, selected by presentation timestamp (PTS)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import av
import numpy as np

from ..config import FPS, MediaConfig
from .container import clock_zero, decode, decode_from, open_container, required_video_stream, seek
from .image import FrameImage, ImageConverter

# Rounding must not make a tick miss a frame that is due exactly then.
_TICK_TOLERANCE_S = 1e-6


@dataclass(frozen=True)
class Tick:
    """One tick of the grid. index: its number; time_s: index / fps; shown_s: PTS of the frame selected for it, on the clock."""

    index: int
    time_s: float
    shown_s: float


@dataclass(frozen=True)
class Frame(Tick):
    """A tick and the image of its frame."""

    image: FrameImage

    @property
    def tick(self) -> Tick:
        """The times without the image. Use it to keep the times of many frames without their memory."""
        return Tick(self.index, self.time_s, self.shown_s)


def read_frames(
    path: str | Path,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    fps: float = FPS,
    max_side: int = MediaConfig.max_side,
    nearest: bool = False,
    deblock: bool = True,
) -> Iterator[Frame]:
    """Yield the frame displayed at each tick k / fps with start_s <= k / fps < end_s.

    There are no ticks before the first frame or after the end of the last one. Images are rotated
    for display and scaled so that the longer side is at most max_side px. A frame displayed at
    several ticks yields the same image object. Raises MediaError.

    The frame displayed at a tick can be up to one frame duration old. With `nearest`, frames are
    selected up to half a tick early, so each tick gets the frame nearest in time: time_s - shown_s
    is then at most half a frame either way, and near zero on average if the rates differ.

    Without `deblock`, frames that no other frame is predicted from are left with the edges of their blocks, in codecs with a
    loop filter. That saves a fifth of the time of decoding H.264, and the error does not spread to other frames.
    """
    tick = math.ceil((max(start_s, 0.0) - _TICK_TOLERANCE_S) * fps)
    decoded = decode_from(path, partial(required_video_stream, path=path), av.VideoFrame, tick / fps, deblock=deblock)
    yield from frames_on_grid(decoded, tick=tick, end_s=end_s, fps=fps, max_side=max_side, nearest=nearest)


def frames_on_grid(
    decoded: Iterable[tuple[float, av.VideoFrame]],
    *,
    tick: int = 0,
    end_s: float | None = None,
    fps: float = FPS,
    max_side: int = MediaConfig.max_side,
    nearest: bool = False,
) -> Iterator[Frame]:
    """As `read_frames`, from decoded frames with their times on the clock; tick: number of the first one."""
    convert, is_first = ImageConverter(max_side), True
    for frame, shown_s, until_s in _displayed_frames(decoded):
        early_s = min(0.5 / fps, (until_s - shown_s) / 2) if nearest else 0.0
        if is_first:
            tick, is_first = max(tick, math.ceil((shown_s - early_s - _TICK_TOLERANCE_S) * fps)), False
        image = None
        while tick / fps < until_s - early_s - _TICK_TOLERANCE_S:
            if end_s is not None and tick / fps >= end_s - _TICK_TOLERANCE_S:
                return
            if image is None:
                image = convert(frame)
            yield Frame(tick, tick / fps, shown_s, image)
            tick += 1


def read_keyframe(path: str | Path, at_s: float, *, max_side: int = MediaConfig.max_side) -> Frame | None:
    """The last keyframe at or before at_s, decoded on its own; the file's first frame if the format cannot seek.

    Its tick is the first one at which it is displayed. None if the video has no frame there. Raises MediaError.
    """
    with open_container(path) as container:
        stream, zero = required_video_stream(container, path), clock_zero(container)
        seek(container, zero, at_s)
        # With decoder threads, the frames that follow would be decoded as well.
        for pts_s, frame in decode(container, stream, av.VideoFrame, thread_type="NONE"):
            shown_s = float(pts_s - zero)
            tick = math.ceil((shown_s - _TICK_TOLERANCE_S) * FPS)
            return Frame(tick, tick / FPS, shown_s, ImageConverter(max_side)(frame))
    return None


def mean_frame_lag(ticks: Sequence[Tick]) -> float:
    """Mean of shown_s - time_s over the ticks, in s.

    Reading the audio this much later puts it on the frames' own timestamps. Otherwise a 25 fps
    video with frames between the ticks would appear up to half a frame out of sync.
    """
    return float(np.mean([t.shown_s - t.time_s for t in ticks]))


def _displayed_frames(decoded: Iterable[tuple[float, av.VideoFrame]]) -> Iterator[tuple[av.VideoFrame, float, float]]:
    """Yield (frame, display start, display end), in s."""
    current, current_s, duration_s = None, 0.0, 1 / FPS
    for pts_s, frame in decoded:
        if current is not None and pts_s < current_s:
            continue  # skip a PTS that runs backwards, so that time only increases
        if current is not None and pts_s > current_s:
            yield current, current_s, pts_s
            duration_s = pts_s - current_s
        current, current_s = frame, pts_s
    if current is not None:
        if current.duration and current.time_base:
            duration_s = float(current.duration * current.time_base)
        yield current, current_s, current_s + duration_s
