"""`resync preview`: the same seconds twice, as they are and with the sound moved, with the curve drawn in. Rendered by moviepy."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from .config import Config, PreviewConfig
from .curve import Scores
from .errors import MediaError, OutputError
from .evidence import Evidence, telling
from .film import open_film
from .media import MediaInfo, VideoInfo, read_frames, read_sound, require_video
from .partfile import Overwrite, marker_options, part_file
from .pipeline import Progress, examine
from .plot import panel
from .remux import check_target
from .report import Report

KINDS = (".mp4", ".m4v", ".mov", ".mkv")
LEAST_S = 0.5
SOUND_RATE = 48_000
MOST_FPS = 60.0
WIDE = 1.2  # width over height from which the curve is drawn under the picture instead of beside it


@dataclass(frozen=True)
class Preview:
    """What was written: `seconds` of the film from start_s on, twice."""

    path: Path
    start_s: float
    seconds: float


@dataclass(frozen=True)
class Layout:
    """Sizes in px (width, height) of the film's picture and of the panel under or beside it; all even, as H.264 wants it."""

    picture: tuple[int, int]
    panel: tuple[int, int]
    beside: bool

    @staticmethod
    def of(width: int, height: int) -> Layout:
        """For a picture of this shape, drawn large enough for the panel to be read."""
        if width >= WIDE * height:
            return Layout((960, _even(960 * height / width)), (960, 360), False)
        return Layout((_even(640 * width / height), 640), (720, 640), True)


def preview(
    source: str | Path,
    target: str | Path,
    config: Config = Config(),
    *,
    start_s: float | None = None,
    seconds: float = PreviewConfig.seconds,
    audio: str | Path | None = None,
    overwrite: Overwrite | bool = Overwrite.NEVER,
    progress: Callable[[Progress], None] | None = None,
) -> tuple[Report, Preview | None]:
    """Analyse `source` and write `seconds` of it twice to `target`: before and after its sound is moved into place.

    start_s: where to begin, default: where the speech tells most. audio: a recording to hear instead of the film's own sound.
    Returns the report and what was written, None when there is no sure answer (then nothing is).
    Raises what `analyze` raises, MediaError for a start outside the film, and OutputError.
    """
    if Path(target).suffix.lower() not in KINDS:
        raise OutputError(f"{target}: no kind of film that a preview can be; use .mp4")
    check_target(source, target, overwrite)
    film = open_film(source, config, audio)
    if start_s is not None:
        _require_inside(film.info, start_s)
    evidence = examine(film, config, progress)
    if not evidence.report.decided:
        return evidence.report, None
    first = telling_start(evidence, seconds) if start_s is None else start_s
    return evidence.report, render(evidence, Path(target), first, seconds)


def telling_start(evidence: Evidence, seconds: float) -> float:
    """Where the `seconds` begin whose speech tells most of the delay, within the picture."""
    first, last = span(evidence.info)
    if evidence.peak is None or last - first <= seconds:
        return first
    scores = Scores.join(list(evidence.parts))
    worth = np.concatenate([[0.0], np.cumsum(telling(scores.probability, scores.weight, evidence.peak.index))])
    starts = np.clip(scores.time_s, first, last - seconds)
    told = worth[np.searchsorted(scores.time_s, starts + seconds)] - worth[np.searchsorted(scores.time_s, starts)]
    return float(starts[np.argmax(told)])


def span(info: MediaInfo) -> tuple[float, float]:
    """When the picture begins and ends, in s."""
    video = require_video(info)
    return max(0.0, video.start_s), video.start_s + video.duration_s


