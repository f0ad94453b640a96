"""Sources with timecode, and reports about them."""

from dataclasses import replace
from fractions import Fraction

import pytest
from helpers import DRIFT, JUMP, LATE, UNDECIDED, noise_input

from resync.report.result import JumpResult, PieceResult
from resync.sync.decide import SegmentResult

SECONDS = 8
NTSC = Fraction(30_000, 1001)
#: Name, frame rate, start timecode, and the frames since midnight that it stands for.
SOURCES = [("pal", Fraction(25), "01:00:00:00", 90_000), ("ntsc", NTSC, "01:00:00;00", 107_892)]

LATE_133 = replace(LATE, audio_delay_ms=133.3, shift_ms=-133.3, duration_s=8.0, segments=())
EARLY = replace(LATE_133, audio_delay_ms=-87.1, shift_ms=87.1)
IN_SYNC = replace(LATE_133, verdict="in_sync", audio_delay_ms=5.0, shift_ms=0.0)
DRIFTS = replace(DRIFT, duration_s=8.0, drift_ms_per_min=1200.0, drift_start_ms=60.0, drift_ratio="51/50", segments=())
JUMPS = replace(
    JUMP,
    duration_s=8.0,
    pieces=(PieceResult(0.0, 4.0, 240.0, 20.0, 1.0), PieceResult(4.0, 8.0, -80.4, 22.0, 0.99)),
    jumps=(JumpResult(4.0, 3.9, 4.1, -320.4),),
    segments=(SegmentResult(0.0, 2.0, 0.24, 0.9), SegmentResult(2.0, 3.0, None, None), SegmentResult(3.0, 4.0, None, None)),
)
REPORTS = {"late": LATE_133, "early": EARLY, "in sync": IN_SYNC, "drift": DRIFTS, "jump": JUMPS}


@pytest.fixture(scope="session")
def sources(ffmpeg, tmp_path_factory):
    """Paths by name: the SOURCES, "tracks.mov" with a mono and a stereo track, "ahead.mkv", whose audio starts 0.2 s before its video,
    and "recording.wav" from 00:59:59.5 on."""
    folder = tmp_path_factory.mktemp("edits")
    for name, rate, timecode, _ in SOURCES:
        video = ["-f", "lavfi", "-i", f"testsrc2=s=64x48:r={rate}:d={SECONDS}", *noise_input(seconds=SECONDS)]
        ffmpeg(*video, "-c:v", "mpeg4", "-c:a", "pcm_s16le", "-timecode", timecode, folder / f"{name}.mov")
    ffmpeg("-i", folder / "pal.mov", "-map", "0:v", "-map", "0:a", "-map", "0:a", "-c", "copy", "-c:a:1", "pcm_s16le", "-ac:a:1", 2,
           folder / "tracks.mov")  # fmt: skip
    ffmpeg("-itsoffset", 0.2, "-i", folder / "pal.mov", "-i", folder / "pal.mov", "-map", "0:v", "-map", "1:a", "-c", "copy",
           "-map_metadata", -1, folder / "ahead.mkv")  # fmt: skip
    bext = ["-write_bext", "1", "-metadata", f"time_reference={48_000 * 3600 - 24_000}"]
    ffmpeg(*noise_input(seconds=SECONDS), *bext, folder / "recording.wav")
    return {path.stem: path for path in folder.iterdir()}


@pytest.fixture
def about(sources):
    """A function that returns a report about one of the sources, with some fields changed."""

    def make(name, report, **changes):
        timecode = {name: text for name, _, text, _ in SOURCES}.get(name)
        return replace(report, file=str(sources[name]), timecode=timecode, **changes)

    return make


@pytest.fixture
def undecided(about):
    """An undecided report."""
    return about("pal", UNDECIDED)


def heard_source_s(report, time_s):
    """Which time of the source is to be heard at a time of the video, by the report alone."""
    piece = next((piece for piece in report.pieces if piece.start_s <= time_s < piece.end_s), None)
    if piece:
        return time_s + piece.audio_delay_ms / 1000
    if report.verdict == "drift":
        return time_s * (1 + report.drift_ms_per_min / 60_000) + report.drift_start_ms / 1000
    return time_s - report.shift_ms / 1000
