"""The corrected timeline as Final Cut Pro XML 1.10.

Clips begin and end on frames, as Final Cut Pro requires; the rest of the shift is in `start`, the place in the source, to the sample.
https://developer.apple.com/documentation/professional-video-applications/fcpxml-reference
"""

from __future__ import annotations

from fractions import Fraction
from xml.etree import ElementTree as ET

from ..report.table import printable
from .timeline import AudioClip, AudioTrack, EditTimeline, Media

VERSION = "1.10"
_AUDIO_RATES = {32_000: "32k", 44_100: "44.1k", 48_000: "48k", 88_200: "88.2k", 96_000: "96k", 176_400: "176.4k", 192_000: "192k"}
_LAYOUTS = {1: "mono", 2: "stereo"}


def fcpxml(timeline: EditTimeline) -> bytes:
    """The XML document: the video in the primary storyline, each audio clip connected to it."""
    root = ET.Element("fcpxml", version=VERSION)
    _add_resources(ET.SubElement(root, "resources"), timeline)
    event = ET.SubElement(ET.SubElement(root, "library"), "event", name="resync")
    project = ET.SubElement(event, "project", name=printable(timeline.name))
    sequence = ET.SubElement(project, "sequence", _sequence_attributes(timeline))
    video = ET.SubElement(ET.SubElement(sequence, "spine"), "asset-clip", _clip_attributes(timeline))
    ET.SubElement(video, "note").text = printable(timeline.summary)
    groups: dict[tuple[AudioClip, ...], list[AudioTrack]] = {}
    for track in timeline.tracks:
        groups.setdefault(track.clips, []).append(track)
    for lane, (clips, tracks) in enumerate(groups.items(), start=1):
        for clip in clips:
            _add_audio(video, clip, tracks if len(groups) > 1 else [], -lane, timeline)
    for marker in timeline.markers:
        times = {"start": _frames(timeline.start.frames + marker.start, timeline), "duration": _frames(max(1, marker.frames), timeline)}
        ET.SubElement(video, "marker", {**times, "value": printable(marker.text)})
    ET.indent(root)
    return b'<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n' + ET.tostring(root, encoding="utf-8") + b"\n"


def _add_resources(resources: ET.Element, timeline: EditTimeline) -> None:
    width, height = map(str, timeline.size)
    ET.SubElement(resources, "format", id="r1", frameDuration=_frames(1, timeline), width=width, height=height)
    external = timeline.audio.path != timeline.video.path
    audio = {
        "hasAudio": "1",
        "audioSources": str(len(timeline.tracks)),
        "audioChannels": str(timeline.tracks[0].channels),
        "audioRate": str(timeline.tracks[0].sample_rate),
    }
    video = {"hasVideo": "1", "format": "r1", "videoSources": "1"}
    _add_asset(resources, "r2", timeline.video, video if external else video | audio)
    if external:
        _add_asset(resources, "r3", timeline.audio, audio)


def _add_asset(resources: ET.Element, name: str, media: Media, attributes: dict[str, str]) -> None:
    times = {"start": _time(media.start), "duration": _time(media.duration)}
    asset = ET.SubElement(resources, "asset", {"id": name, "name": printable(media.path.name), **times, **attributes})
    ET.SubElement(asset, "media-rep", kind="original-media", src=media.path.as_uri())


def _sequence_attributes(timeline: EditTimeline) -> dict[str, str]:
    attributes = {
        "format": "r1",
        "duration": _frames(timeline.frames, timeline),
        "tcStart": _frames(timeline.start.frames, timeline),
        "tcFormat": "DF" if timeline.start.drop else "NDF",
        "audioLayout": _LAYOUTS.get(timeline.tracks[0].channels, "surround"),
    }
    audio_rate = _AUDIO_RATES.get(timeline.tracks[0].sample_rate)
    return attributes | ({"audioRate": audio_rate} if audio_rate else {})


def _clip_attributes(timeline: EditTimeline) -> dict[str, str]:
    """Of the video: from the timecode of the source, at the same timecode."""
    start = _frames(timeline.start.frames, timeline)
    times = {"offset": start, "start": start, "duration": _frames(timeline.frames, timeline)}
    tc_format = "DF" if timeline.start.drop else "NDF"
    return {"ref": "r2", "name": printable(timeline.video.path.name), **times, "tcFormat": tc_format, "srcEnable": "video"}


def _add_audio(video: ET.Element, clip: AudioClip, tracks: list[AudioTrack], lane: int, timeline: EditTimeline) -> None:
    """Connect an audio clip to the video: of these tracks only, or with all audio of its file."""
    media = timeline.audio
    attributes = {
        "ref": "r2" if media.path == timeline.video.path else "r3",
        "lane": str(lane),
        "offset": _frames(timeline.start.frames + clip.start, timeline),  # on the clock of the clip that it is connected to
        "name": printable(media.path.name),
        "start": _time(media.start + clip.source / clip.tempo),
        "duration": _frames(clip.frames, timeline),
    }
    if tracks:
        elements = [ET.SubElement(video, "audio", {**attributes, "srcID": str(track.number), "role": "dialogue"}) for track in tracks]
    else:
        elements = [ET.SubElement(video, "asset-clip", {**attributes, "srcEnable": "audio", "audioRole": "dialogue"})]
    for element in elements if clip.tempo != 1 else ():
        # Time by time: that of the media when it plays at this speed, and that of the file. The clip's start is in the former.
        speed = ET.SubElement(element, "timeMap", preservesPitch="0")
        for position in (Fraction(0), media.duration):
            times = {"time": _time(media.start + position / clip.tempo), "value": _time(media.start + position)}
            ET.SubElement(speed, "timept", {**times, "interp": "linear"})


def _frames(frames: int, timeline: EditTimeline) -> str:
    """A number of frames as time. Not reduced: Final Cut Pro compares denominators when it looks for frame boundaries."""
    return f"{frames * timeline.rate.denominator}/{timeline.rate.numerator}s"


def _time(seconds: Fraction) -> str:
    """A time as FCPXML writes it: a rational number with a denominator of 32 bits."""
    seconds = seconds.limit_denominator(2**31 - 1)
    return f"{seconds.numerator}/{seconds.denominator}s"
