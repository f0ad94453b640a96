"""The corrected audio alone, exported as an audio file."""

import os
from contextlib import contextmanager

import numpy as np
import pytest
import soundfile
from helpers import ffmpeg, noise_input, pattern_input

from resync import Analyzer, FixOptions
from resync.errors import OutputError, RemuxError
from resync.remux import export
from resync.remux.correction import Correction
from resync.remux.export import exported_audio
from resync.remux.paths import Overwrite, is_foreign_media

RATE = 44_100


@pytest.fixture(scope="module")
def two_tracks(tmp_path_factory):
    """(file, samples of its second audio track: float [n, 2]): the first track is mono, the second stereo, both lossless."""
    folder = tmp_path_factory.mktemp("export")
    samples = np.random.default_rng(0).normal(0, 0.1, (2 * RATE, 2))
    soundfile.write(folder / "stereo.wav", samples, RATE, "PCM_16")
    ffmpeg(*pattern_input(2), *noise_input(seconds=2), "-i", folder / "stereo.wav", "-map", "0", "-map", "1", "-map", "2",
           "-c:v", "mpeg4", "-c:a", "flac", folder / "in.mkv")  # fmt: skip
    return folder / "in.mkv", soundfile.read(folder / "stereo.wav")[0]


@contextmanager
def unfinished(folder):
    """Fails after checking that the audio is complete under a temporary name."""
    (name,) = os.listdir(folder)
    assert name.startswith(".resync-") and name.endswith(".wav")
    assert soundfile.info(folder / name).frames == 3 * RATE
    raise RuntimeError("no video")
    yield


@pytest.mark.parametrize("shift_ms", [100, -100])
def test_a_track_is_exported_with_all_channels_at_its_own_rate(two_tracks, tmp_path, shift_ms):
    source, samples = two_tracks
    with exported_audio(source, 1, tmp_path / "o.wav", Correction(shift_ms), length_s=3.0):
        pass
    audio, rate = soundfile.read(tmp_path / "o.wav")
    assert rate == RATE and audio.shape == (3 * RATE, 2) and soundfile.info(tmp_path / "o.wav").subtype == "PCM_24"
    shift = round(shift_ms / 1000 * RATE)
    expected = np.concatenate([np.zeros((max(0, shift), 2)), samples[max(0, -shift) :], np.zeros((2 * RATE, 2))])[: 3 * RATE]
    np.testing.assert_allclose(audio, expected, atol=1e-4)
    assert not is_foreign_media(tmp_path / "o.wav"), "marked as written by resync"


def test_tempo_and_length_are_applied(two_tracks, tmp_path):
    source, samples = two_tracks
    with exported_audio(source, 1, tmp_path / "o.flac", Correction(0, tempo=1.001), length_s=1.5):
        pass
    audio, _ = soundfile.read(tmp_path / "o.flac")
    assert len(audio) == 1.5 * RATE
    template, nearby = samples[RATE:, 0][:441], audio[RATE - 200 :, 0][:841]
    lag = int(np.argmax(np.correlate(nearby, template, "valid"))) - 200
    assert lag / RATE == pytest.approx(-0.001, abs=5e-5), "faster: after one second it is 1 ms ahead"


def test_the_file_gets_its_name_after_the_body(two_tracks, output_folder):
    source, _ = two_tracks
    with pytest.raises(RuntimeError, match="no video"):
        with exported_audio(source, 1, output_folder / "o.wav", Correction(0), length_s=3.0), unfinished(output_folder):
            pass
    assert not os.listdir(output_folder)


@pytest.mark.parametrize(
    ("name", "overwrite", "message"),
    [("o.txt", Overwrite.NEVER, "not an audio file type"), ("old.wav", Overwrite.NEVER, "already exists"),
     ("old.wav", Overwrite.OWN, "--overwrite-media"), ("no/o.wav", Overwrite.NEVER, "does not exist")],
)  # fmt: skip
def test_bad_targets_are_refused(two_tracks, tmp_path, name, overwrite, message):
    (tmp_path / "old.wav").write_text("damaged")
    with pytest.raises(OutputError, match=message) as caught:
        with exported_audio(two_tracks[0], 0, tmp_path / name, Correction(0), length_s=1.0, overwrite=overwrite):
            pytest.fail("the body ran")
    assert "\n" not in str(caught.value)
    assert os.listdir(tmp_path) == ["old.wav"] and (tmp_path / "old.wav").read_text() == "damaged"


def test_an_existing_file_of_another_kind_can_be_overwritten(two_tracks, tmp_path):
    (tmp_path / "o.wav").write_text("damaged")
    with exported_audio(two_tracks[0], 0, tmp_path / "o.wav", Correction(0), length_s=1.0, overwrite=Overwrite.ANY):
        assert (tmp_path / "o.wav").read_text() == "damaged"
    assert soundfile.info(tmp_path / "o.wav").duration == 1.0


def test_fix_leaves_no_audio_behind_when_the_video_fails(delayed_clip, output_folder, monkeypatch):
    def fail(*_, **__):
        assert [name.rpartition(".")[2] for name in os.listdir(output_folder)] == ["wav"]
        raise RemuxError("no video")

    monkeypatch.setattr("resync.api.shift_audio", fail)
    with pytest.raises(RemuxError, match="no video"):
        Analyzer().fix(delayed_clip(200), output_folder / "o.mp4", FixOptions(export=output_folder / "o.wav"))
    assert not os.listdir(output_folder)


def test_a_wav_file_over_4_gib_is_rf64(two_tracks, tmp_path, monkeypatch):
    """The counters of a plain WAV file would be too small, and the file would look shorter than it is. Here the limit is lowered."""
    source, samples = two_tracks
    monkeypatch.setattr(export, "_LIMIT_BYTES", 6 * 2 * RATE)  # two seconds in stereo
    for name, length_s, start in (("short.wav", 1.9, b"RIFF"), ("long.wav", 2.0, b"RF64"), ("long.flac", 2.0, b"fLaC")):
        with exported_audio(source, 1, tmp_path / name, Correction(0), length_s=length_s):
            pass
        assert (tmp_path / name).read_bytes()[:4] == start and not is_foreign_media(tmp_path / name)
    assert np.allclose(soundfile.read(tmp_path / "long.wav")[0], samples, atol=1e-6)
    assert ffmpeg("-i", tmp_path / "long.wav", "-f", "f32le", "-") == ffmpeg("-i", tmp_path / "long.flac", "-f", "f32le", "-")
    with pytest.raises(OutputError, match="^[^\\n]*long.aiff: too long for this file type, [^\\n]*; use .wav or .flac$"):
        with exported_audio(source, 1, tmp_path / "long.aiff", Correction(0), length_s=2.0):
            pytest.fail("the body ran")
    assert not (tmp_path / "long.aiff").exists()
