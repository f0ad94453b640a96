"""A recorder's file put on the picture: found roughly by the film's own sound, exactly by the lips."""

import json

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner

from resync.cli import main
from resync.errors import MediaError, OutputError, RemuxError
from resync.external import Sound, exported_sound, match, onsets, place
from resync.media import probe, read_sound
from resync.pipeline import analyze, fix
from resync.synth import delayed, write_clip

RATE = 16_000


def as_another_microphone_heard(sound, rng):
    """With echo, another tone and noise."""
    echo = sound + 0.4 * delayed(sound, 500) + 0.2 * delayed(sound, 1500)
    return np.diff(echo, prepend=0.0) + rng.normal(0, 0.1 * np.abs(np.diff(echo)).mean(), len(echo))


@pytest.fixture(scope="module")
def recording(talking, tmp_path_factory):
    """The talking clip's voice, begun 12.34 s before the film, by another microphone; stereo, 48 kHz."""
    rng = np.random.default_rng(0)
    voice = as_another_microphone_heard(np.concatenate([np.zeros(round(12.34 * RATE)), talking.sound, np.zeros(RATE)]), rng)
    wide = np.interp(np.arange(3 * len(voice)) / 3, np.arange(len(voice)), voice)
    path = tmp_path_factory.mktemp("mic") / "mic.wav"
    soundfile.write(path, np.stack([wide, 0.5 * wide], 1) / np.abs(wide).max() / 2, 3 * RATE)
    return path


@pytest.fixture(scope="module")
def blind(talking, tmp_path_factory, ffmpeg):
    """The talking clip without any sound."""
    folder = tmp_path_factory.mktemp("blind")
    write_clip(talking, folder / "own.mp4")
    ffmpeg("-i", folder / "own.mp4", "-an", "-c", "copy", folder / "blind.mp4")
    return folder / "blind.mp4"


@pytest.mark.parametrize("start", [-730, 0, 415])
def test_match(start):
    rng = np.random.default_rng(1)
    film = rng.exponential(1.0, (2000, 8))
    heard = np.concatenate([rng.exponential(1.0, (1000, 8)), film, rng.exponential(1.0, (1000, 8))])
    other = heard[1000 + start : 1000 + start + 900] + rng.exponential(0.5, (900, 8))
    found, clear = match(film, other)
    assert found == pytest.approx(start / 100) and clear > 1.4
    assert match(film, rng.exponential(1.0, (900, 8)))[1] < 1.4
    assert match(film, film[:0]) == (0.0, 0.0)


def test_onsets_do_not_hear_levels(delayed_clip, tmp_path):
    info = probe(delayed_clip(0))
    first = onsets(info, 0)
    assert first.shape[1] == 8 and len(first) == pytest.approx(500, abs=10) and first.min() >= 0
    sound = read_sound(info.path)
    soundfile.write(tmp_path / "quiet.wav", 0.3 * sound, RATE)
    again = onsets(probe(tmp_path / "quiet.wav"), 0)
    n = min(len(first), len(again))
    assert np.corrcoef(first[:n].ravel(), again[:n].ravel())[0, 1] > 0.95


def test_a_sound_is_read_on_the_films_clock(recording):
    whole = read_sound(recording)
    part = Sound(recording, 0, starts_s=-12.34).read(1.0, 2.0)
    assert len(part) == RATE and np.allclose(part, whole[round(13.34 * RATE) :][:RATE], atol=1e-3)
    assert not Sound(recording, 0, starts_s=5.0).read(0.0, 1.0).any()