def render(evidence: Evidence, target: Path, start_s: float, seconds: float) -> Preview:
    """Write the preview. Raises OutputError, MediaError; then nothing is left behind."""
    import soundfile
    from moviepy import VideoClip

    video = require_video(evidence.info)
    fps = _fps(video)
    first = math.ceil(start_s * fps - 1e-6)
    count = max(1, round(min(seconds, span(evidence.info)[1] - first / fps) * fps))
    layout = Layout.of(video.width, video.height)
    frames = _InOrder(lambda: pictures(evidence, layout, first, count, fps))
    # half a frame more, because moviepy rounds the number of frames down
    clip = VideoClip(lambda t: frames[min(round(t * fps), 2 * count - 1)], duration=(2 * count + 0.5) / fps)
    with tempfile.TemporaryDirectory(prefix="resync-") as folder, part_file(target) as part:
        try:
            wav = Path(folder) / "sound.wav"
            soundfile.write(wav, sounds(evidence, first / fps, count / fps), SOUND_RATE, subtype="PCM_16")
            options = {
                "preset": "veryfast",
                "ffmpeg_params": ["-crf", "20", "-b:a", "160k", *marker_options(target.suffix)],
                "logger": None,
            }
            # The sound as a file: one encoder run, whose priming the container then accounts for.
            clip.write_videofile(str(part.resolve()), fps=fps, codec="libx264", audio=str(wav), audio_codec="aac", **options)
            part.replace(target)  # moviepy may be silent when it fails: then there is no file
        except OSError as error:
            raise OutputError(f"{target}: cannot be written; check the disk, or choose another place") from error
    return Preview(target, first / fps, count / fps)


def pictures(evidence: Evidence, layout: Layout, first: int, count: int, fps: float) -> Iterator[np.ndarray]:
    """The pictures of the preview in order, uint8 [H, W, 3] RGB: `count` from tick `first` on, twice, with the panel of each half."""
    for moved in (False, True):
        drawn = panel(evidence, moved, *layout.panel)
        image = np.zeros((*layout.picture[::-1], 3), np.uint8)
        frames = read_frames(evidence.info.path, start_s=first / fps, end_s=(first + count) / fps, fps=fps)
        for _ in range(count):  # the last picture stays where the film has no more
            frame = next(frames, None)
            if frame is not None:
                image = np.asarray(Image.fromarray(frame.picture.bgr()[:, :, ::-1]).resize(layout.picture))
            yield np.hstack([image, drawn]) if layout.beside else np.vstack([image, drawn])


def sounds(evidence: Evidence, start_s: float, seconds: float) -> np.ndarray:
    """The sound of both halves, float32 mono at SOUND_RATE: as it is, then moved by the report's shift_ms."""
    sound, shift_s = evidence.sound, (evidence.report.shift_ms or 0.0) / 1000
    # As it is, a recording begins together with the film, wherever it was found to belong.
    halves = [
        read_sound(sound.path, start_s=start_s - s, end_s=start_s - s + seconds, rate=SOUND_RATE, track=sound.track) for s in (0.0, shift_s)
    ]
    return np.concatenate(halves)


class _InOrder:
    """Items of an iterator by number; asked for one after the other they are made once, going back begins anew."""

    def __init__(self, make: Callable[[], Iterator[np.ndarray]]):
        self._make, self._next = make, 0
        self._items, self._held = make(), np.empty(0)

    def __getitem__(self, k: int) -> np.ndarray:
        if k < self._next - 1:
            self._items, self._next = self._make(), 0
        for item in islice(self._items, k + 1 - self._next):
            self._held, self._next = item, self._next + 1
        return self._held


def _fps(video: VideoInfo) -> float:
    """Pictures a second of the preview: the film's own, to the two digits that moviepy tells ffmpeg."""
    fps = round(video.fps, 2)
    return min(fps, MOST_FPS) if fps >= 1 else 25.0


def _require_inside(info: MediaInfo, start_s: float) -> None:
    first, last = span(info)
    if not first <= start_s <= last - LEAST_S:
        raise MediaError(f"{info.path}: --start {start_s:g} is outside its picture; take {first:.1f} to {max(first, last - LEAST_S):.1f} s")


def _even(x: float) -> int:
    return max(2, 2 * round(x / 2))
