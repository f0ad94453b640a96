"""Reading media files: what is inside, pictures on a steady grid, sound as mono samples.

All times are seconds on one clock made of presentation timestamps. Its zero is the container's
start (the earliest stream), the same for picture and sound, so a stream that starts late, or a
file whose timestamps were moved, is read as it would be played.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from functools import partial
from itertools import chain, groupby, islice
from operator import attrgetter
from pathlib import Path
from statistics import median
from typing import NamedTuple, TypeVar

import av
import numpy as np
from av.stream import Disposition

from resync.config import FPS, SAMPLE_RATE, MediaConfig
from resync.errors import MediaError
from resync.pictures import Converter, Picture, turns_of

_AnyStream = TypeVar("_AnyStream", bound=av.stream.Stream)
_AnyFrame = TypeVar("_AnyFrame", av.VideoFrame, av.AudioFrame)

# A frame due exactly on a tick must not miss it because of rounding.
_TICK_TOLERANCE_S = 1e-6
# Sound timestamps may wobble this much (rounding to milliseconds, careless recorders) before the
# sound is taken apart there; far under what a viewer notices.
_SOUND_TOLERANCE_S = 0.004
# Frames of a run of sound that vote on where it starts, against the rounding of timestamps.
_ANCHOR_FRAMES = 25
# Sound decoded before the wanted stretch, so that codecs and the resampler have settled; half will do.
_PREROLL_S = 0.2
# Sample rates that sound can have, Hz; damaged headers claim others, for which a resampler would work for minutes.
_SAMPLE_RATES = range(1000, 1_000_001)
# How far before the wanted time to seek; the next is tried when decoding began too late.
_SEEK_MARGINS_S = (0.0, 1.0, 10.0)
# A first frame this much after the wanted time still counts as being there.
_SEEK_SLACK_S = 1e-6
# Read errors in a row after which the rest of a file is given up.
_MAX_READ_ERRORS = 64


@dataclass(frozen=True)
class VideoInfo:
    """The picture stream; width and height are as shown, after `rotation` (degrees, counter-clockwise)."""

    index: int
    codec: str
    width: int
    height: int
    fps: float
    start_s: float
    duration_s: float
    rotation: int


@dataclass(frozen=True)
class AudioInfo:
    """One sound track that can be decoded; `index` is its number among all streams of the file."""

    index: int
    codec: str
    sample_rate: int
    channels: int
    layout: str
    start_s: float
    duration_s: float
    language: str | None
    bit_rate: int | None


@dataclass(frozen=True)
class MediaInfo:
    """What a file holds; `start_s` is the clock's zero in the file's own timestamps."""

    path: Path
    format: str
    duration_s: float
    start_s: float
    video: VideoInfo | None
    audio: tuple[AudioInfo, ...]


@dataclass(frozen=True)
class Tick:
    """One tick of the grid.

    index: its number; time_s: its time (index / fps); shown_s: when its picture comes on the screen, by its timestamp.
    """

    index: int
    time_s: float
    shown_s: float


@dataclass(frozen=True)
class Frame(Tick):
    """A tick and its picture."""

    picture: Picture

    @property
    def tick(self) -> Tick:
        """The tick alone: pictures of a whole run would fill the memory."""
        return Tick(self.index, self.time_s, self.shown_s)


def probe(path: str | Path) -> MediaInfo:
    """Describe a media file. Raises MediaError when it cannot be read as one."""
    path = Path(path)
    with _opened(path) as container:
        _require_whole(container, path)
        zero = _zero(container)
        duration = (container.duration or 0) / av.time_base
        video = _picture_stream(container)
        return MediaInfo(
            path=path,
            format=container.format.name,
            duration_s=duration,
            start_s=float(zero),
            audio=tuple(_audio_info(s, zero, duration) for s in _decodable(container.streams.audio)),
            video=_video_info(container, video, zero, duration) if video else None,
        )


def require_video_and_sound(info: MediaInfo, audio_track: int = 1) -> None:
    """Raise MediaError when the file lacks picture, sound or the sound track of that number, counted from 1."""
    if info.video is None and not info.audio:
        raise MediaError(f"{info.path}: no picture and no sound in this file")
    require_video(info)
    if not info.audio:
        raise MediaError(f"{info.path}: no sound track; give a video with sound")
    if not 1 <= audio_track <= len(info.audio):
        raise MediaError(f"{info.path}: no sound track {audio_track}; --audio-track takes 1 to {len(info.audio)}")


def require_video(info: MediaInfo) -> VideoInfo:
    """The picture. Raises MediaError when the file lacks one."""
    if info.video is None:
        raise MediaError(f"{info.path}: no picture, only sound; give a video file")
    return info.video


def read_frames(
    path: str | Path,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    fps: float = FPS,
    max_side: int = MediaConfig.max_side,
    nearest: bool = False,
) -> Iterator[Frame]:
    """Yield the picture showing at each tick k / fps with start_s <= k / fps < end_s.

    Ticks before the first picture or after the end of the last one are left out. Pictures are
    upright, and scaled so that the longer side is at most max_side pixels. A picture shown at
    several ticks is the same object each time. Raises MediaError.

    A picture that is showing has been there for up to its whole duration. With `nearest`, pictures
    are taken up to half a tick early, so that each tick gets the one nearest in time: time_s - shown_s
    is then at most half a picture either way, and near zero on average where rates differ.
    """
    converted = Converter(max_side)
    tick, first = math.ceil((max(start_s, 0.0) - _TICK_TOLERANCE_S) * fps), True
    for picture, shown_s, until_s in _pictures(path, tick / fps):
        early_s = min(0.5 / fps, (until_s - shown_s) / 2) if nearest else 0.0
        if first:
            tick, first = max(tick, math.ceil((shown_s - early_s - _TICK_TOLERANCE_S) * fps)), False
        shown = None
        while tick / fps < until_s - early_s - _TICK_TOLERANCE_S:
            if end_s is not None and tick / fps >= end_s - _TICK_TOLERANCE_S:
                return
            if shown is None:
                shown = converted(picture)
            yield Frame(tick, tick / fps, shown_s, shown)
            tick += 1


def key_frame(path: str | Path, at_s: float, *, max_side: int = MediaConfig.max_side) -> Frame | None:
    """The key frame at or before at_s, for which no other has to be decoded; the first one where a format cannot seek.

    Its tick is the first of the grid at which it shows. None for a film without a picture there. Raises MediaError.
    """
    with _opened(path) as container:
        stream, zero = _required_picture(container, path), _zero(container)
        _seek(container, zero, at_s)
        for own_s, picture in _decoded(container, stream, av.VideoFrame, threads="NONE"):  # others would decode what follows
            shown_s = float(own_s - zero)
            tick = math.ceil((shown_s - _TICK_TOLERANCE_S) * FPS)
            return Frame(tick, tick / FPS, shown_s, Converter(max_side)(picture))
    return None


def picture_phase(ticks: Sequence[Tick]) -> float:
    """How much later than its tick the picture of a tick comes on the screen, on average, in s.

    Reading the sound from this much later puts both on the pictures' own time: without it a
    25 fps film whose pictures fall between the ticks would look up to half a frame out of sync.
    """
    return float(np.mean([t.shown_s - t.time_s for t in ticks]))


def read_sound(
    path: str | Path,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    rate: int = SAMPLE_RATE,
    track: int = 0,
) -> np.ndarray:
    """Sound track number `track` as float32 [n] mono at `rate` Hz; sample 0 is at start_s.

    Placed by timestamps: silence before a late start and in gaps, overlaps cut. Without end_s
    the array ends with the sound; with it, n is exactly the stretch asked for. Raises MediaError.
    """
    line = _SoundLine(start_s, end_s, rate)
    try:
        for at, samples in _mono(_sound(path, track, start_s), rate):
            line.put(at, samples)
            if line.full:
                break
    except av.FFmpegError as error:
        raise MediaError(f"{path}: its sound cannot be converted ({error.strerror}); the file may be damaged") from error
    return line.samples()


# --- opening -------------------------------------------------------------------------------------


@contextmanager
def _opened(path: str | Path) -> Iterator[av.container.InputContainer]:
    """The opened file; whatever libav says against it becomes a MediaError."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise MediaError(f"{path}: not a file; give a video file")
    try:
        # `file:` keeps names such as "a:b.mp4" or "http://..." from being taken for protocols, the
        # white list keeps playlists from reaching for the network.
        only_files = {"protocol_whitelist": "file"}
        with av.open(f"file:{os.fspath(path)}", container_options=only_files, metadata_errors="replace") as container:
            yield container
    except av.InvalidDataError as error:
        raise MediaError(f"{path}: not a media file, or damaged or cut short; try another copy") from error
    except av.FFmpegError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}); check its name, and that it is a whole file") from error


