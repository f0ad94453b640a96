"""A real person that the network never saw: a sentence of the GRID corpus, whose audio and video are in sync (fixtures/NOTICE.txt)."""

from pathlib import Path

import pytest
from helpers import ffmpeg, packets_md5, shift_between_ms

from resync import Analyzer, FixOptions

CLIP = Path(__file__).parent / "fixtures" / "grid.mkv"
FRAME_MS = 40.0


@pytest.fixture(scope="module")
def analyzer():
    return Analyzer()


@pytest.fixture(scope="module")
def own_delay_ms(analyzer):
    """The delay measured in the clip as it is."""
    return analyzer.analyze(CLIP).audio_delay_ms


def delayed(delay_ms, target):
    """A copy whose audio is later by so many ms, or earlier; the video is untouched."""
    if delay_ms >= 0:
        audio = f"adelay={delay_ms}:all=1"
    else:
        audio = f"atrim=start={-delay_ms / 1000},asetpts=PTS-STARTPTS"
    ffmpeg("-i", CLIP, "-c:v", "copy", "-af", audio, "-c:a", "libopus", target)
    return target


def test_a_clip_in_sync_is_within_a_frame_of_zero(own_delay_ms):
    assert own_delay_ms is not None and abs(own_delay_ms) < FRAME_MS


@pytest.mark.parametrize("delay_ms", [130, -170, 470, -330])
def test_a_shift_of_the_audio_is_measured(analyzer, own_delay_ms, tmp_path, delay_ms):
    report = analyzer.analyze(delayed(delay_ms, tmp_path / "in.mkv"))
    assert report.audio_delay_ms == pytest.approx(own_delay_ms + delay_ms, abs=20)


def test_fix_shifts_by_what_it_reports_and_keeps_the_video(analyzer, tmp_path):
    source, target = delayed(290, tmp_path / "in.mkv"), tmp_path / "out.mkv"
    report, written = analyzer.fix(source, target)
    assert written is not None and shift_between_ms(source, target) == pytest.approx(report.shift_ms, abs=1)
    assert packets_md5(source) == packets_md5(target)
    assert abs(analyzer.analyze(target).audio_delay_ms) < FRAME_MS


def test_another_voice_is_refused(analyzer, delayed_clip, tmp_path):
    swapped = tmp_path / "swapped.mkv"
    ffmpeg("-i", CLIP, "-i", delayed_clip(), "-map", "0:v", "-map", "1:a", "-t", "3", "-c:v", "copy", "-c:a", "libopus", swapped)
    report, written = analyzer.fix(swapped, tmp_path / "out.mkv", FixOptions(plot=tmp_path / "plot.png"))
    assert report.verdict == "undecided" and written is None and not (tmp_path / "out.mkv").exists()
    assert (tmp_path / "plot.png").exists(), "the evidence is plotted all the same"
