"""Open a media file, select streams, seek, and decode past damage.

All times in `resync.media` are seconds on one clock: presentation timestamps (PTS) relative to the
container's start time, the start of its earliest stream. Video and audio share this clock, so a
stream that starts late keeps its place.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from typing import TypeVar

import av
from av.stream import Disposition

from ..errors import MediaError
from ..parallel import raise_if_cancelled
from .safety import CONTAINER_OPTIONS, DECODER_OPTIONS, require_plausible

_AnyStream = TypeVar("_AnyStream", bound=av.stream.Stream)
_AnyFrame = TypeVar("_AnyFrame", av.VideoFrame, av.AudioFrame)
# Seek this long before the requested time; the next value is tried if decoding started too late.
_SEEK_MARGINS_S = (0.0, 1.0, 10.0)
# A first frame at most this much after the requested time counts as on time.
_SEEK_TOLERANCE_S = 1e-6
# Stop reading a file after this many read errors.
_MAX_READ_ERRORS = 64
# Times in s by which streams were found to end, by (file, size, modification time, stream): audio is often shorter than the video.
_known_ends: dict[tuple, float] = {}
_MAX_KNOWN_ENDS = 1000


@contextmanager
def open_container(path: str | Path) -> Iterator[av.container.InputContainer]:
    """The opened container. Any libav error, also in the body, is raised as MediaError."""
    if os.path.exists(path) and not os.path.isfile(path):
        raise MediaError(f"{path}: not a file; give a media file")
    try:
        with _opened(path) as container:
            require_plausible(container, path)
            yield container
    except av.InvalidDataError as error:
        raise MediaError(f"{path}: not a media file, or damaged or truncated; try another copy") from error
    except av.ArgumentError as error:
        raise MediaError(f"{path}: cannot be decoded, a size in it is impossible or beyond 8K; try another copy") from error
    except av.FFmpegError as error:
        raise MediaError(f"{path}: cannot be read ({error.strerror}); check the path and that the file is complete") from error


def _opened(path: str | Path) -> av.container.InputContainer:
    """The file at path and no other one, whatever its name and content: see `safety`. Raises MediaError and FFmpegError."""
    try:
        # `file:` stops libav from reading a protocol into names such as "a:b.mp4" or "http://...".
        name = f"file:{os.fspath(path)}"
        return av.open(name, options=DECODER_OPTIONS, container_options=CONTAINER_OPTIONS, metadata_errors="replace")
    except av.ArgumentError as error:
        raise MediaError(f"{path}: not an audio or video file (a playlist, script or image?); give the media file itself") from error


def require_complete(container: av.container.InputContainer, path: str | Path) -> None:
    """Raise MediaError for a truncated MP4 or MOV: one whose sample table points past the end of the file."""
    if "mov" not in container.format.name:
        return  # other formats have no complete sample table
    for stream in container.streams:
        entries = getattr(stream, "index_entries", ())
        if len(entries) and entries[len(entries) - 1].pos >= container.size > 0:
            raise MediaError(f"{path}: truncated, the end of the file is missing; get a complete copy")


def clock_zero(container: av.container.InputContainer) -> Fraction:
    """The container's start time in s: zero of the clock, in the file's own timestamps."""
    return Fraction(container.start_time or 0, av.time_base)


def decodable(streams: Iterable[_AnyStream]) -> list[_AnyStream]:
    """The streams for which this build of libav has a decoder."""
    return [stream for stream in streams if stream.codec_context is not None]


def video_stream(container: av.container.InputContainer) -> av.VideoStream | None:
    """The decodable video stream with the highest resolution, cover art excluded; None if there is none."""
    streams = [s for s in decodable(container.streams.video) if not s.disposition & Disposition.attached_pic]
    return max(streams, key=lambda s: s.width * s.height, default=None)


def required_video_stream(container: av.container.InputContainer, path: str | Path) -> av.VideoStream:
    """Like `video_stream`, but raises MediaError if there is none."""
    stream = video_stream(container)
    if stream is None:
        raise MediaError(f"{path}: no video stream; give a video file")
    return stream


def stream_start_s(stream: av.stream.Stream, zero: Fraction) -> float:
    """Start of a stream on the clock, in s; 0 if the file does not store it."""
    if stream.start_time is None or stream.time_base is None:
        return 0.0
    return float(stream.start_time * stream.time_base - zero)


def decode(
    container: av.container.InputContainer,
    stream: av.VideoStream | av.AudioStream,
    frame_type: type[_AnyFrame],
    skips: Callable[[Fraction], bool] = lambda end_s: False,
    thread_type: str = "AUTO",
    deblock: bool = True,
) -> Iterator[tuple[Fraction, _AnyFrame]]:
    """Yield (PTS in s, frame) in decoding order.

    Times are the file's own. deblock: as in `video.read_frames`. Packets that cannot be decoded and frames without PTS are skipped;
    packets for which skips(their end in s) is true are not decoded. Raises the decoder's last error
    if errors are all there was.
    """
    stream.codec_context.thread_type = thread_type
    stream.codec_context.options = DECODER_OPTIONS if deblock else DECODER_OPTIONS | {"skip_loop_filter": "noref"}
    last_error, any_decoded = None, False
    for packet in _packets(container, stream):
        raise_if_cancelled()
        if packet.pts is not None and packet.duration and skips((packet.pts + packet.duration) * packet.time_base):
            continue
        try:
            frames = packet.decode()
        except av.FFmpegError as error:
            last_error = error
            continue
        for frame in frames:
            if isinstance(frame, frame_type) and frame.pts is not None and frame.time_base is not None:
                any_decoded = True
                yield frame.pts * frame.time_base, frame
    if last_error is not None and not any_decoded:
        raise last_error


def decode_from(
    path: str | Path,
    select_stream: Callable[[av.container.InputContainer], av.VideoStream | av.AudioStream],
    frame_type: type[_AnyFrame],
    from_s: float,
    skip_before_s: float = -math.inf,
    deblock: bool = True,
) -> Iterator[tuple[float, _AnyFrame]]:
    """Yield (time on the clock in s, frame) of a stream of the file at path, from from_s or earlier to the end.

    If the first packet after seeking is later than from_s, seeks again from further back, and
    finally decodes from the start of the file. Packets that end by skip_before_s are not decoded. deblock: see `decode`.
    A stream that was found to end by then is not searched again. Raises MediaError.
    """
    zero: Fraction
    any_skipped = False

    def skips(end_s: Fraction) -> bool:
        nonlocal any_skipped
        before = end_s - zero <= skip_before_s
        any_skipped = any_skipped or before
        return before

    for margin_s in (*_SEEK_MARGINS_S, None):
        with open_container(path) as container:
            stream, zero = select_stream(container), clock_zero(container)
            key = (os.fspath(path), container.size, os.path.getmtime(path), stream.index)
            if from_s >= _known_ends.get(key, math.inf):
                return
            if margin_s is None or from_s <= stream_start_s(stream, zero):
                margin_s = None
            else:
                seek(container, zero, from_s - margin_s)
            frames = ((float(pts_s - zero), frame) for pts_s, frame in decode(container, stream, frame_type, skips, deblock=deblock))
            first = next(frames, None)
            if first is None and (margin_s is None or any_skipped or from_s >= _declared_end_s(stream, zero)):
                _note_end(key, from_s)
                return
            if margin_s is None or any_skipped or (first is not None and first[0] <= from_s + _SEEK_TOLERANCE_S):
                if first is not None:
                    yield first
                yield from frames
                return


def _declared_end_s(stream: av.stream.Stream, zero: Fraction) -> float:
    """End of a stream on the clock, in s, as the file states it, Matroska in a tag; infinity where it does not."""
    start_s = max(stream_start_s(stream, zero), 0.0)
    if stream.duration and stream.time_base:
        return start_s + float(stream.duration * stream.time_base)
    tag = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    return start_s + 3600 * int(tag[1]) + 60 * int(tag[2]) + float(tag[3]) if tag else math.inf


def _note_end(key: tuple, end_s: float) -> None:
    """Remember that a stream has no frame from end_s on."""
    if len(_known_ends) >= _MAX_KNOWN_ENDS:
        _known_ends.clear()
    _known_ends[key] = min(end_s, _known_ends.get(key, math.inf))


def seek(container: av.container.InputContainer, zero: Fraction, time_s: float) -> None:
    """Seek to the last keyframe at or before time_s on the clock; no effect if the format cannot seek."""
    try:
        container.seek(int((float(zero) + time_s) * av.time_base))
    except av.FFmpegError:
        pass


def _packets(container: av.container.InputContainer, stream: av.stream.Stream) -> Iterator[av.Packet]:
    """The packets of a stream and the final flush packet; continues after read errors."""
    for _ in range(_MAX_READ_ERRORS):
        try:
            yield from container.demux(stream)
            return
        except av.FFmpegError:
            continue
        except IndexError:  # PyAV, after the flush packet of this stream: it has no flush packet for a stream that appeared late
            return
