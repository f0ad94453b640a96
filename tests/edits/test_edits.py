"""Every edit list that is written is read back: offsets, source ranges and markers are those of the report."""

import re
from dataclasses import replace
from fractions import Fraction
from typing import NamedTuple
from xml.etree import ElementTree as ET

import pytest

from resync.edits.edl import edl_notes, edl_text
from resync.edits.timeline import corrected_timeline
from resync.edits.write import write_edit_lists
from resync.errors import OutputError
from resync.report.result import TrackResult
from resync.sync.decide import SegmentResult

from .conftest import JUMPS, LATE_133, REPORTS, SOURCES, heard_source_s

SAMPLE = 1 / 48_000


class Clip(NamedTuple):
    """A clip as read back, in s: when it is heard and what of its file, counted from the start of the media; tempo."""

    start: Fraction
    duration: Fraction
    source: Fraction
    tempo: float = 1.0


class Read(NamedTuple):
    """An edit list as read back. start: of the timeline, since midnight; tracks: audio; markers: (start, duration, text)."""

    start: Fraction
    video: Clip
    tracks: list[list[Clip]]
    markers: list[tuple[Fraction, Fraction, str]]


def seconds(time):
    return Fraction(time.value) / Fraction(time.rate)


def read_otio(path, rate):
    otio = pytest.importorskip("opentimelineio")
    timeline = otio.adapters.read_from_file(str(path))
    start = seconds(timeline.global_start_time)

    def clip(child):
        at, media = child.range_in_parent(), child.media_reference.available_range
        assert seconds(child.source_range.start_time) >= seconds(media.start_time) - 1e-6
        tempo = child.effects[0].time_scalar if child.effects else 1.0
        source = seconds(child.source_range.start_time - media.start_time)
        assert source + seconds(child.source_range.duration) * Fraction(tempo) <= seconds(media.duration) + 1e-6
        return Clip(seconds(at.start_time), seconds(at.duration), source, tempo)

    (video,) = (track for track in timeline.tracks if track.kind == "Video")
    audio = [[clip(c) for c in track if isinstance(c, otio.schema.Clip)] for track in timeline.tracks if track.kind == "Audio"]
    marked = [(m.marked_range, m.name) for m in video[0].markers]
    markers = [(seconds(r.start_time - video[0].source_range.start_time), seconds(r.duration), name) for r, name in marked]
    return Read(start, clip(video[0]), audio, markers)


def read_edl(path, rate):
    pytest.importorskip("otio_cmx3600_adapter")
    otio = pytest.importorskip("opentimelineio")
    timeline = otio.adapters.read_from_string(path.read_text(), "cmx_3600", rate=float(rate))
    tracks = {track.name: track for track in timeline.tracks}
    start = -seconds(tracks["V"].source_range.start_time)

    def clips(track):
        first = -seconds(track.source_range.start_time) - start
        for child in track:
            if isinstance(child, otio.schema.Clip):
                at = child.range_in_parent()
                yield Clip(first + seconds(at.start_time), seconds(at.duration), seconds(child.source_range.start_time) - start)

    (video,) = clips(tracks["V"])
    marked = [(m.marked_range, m.name) for m in tracks["V"][0].markers]
    markers = [(seconds(r.start_time) - start, seconds(r.duration), name) for r, name in marked]
    return Read(start, video, [list(clips(track)) for name, track in tracks.items() if name != "V"], markers)


def read_fcpxml(path, rate):
    root = ET.parse(path).getroot()
    assets = {asset.get("id"): asset for asset in root.iter("asset")}
    sequence = root.find("library/event/project/sequence")
    (video,) = sequence.find("spine")

    def time(element, name):
        number, unit = element.get(name)[:-1], element.get(name)[-1]
        assert unit == "s"
        return Fraction(number)

    def clip(element, start):
        media = assets[element.get("ref")]
        points = element.findall("timeMap/timept")
        first, last = points or (None, None)
        tempo = (time(last, "value") - time(first, "value")) / (time(last, "time") - time(first, "time")) if points else Fraction(1)
        # The clip's start is in the time of the retimed media.
        source = (time(element, "start") - (time(first, "time") if points else time(media, "start"))) * tempo
        assert source >= 0 and source + tempo * time(element, "duration") <= time(media, "duration") + Fraction(1, 10**6)
        for name in ("offset", "duration"):
            assert (time(element, name) * rate).denominator == 1, f"{name} is not on a frame"
        return Clip(time(element, "offset") - start, time(element, "duration"), source, float(tempo))

    start = time(sequence, "tcStart")
    assert root.find("resources/format").get("frameDuration") == f"{rate.denominator}/{rate.numerator}s"
    lanes = {}
    for element in video:
        if element.tag in ("asset-clip", "audio"):
            lanes.setdefault((element.get("lane"), element.get("srcID")), []).append(clip(element, time(video, "start")))
    markers = [(time(m, "start") - time(video, "start"), time(m, "duration"), m.get("value")) for m in video.findall("marker")]
    return Read(start, clip(video, start), list(lanes.values()), markers)


