"""The corrected timeline as a CMX 3600 EDL, which is frame accurate and has four audio channels."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from ..media.timecode import Timecode
from ..report.table import printable
from .timeline import MARKER_COLOURS, AudioClip, EditTimeline, Marker, Media

CHANNELS = 4
_CODES = {(1,): "A", (2,): "A2", (1, 2): "AA"}  # of channels 1 and 2; 3 and 4 follow in a line of their own
_UNKNOWN_REEL = "AX"


def edl_text(timeline: EditTimeline) -> str:
    """The text of the EDL: an event for the video, then one for each audio clip and pair of channels."""
    start, rate = timeline.start, timeline.rate
    lines = [f"TITLE: {printable(timeline.name)}", f"FCM: {'DROP FRAME' if start.drop else 'NON-DROP FRAME'}", ""]
    span = f"{start} {start.plus(timeline.frames)}"
    lines += _event(
        1, timeline.video, "V", f"{span} {span}", [f"RESYNC: {timeline.summary}", *(_locator(start, m) for m in timeline.markers)]
    )
    number = 1
    for clips, channels in _channel_groups(timeline):
        for clip in clips:
            source = Timecode(_source_frame(clip, timeline), rate, start.drop)
            record = start.plus(clip.start)
            times = f"{source} {source.plus(clip.frames)} {record} {record.plus(clip.frames)}"
            for code, extra in _codes(channels):
                number += 1
                lines += _event(number, timeline.audio, code, times, list(_comments(clip, timeline)), extra)
    return "\n".join(lines) + "\n"


def edl_notes(timeline: EditTimeline) -> list[str]:
    """What an EDL cannot hold of a timeline: one line each, for the user."""
    notes = []
    clips = [clip for track in timeline.tracks for clip in track.clips]
    error = max((abs(_late_s(clip, timeline)) for clip in clips), default=Fraction(0))
    if 1000 * error >= 1:
        notes.append(f"an EDL is frame accurate: audio is placed to the nearest frame, up to {float(1000 * error):.1f} ms off")
    if any(clip.tempo != 1 for clip in clips):
        notes.append("an EDL cannot hold the drift: change the speed of the audio as its comment says")
    if (channels := sum(track.channels for track in timeline.tracks)) > CHANNELS:
        notes.append(f"an EDL holds {CHANNELS} audio channels: channels {CHANNELS + 1} to {channels} are left out")
    return notes


def _event(number: int, media: Media, code: str, times: str, comments: list[str], extra: str = "") -> list[str]:
    reel = "".join(filter(str.isalnum, media.reel or ""))[:8] or _UNKNOWN_REEL
    comments = [f"FROM CLIP NAME: {printable(media.path.name)}", *comments]
    return [f"{number:03d}  {reel:<8} {code:<5} C        {times}", *(f"* {text}" for text in comments), *filter(None, [extra]), ""]


def _channel_groups(timeline: EditTimeline) -> list[tuple[tuple[AudioClip, ...], list[int]]]:
    """The clips, and the channels that consist of them: those of all tracks, in order, numbered from 1."""
    groups: dict[tuple[AudioClip, ...], list[int]] = {}
    number = 0
    for track in timeline.tracks:
        groups.setdefault(track.clips, []).extend(range(number + 1, number + track.channels + 1))
        number += track.channels
    return [(clips, [n for n in channels if n <= CHANNELS]) for clips, channels in groups.items()]


def _codes(channels: list[int]) -> Iterator[tuple[str, str]]:
    """The channel code of each event for these channels, and its line for channels 3 and 4."""
    if low := tuple(n for n in channels if n <= 2):
        yield _CODES[low], ""
    if high := [n for n in channels if n > 2]:
        yield "NONE", f"AUD  {'3' if 3 in high else ' '}    {'4' if 4 in high else ''}".rstrip()


def _comments(clip: AudioClip, timeline: EditTimeline) -> Iterator[str]:
    shift = clip.start / timeline.rate - clip.source
    here = shift + _late_s(clip, timeline)
    yield f"RESYNC: audio shifted {_ms(shift)} ms as measured, {_ms(here)} ms here ({float(here * timeline.rate):+.3g} frames)"
    if clip.tempo != 1:
        yield f"RESYNC: set the audio speed to {float(100 * clip.tempo):.4f} %, from the start of this clip"


def _source_frame(clip: AudioClip, timeline: EditTimeline) -> int:
    """The frame of its source that a clip starts with, by timecode."""
    return round((timeline.audio.start + clip.source) * timeline.rate)


def _late_s(clip: AudioClip, timeline: EditTimeline) -> Fraction:
    """How much later than measured a clip is heard because its source starts on a frame, in s."""
    return timeline.audio.start + clip.source - _source_frame(clip, timeline) / timeline.rate


def _ms(seconds: Fraction) -> str:
    return f"{float(1000 * seconds):+.1f}"


def _locator(start: Timecode, marker: Marker) -> str:
    return f"LOC: {start.plus(marker.start)} {MARKER_COLOURS[marker.kind]:<7} {marker.text}"
