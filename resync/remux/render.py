"""The samples of a spliced audio track, streamed: memory does not grow with its length.

ffmpeg decodes the track into a pipe; the spans of the source are read from a buffer of some seconds around the current place, and
joined with short cross-fades.
"""

from __future__ import annotations

import subprocess
from collections.abc import Generator, Iterator, Sequence
from contextlib import ExitStack, closing
from fractions import Fraction
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import IO

import av
import numpy as np

from ..errors import RemuxError
from ..media.probe import AudioInfo
from .correction import PieceShift
from .encoders import resampling_rates
from .ffmpeg import ffmpeg_exe, input_options, program
from .roomtone import Excerpt, cross_fade, extend
from .splice import CROSS_FADE_S, SEARCH_S, Splice

_KEPT_S = 2 * SEARCH_S + 2.0  # of the source, up to the sample that was decoded last: room tone lies on both sides of a change
_PREROLL = 64  # samples of the source before a span that is resampled, for the filter to settle


class Source:
    """The samples of a track by number, from the zero of the file's clock on; silence where there are none.

    blocks: the samples, float32 [n, channels], in order. Those long before the latest are forgotten.
    """

    def __init__(self, blocks: Iterator[np.ndarray], rate: int, channels: int):
        self.rate, self.channels = rate, channels
        self.length: int | None = None  # known once the end was reached
        self._coming = blocks
        self._blocks: list[tuple[int, np.ndarray]] = []
        self._end = 0

    def read(self, start: int, stop: int) -> np.ndarray:
        """Samples start to stop: float32 [stop - start, channels]."""
        while self._end < stop and self.length is None:
            self._load()
        samples = np.zeros((max(stop - start, 0), self.channels), np.float32)
        for first, block in self._blocks:
            low, high = max(first, start), min(first + len(block), stop)
            if low < high:
                samples[low - start : high - start] = block[low - first : high - first]
        return samples

    def _load(self) -> None:
        block = next(self._coming, None)
        if block is None:
            self.length = self._end
            return
        self._blocks.append((self._end, block))
        self._end += len(block)
        oldest = self._end - round(_KEPT_S * self.rate)
        while self._blocks[0][0] + len(self._blocks[0][1]) < oldest:
            del self._blocks[0]


class _Run:
    """Reads the audio of one run, forward from output sample `start`."""

    def __init__(self, source: Source, run: PieceShift, start: int):
        self._source, self._run, self.position = source, run, start
        self._offset = round(run.shift_s * source.rate)
        self._resampled = _Resampled(source, run, start) if run.tempo != 1 else None

    def read(self, samples: int) -> np.ndarray:
        """The next samples: float32 [samples, channels]."""
        first = self.position - self._offset
        self.position += samples
        return self._source.read(first, first + samples) if self._resampled is None else self._resampled.read(samples)

    def end(self) -> int:
        """The output sample at which the track ends, once the end of the source is known: not before that of the source."""
        assert self._source.length is not None
        rate = self._source.rate
        return max(self._source.length, int(np.ceil(self._run.heard_s(self._source.length / rate) * rate)))


class _Resampled:
    """The audio of a run with a tempo, from output sample `start` on."""

    def __init__(self, source: Source, run: PieceShift, start: int):
        wanted = run.source_s(start / source.rate) * source.rate  # sample of the source, with a fraction
        self._source, self._next = source, int(np.floor(wanted)) - _PREROLL
        # Audio labelled with the rate `after` and resampled to `before` plays `tempo` times as fast once it is labelled `rate`.
        before, self._label = resampling_rates(source.rate, run.tempo)
        self._resamplers = [av.AudioResampler("flt", "mono", before) for _ in range(source.channels)]
        self._ready = [np.zeros(0, np.float32)] * source.channels
        self.read(round((wanted - self._next) / run.tempo))

    def read(self, samples: int) -> np.ndarray:
        while len(self._ready[0]) < samples:
            block = self._source.read(self._next, self._next + self._source.rate)
            self._next += len(block)
            self._ready = [
                np.concatenate([ready, self._resample(resampler, channel)])
                for ready, resampler, channel in zip(self._ready, self._resamplers, block.T)
            ]
        taken = np.stack([ready[:samples] for ready in self._ready], axis=1)
        self._ready = [ready[samples:] for ready in self._ready]
        return taken

    def _resample(self, resampler: av.AudioResampler, channel: np.ndarray) -> np.ndarray:
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(channel[None]), "flt", "mono")
        frame.sample_rate = self._label
        return np.concatenate([np.zeros(0, np.float32), *(output.to_ndarray()[0] for output in resampler.resample(frame))])


