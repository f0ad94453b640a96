"""Resync() in moviepy: the audio is shifted by what was measured, and nothing else changes."""

import numpy as np
import pytest
from helpers import lag_s
from moviepy import AudioArrayClip, ColorClip, CompositeVideoClip, VideoFileClip, concatenate_videoclips

from resync import Analyzer
from resync.errors import MediaError, UndecidedError
from resync.moviepy_effect import Resync, analyze_clip, samples_at
from resync.remux.apply import shift_audio
from resync.remux.correction import Correction

RATE = 44_100


def mono(clip, seconds=None):
    """Mono samples of a clip's audio from its start."""
    return samples_at(clip.audio, np.arange(round((seconds or clip.duration) * RATE)) / RATE).mean(1)


def shift_ms_of(audio, reference):
    """How much later `audio` is than `reference`, in ms."""
    return 1000 * lag_s(audio, reference, RATE)


@pytest.fixture
def noise():
    """A clip of 3 s: one colour, stereo noise."""
    audio = np.random.default_rng(1).normal(0, 0.1, (3 * RATE, 2))
    return ColorClip((64, 48), (9, 99, 200), duration=3).with_fps(25).with_audio(AudioArrayClip(audio, RATE))


@pytest.fixture
def open_clip():
    """A function that opens a file as a clip; all are closed at the end."""
    clips = []

    def opened(path):
        clips.append(VideoFileClip(str(path)))
        return clips[-1]

    yield opened
    for clip in clips:
        clip.close()


@pytest.mark.parametrize("shift_ms", [120, -120, 37.5, -2999])
def test_given_shift_is_applied_without_analysis(noise, shift_ms, monkeypatch):
    monkeypatch.setattr(Analyzer, "analyze", None)
    shifted = noise.with_effects([Resync(shift_ms=shift_ms)])
    assert shifted.duration == 3 and shifted.audio.duration == 3 and shifted.audio.nchannels == 2 and shifted.audio.fps == RATE
    before, after = mono(noise), mono(shifted)
    assert shift_ms_of(after, before) == pytest.approx(shift_ms, abs=0.05)
    n = round(abs(shift_ms) / 1000 * RATE)
    silent = after[:n] if shift_ms > 0 else after[-n:]
    assert np.abs(silent[2:-2]).max(initial=0) == 0
    assert shifted.get_frame(1).tolist() == noise.get_frame(1).tolist()
    assert shifted.audio.get_frame(1.5) == pytest.approx(shifted.audio.get_frame(np.array([1.5]))[0])


def test_zero_shift_leaves_the_audio_unchanged(noise):
    assert np.array_equal(mono(noise.with_effects([Resync(shift_ms=0)])), mono(noise))


def test_start_in_a_composition_stays(noise):
    shifted = noise.with_start(2).with_effects([Resync(shift_ms=100)])
    both = CompositeVideoClip([noise, shifted]).with_fps(25)
    assert both.duration == 5
    last_2_s = mono(both)[round(3 * RATE) :]  # of the second clip, from 1 s on
    assert shift_ms_of(last_2_s, mono(noise)) == pytest.approx(100 - 1000, abs=0.1)


def delay_of_written_file_ms(clip, folder):
    """The delay of the clip as moviepy writes it."""
    clip.write_videofile(str(folder / "out.mp4"), audio_codec="aac", preset="ultrafast", logger=None, temp_audiofile_path=str(folder))
    return Analyzer().analyze(folder / "out.mp4").audio_delay_ms


def test_measured_delay_is_corrected(open_clip, delayed_clip, tmp_path):
    clip = open_clip(delayed_clip(200))
    corrected = clip.with_effects([Resync()])
    assert shift_ms_of(mono(corrected), mono(clip)) == pytest.approx(-200, abs=40)
    assert abs(delay_of_written_file_ms(corrected, tmp_path)) < 40


def test_clip_is_measured_as_moviepy_plays_it(open_clip, delayed_clip, tmp_path):
    """moviepy ignores start times: the file is 300 ms late by its timestamps, the clip is not."""
    shift_audio(delayed_clip(200), tmp_path / "late.mkv", Correction(100))
    corrected = open_clip(tmp_path / "late.mkv").with_effects([Resync()])
    assert abs(delay_of_written_file_ms(corrected, tmp_path)) < 40


def test_clip_without_a_file(open_clip, delayed_clip):
    clip = open_clip(delayed_clip(200))
    joined = concatenate_videoclips([clip.subclipped(0.5, 3), clip.subclipped(2, 4.5)])
    report = analyze_clip(joined)
    assert report.file == "clip" and report.duration_s == 5 and report.audio_delay_ms == pytest.approx(200, abs=40)


def test_undecided_clip_raises_unless_strict_is_off(open_clip, no_face):
    clip = open_clip(no_face)
    with pytest.raises(UndecidedError, match="no face") as error:
        clip.with_effects([Resync()])
    assert "\n" not in str(error.value) and str(no_face) in str(error.value) and "strict=False" in str(error.value)
    assert np.array_equal(mono(clip.with_effects([Resync(strict=False)])), mono(clip))


def test_clip_without_audio_video_or_duration_is_an_error(noise):
    for clip, words in (
        (noise.without_audio(), "no audio; add it"),
        (noise.audio, "not a video clip"),
        (noise.with_duration(None), "no duration"),
    ):
        with pytest.raises(MediaError, match=f"^clip: {words}[^\n]*$"):
            clip.with_effects([Resync(shift_ms=10)])