def _require_whole(container: av.container.InputContainer, path: str | Path) -> None:
    """Raise MediaError for an MP4 or MOV whose table of samples points beyond the file's end."""
    if "mov" not in container.format.name:
        return  # other formats have no table of everything that is inside
    for stream in container.streams:
        entries = getattr(stream, "index_entries", ())
        if len(entries) and entries[len(entries) - 1].pos >= container.size > 0:
            raise MediaError(f"{path}: cut short, part of what it lists is missing; get a whole copy")


def _zero(container: av.container.InputContainer) -> Fraction:
    """The clock's zero in the file's own timestamps, seconds."""
    return Fraction(container.start_time or 0, av.time_base)


def _picture_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """The largest picture stream that is not cover art."""
    streams = [s for s in _decodable(container.streams.video) if not s.disposition & Disposition.attached_pic]
    return max(streams, key=lambda s: s.width * s.height, default=None)


def _required_picture(container: av.container.InputContainer, path: str | Path) -> av.VideoStream:
    stream = _picture_stream(container)
    if stream is None:
        raise MediaError(f"{path}: no picture in this file")
    return stream


def _decodable(streams: Iterable[_AnyStream]) -> list[_AnyStream]:
    """The streams in formats that this build of libav knows."""
    return [stream for stream in streams if stream.codec_context is not None]