@pytest.mark.parametrize("own_delay_ms", [0, 200])
def test_a_recording_is_put_on_the_picture(delayed_clip, recording, tmp_path, own_delay_ms):
    film, out, alone = delayed_clip(own_delay_ms), tmp_path / "out.mp4", tmp_path / "fixed.wav"
    before = recording.read_bytes()
    report, written = fix(film, out, audio=recording, export=alone)
    assert report.audio == str(recording) and report.verdict == "out_of_sync"
    assert report.audio_delay_ms == pytest.approx(12340, abs=40) and report.shift_ms == -report.audio_delay_ms
    assert "first sound track" in written.notes[0] and recording.read_bytes() == before
    info = probe(out)
    assert info.audio[0].codec == "aac", "PCM in an MP4 is played by few"
    assert [a.channels for a in info.audio] == [2, probe(film).audio[0].channels]
    after = analyze(out)
    assert abs(after.audio_delay_ms) < 40, "the recording is what one hears first"
    assert info.video.duration_s == pytest.approx(probe(film).video.duration_s, abs=0.05)
    sound, rate = soundfile.read(alone)
    assert rate == 48_000 and sound.shape[1] == 2 and len(sound) / rate == pytest.approx(report.duration_s, abs=0.01)
    heard = read_sound(out, rate=48_000)[: len(sound)]
    mono = sound.mean(1)[: len(heard)]
    lag = np.argmax(np.correlate(heard[96_000:110_000], mono[96_100:109_900], "valid")) - 100
    assert abs(lag) <= 48, "both outputs carry the same sound at the same time"


def test_a_film_without_sound_needs_the_range(blind, talking, tmp_path):
    soundfile.write(tmp_path / "mic.wav", delayed(talking.sound, round(0.3 * RATE)), RATE)
    report = analyze(blind, audio=tmp_path / "mic.wav")
    assert report.audio_delay_ms == pytest.approx(300, abs=40)
    with pytest.raises(MediaError, match="no sound track"):
        analyze(blind)


def test_a_recording_of_something_else_is_refused(delayed_clip, tmp_path):
    rng = np.random.default_rng(2)
    soundfile.write(tmp_path / "rain.wav", rng.normal(0, 0.1, 10 * RATE), RATE)
    with pytest.raises(MediaError, match="is not found in"):
        place(tmp_path / "rain.wav", probe(delayed_clip(0)))


def test_errors_are_one_line_and_leave_nothing(delayed_clip, recording, tmp_path):
    (tmp_path / "text.wav").write_text("no sound")
    for arguments in (
        ["fix", delayed_clip(0), tmp_path / "o.mp4", "--audio", tmp_path / "text.wav"],
        ["fix", delayed_clip(0), tmp_path / "o.mp4", "--audio", tmp_path / "none.wav"],
        ["fix", delayed_clip(0), tmp_path / "o.mp4", "--export-audio", tmp_path / "o.txt"],
        ["check", recording, "--audio", recording],
    ):
        done = CliRunner().invoke(main, [str(a) for a in arguments])
        assert done.exit_code == 1 and done.stderr.startswith("resync: ") and done.stderr.count("\n") == 1, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ["text.wav"]
    done = CliRunner().invoke(main, ["fix", "a.mp4", "b.mp4", "-o", str(tmp_path), "--audio", str(recording)])
    assert done.exit_code == 2
    with pytest.raises(OutputError, match="exists already"):
        with exported_sound(recording, 0, tmp_path / "text.wav", 0.0, length_s=1.0):
            pass


def test_the_sound_alone_is_named_when_the_film_is_written(delayed_clip, tmp_path, monkeypatch):
    def fail(*_, **__):
        assert [p.suffix for p in tmp_path.iterdir()] == [".wav"], "whole, under a name of its own"
        raise RemuxError("no film")

    monkeypatch.setattr("resync.pipeline.shift_sound", fail)
    with pytest.raises(RemuxError, match="no film"):
        fix(delayed_clip(200), tmp_path / "o.mp4", export=tmp_path / "o.wav")
    assert not list(tmp_path.iterdir())


def test_a_recording_that_lies_about_its_length(delayed_clip, recording, tmp_path):
    """A header that promises hours, as a recorder leaves that lost its power."""
    header = bytearray(recording.read_bytes())
    at = header.index(b"data") + 4
    header[4:8] = header[at : at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    lying = tmp_path / "lying.wav"
    lying.write_bytes(header)
    report = analyze(delayed_clip(0), audio=lying)
    assert report.audio_delay_ms == pytest.approx(12340, abs=40)


def test_check_tells_what_it_listened_to(delayed_clip, recording):
    done = CliRunner().invoke(main, ["check", "--json", str(delayed_clip(0)), "--audio", str(recording)])
    row = json.loads(done.stdout)
    assert row["audio"] == str(recording) and row["audio_delay_ms"] == pytest.approx(12340, abs=40)
    assert row["segments"][0]["audio_delay_ms"] == pytest.approx(row["audio_delay_ms"], abs=1)
