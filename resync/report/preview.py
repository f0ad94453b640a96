"""Before/after preview: the same seconds twice, unshifted and with the audio corrected, next to the probability curve."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from ..errors import MediaError, OutputError
from ..media.audio import read_audio
from ..media.probe import MediaInfo, VideoInfo, require_video
from ..media.video import read_frames
from ..remux.paths import Overwrite, check_output, output_errors, written_output
from ..remux.rendered import write_rendered
from ..sync.curve import Scores
from ..sync.evidence import evidence_for
from .plot import panel
from .result import Analysis

PREVIEW_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv")
MIN_S = 0.5  # of video after the start
AUDIO_RATE = 48_000  # Hz
MAX_FPS = 60.0
DEFAULT_FPS = 25.0  # where the video has no usable frame rate
WIDE = 1.2  # aspect ratio from which the panel goes below the video instead of beside it


@dataclass(frozen=True)
class Preview:
    """The file written. Each half shows `seconds` of the video from start_s on."""

    path: Path
    start_s: float
    seconds: float


@dataclass(frozen=True)
class Layout:
    """Sizes in px (width, height) of the video and of the panel below or beside it. All are even, as H.264 with yuv420p requires."""

    video: tuple[int, int]
    panel: tuple[int, int]
    beside: bool

    @staticmethod
    def of(width: int, height: int) -> Layout:
        """Layout for a video of this aspect ratio, scaled so that the panel is legible."""
        if width >= WIDE * height:
            return Layout((960, _even(960 * height / width)), (960, 360), False)
        return Layout((_even(640 * width / height), 640), (720, 640), True)


def check_preview(source: str | Path, target: str | Path, overwrite: Overwrite | bool = Overwrite.NEVER) -> None:
    """Raise OutputError if `target` has no supported suffix, or where `check_output` does."""
    if Path(target).suffix.lower() not in PREVIEW_SUFFIXES:
        raise OutputError(f"{target}: unsupported preview format; use .mp4, .m4v, .mov or .mkv")
    check_output(source, target, overwrite)


def require_start(info: MediaInfo, start_s: float) -> None:
    """Raise MediaError if a preview cannot start at start_s."""
    first, last = video_span(info)
    if not first <= start_s <= last - MIN_S:
        raise MediaError(f"{info.path}: --start {start_s:g} is outside the video; use {first:.1f} to {max(first, last - MIN_S):.1f} s")


def strongest_start(analysis: Analysis, seconds: float) -> float:
    """Start in s of the `seconds` of video with the most evidence for the best delay."""
    evidence = analysis.evidence
    first, last = video_span(evidence.info)
    if evidence.peak is None or last - first <= seconds:
        return first
    scores = Scores.join(list(evidence.segments))
    worth = [evidence_for(segment, evidence.peak.index) for segment in evidence.segments]
    total = np.concatenate([[0.0], np.cumsum(np.concatenate(worth))])
    starts = np.clip(scores.time_s, first, last - seconds)
    gain = total[np.searchsorted(scores.time_s, starts + seconds)] - total[np.searchsorted(scores.time_s, starts)]
    return float(starts[np.argmax(gain)])


def video_span(info: MediaInfo) -> tuple[float, float]:
    """Start and end of the video stream in s. Raises MediaError if there is none."""
    video = require_video(info)
    return max(0.0, video.start_s), video.start_s + video.duration_s


def render_preview(
    analysis: Analysis, target: str | Path, start_s: float, seconds: float, overwrite: Overwrite | bool = Overwrite.NEVER
) -> Preview:
    """Write the preview of an analysis with a decided report to `target`. Ends with the video if `seconds` is too long.

    Raises OutputError and MediaError; then nothing is left behind.
    """
    from moviepy import VideoClip

    target, info = Path(target), analysis.evidence.info
    video = require_video(info)
    fps = _preview_fps(video)
    first = math.ceil(start_s * fps - 1e-6)
    count = max(1, round(min(seconds, video_span(info)[1] - first / fps) * fps))
    layout = Layout.of(video.width, video.height)
    frames = _IndexedFrames(lambda: preview_frames(analysis, layout, first, count, fps))
    # Half a frame longer, because moviepy rounds the number of frames down.
    clip = VideoClip(lambda t: frames[min(round(t * fps), 2 * count - 1)], duration=(2 * count + 0.5) / fps)
    audio = preview_audio(analysis, first / fps, count / fps)
    used = (info.path, analysis.evidence.audio.path)
    with written_output(target, used, overwrite) as out, output_errors(target):
        write_rendered(clip, fps, audio, AUDIO_RATE, out, ["-crf", "20", "-b:a", "160k"])
    return Preview(target, first / fps, count / fps)


def preview_frames(analysis: Analysis, layout: Layout, first: int, count: int, fps: float) -> Iterator[np.ndarray]:
    """Yield the frames of both halves, uint8 [height, width, 3] RGB: `count` from tick `first` on, each half with its own panel."""
    for corrected in (False, True):
        curve = panel(analysis, corrected, *layout.panel)
        image = np.zeros((*layout.video[::-1], 3), np.uint8)
        frames = read_frames(analysis.evidence.info.path, start_s=first / fps, end_s=(first + count) / fps, fps=fps)
        for _ in range(count):
            frame = next(frames, None)  # None past the end: the last image is held
            if frame is not None:
                image = np.asarray(Image.fromarray(frame.image.bgr()[:, :, ::-1]).resize(layout.video))
            yield np.hstack([image, curve]) if layout.beside else np.vstack([image, curve])


def preview_audio(analysis: Analysis, start_s: float, seconds: float) -> np.ndarray:
    """Audio of both halves, float32 [n] mono at AUDIO_RATE: unshifted, then shifted by the report's shift_ms.

    Unshifted, an external recording starts together with the video.
    """
    path, track = analysis.evidence.audio.path, analysis.evidence.audio.track
    starts = (start_s, start_s - (analysis.report.shift_ms or 0.0) / 1000)
    return np.concatenate([read_audio(path, start_s=start, end_s=start + seconds, rate=AUDIO_RATE, track=track) for start in starts])


class _IndexedFrames:
    """Random access to the frames of an iterator. Going forward is cheap, going back restarts the iterator."""

    def __init__(self, start: Callable[[], Iterator[np.ndarray]]):
        self._start, self._next = start, 0
        self._frames, self._current = start(), np.empty(0)

    def __getitem__(self, index: int) -> np.ndarray:
        if index < self._next - 1:
            self._frames, self._next = self._start(), 0
        for frame in islice(self._frames, index + 1 - self._next):
            self._current, self._next = frame, self._next + 1
        return self._current


def _preview_fps(video: VideoInfo) -> float:
    """Frame rate of the preview: that of the video, rounded to the two decimals that moviepy passes to ffmpeg."""
    fps = round(video.fps, 2)
    return min(fps, MAX_FPS) if fps >= 1 else DEFAULT_FPS


def _even(size: float) -> int:
    """The nearest even number, at least 2."""
    return max(2, 2 * round(size / 2))