def _span(stream: av.stream.Stream, zero: Fraction, file_duration: float) -> tuple[float, float]:
    """Start on the clock and duration of a stream, seconds; the file's end where none is stored."""
    start = _start_s(stream, zero)
    if stream.duration and stream.time_base:
        return start, float(stream.duration * stream.time_base)
    return start, max(file_duration - start, 0.0)


def _start_s(stream: av.stream.Stream, zero: Fraction) -> float:
    if stream.start_time is None or stream.time_base is None:
        return 0.0
    return float(stream.start_time * stream.time_base - zero)


def _video_info(container, stream, zero: Fraction, file_duration: float) -> VideoInfo:
    start, duration = _span(stream, zero, file_duration)
    rotation = next((90 * turns_of(frame) for _, frame in _decoded(container, stream, av.VideoFrame)), 0)
    width, height = stream.width, stream.height
    if rotation % 180:
        width, height = height, width
    return VideoInfo(
        index=stream.index,
        codec=stream.codec_context.name,
        width=width,
        height=height,
        fps=float(stream.average_rate or stream.guessed_rate or 0),
        start_s=start,
        duration_s=duration,
        rotation=rotation,
    )


def _audio_info(stream: av.AudioStream, zero: Fraction, file_duration: float) -> AudioInfo:
    start, duration = _span(stream, zero, file_duration)
    return AudioInfo(
        index=stream.index,
        codec=stream.codec_context.name,
        sample_rate=stream.codec_context.sample_rate,
        channels=stream.codec_context.channels,
        layout=stream.codec_context.layout.name,
        start_s=start,
        duration_s=duration,
        language=stream.language,
        bit_rate=stream.codec_context.bit_rate or None,
    )


