"""An audio track as mono samples, placed by presentation timestamp (PTS)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from statistics import median

import av
import numpy as np

from ..config import SAMPLE_RATE
from ..errors import MediaError
from .container import decodable, decode_from
from .safety import MAX_WHOLE_AUDIO_S, SAMPLE_RATES

# Largest PTS error (rounding to ms, careless muxers) that does not count as a gap or an overlap;
# far below what a viewer notices.
_PTS_TOLERANCE_S = 0.004
# Number of frames whose PTS determine where a block starts; averages out rounded timestamps.
_ANCHOR_FRAMES = 25
# Audio decoded before the requested time for codecs and the resampler to settle. Half of it is enough.
_PREROLL_S = 0.2


def read_audio(
    path: str | Path,
    *,
    start_s: float = 0.0,
    end_s: float | None = None,
    rate: int = SAMPLE_RATE,
    track: int = 0,
) -> np.ndarray:
    """Mono samples of audio track number `track`, counted from 0: float32 [n] at `rate` Hz; sample 0 is at start_s.

    Samples are placed by PTS: silence before a late start and in gaps; of an overlap the first
    version is kept. Without end_s the array ends where the audio ends; with end_s, n covers exactly
    start_s to end_s. Raises MediaError.
    """
    timeline = _AudioTimeline(start_s, end_s, rate)
    try:
        for start, samples in _resampled_mono(_audio_frames(path, track, start_s), rate):
            if end_s is None and start / rate - start_s > MAX_WHOLE_AUDIO_S:
                hours = f"{MAX_WHOLE_AUDIO_S / 3600:.0f} hours"
                raise MediaError(f"{path}: its audio lasts more than {hours}, or its timestamps are damaged; give a shorter file")
            timeline.add(start, samples)
            if timeline.is_full:
                break
    except av.FFmpegError as error:
        raise MediaError(f"{path}: the audio cannot be converted ({error.strerror}); the file may be damaged") from error
    return timeline.samples()


def _audio_frames(path: str | Path, track: int, from_s: float) -> Iterator[tuple[float, av.AudioFrame]]:
    """Yield (time in s, frame) of an audio track, from slightly before from_s."""

    def select_stream(container: av.container.InputContainer) -> av.AudioStream:
        streams = decodable(container.streams.audio)
        if not streams:
            raise MediaError(f"{path}: no audio track; give a file with audio")
        if not 0 <= track < len(streams):
            raise MediaError(f"{path}: no audio track {track}; tracks are numbered 0 to {len(streams) - 1}")
        return streams[track]

    return decode_from(path, select_stream, av.AudioFrame, from_s - _PREROLL_S / 2, skip_before_s=from_s - _PREROLL_S)


class MonoResampler:
    """Mono samples of consecutive frames at `rate` Hz, placed on the clock.

    Each block of frames without gap, overlap or format change is resampled as one signal and positioned by counting samples, so
    that rounded PTS do not accumulate. It starts at the median of the start times that its first frames imply.
    """

    def __init__(self, rate: int = SAMPLE_RATE):
        self._rate = rate
        self._format: tuple | None = None  # of the block
        self._start_s = self._elapsed_s = 0.0  # PTS of its first frame, and the duration of its frames so far
        self._implied_s: list[float] = []  # start of the block by the PTS of each of its first frames
        self._waiting: list[av.AudioFrame | None] = []  # frames until that start is known
        self._next: int | None = None  # number of the next sample, from then on
        self._resampler: av.AudioResampler | None = None

    def add(self, time_s: float, frame: av.AudioFrame) -> Iterator[tuple[int, np.ndarray]]:
        """Yield (sample number on the clock, mono samples float32 [n]): what is complete with this frame, time_s on the clock."""
        if frame.sample_rate not in SAMPLE_RATES:  # damage; it would keep a resampler busy for minutes
            return
        frame_format = (frame.format.name, frame.layout.name, frame.sample_rate)
        if frame_format != self._format or abs(time_s - self._start_s - self._elapsed_s) > _PTS_TOLERANCE_S:
            yield from self.finish()
            self._format, self._start_s = frame_format, time_s
            self._resampler = av.AudioResampler(format="fltp", layout="mono", rate=self._rate)
        if self._next is None:
            self._implied_s.append(time_s - self._elapsed_s)
        self._elapsed_s += frame.samples / frame.sample_rate
        self._waiting.append(frame)
        if self._next is not None or len(self._implied_s) == _ANCHOR_FRAMES:
            yield from self._resampled()

    def finish(self) -> Iterator[tuple[int, np.ndarray]]:
        """Yield the rest, and begin a new block."""
        if self._implied_s:
            self._waiting.append(None)
            yield from self._resampled()
        self._format, self._elapsed_s, self._implied_s, self._next = None, 0.0, [], None

    def _resampled(self) -> Iterator[tuple[int, np.ndarray]]:
        assert self._resampler is not None  # made with the first frame of the block
        start = round(median(self._implied_s) * self._rate) if self._next is None else self._next
        for frame in self._waiting:
            samples = _resample(self._resampler, frame)
            yield start, samples
            start += len(samples)
        self._waiting, self._next = [], start


def _resampled_mono(frames: Iterator[tuple[float, av.AudioFrame]], rate: int) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (sample number on the clock, mono samples float32 [n]) at `rate` Hz."""
    resampler = MonoResampler(rate)
    for time_s, frame in frames:
        yield from resampler.add(time_s, frame)
    yield from resampler.finish()


def _resample(resampler: av.AudioResampler, frame: av.AudioFrame | None) -> np.ndarray:
    """The resampler's output for a frame, or its remaining output for None: float32 [n], non-finite samples set to 0."""
    outputs = [output.to_ndarray()[0] for output in resampler.resample(frame) if output is not None]
    if not outputs:
        return np.zeros(0, np.float32)
    return np.nan_to_num(np.concatenate(outputs), copy=False, nan=0.0, posinf=0.0, neginf=0.0)


class _AudioTimeline:
    """Collects samples from start_s to end_s and fills the gaps with silence."""

    def __init__(self, start_s: float, end_s: float | None, rate: int):
        self._start = self._next = round(start_s * rate)  # _next: first sample number without data
        self._end = None if end_s is None else max(round(end_s * rate), self._start)
        self._chunks = [np.zeros(0, np.float32)]

    @property
    def is_full(self) -> bool:
        return self._end is not None and self._next >= self._end

    def add(self, start: int, samples: np.ndarray) -> None:
        """Place samples at sample number `start`; samples already placed are kept."""
        samples = samples[max(self._next - start, 0) :]
        if len(samples):
            self._pad_to(start)
            self._chunks.append(samples)
            self._next += len(samples)

    def samples(self) -> np.ndarray:
        """All samples placed: float32 [n]; cut or padded with silence to end_s if there is one."""
        if self._end is None:
            return np.concatenate(self._chunks)
        self._pad_to(self._end)
        return np.concatenate(self._chunks)[: self._end - self._start]

    def _pad_to(self, position: int) -> None:
        if self._end is not None:
            position = min(position, self._end)
        if position > self._next:
            self._chunks.append(np.zeros(position - self._next, np.float32))
            self._next = position