READERS = {".otio": read_otio, ".edl": read_edl, ".fcpxml": read_fcpxml}


def write(report, tmp_path, suffix):
    path = tmp_path / f"list{suffix}"
    if suffix == ".otio":
        pytest.importorskip("opentimelineio")
    return path, write_edit_lists(report, [path], overwrite=True)


@pytest.mark.parametrize("suffix", READERS)
@pytest.mark.parametrize("kind", REPORTS)
@pytest.mark.parametrize("name, rate, timecode, frames", SOURCES)
def test_audio_is_where_the_report_says(about, tmp_path, name, rate, timecode, frames, kind, suffix):
    report = about(name, REPORTS[kind])
    path, _ = write(report, tmp_path, suffix)
    read = READERS[suffix](path, rate)
    assert abs(read.start - frames / rate) < 1e-6
    assert abs(read.video.duration - 8) <= 1 / rate and (read.video.start, read.video.source) == (0, 0)
    (clips,) = read.tracks
    assert len(clips) == max(1, len(report.pieces))
    for clip in clips:
        if suffix == ".edl":  # to half a frame, and without the change of speed
            assert clip.source == pytest.approx(heard_source_s(report, float(clip.start)), abs=0.5001 / rate)
        else:
            middle = clip.source + Fraction(clip.tempo) * clip.duration / 2
            assert middle == pytest.approx(heard_source_s(report, float(clip.start + clip.duration / 2)), abs=1.01 * SAMPLE)
    # Nothing is lost but what lies outside the video, a cut and parts of frames.
    assert clips[0].start < max(0, -heard_source_s(report, 0)) + 1 / rate
    heard_to = max(0, heard_source_s(report, 7.99) - 8)
    assert clips[-1].start + clips[-1].duration > 8 - heard_to - 3 / rate


@pytest.mark.parametrize("suffix", [".otio", ".fcpxml"])
@pytest.mark.parametrize("kind", ["late", "early"])
def test_media_starts_with_the_first_frame(about, tmp_path, kind, suffix):
    report = about("ahead", REPORTS[kind], video_start_s=0.2)
    path, _ = write(report, tmp_path, suffix)
    (clip,) = READERS[suffix](path, Fraction(25)).tracks[0]
    assert clip.source == pytest.approx(heard_source_s(report, float(clip.start)), abs=1.01 * SAMPLE)
    assert clip.source >= 0 and clip.start < max(0, -heard_source_s(report, 0)) + 0.04


@pytest.mark.parametrize("suffix", READERS)
def test_jumps_are_cut_where_the_report_says(about, tmp_path, suffix):
    path, _ = write(about("pal", JUMPS), tmp_path, suffix)
    read = READERS[suffix](path, Fraction(25))
    before, after = read.tracks[0]
    # The audio of the second piece is 320 ms earlier in the source: it leaves a gap as long, as `fix --fix-jumps` does.
    assert before.duration <= 4 and after.start >= Fraction(4) - Fraction(320, 1000)
    assert after.start - (before.start + before.duration) == pytest.approx(0.3204, abs=0.041)
    times = [(float(start), text) for start, _, text in read.markers]
    assert times[0][0] == 4 and "jumps from 240 ms late to 80 ms early" in times[0][1].lower()
    assert times[1][0] == 2 and "not measurable" in times[1][1].lower()
    if suffix != ".edl":
        assert [float(duration) for _, duration, _ in read.markers][1] == 2  # two segments as one


