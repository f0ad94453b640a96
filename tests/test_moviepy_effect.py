"""Resync() in moviepy: the sound is moved by what was measured, and nothing else changes."""

import re
from pathlib import Path

import numpy as np
import pytest
from moviepy import AudioArrayClip, ColorClip, CompositeVideoClip, VideoFileClip, concatenate_videoclips
from scipy.signal import correlate

from resync import analyze
from resync.errors import MediaError, UndecidedError
from resync.moviepy_effect import Resync, analyze_clip, samples_at
from resync.remux.apply import shift_audio
from resync.remux.correction import Correction

RATE = 44_100
README = Path(__file__).resolve().parents[1] / "README.md"


def heard(clip, seconds=None):
    """Mono samples of a clip's sound from its beginning."""
    return samples_at(clip.audio, np.arange(round((seconds or clip.duration) * RATE)) / RATE).mean(1)


def lag_ms(sound, reference):
    both = correlate(sound, reference, method="fft")
    return 1000 * (int(np.argmax(both)) - len(reference) + 1) / RATE


@pytest.fixture
def noise():
    """A still picture of 3 s with stereo noise."""
    sound = np.random.default_rng(1).normal(0, 0.1, (3 * RATE, 2))
    return ColorClip((64, 48), (9, 99, 200), duration=3).with_fps(25).with_audio(AudioArrayClip(sound, RATE))


@pytest.fixture
def opened():
    """Open clips that are closed at the end."""
    clips = []

    def open_clip(path):
        clips.append(VideoFileClip(str(path)))
        return clips[-1]

    yield open_clip
    for clip in clips:
        clip.close()


@pytest.mark.parametrize("shift_ms", [120, -120, 37.5, -2999])
def test_by_hand_no_network(noise, shift_ms, monkeypatch):
    monkeypatch.setattr("resync.moviepy_effect.examine", None)  # whoever analyses fails
    moved = noise.with_effects([Resync(shift_ms=shift_ms)])
    assert moved.duration == 3 and moved.audio.duration == 3 and moved.audio.nchannels == 2 and moved.audio.fps == RATE
    old, new = heard(noise), heard(moved)
    assert lag_ms(new, old) == pytest.approx(shift_ms, abs=0.05)
    n = round(abs(shift_ms) / 1000 * RATE)
    gone = new[:n] if shift_ms > 0 else new[-n:]
    assert np.abs(gone[2:-2]).max(initial=0) == 0
    assert moved.get_frame(1).tolist() == noise.get_frame(1).tolist()
    assert moved.audio.get_frame(1.5) == pytest.approx(moved.audio.get_frame(np.array([1.5]))[0])


def test_nothing_to_move_leaves_the_sound_alone(noise):
    assert np.array_equal(heard(noise.with_effects([Resync(shift_ms=0)])), heard(noise))


def test_its_place_in_a_composition_stays(noise):
    moved = noise.with_start(2).with_effects([Resync(shift_ms=100)])
    both = CompositeVideoClip([noise, moved]).with_fps(25)
    assert both.duration == 5
    late = heard(both)[round(3 * RATE) :]  # the first has ended
    assert lag_ms(late, heard(noise)) == pytest.approx(100 - 1000, abs=0.1)


def delay_once_written(clip, folder):
    """What resync finds of the clip as moviepy writes it."""
    clip.write_videofile(str(folder / "out.mp4"), audio_codec="aac", preset="ultrafast", logger=None, temp_audiofile_path=str(folder))
    return analyze(folder / "out.mp4").audio_delay_ms


def test_the_delay_that_is_found_is_taken_away(opened, delayed_clip, tmp_path):
    clip = opened(delayed_clip(200))
    moved = clip.with_effects([Resync()])
    assert lag_ms(heard(moved), heard(clip)) == pytest.approx(-200, abs=40)
    assert abs(delay_once_written(moved, tmp_path)) < 40


def test_a_clip_is_taken_as_it_plays_whatever_its_file_says(opened, delayed_clip, tmp_path):
    """moviepy drops start times: the file is 300 ms late by them, the clip is not."""
    shift_audio(delayed_clip(200), tmp_path / "late.mkv", Correction(100))
    moved = opened(tmp_path / "late.mkv").with_effects([Resync()])
    assert abs(delay_once_written(moved, tmp_path)) < 40


def test_a_clip_without_a_file(opened, delayed_clip):
    clip = opened(delayed_clip(200))
    joined = concatenate_videoclips([clip.subclipped(0.5, 3), clip.subclipped(2, 4.5)])
    report = analyze_clip(joined)
    assert report.file == "clip" and report.duration_s == 5 and report.audio_delay_ms == pytest.approx(200, abs=40)


def test_undecided_raises_unless_told_otherwise(opened, no_face):
    clip = opened(no_face)
    with pytest.raises(UndecidedError, match="no face") as caught:
        clip.with_effects([Resync()])
    assert "\n" not in str(caught.value) and str(no_face) in str(caught.value) and "strict=False" in str(caught.value)
    assert np.array_equal(heard(clip.with_effects([Resync(strict=False)])), heard(clip))


def test_what_has_no_sound_picture_or_end_is_refused(noise):
    for clip, words in ((noise.without_audio(), "no sound"), (noise.audio, "no picture"), (noise.with_duration(None), "duration")):
        with pytest.raises(MediaError, match=words) as caught:
            clip.with_effects([Resync(shift_ms=10)])
        assert "\n" not in str(caught.value)


def test_the_script_in_the_readme_runs(delayed_clip, tmp_path, monkeypatch):
    if not README.exists():
        pytest.skip("not a checkout")
    (script,) = re.findall(r"```python\n([^`]*Resync[^`]*)```", README.read_text(encoding="utf-8"))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "in.mp4").write_bytes(delayed_clip(200).read_bytes())
    exec(compile(script, "README.md", "exec"), {})
    assert abs(analyze(tmp_path / "out.mp4").audio_delay_ms) < 40