# --- decoding ------------------------------------------------------------------------------------


def _packets(container, stream) -> Iterator[av.Packet]:
    """The stream's packets and the final flush; damage in the container is stepped over."""
    for _ in range(_MAX_READ_ERRORS):
        try:
            yield from container.demux(stream)
            return
        except av.FFmpegError:
            continue


def _decoded(
    container, stream, kind: type[_AnyFrame], skip_before_s: float = -math.inf, threads: str = "AUTO"
) -> Iterator[tuple[Fraction, _AnyFrame]]:
    """(time in s, frame) of frames with a timestamp, in order of decoding; packets that cannot be decoded are left out.

    Times are the file's own. Packets that end before skip_before_s are not decoded at all. Raises
    the decoder's last error when there was nothing but errors.
    """
    stream.thread_type = threads
    error, found = None, False
    for packet in _packets(container, stream):
        if packet.pts is not None and packet.duration:
            if (packet.pts + packet.duration) * packet.time_base <= skip_before_s:
                continue
        try:
            frames = packet.decode()
        except av.FFmpegError as reason:
            error = reason
            continue
        for frame in frames:
            if isinstance(frame, kind) and frame.pts is not None and frame.time_base is not None:
                found = True
                yield frame.pts * frame.time_base, frame
    if error is not None and not found:
        raise error


def _decoded_from(
    path: str | Path, pick: Callable, kind: type[_AnyFrame], from_s: float, skip_before_s: float = -math.inf
) -> Iterator[tuple[float, _AnyFrame]]:
    """(time on the clock, frame) of the stream of that kind that `pick(container)` names, from from_s or earlier on.

    Seeks near from_s; tries again from farther back, at last from the file's beginning, when the
    first frame that came out lies after from_s. Packets before skip_before_s are not decoded.
    """
    for margin in (*_SEEK_MARGINS_S, None):
        with _opened(path) as container:
            stream, zero = pick(container), _zero(container)
            if margin is None or from_s <= _start_s(stream, zero):
                margin = None
            else:
                _seek(container, zero, from_s - margin)
            frames = _decoded(container, stream, kind, float(zero) + skip_before_s)
            timed = ((float(own_s - zero), frame) for own_s, frame in frames)
            first = next(timed, None)
            if margin is None or (first is not None and first[0] <= from_s + _SEEK_SLACK_S):
                if first is not None:
                    yield first
                yield from timed
                return


def _seek(container: av.container.InputContainer, zero: Fraction, to_s: float) -> None:
    """Go to the key frame before to_s; formats that cannot seek stay at their beginning."""
    try:
        container.seek(int((float(zero) + to_s) * av.time_base))
    except av.FFmpegError:
        pass


# --- picture -------------------------------------------------------------------------------------


def _pictures(path: str | Path, from_s: float) -> Iterator[tuple[av.VideoFrame, float, float]]:
    """(frame, time it appears, time it goes): the one showing at from_s and all later ones."""

    held, held_s, lasts_s = None, 0.0, 1 / FPS
    for at_s, frame in _decoded_from(path, partial(_required_picture, path=path), av.VideoFrame, from_s):
        if held is not None and at_s < held_s:
            continue  # timestamps that run backwards: keep the clock going forward
        if held is not None and at_s > held_s:
            yield held, held_s, at_s
            lasts_s = at_s - held_s
        held, held_s = frame, at_s
    if held is not None:
        duration = getattr(held, "duration", None)  # PyAV 15 and later
        yield held, held_s, held_s + (float(duration * held.time_base) if duration else lasts_s)


# --- sound ---------------------------------------------------------------------------------------