def spliced(source: Source, splice: Splice) -> Iterator[np.ndarray]:
    """The track as `splice` puts it together, from the zero of the clock on: blocks float32 [n, channels] of about a second.

    Ends where the last run has no more audio, but not before the source ends.
    """
    rate, fade = source.rate, round(CROSS_FADE_S * source.rate)
    current = _Run(source, splice.runs[0], 0)
    for (before, after), tone in zip(pairwise(splice.runs), splice.tones):
        gap_start, gap_end = round(before.end_s * rate), round(after.start_s * rate)
        if gap_end - gap_start >= 2 * fade:
            yield from _blocks(current, gap_start, rate)
            fill = _fill(source, tone, gap_end - gap_start)
            fill[:fade] = cross_fade(current.read(fade), fill[:fade])
            current = _Run(source, after, gap_end - fade)
            fill[-fade:] = cross_fade(fill[-fade:], current.read(fade))
            yield fill
        else:  # nothing to fill: from one run to the other
            length = max(fade, gap_end - gap_start)
            start = max((gap_start + gap_end - length) // 2, current.position)
            yield from _blocks(current, start, rate)
            leaving, current = current.read(length), _Run(source, after, start)
            yield cross_fade(leaving, current.read(length))
    yield from _rest(source, current)


def _blocks(run: _Run, stop: int, rate: int) -> Iterator[np.ndarray]:
    while run.position < stop:
        yield run.read(min(rate, stop - run.position))


def _rest(source: Source, run: _Run) -> Iterator[np.ndarray]:
    while source.length is None or run.position < run.end():
        start = run.position
        block = run.read(source.rate)
        yield block if source.length is None else block[: max(run.end() - start, 0)]


def _fill(source: Source, tone: Excerpt | None, samples: int) -> np.ndarray:
    """Room tone, or silence: float32 [samples, channels]."""
    if tone is None:
        return np.zeros((samples, source.channels), np.float32)
    return extend(source.read(round(tone.start_s * source.rate), round(tone.end_s * source.rate)), samples)


def decoded_blocks(path: Path, track: AudioInfo, filters: str = "aresample=async=1:first_pts=0") -> Generator[np.ndarray, None, None]:
    """Yield the samples of a track of a file, decoded and filtered by ffmpeg: float32 [n, channels], a second each.

    With the default filters, sample 0 is at the zero of the file's clock. Raises RemuxError when ffmpeg fails.
    """
    command = [ffmpeg_exe(), "-nostdin", "-loglevel", "error", *input_options(path)]
    command += ["-map", f"0:{track.index}", "-af", filters, "-ar", str(track.sample_rate), "-f", "f32le", "pipe:1"]
    with program(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        assert process.stdout is not None  # it is a pipe
        while data := process.stdout.read(4 * track.channels * track.sample_rate):
            yield np.frombuffer(data, np.float32).reshape(-1, track.channels)
    if process.returncode:
        raise RemuxError(f"{path}: ffmpeg could not read its audio to the end; check that it plays")


def spliced_track(path: Path, track: AudioInfo, splice: Splice) -> Generator[np.ndarray, None, None]:
    """Yield the samples of a track of a file as `splice` puts it together; see `spliced`. Raises RemuxError."""
    with closing(decoded_blocks(path, track)) as blocks:
        yield from spliced(Source(blocks, track.sample_rate, track.channels), splice)


def write_tracks(pipe: IO[bytes], path: Path, tracks: Sequence[AudioInfo], splices: Sequence[Splice]) -> None:
    """Write the spliced tracks of a file to a pipe, side by side, as a NUT stream of float samples.

    Raises RemuxError when a track cannot be decoded, and OSError when the other end of the pipe is closed.
    """
    with ExitStack() as stack:
        blocks = [spliced_track(path, track, splice) for track, splice in zip(tracks, splices)]
        for block in blocks:
            stack.callback(block.close)
        sink = _Sink(pipe)
        container = stack.enter_context(av.open(sink, "w", format="nut"))
        streams = [_add_track(container, track) for track in tracks]
        positions = [0] * len(tracks)
        for row in zip_longest(*blocks):
            for number, (stream, samples) in enumerate(zip(streams, row)):
                if samples is not None and len(samples):
                    _mux(container, stream, samples, positions[number])
                    positions[number] += len(samples)
            sink.check()
    sink.check()


class _Sink:
    """A pipe for libav: without the methods for seeking, and with errors kept, which libav would replace by its own."""

    def __init__(self, pipe: IO[bytes]):
        self._pipe = pipe
        self._error: OSError | None = None

    def write(self, data: bytes) -> int:
        if self._error is None:
            try:
                self._pipe.write(data)
            except OSError as error:
                self._error = error
        return len(data)

    def check(self) -> None:
        """Raise the error that a write had."""
        if self._error is not None:
            raise self._error


def _add_track(container: av.container.OutputContainer, track: AudioInfo) -> av.AudioStream:
    # NUT stores the number of channels, not the layout.
    stream = container.add_stream("pcm_f32le", rate=track.sample_rate, layout=f"{track.channels} channels")
    stream.time_base = Fraction(1, track.sample_rate)
    return stream


def _mux(container: av.container.OutputContainer, stream: av.AudioStream, samples: np.ndarray, position: int) -> None:
    packet = av.Packet(np.ascontiguousarray(samples, np.float32).tobytes())
    packet.stream, packet.time_base = stream, Fraction(1, stream.rate)
    packet.pts = packet.dts = position
    container.mux(packet)
