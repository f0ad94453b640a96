"""Timecode: arithmetic with and without dropped frames, and that of source files."""

from fractions import Fraction

import numpy as np
import pytest
from helpers import noise_input, pattern_input

from resync.media.probe import probe
from resync.media.timecode import Timecode, start_timecode, timeline_rate

NTSC, NTSC60 = Fraction(30_000, 1001), Fraction(60_000, 1001)


@pytest.mark.parametrize(
    "text, rate, frames",
    [
        ("00:00:00:00", Fraction(25), 0),
        ("01:00:00:24", Fraction(25), 90_024),
        ("10:00:00:49", Fraction(50), 1_800_049),
        ("01:00:00:00", NTSC, 108_000),  # non-drop-frame
        ("00:00:59;29", NTSC, 1799),
        ("00:01:00;02", NTSC, 1800),  # ;00 and ;01 are dropped
        ("00:10:00;00", NTSC, 17_982),  # but not in every tenth minute
        ("01:00:00;00", NTSC, 107_892),
        ("23:59:59;29", NTSC, 24 * 107_892 - 1),
        ("00:01:00;04", NTSC60, 3600),
        ("01:00:00;00", NTSC60, 215_784),
    ],
)
def test_timecode_counts_frames(text, rate, frames):
    timecode = Timecode.parse(text, rate)
    assert timecode.frames == frames and str(timecode) == text


def test_drop_frame_timecode_keeps_to_real_time():
    hour = Timecode.parse("01:00:00;00", NTSC)
    assert abs(hour.seconds - 3600) < Fraction(1, 250)
    assert Timecode.parse("01:00:00:00", NTSC).seconds == Fraction(36_036, 10)


@pytest.mark.parametrize("rate", [NTSC, NTSC60])
def test_timecode_agrees_with_opentimelineio(rate):
    opentime = pytest.importorskip("opentimelineio.opentime")
    for frames in np.random.default_rng(0).integers(0, 24 * 3590 * round(rate), 3000).tolist():
        for drop in (False, True):
            text = str(Timecode(frames, rate, drop))
            assert text == opentime.to_timecode(opentime.RationalTime(frames, float(rate)), float(rate), drop)
            assert Timecode.parse(text, rate) == (frames, rate, drop)


def test_timecode_passes_midnight():
    assert str(Timecode.parse("23:59:59:24", Fraction(25)).plus(2)) == "00:00:00:01"
    assert str(Timecode.parse("23:59:59;29", NTSC).plus(1)) == "00:00:00;00"
    assert str(Timecode(0, Fraction(25)).plus(-1)) == "23:59:59:24"


@pytest.mark.parametrize("text", ["", "1:00:00:00", "01:00:00:25", "01:60:00:00", "01:00:60:00", "x01:00:00:00"])
def test_what_is_no_timecode_is_refused(text):
    with pytest.raises(ValueError):
        Timecode.parse(text, Fraction(25))
    assert start_timecode(text, 25.0) == (0, 25, False)


def test_drop_frame_mark_means_nothing_at_other_rates():
    assert str(Timecode.parse("01:00:00;00", Fraction(25))) == "01:00:00:00"


@pytest.mark.parametrize(
    "fps, rate",
    [
        (25.0, 25),
        (23.976, Fraction(24_000, 1001)),
        (24.0, 24),
        (29.97, NTSC),
        (30.0, 30),
        (59.94, NTSC60),
        (12.5, 25),
        (15.0, 30),
        (29.6, NTSC),  # variable frame rate
        (240.0, 120),
    ],
)
def test_timelines_have_a_frame_rate_of_editing_programs(fps, rate):
    assert timeline_rate(fps) == rate


@pytest.mark.parametrize(
    "name, codecs, timecode",
    [
        ("tmcd.mov", ["-c:v", "mpeg4"], "01:00:00:00"),
        ("drop.mov", ["-c:v", "mpeg4", "-r", "30000/1001"], "01:00:00;02"),
        ("tmcd.mp4", ["-c:v", "mpeg4"], "10:11:12:13"),
        ("package.mxf", ["-c:v", "mpeg2video", "-c:a", "pcm_s16le"], "02:00:00:00"),
        ("drop.mxf", ["-c:v", "mpeg2video", "-c:a", "pcm_s16le", "-r", "30000/1001"], "02:00:00;00"),
        ("tag.mkv", ["-c:v", "mpeg4"], "03:00:00:00"),
        ("tag.avi", ["-c:v", "mpeg4"], "04:00:00:00"),
    ],
)
def test_timecode_of_the_source_is_read(ffmpeg, tmp_path, name, codecs, timecode):
    path = tmp_path / name
    ffmpeg(*pattern_input(0.4), *noise_input(seconds=0.4), *codecs, "-timecode", timecode, path)
    info = probe(path)
    assert info.timecode == timecode and str(start_timecode(info.timecode, info.video.fps)) == timecode


def test_source_without_timecode(ffmpeg, tmp_path):
    ffmpeg(*pattern_input(0.4), "-c:v", "mpeg4", tmp_path / "none.mp4")
    info = probe(tmp_path / "none.mp4")
    assert info.timecode is None and info.time_reference is None and info.reel is None


def test_time_reference_of_a_broadcast_wav_and_reel_are_read(ffmpeg, tmp_path):
    ffmpeg(*noise_input(seconds=0.2), "-write_bext", "1", "-metadata", "time_reference=172800000", tmp_path / "bext.wav")
    assert probe(tmp_path / "bext.wav").time_reference == 172_800_000
    ffmpeg(*pattern_input(0.4), "-c:v", "mpeg4", "-timecode", "01:00:00:00", "-metadata:s:v", "reel_name=A001C002", tmp_path / "reel.mov")
    assert probe(tmp_path / "reel.mov").reel == "A001C002"