def _sound(path: str | Path, track: int, from_s: float) -> Iterator[tuple[float, av.AudioFrame]]:
    """(time, frame) of a sound track from a little before from_s on."""

    def pick(container):
        streams = _decodable(container.streams.audio)
        if not 0 <= track < len(streams):
            raise MediaError(f"{path}: no sound track {track} (counted from 0) among {len(streams)}")
        return streams[track]

    return _decoded_from(path, pick, av.AudioFrame, from_s - _PREROLL_S / 2, skip_before_s=from_s - _PREROLL_S)


def _mono(frames: Iterator[tuple[float, av.AudioFrame]], rate: int) -> Iterator[tuple[int, np.ndarray]]:
    """(number of the first sample since the clock's zero, float32 mono samples) for each piece.

    A run of frames that follow each other is resampled as a whole and counted in samples, so that
    rounded timestamps do no harm; it starts where its first timestamps agree that it does.
    """
    for _, run in groupby(_in_runs(frames), key=attrgetter("run")):
        head = list(islice(run, _ANCHOR_FRAMES))
        at = round(median(part.time_s - part.elapsed_s for part in head) * rate)
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=rate)
        for frame in chain((part.frame for part in chain(head, run)), [None]):
            samples = _resampled(resampler, frame)
            yield at, samples
            at += len(samples)


class _Part(NamedTuple):
    """A frame of sound and its place in a run of frames without gaps."""

    run: int
    elapsed_s: float  # sound in the run before this frame
    time_s: float  # the frame's own timestamp, on the clock
    frame: av.AudioFrame


def _in_runs(frames: Iterator[tuple[float, av.AudioFrame]]) -> Iterator[_Part]:
    """Number the runs: a gap, an overlap or another sample format starts a new one."""
    run, kind, start_s, elapsed_s = 0, None, 0.0, 0.0
    for time_s, frame in frames:
        if frame.sample_rate not in _SAMPLE_RATES:
            continue
        new_kind = (frame.format.name, frame.layout.name, frame.sample_rate)
        if new_kind != kind or abs(time_s - start_s - elapsed_s) > _SOUND_TOLERANCE_S:
            run, kind, start_s, elapsed_s = run + 1, new_kind, time_s, 0.0
        yield _Part(run, elapsed_s, time_s, frame)
        elapsed_s += frame.samples / frame.sample_rate


def _resampled(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> np.ndarray:
    """What the resampler gives for a frame, or its rest for None: float32 [n], silence for what is no number."""
    pieces = [out.to_ndarray()[0] for out in resampler.resample(frame) if out is not None]
    if not pieces:
        return np.zeros(0, np.float32)
    return np.nan_to_num(np.concatenate(pieces), copy=False, nan=0.0, posinf=0.0, neginf=0.0)


class _SoundLine:
    """Lays pieces of sound on the stretch [start_s, end_s), with silence between them."""

    def __init__(self, start_s: float, end_s: float | None, rate: int):
        self._start = self._next = round(start_s * rate)  # _next: first sample not laid yet
        self._end = None if end_s is None else max(round(end_s * rate), self._start)
        self._pieces = [np.zeros(0, np.float32)]

    @property
    def full(self) -> bool:
        return self._end is not None and self._next >= self._end

    def put(self, at: int, samples: np.ndarray) -> None:
        """Lay samples from sample number `at` on; what is already laid stays."""
        samples = samples[max(self._next - at, 0) :]
        if len(samples):
            self._silence_until(at)
            self._pieces.append(samples)
            self._next += len(samples)

    def samples(self) -> np.ndarray:
        """Everything laid; with an end, cut there or filled up to it with silence."""
        if self._end is None:
            return np.concatenate(self._pieces)
        self._silence_until(self._end)
        return np.concatenate(self._pieces)[: self._end - self._start]

    def _silence_until(self, at: int) -> None:
        if self._end is not None:
            at = min(at, self._end)
        if at > self._next:
            self._pieces.append(np.zeros(at - self._next, np.float32))
            self._next = at
