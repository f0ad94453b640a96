"""A film in memory is analysed as a file is."""

import doctest

import numpy as np
import pytest
from scipy.signal import resample_poly

import resync
from resync import analyze, film_of
from resync.errors import MediaError
from resync.synth import delayed


@pytest.mark.parametrize("delay_ms", [0, 160, -240])
def test_the_delay_is_found(talking, delay_ms):
    sound = delayed(talking.sound, round(delay_ms / 1000 * talking.rate))
    report = analyze(film_of(talking.frames, talking.fps, sound, talking.rate))
    assert report.audio_delay_ms == pytest.approx(delay_ms, abs=30)
    assert report.file == "arrays" and report.duration_s == pytest.approx(5, abs=0.1) and report.fps == talking.fps


def test_other_rates_and_channels(talking):
    stereo = np.repeat(resample_poly(talking.sound, 3, 1)[:, None], 2, 1)
    film = film_of(talking.frames[::2], talking.fps / 2, stereo, 3 * talking.rate)
    assert film.info.audio[0].channels == 2
    ticks = [(f.index, f.shown_s) for f in film.frames(0.0, 1.0)]
    assert [i for i, _ in ticks] == list(range(25)) and all(abs(t - i / 25) < 0.0401 for i, t in ticks)
    heard = film.sound.read(-0.5, 1.0)
    assert len(heard) == 24_000 and not heard[:7_900].any() and np.abs(heard[8_000:]).max() > 0.01
    assert not film.sound.read(100.0, 101.0).any()


@pytest.mark.parametrize(
    ("pictures", "sound", "fps"),
    [
        (np.zeros((5, 8, 8), np.uint8), np.zeros(9), 25),
        (np.zeros((5, 8, 8, 3)), np.zeros(9), 25),
        (np.zeros((0, 8, 8, 3), np.uint8), np.zeros(9), 25),
        (np.zeros((5, 8, 8, 3), np.uint8), np.zeros(0), 25),
        (np.zeros((5, 8, 8, 3), np.uint8), np.zeros(9), 0),
    ],
)
def test_other_shapes_are_refused(pictures, sound, fps):
    with pytest.raises(MediaError, match="arrays: "):
        film_of(pictures, fps, sound, 16_000)


def test_the_examples_of_the_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = doctest.testmod(resync)
    assert result.attempted >= 9 and result.failed == 0
