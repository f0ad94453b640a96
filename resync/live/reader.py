"""The reading thread: opens an input, decodes it, and opens it again when it ends, stalls or fails."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from threading import Event, Thread
from typing import NamedTuple

import av
import numpy as np

from ..config import LiveConfig, MediaConfig
from ..errors import MediaError
from ..media.audio import MonoResampler
from ..media.container import decodable, required_video_stream
from ..media.video import frames_on_grid
from .feed import Connected, Ended, Feed, Lost, NewClock
from .inputs import FollowedFile, Kind, LiveInput, UnsupportedInput, open_live
from .window import AudioRing

JUMP_S = 5.0  # timestamps further than this from the latest ones belong to another clock
MAX_STALE = 250  # frames of the clock before that may still come


class Decoded(NamedTuple):
    """A decoded frame and its PTS in s."""

    pts_s: Fraction
    frame: av.VideoFrame | av.AudioFrame


class StreamReader:
    """Reads an input in a thread of its own and hands it over to `feed`, until it is closed or has ended for good.

    from_start: read a file from its beginning, not from its end so far. audio_s: seconds of audio that are kept.
    """

    def __init__(self, source: LiveInput, feed: Feed, media: MediaConfig, live: LiveConfig, audio_s: float, from_start: bool = False):
        self._source, self._feed, self._media, self._live = source, feed, media, live
        self._audio_s, self._from_start = audio_s, from_start
        self._is_open = self._is_complete = False
        self._stop = Event()
        self._thread = Thread(target=self._run, name="resync-reader", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop reading. A thread that waits for the network cannot be interrupted, and is left to end on its own."""
        self._stop.set()
        self._feed.close()
        self._thread.join(0.5)

    def _run(self) -> None:
        try:
            retry_s = self._live.first_retry_s
            while not self._stop.is_set():
                began = time.monotonic()
                error = self._read()
                if self._is_complete or not self._source.reconnects or isinstance(error, UnsupportedInput):
                    self._feed.put(Ended("the input has ended", error))
                    return
                if time.monotonic() - began > self._live.max_retry_s or self._source.kind is Kind.FIFO:
                    retry_s = self._live.first_retry_s
                self._feed.put(Lost(str(error or f"{self._source.name}: the stream ended")))
                self._stop.wait(retry_s)
                retry_s = min(2 * retry_s, self._live.max_retry_s)
        except Exception as error:  # it belongs to the consumer
            self._feed.put(Ended("", error))

    def _read(self) -> MediaError | None:
        """Read until the input ends; returns the error that ended it."""
        try:
            with open_live(self._source, self._live.timeout_s, self._stop, self._on_stall) as (container, file):
                video = required_video_stream(container, self._source.name)
                audio = decodable(container.streams.audio)[self._media.audio_track - 1 :][:1]
                if not audio:
                    count = len(decodable(container.streams.audio))
                    raise MediaError(f"{self._source.name}: no audio track {self._media.audio_track}; the input has {count}")
                _discard_others(container, (video, audio[0]))
                self._is_open = True
                self._feed.put(Connected())
                self._hand_over(self._decoded(container, video, audio[0], file))
                self._is_complete = container.format.name == "hls"  # it ends only where its playlist says so
        except MediaError as error:
            return error
        finally:
            self._is_open = False
        return None

    def _on_stall(self, stalls: bool) -> None:
        if stalls:
            self._feed.put(Lost(f"{self._source.name}: no data for {self._live.timeout_s:g} s"))
        elif self._is_open:
            self._feed.put(Connected())

    def _decoded(
        self, container: av.container.InputContainer, video: av.VideoStream, audio: av.AudioStream, file: FollowedFile | None
    ) -> Iterator[Decoded]:
        """Decoded frames of both streams, in the order in which they come. What cannot be decoded is skipped."""
        video.codec_context.thread_type = "AUTO"
        skips = _LiveEdge(None if self._from_start else file, self._live.window_s)
        for packet in container.demux(video, audio):
            if self._stop.is_set():
                return
            if skips(packet):
                continue
            try:
                frames = packet.decode()
            except av.FFmpegError:
                continue
            for frame in frames:
                if isinstance(frame, av.VideoFrame | av.AudioFrame) and frame.pts is not None and frame.time_base is not None:
                    yield Decoded(frame.pts * frame.time_base, frame)

    def _hand_over(self, decoded: Iterator[Decoded]) -> None:
        """Feed the decoded frames, one clock after the other."""
        first, before = next(decoded, None), None
        while first is not None:
            clock = _Clock(first.pts_s, before, AudioRing(self._audio_s))
            self._feed.put(NewClock(clock.ring))
            for frame in frames_on_grid(self._video(clock, chain([first], decoded)), max_side=self._media.max_side, nearest=True):
                self._feed.put(frame)
            first, before = clock.following, clock.latest

    def _video(self, clock: _Clock, decoded: Iterator[Decoded]) -> Iterator[tuple[float, av.VideoFrame]]:
        """Yield (time on the clock in s, frame) of the video while that clock lasts; its audio goes to the ring."""
        resampler, video_s = MonoResampler(), 0.0
        max_audio_s = 2 * self._live.timeout_s  # keyframes, with which decoding begins, may be 10 s apart
        for item in decoded:
            if clock.is_stale(item):
                continue
            if not clock.has(item):
                clock.following = item
                break
            clock.latest = max(clock.latest, item.pts_s)
            time_s = float(item.pts_s - clock.zero_s)
            if isinstance(item.frame, av.VideoFrame):
                video_s = time_s
                yield time_s, item.frame
            elif time_s - video_s > max_audio_s:
                raise MediaError(f"{self._source.name}: no video for {max_audio_s:g} s, only audio")
            else:
                clock.add(resampler.add(time_s, item.frame))
        clock.add(resampler.finish())


