"""An external recording aligned with a video: roughly by the video's own audio, exactly by the lips."""

import json
from dataclasses import replace

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner
from helpers import lag_s

import resync.sync.recording
from resync.api import FixOptions, analyze, fix
from resync.cli.main import main
from resync.demo.clip import delay_samples, write_clip
from resync.errors import MediaError
from resync.media.audio import read_audio
from resync.media.probe import probe
from resync.media.source import AudioSource
from resync.sync.recording import locate_recording, match_onsets, onset_bands

RATE = 16_000


def from_another_microphone(audio, rng):
    """With echo, another tone and noise."""
    echo = audio + 0.4 * delay_samples(audio, 500) + 0.2 * delay_samples(audio, 1500)
    return np.diff(echo, prepend=0.0) + rng.normal(0, 0.1 * np.abs(np.diff(echo)).mean(), len(echo))


@pytest.fixture(scope="module")
def recording(talking, tmp_path_factory):
    """The talking clip's voice, started 12.34 s before the video, from another microphone; stereo, 48 kHz."""
    rng = np.random.default_rng(0)
    voice = from_another_microphone(np.concatenate([np.zeros(round(12.34 * RATE)), talking.audio, np.zeros(RATE)]), rng)
    wide = np.interp(np.arange(3 * len(voice)) / 3, np.arange(len(voice)), voice)
    path = tmp_path_factory.mktemp("mic") / "mic.wav"
    soundfile.write(path, np.stack([wide, 0.5 * wide], 1) / np.abs(wide).max() / 2, 3 * RATE)
    return path


@pytest.fixture(scope="module")
def silent_video(talking, tmp_path_factory, ffmpeg):
    """The talking clip without an audio track."""
    folder = tmp_path_factory.mktemp("silent")
    write_clip(talking, folder / "own.mp4")
    ffmpeg("-i", folder / "own.mp4", "-an", "-c", "copy", folder / "silent.mp4")
    return folder / "silent.mp4"


@pytest.mark.parametrize("start", [-730, 0, 415])
def test_match_onsets(start):
    rng = np.random.default_rng(1)
    video = rng.exponential(1.0, (2000, 8))
    longer = np.concatenate([rng.exponential(1.0, (1000, 8)), video, rng.exponential(1.0, (1000, 8))])
    recording = longer[1000 + start : 1000 + start + 900] + rng.exponential(0.5, (900, 8))
    start_s, prominence = match_onsets(video, recording)
    assert start_s == pytest.approx(start / 100) and prominence > 1.4
    assert match_onsets(video, rng.exponential(1.0, (900, 8)))[1] < 1.4
    assert match_onsets(video, video[:0]) == (0.0, 0.0)


def test_onsets_do_not_depend_on_level(delayed_clip, tmp_path):
    info = probe(delayed_clip(0))
    first = onset_bands(info, 0)
    assert first.shape[1] == 8 and len(first) == pytest.approx(500, abs=10) and first.min() >= 0
    audio = read_audio(info.path)
    soundfile.write(tmp_path / "quiet.wav", 0.3 * audio, RATE)
    again = onset_bands(probe(tmp_path / "quiet.wav"), 0)
    n = min(len(first), len(again))
    assert np.corrcoef(first[:n].ravel(), again[:n].ravel())[0, 1] > 0.95


def test_a_recording_is_read_on_the_clock_of_the_video(recording):
    whole = read_audio(recording)
    second = AudioSource(recording, 0, start_s=-12.34).read(1.0, 2.0)
    assert len(second) == RATE and np.allclose(second, whole[round(13.34 * RATE) :][:RATE], atol=1e-3)
    assert not AudioSource(recording, 0, start_s=5.0).read(0.0, 1.0).any()