@pytest.mark.parametrize("suffix", READERS)
def test_drift_is_marked_with_its_ratio(about, tmp_path, suffix):
    path, _ = write(about("pal", REPORTS["drift"]), tmp_path, suffix)
    read = READERS[suffix](path, Fraction(25))
    ((start, _, text),) = read.markers
    assert start == 0 and "+1200.0 ms per minute (frame-rate ratio 51/50)" in text.lower() and "102.0000 %" in text
    assert read.tracks[0][0].tempo == pytest.approx(1.0 if suffix == ".edl" else 1.02)


def test_undecided_file_gets_no_edit_list(undecided, tmp_path):
    path, notes = write(undecided, tmp_path, ".edl")
    assert not path.exists() and notes == [f"{undecided.file}: undecided, no edit list was written"]


def test_edl_says_what_it_cannot_hold(about, tmp_path):
    path, notes = write(about("pal", LATE_133), tmp_path, ".edl")
    assert notes == [f"{path}: an EDL is frame accurate: audio is placed to the nearest frame, up to 13.3 ms off"]
    assert "* RESYNC: audio shifted -133.3 ms as measured, -120.0 ms here (-3 frames)" in path.read_text()
    exact = about("pal", LATE_133, audio_delay_ms=120.0, shift_ms=-120.0)
    assert write(exact, tmp_path, ".edl")[1] == []
    drifting = write(about("pal", REPORTS["drift"]), tmp_path, ".edl")[1]
    assert "cannot hold the drift" in drifting[-1]


@pytest.mark.parametrize("name, mode", [("pal", "NON-DROP FRAME"), ("ntsc", "DROP FRAME")])
def test_edl_names_its_frame_code_mode_and_source(about, tmp_path, name, mode):
    text = write(about(name, LATE_133), tmp_path, ".edl")[0].read_text()
    assert text.startswith(f"TITLE: {name}\nFCM: {mode}\n")
    assert text.count(f"* FROM CLIP NAME: {name}.mov\n") == 2
    events = re.findall(r"^(\d{3})  AX       (V|A)     C        (\S{11}) (\S{11}) (\S{11}) (\S{11})$", text, re.MULTILINE)
    assert [event[:2] for event in events] == [("001", "V"), ("002", "A")]


def test_edl_numbers_the_channels_of_all_tracks(about):
    timeline = corrected_timeline(about("tracks", LATE_133))
    assert [track.channels for track in timeline.tracks] == [1, 2]
    lines = edl_text(timeline).splitlines()
    assert [line.split()[2] for line in lines if line[:3].isdigit()] == ["V", "AA", "NONE"] and "AUD  3" in lines
    many = replace(timeline, tracks=(replace(timeline.tracks[0], channels=6),))
    assert edl_notes(many)[-1] == "an EDL holds 4 audio channels: channels 5 to 6 are left out"


@pytest.mark.parametrize("suffix", [".otio", ".fcpxml"])
def test_each_track_gets_its_own_offset_where_all_were_measured(about, tmp_path, suffix):
    other = TrackResult(2, "out_of_sync", -40.0, 40.0, 20.0, 0.9, -40.0)
    main = TrackResult(1, "out_of_sync", 133.3, -133.3, 20.0, 0.9, 133.3)
    path, _ = write(about("tracks", LATE_133, tracks=(main, other)), tmp_path, suffix)
    first, second = READERS[suffix](path, Fraction(25)).tracks
    assert first[0].start - first[0].source == pytest.approx(-0.1333, abs=SAMPLE)
    assert second[0].start - second[0].source == pytest.approx(0.04, abs=SAMPLE)


@pytest.mark.parametrize("suffix", READERS)
def test_external_recording_is_its_own_media_with_its_own_time(about, sources, tmp_path, suffix):
    path, _ = write(about("pal", LATE_133, audio=str(sources["recording"])), tmp_path, suffix)
    text = path.read_text()
    assert "recording.wav" in text
    if suffix == ".fcpxml":
        video, audio = ET.fromstring(text).iter("asset")
        assert (video.get("hasAudio"), audio.get("hasVideo")) == (None, None) and Fraction(audio.get("start")[:-1]) == Fraction(7199, 2)
    (clip,) = READERS[suffix](path, Fraction(25)).tracks[0]
    # The EDL counts from 01:00:00:00, half a second after the start of the recording.
    source = clip.source + Fraction(1, 2) if suffix == ".edl" else clip.source
    assert source - clip.start == pytest.approx(0.1333, abs=0.0201 if suffix == ".edl" else SAMPLE)


