"""The preview: video and audio of each half, measured against the source."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from helpers import lag_s
from PIL import Image

from resync.cli.main import main
from resync.config import FPS
from resync.errors import MediaError, OutputError
from resync.media.audio import read_audio
from resync.media.probe import probe
from resync.media.video import read_frames
from resync.report.preview import Layout, check_preview, render_preview, require_start, strongest_start
from resync.sync.curve import Scores

RATE = 48_000


def lag_ms(audio, reference):
    return 1000 * lag_s(audio, reference, RATE)


@pytest.fixture(scope="module")
def preview(late, tmp_path_factory):
    """Preview of two seconds of that clip."""
    return render_preview(late, tmp_path_factory.mktemp("preview") / "p.mp4", strongest_start(late, 2.0), 2.0)


def test_audio_of_both_halves(preview, late, delayed_clip):
    audio, source = read_audio(preview.path, end_s=4.0, rate=RATE), read_audio(delayed_clip(200), rate=RATE)
    before, after = audio[: 2 * RATE], audio[2 * RATE :]
    start_ms = 1000 * preview.start_s
    assert lag_ms(before, source) + start_ms == pytest.approx(0, abs=5)
    assert lag_ms(after, source) + start_ms == pytest.approx(late.report.shift_ms, abs=5)
    assert late.report.shift_ms == pytest.approx(-200, abs=40)
    assert min(np.abs(before).max(), np.abs(after).max()) > 0.1


def test_both_halves_show_the_same_frames_with_different_panels(preview, delayed_clip):
    info = probe(preview.path)
    assert (info.video.width, info.video.height, info.video.fps) == (640 + 720, 640, 25)
    assert info.video.duration_s == pytest.approx(4.0, abs=0.05) and info.audio[0].duration_s == pytest.approx(4.0, abs=0.05)
    frames = [frame.image.bgr() for frame in read_frames(preview.path, max_side=4000)]
    source = [frame.image.bgr() for frame in read_frames(delayed_clip(200))]
    first = round(preview.start_s * FPS)
    assert len(frames) == 100

    def difference(a, b):
        return np.abs(a.astype(int) - b).mean()

    for k in (0, 17, 49):
        before, after = frames[k], frames[50 + k]
        expected = np.asarray(Image.fromarray(source[first + k]).resize((640, 640)))
        assert difference(before[:, :640], expected) < 6 and difference(after[:, :640], expected) < 6
        assert difference(before[:, 640:], frames[0][:, 640:]) < 1 and difference(after[:, 640:], frames[0][:, 640:]) > 2


def test_preview_ends_with_the_video(analyzer, delayed_clip, tmp_path):
    _, preview = analyzer.preview(delayed_clip(200, ".mkv"), tmp_path / "p.mkv", start_s=4.0, seconds=6.0)
    assert preview.start_s == 4.0 and preview.seconds == pytest.approx(1.0, abs=0.15)
    assert probe(preview.path).video.duration_s == pytest.approx(2 * preview.seconds, abs=0.05)


def test_external_recording_plays_unshifted_then_corrected(analyzer, delayed_clip, ffmpeg, tmp_path):
    """The recorder was started 700 ms before the camera."""
    wav = tmp_path / "mic.wav"
    ffmpeg("-i", delayed_clip(200), "-vn", "-af", "adelay=700:all=1", wav)
    report, preview = analyzer.preview(delayed_clip(200), tmp_path / "p.mp4", audio=wav, start_s=1.0, seconds=2.0)
    audio, source = read_audio(preview.path, end_s=4.0, rate=RATE), read_audio(wav, rate=RATE)
    assert report.shift_ms == pytest.approx(-900, abs=40)
    assert lag_ms(audio[: 2 * RATE], source) == pytest.approx(-1000, abs=5)
    assert lag_ms(audio[2 * RATE :], source) == pytest.approx(-1000 + report.shift_ms, abs=5)


def test_preview_starts_at_the_strongest_evidence(late):
    evidence = late.evidence
    count = 30 * FPS
    probability = np.full((count, len(evidence.decision.delays_s)), 0.1, np.float32)
    hops = np.zeros(4 * (count - 1) + probability.shape[1])
    probability[12 * FPS : 17 * FPS, evidence.peak.index] = 0.9
    hops[evidence.peak.index :][4 * 10 * FPS : 4 * 20 * FPS] = 1  # speech around those five seconds, but without evidence
    scores = Scores(probability, evidence.segments[0].delays, np.arange(count) / FPS, hops, hops)
    info = replace(evidence.info, video=replace(evidence.info.video, duration_s=30.0))
    analysis = late._replace(evidence=replace(evidence, segments=(scores,), info=info))
    assert strongest_start(analysis, 5.0) == pytest.approx(12.0, abs=0.05)
    assert strongest_start(analysis, 28.0) <= 2.0
    assert strongest_start(analysis, 60.0) == 0.0


def test_layouts_are_even_and_legible():
    for width, height in ((1920, 1080), (854, 480), (1080, 1920), (256, 256), (333, 251), (4000, 300)):
        layout = Layout.of(width, height)
        sizes = np.array([layout.video, layout.panel])
        assert (sizes % 2 == 0).all() and min(layout.panel) >= 360
        assert layout.video[0] / layout.video[1] == pytest.approx(width / height, rel=0.02)
        assert len(set(sizes[:, 1 if layout.beside else 0])) == 1  # the shared edge


def test_undecided_writes_nothing(analyzer, no_face, tmp_path):
    report, preview = analyzer.preview(no_face, tmp_path / "p.mp4")
    assert report.verdict == "undecided" and preview is None and not any(tmp_path.iterdir())


def test_unusable_targets_are_rejected(delayed_clip, tmp_path):
    (tmp_path / "there.mp4").write_bytes(b"mine")
    own = tmp_path / "own.mp4"
    own.write_bytes(b"input")
    for source, name, overwrite, message in (
        (delayed_clip(200), "p.webm", False, ".mp4"),
        (delayed_clip(200), "p", False, ".mp4"),
        (delayed_clip(200), "there.mp4", False, "-y"),
        (delayed_clip(200), "no/p.mp4", False, "folder"),
        (own, "own.mp4", True, "input"),
    ):
        with pytest.raises(OutputError, match=message) as caught:
            check_preview(source, tmp_path / name, overwrite)
        assert str(caught.value).startswith(str(tmp_path / name)) and "\n" not in str(caught.value)
    check_preview(delayed_clip(200), tmp_path / "new.mp4")


def test_start_outside_the_video_is_rejected(late):
    for start_s in (-1.0, late.report.duration_s - 0.3, 99.0):
        with pytest.raises(MediaError, match="--start"):
            require_start(late.evidence.info, start_s)
    require_start(late.evidence.info, 0.0)
    require_start(late.evidence.info, 4.0)


def test_errors_leave_nothing_behind(analyzer, delayed_clip, ffmpeg, tmp_path):
    (tmp_path / "there.mp4").write_bytes(b"mine")
    mute = tmp_path / "mute.mp4"
    ffmpeg("-i", delayed_clip(0), "-an", "-c", "copy", mute)
    before = sorted(tmp_path.iterdir())
    for source, name, options, error in (
        (delayed_clip(200), "p.webm", {}, OutputError),
        (delayed_clip(200), "there.mp4", {}, OutputError),
        (delayed_clip(200), "p.mp4", {"start_s": 99}, MediaError),
        (mute, "p.mp4", {}, MediaError),
    ):
        with pytest.raises(error) as caught:
            analyzer.preview(source, tmp_path / name, **options)
        assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "there.mp4").read_bytes() == b"mine"


def test_preview_command(delayed_clip, no_face, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the command would leave its handler in this process

    def run(*args):
        return CliRunner().invoke(main, ["preview", *map(str, args)])

    result = run(delayed_clip(200), "p.mp4", "--seconds", 1)
    assert result.exit_code == 0 and "ms late" in result.stdout and "p.mp4" in result.stderr
    assert probe("p.mp4").duration_s == pytest.approx(2.0, abs=0.1)
    result = run(delayed_clip(200), "p.mp4")
    assert result.exit_code == 1 and len(result.stderr.splitlines()) == 1 and "-y" in result.stderr
    assert run(no_face, "q.mp4").exit_code == 3
    assert [p.name for p in tmp_path.iterdir()] == ["p.mp4"]
