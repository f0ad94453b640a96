"""The corrected timeline in the format of OpenTimelineIO, with audio to the sample. Importing this needs OpenTimelineIO."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from opentimelineio import adapters
from opentimelineio.opentime import RationalTime, TimeRange
from opentimelineio.schema import Clip, ExternalReference, Gap, LinearTimeWarp, Marker, Timeline, Track, TrackKind

from .. import __version__
from ..report.table import printable
from .timeline import MARKER_COLOURS, AudioTrack, EditTimeline, Media


def otio_text(timeline: EditTimeline) -> str:
    """The JSON text."""
    result = Timeline(name=printable(timeline.name), global_start_time=_time(timeline.start.seconds, timeline.rate))
    result.tracks.extend([_video_track(timeline), *(_audio_track(timeline, track) for track in timeline.tracks)])
    result.metadata["resync"] = {"version": __version__, "result": printable(timeline.summary)}
    return adapters.write_to_string(result, "otio_json")


def _video_track(timeline: EditTimeline) -> Track:
    clip = _clip(timeline.video, Fraction(0), timeline.frames / timeline.rate, timeline.rate)
    clip.markers.extend(_markers(timeline))
    return Track("V1", [clip], kind=TrackKind.Video)


def _audio_track(timeline: EditTimeline, track: AudioTrack) -> Track:
    """The clips of a track with gaps before them; times at the sample rate, but for the gaps, which end on frames."""
    children: list[Clip | Gap] = []
    end, rate = 0, timeline.rate
    for clip in track.clips:
        if clip.start > end:
            children.append(Gap(duration=_time((clip.start - end) / rate, rate)))
        child = _clip(timeline.audio, clip.source, clip.frames / rate, Fraction(track.sample_rate))
        if clip.tempo != 1:
            child.effects.append(LinearTimeWarp(name="drift", time_scalar=float(clip.tempo)))
        children.append(child)
        end = clip.start + clip.frames
    metadata = {"resync": {"audio_track": track.number}}
    return Track(f"A{track.number}", children, kind=TrackKind.Audio, metadata=metadata)


def _clip(media: Media, source: Fraction, duration: Fraction, rate: Fraction) -> Clip:
    """A span of a file, whose times are timecode. With a change of speed, its duration is that on the timeline, as OTIO has it."""
    available = _range(media.start, media.duration, rate)
    reference = ExternalReference(media.path.as_uri(), available, metadata={"reel": media.reel} if media.reel else {})
    return Clip(printable(media.path.name), reference, _range(media.start + source, duration, rate))


def _markers(timeline: EditTimeline) -> Iterator[Marker]:
    """The markers, in the time of the video's file, as the markers of a clip are."""
    rate = timeline.rate
    for marker in timeline.markers:
        marked = _range(timeline.start.plus(marker.start).seconds, marker.frames / rate, rate)
        yield Marker(printable(marker.text), marked, MARKER_COLOURS[marker.kind], metadata={"resync": {"kind": marker.kind}})


def _range(start: Fraction, duration: Fraction, rate: Fraction) -> TimeRange:
    return TimeRange(_time(start, rate), _time(duration, rate))


def _time(seconds: Fraction, rate: Fraction) -> RationalTime:
    return RationalTime(float(seconds * rate), float(rate))