CHILDREN = {
    "fcpxml": "resources library ",
    "resources": "format (asset )+",
    "asset": "media-rep ",
    "library": "event ",
    "event": "project ",
    "project": "sequence ",
    "sequence": "spine ",
    "spine": "asset-clip ",
    "asset-clip": "(note )?(timeMap )?((audio|asset-clip) )*(marker )*",
    "audio": "(timeMap )?",
    "timeMap": "timept timept ",
}


@pytest.mark.parametrize("kind", REPORTS)
def test_fcpxml_has_the_structure_of_its_dtd(about, tmp_path, kind):
    path, _ = write(about("ntsc", REPORTS[kind]), tmp_path, ".fcpxml")
    assert path.read_text().startswith('<?xml version="1.0" encoding="UTF-8"?>\n<!DOCTYPE fcpxml>\n')
    root = ET.parse(path).getroot()
    assert root.get("version") == "1.10"
    for element in root.iter():
        children = "".join(f"{child.tag} " for child in element)
        assert re.fullmatch(CHILDREN.get(element.tag, ""), children), (element.tag, children)
    names = [element.get("id") for element in root.iter() if element.get("id")]
    references = [element.get(name) for element in root.iter() for name in ("ref", "format") if element.get(name)]
    assert len(set(names)) == len(names) and set(references) <= set(names)
    (video,) = root.iter("spine").__next__()
    assert video.get("srcEnable") == "video" and {clip.get("srcEnable") for clip in video.findall("asset-clip")} == {"audio"}
    assert root.find(".//sequence").get("tcFormat") == "DF"


def test_fcpxml_is_read_by_opentimelineio(about, tmp_path):
    """To the frame: its adapter rounds down."""
    pytest.importorskip("otio_fcpx_xml_adapter")
    otio = pytest.importorskip("opentimelineio")
    path, _ = write(about("pal", JUMPS), tmp_path, ".fcpxml")
    (timeline,) = otio.adapters.read_from_file(str(path), "fcpx_xml")
    audio, video = timeline.tracks
    clips = [(c.range_in_parent().start_time.value, c.source_range.start_time.value) for c in audio if isinstance(c, otio.schema.Clip)]
    assert [(start - 90_000, start - source) for start, source in clips] == [(0, -6), (clips[1][0] - 90_000, 3)]  # 240 ms, 80.4 ms
    assert video[-1].range_in_parent().start_time.value == video[-1].source_range.start_time.value == 90_000


def test_names_cannot_break_a_list(about, sources, tmp_path):
    strange = tmp_path / "a\n* <b>&\x07.mov"
    strange.symlink_to(sources["pal"])
    report = replace(about("pal", LATE_133), file=str(strange))
    for suffix in (".edl", ".fcpxml"):
        text = write(report, tmp_path, suffix)[0].read_text()
        assert "\x07" not in text and "\na" not in text and "\n* <b>" not in text
    ET.fromstring(text)


def test_variable_frame_rate_gets_the_nearest_timeline_and_a_note(about, ffmpeg, tmp_path):
    odd = tmp_path / "odd.mp4"
    ffmpeg("-f", "lavfi", "-i", "testsrc2=s=64x48:r=27:d=1", "-f", "lavfi", "-i", "anoisesrc=d=1:r=48000", "-c:v", "mpeg4", odd)
    report = replace(LATE_133, file=str(odd), fps=27.0, segments=(SegmentResult(0.0, 1.0, None, None),))
    path, notes = write(report, tmp_path, ".fcpxml")
    assert notes == [f"{odd}: the video has 27.000 frames per second, the timeline 25.000"]
    assert read_fcpxml(path, Fraction(25)).video.duration == 1


def test_a_list_that_appeared_meanwhile_is_not_replaced(about, tmp_path):
    path = tmp_path / "list.edl"
    path.write_text("somebody else's")
    with pytest.raises(OutputError, match="-y"):
        write_edit_lists(about("pal", LATE_133), [path])
    assert path.read_text() == "somebody else's"