@pytest.mark.parametrize("own_delay_ms", [0, 200])
def test_a_recording_becomes_the_first_track_in_sync(delayed_clip, recording, tmp_path, own_delay_ms):
    video, out, alone = delayed_clip(own_delay_ms), tmp_path / "out.mp4", tmp_path / "fixed.wav"
    before = recording.read_bytes()
    report, written = fix(video, out, options=FixOptions(export=alone), audio=recording)
    assert report.audio == str(recording) and report.verdict == "out_of_sync"
    assert report.audio_delay_ms == pytest.approx(12340, abs=40) and report.shift_ms == -report.audio_delay_ms
    assert "first audio track" in written.notes[0] and recording.read_bytes() == before
    info = probe(out)
    assert info.audio[0].codec == "aac", "few players support PCM in MP4"
    assert [a.channels for a in info.audio] == [2, probe(video).audio[0].channels]
    after = analyze(out)
    assert abs(after.audio_delay_ms) < 40, "players play the first track"
    assert info.video.duration_s == pytest.approx(probe(video).video.duration_s, abs=0.05)
    exported, rate = soundfile.read(alone)
    assert rate == 48_000 and exported.shape[1] == 2 and len(exported) / rate == pytest.approx(report.duration_s, abs=0.01)
    muxed = read_audio(out, rate=48_000)[: len(exported)]
    mono = exported.mean(1)[: len(muxed)]
    assert abs(lag_s(muxed, mono, 48_000)) <= 0.001, "both outputs carry the same audio at the same time"


def test_a_video_without_audio_starts_together_with_the_recording(silent_video, talking, tmp_path):
    soundfile.write(tmp_path / "mic.wav", delay_samples(talking.audio, round(0.3 * RATE)), RATE)
    report = analyze(silent_video, audio=tmp_path / "mic.wav")
    assert report.audio_delay_ms == pytest.approx(300, abs=40)
    with pytest.raises(MediaError, match="no audio track"):
        analyze(silent_video)


def test_a_recording_of_something_else_is_refused(delayed_clip, tmp_path):
    rng = np.random.default_rng(2)
    soundfile.write(tmp_path / "rain.wav", rng.normal(0, 0.1, 10 * RATE), RATE)
    with pytest.raises(MediaError, match="does not match"):
        locate_recording(tmp_path / "rain.wav", probe(delayed_clip(0)))


def test_a_recording_of_a_few_samples_is_refused(delayed_clip, tmp_path):
    soundfile.write(tmp_path / "click.wav", np.ones(50), 16_000)
    with pytest.raises(MediaError, match="click.wav: does not match"):
        locate_recording(tmp_path / "click.wav", probe(delayed_clip(0)))


def test_a_declared_length_of_hours_costs_nothing(recording, monkeypatch):
    chunks, original = [], resync.sync.recording.log_mel
    monkeypatch.setattr(resync.sync.recording, "log_mel", lambda audio: chunks.append(len(audio)) or original(audio))
    info = probe(recording)
    bands = onset_bands(replace(info, audio=(replace(info.audio[0], duration_s=2 * 3600.0),)), 0)
    assert len(bands) <= 60_000 and len(chunks) == 1
    assert np.array_equal(bands[:100], onset_bands(info, 0)[:100])


def test_errors_are_one_line_and_leave_nothing(delayed_clip, recording, tmp_path):
    (tmp_path / "text.wav").write_text("no audio")
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


def test_a_recording_with_a_wrong_length_in_its_header(delayed_clip, recording, tmp_path):
    """A header that claims hours, as a recorder leaves it when it loses power."""
    header = bytearray(recording.read_bytes())
    at = header.index(b"data") + 4
    header[4:8] = header[at : at + 4] = (0xFFFFFFF0).to_bytes(4, "little")
    damaged = tmp_path / "damaged.wav"
    damaged.write_bytes(header)
    report = analyze(delayed_clip(0), audio=damaged)
    assert report.audio_delay_ms == pytest.approx(12340, abs=40)


def test_check_reports_the_recording(delayed_clip, recording):
    done = CliRunner().invoke(main, ["check", "--json", str(delayed_clip(0)), "--audio", str(recording)])
    row = json.loads(done.stdout)
    assert row["audio"] == str(recording) and row["audio_delay_ms"] == pytest.approx(12340, abs=40)
    assert row["segments"][0]["audio_delay_ms"] == pytest.approx(row["audio_delay_ms"], abs=1)
