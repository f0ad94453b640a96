"""Sources for the analysis: a file, or frames and audio in memory."""

import doctest

import numpy as np
import pytest
from numbered_clip import H264, RATE, frame_number
from scipy.signal import resample_poly

import resync
from resync.config import Config, MediaConfig
from resync.demo.clip import delay_samples
from resync.errors import MediaError
from resync.media.audio import read_audio
from resync.media.source import AudioSource, from_arrays, open_source


def test_file(mp4):
    source = open_source(mp4)
    assert [frame_number(f) for f in source.frames(1.0, 2.0)] == list(range(25, 50))
    assert np.array_equal(source.audio.read(1.0, 2.0), read_audio(mp4, start_s=1.0, end_s=2.0))
    assert frame_number(source.cheap_frame(1.5)) == 30  # the last keyframe
    small = open_source(mp4, Config(media=MediaConfig(max_side=32)))
    assert next(small.frames(0.0, 1.0)).image.size == small.cheap_frame(0.0).image.size == (32, 24)


def test_file_without_the_audio_track(encode, mp4):
    second_track = Config(media=MediaConfig(audio_track=2))
    silent = encode("silent.mp4", *H264, audio=False)
    with pytest.raises(MediaError, match="no audio track"):
        open_source(silent)
    with pytest.raises(MediaError, match="no audio track 2"):
        open_source(mp4, second_track)
    assert len(list(open_source(silent, needs_audio=False).frames(0.0, 1.0))) == 25


def test_audio_of_another_file_is_read_on_the_clock_of_the_video(wav):
    source = AudioSource(wav, start_s=0.5)
    assert np.array_equal(source.read(1.0, 2.0), read_audio(wav, start_s=0.5, end_s=1.5))
    assert not source.read(0.0, 0.4).any()


@pytest.mark.parametrize("delay_ms", [0, 160, -240])
def test_delay_in_arrays_is_measured(talking, delay_ms):
    audio = delay_samples(talking.audio, round(delay_ms / 1000 * talking.rate))
    report = resync.analyze(from_arrays(talking.frames, talking.fps, audio, talking.rate))
    assert report.audio_delay_ms == pytest.approx(delay_ms, abs=30)
    assert report.file == "arrays" and report.duration_s == pytest.approx(5, abs=0.1) and report.fps == talking.fps


def test_arrays_at_other_rates_and_in_stereo(talking):
    stereo = np.repeat(resample_poly(talking.audio, 3, 1)[:, None], 2, 1)
    source = from_arrays(talking.frames[::2], talking.fps / 2, stereo, 3 * talking.rate)
    assert source.info.audio[0].channels == 2
    frames = list(source.frames(0.0, 1.0))
    assert [f.index for f in frames] == list(range(25)) and all(abs(f.shown_s - f.index / 25) < 0.0401 for f in frames)
    assert np.array_equal(frames[10].image.bgr(), talking.frames[10][:, :, ::-1])
    assert source.cheap_frame(0.4).index == 10
    audio = source.audio.read(-0.5, 1.0)
    assert len(audio) == 1.5 * RATE and not audio[:7_900].any() and np.abs(audio[8_000:]).max() > 0.01
    assert not source.audio.read(100.0, 101.0).any()


@pytest.mark.parametrize(
    "frames, audio, fps",
    [
        (np.zeros((5, 8, 8), np.uint8), np.zeros(9), 25),
        (np.zeros((5, 8, 8, 3)), np.zeros(9), 25),
        (np.zeros((0, 8, 8, 3), np.uint8), np.zeros(9), 25),
        (np.zeros((5, 8, 8, 3), np.uint8), np.zeros(0), 25),
        (np.zeros((5, 8, 8, 3), np.uint8), np.zeros(9), 0),
    ],
)
def test_unsupported_arrays_are_an_error(frames, audio, fps):
    with pytest.raises(MediaError, match="arrays: "):
        from_arrays(frames, fps, audio, 16_000)


def test_examples_in_the_docstring_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(resync)
    assert result.attempted >= 9 and result.failed == 0