@dataclass
class _Clock:
    """One clock of a stream.

    zero_s: PTS of its first frame, its zero; before: PTS of the latest frame of the clock before it; ring: its audio;
    latest: PTS of its latest frame; following: the first frame of the next clock, None where the input ends.
    """

    zero_s: Fraction
    before: Fraction | None
    ring: AudioRing
    following: Decoded | None = None
    stale: int = 0

    def __post_init__(self):
        self.latest = self.zero_s

    def has(self, item: Decoded) -> bool:
        """Whether the timestamp of a frame belongs to this clock."""
        return abs(item.pts_s - self.latest) <= JUMP_S

    def is_stale(self, item: Decoded) -> bool:
        """Whether it belongs to the clock before; streams are interleaved, so the first few frames of this one may lie between its last."""
        if self.before is None or self.has(item) or abs(item.pts_s - self.before) > JUMP_S or self.stale == MAX_STALE:
            return False
        self.stale += 1
        return True

    def add(self, placed: Iterator[tuple[int, np.ndarray]]) -> None:
        """Add samples to the ring."""
        for start, samples in placed:
            self.ring.add(start, samples)


class _LiveEdge:
    """Skips the packets of a recording until the last seconds that it has now, by its bit rate so far. file: None for other inputs."""

    def __init__(self, file: FollowedFile | None, seconds: float):
        self._file, self._seconds = file, seconds
        self._size = file.size if file else 0
        self._at: int | None = None  # bytes, where the latest packet lies
        self._zero_s: float | None = None

    def __call__(self, packet: av.Packet) -> bool:
        if self._file is None or packet.pts is None:
            return False
        time_s = float(packet.pts * packet.time_base)
        self._zero_s = time_s if self._zero_s is None else self._zero_s
        self._at = self._at if packet.pos is None else packet.pos  # of several audio frames together, only the first one has it
        at = self._file.tell() if self._at is None else self._at
        if at >= self._size - at / max(time_s - self._zero_s, 1.0) * self._seconds:
            self._file = None  # from here on, nothing is skipped
        return self._file is not None


def _discard_others(container: av.container.InputContainer, used: tuple[av.stream.Stream, ...]) -> None:
    """Let the demuxer skip the other streams: of an HLS playlist with several qualities, all would be downloaded."""
    for stream in container.streams:
        if stream not in used and hasattr(stream, "discard"):  # since PyAV 18
            stream.discard = av.stream.Discard.all
