"""The corrected timeline of one clip: its video as it is, its audio shifted into sync, and markers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ..media.probe import AudioInfo, MediaInfo, probe, require_video
from ..media.timecode import Timecode, start_timecode
from ..remux.correction import Correction, PieceShift
from ..remux.splice import plan_splices
from ..report.result import Report
from ..report.text import WIDE_JUMP_S, delay_text, verdict_text
from ..sync.decide import SegmentResult

MARKER_COLOURS = {"drift": "YELLOW", "jump": "RED", "undecided": "CYAN"}  # by kind; names that OpenTimelineIO and Avid know
_ROUNDING = Fraction(1, 10**6)  # of a frame, by which a time may miss its frame
_ADJACENT_S = 0.1  # segments nearer than this are one


@dataclass(frozen=True)
class Media:
    """A file on the timeline. start: its first frame or sample as time since midnight; duration: from there to its end. Both in s."""

    path: Path
    start: Fraction
    duration: Fraction
    reel: str | None


@dataclass(frozen=True)
class AudioClip:
    """A span of audio on the timeline, from frame `start`, `frames` long.

    source: where it begins in its file, in s from the start of the media, on a sample. tempo: it plays so many times as fast.
    """

    start: int
    frames: int
    source: Fraction
    tempo: Fraction


@dataclass(frozen=True)
class AudioTrack:
    """An audio track. number: in its file, from 1; sample_rate: Hz."""

    number: int
    sample_rate: int
    channels: int
    clips: tuple[AudioClip, ...]


@dataclass(frozen=True)
class Marker:
    """A marker on the timeline from frame `start`, `frames` long (0: a point). kind: one of MARKER_COLOURS."""

    start: int
    frames: int
    kind: str
    text: str


@dataclass(frozen=True)
class EditTimeline:
    """The corrected timeline of a clip, in frames from its start.

    start: timecode of the first frame, of the timeline and of the video; size: of the video, in px. video, audio: the files, which
    are the same unless the audio is an external recording. summary: the result in words; notes: what the user should know.
    """

    name: str
    start: Timecode
    frames: int
    size: tuple[int, int]
    video: Media
    audio: Media
    tracks: tuple[AudioTrack, ...]
    markers: tuple[Marker, ...]
    summary: str
    notes: tuple[str, ...]

    @property
    def rate(self) -> Fraction:
        """Frames per second."""
        return self.start.rate


def corrected_timeline(report: Report) -> EditTimeline | None:
    """The timeline that puts the audio of a report in sync; None for an undecided file.

    All audio tracks are shifted alike, or each by its own offset where all were measured. Cuts and gaps of audio that jumps are those
    of `fix --fix-jumps`. Reads the files of the report. Raises MediaError.
    """
    correction = report.correction(fix_drift=True, fix_jumps=True)
    if correction is None:
        return None
    info = probe(report.file)
    video, start = require_video(info), start_timecode(info.timecode, require_video(info).fps)
    frames = max(1, round(video.duration_s * start.rate))
    grid = _Grid(start.rate, frames, Fraction(video.start_s))
    own = Media(info.path.absolute(), start.seconds, max(frames / start.rate, _end(info, video.start_s)), info.reel)
    if report.audio is None:
        audio, origin, tracks, corrections = own, video.start_s, info.audio, _per_track(report, correction, len(info.audio))
    else:
        recording = probe(report.audio)
        tracks, corrections, origin = recording.audio[:1], [correction], 0.0
        reference = Fraction(recording.time_reference or 0, tracks[0].sample_rate)
        audio = Media(recording.path.absolute(), reference, _end(recording, origin), recording.reel)
    splices = plan_splices(audio.path, tracks, range(len(tracks)), corrections)
    return EditTimeline(
        name=Path(report.file).stem,
        start=start,
        frames=frames,
        size=(video.width, video.height),
        video=own,
        audio=audio,
        tracks=tuple(
            AudioTrack(number, track.sample_rate, track.channels, tuple(grid.clips(splice.runs, track, Fraction(origin))))
            for number, (track, splice) in enumerate(zip(tracks, splices), start=1)
        ),
        markers=tuple(_markers(report, correction, grid)),
        summary=_summary(report),
        notes=tuple(_notes(start.rate, video.fps)),
    )


@dataclass(frozen=True)
class _Grid:
    """The frames of the timeline. origin: time of the first frame on the clock, in s."""

    rate: Fraction
    frames: int
    origin: Fraction

    def clips(self, runs: Iterable[PieceShift], track: AudioInfo, media_start: Fraction) -> Iterator[AudioClip]:
        """The runs of a track as clips that begin and end on frames, within the audio that there is.

        media_start: where its media starts on the clock of its own file, in s.
        """
        begin, end = (Fraction(time_s) - media_start for time_s in (track.start_s, _end_s(track)))
        for run in runs:
            tempo = Fraction(run.tempo).limit_denominator(10**9)
            zero = tempo * self.origin - Fraction(run.shift_s) - media_start  # what is heard at the start of the timeline
            first = max(self.frame(run.start_s), math.ceil((max(begin, Fraction(0)) - zero) / tempo * self.rate - _ROUNDING))
            source = Fraction(round((zero + tempo * first / self.rate) * track.sample_rate), track.sample_rate)
            frames = min(self.frame(run.end_s) - first, math.floor((end - source) / tempo * self.rate + _ROUNDING))
            if frames > 0:
                yield AudioClip(first, frames, source, tempo)

    def frame(self, time_s: float) -> int:
        """The frame nearest to a time on the clock, on the timeline."""
        if math.isinf(time_s):
            return self.frames
        return min(max(0, round((Fraction(time_s) - self.origin) * self.rate)), self.frames)


def _end_s(track: AudioInfo) -> float:
    return track.start_s + track.duration_s


def _end(info: MediaInfo, origin_s: float) -> Fraction:
    """How long after origin_s the last audio track ends, in s, on a sample."""
    return max((Fraction(round((_end_s(t) - origin_s) * t.sample_rate), t.sample_rate) for t in info.audio), default=Fraction(0))


def _per_track(report: Report, correction: Correction, count: int) -> Sequence[Correction]:
    """The correction of each track: its own where it was measured, else that of the report."""
    if not report.tracks:
        return [correction] * count
    return [correction if t.audio_track == report.audio_track or t.shift_ms is None else Correction(t.shift_ms) for t in report.tracks]


def _markers(report: Report, correction: Correction, grid: _Grid) -> Iterator[Marker]:
    """A marker where audio starts to drift, at each jump, and over each span without a result."""
    tempo = correction.tempo
    if tempo != 1:
        named = f" (frame-rate ratio {report.drift_ratio})" if report.drift_ratio else ""
        change = f"audio drifts {report.drift_ms_per_min or 0:+.1f} ms per minute{named}"
        yield Marker(0, 0, "drift", f"{change}: in sync at {100 * tempo:.4f} % speed")
    for jump, before, after in zip(report.jumps, report.pieces, report.pieces[1:]):
        text = f"audio delay jumps from {delay_text(before.audio_delay_ms)} to {delay_text(after.audio_delay_ms)}"
        if jump.latest_s - jump.earliest_s > WIDE_JUMP_S:
            text += f", between {report.timecode_at(jump.earliest_s)} and {report.timecode_at(jump.latest_s)}"
        yield Marker(min(grid.frame(jump.at_s), grid.frames - 1), 0, "jump", text)
    for start_s, end_s in _undecided(report.segments):
        start, end = grid.frame(start_s), grid.frame(end_s)
        if start < end:
            yield Marker(start, end - start, "undecided", "audio offset not measurable here")


def _undecided(segments: Iterable[SegmentResult]) -> list[tuple[float, float]]:
    """The times without a result, (start, end) in s; adjacent segments as one."""
    spans: list[tuple[float, float]] = []
    for segment in sorted(segments, key=lambda segment: segment.start_s):
        if segment.delay_s is not None:
            continue
        if spans and segment.start_s - spans[-1][1] < _ADJACENT_S:
            spans[-1] = (spans[-1][0], max(spans[-1][1], segment.end_s))
        else:
            spans.append((segment.start_s, segment.end_s))
    return spans


def _summary(report: Report) -> str:
    interval = "" if report.uncertainty_ms is None else f", +-{report.uncertainty_ms:.0f} ms"
    certainty = "" if report.certainty is None else f", certainty {report.certainty:.2f}"
    return f"{verdict_text(report, report.timecode_at)}{interval}{certainty}"


def _notes(rate: Fraction, fps: float) -> Iterator[str]:
    if abs(fps / rate - 1) > 1e-3 / 2:
        yield f"the video has {fps:.3f} frames per second, the timeline {float(rate):.3f}"
