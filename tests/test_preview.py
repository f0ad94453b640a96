"""The same seconds twice: what is seen and heard in each half is measured against the source."""

from dataclasses import replace

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image
from scipy.signal import correlate

from resync.cli import main
from resync.config import FPS
from resync.curve import Scores
from resync.errors import MediaError, OutputError
from resync.media import probe, read_frames, read_sound
from resync.pipeline import examine, open_film
from resync.preview import Layout, preview, telling_start

RATE = 48_000


def lag_ms(sound, reference):
    """How much later `sound` is than `reference`."""
    both = correlate(sound - sound.mean(), reference - reference.mean(), method="fft")
    return 1000 * (int(np.argmax(both)) - len(reference) + 1) / RATE


@pytest.fixture(scope="module")
def previewed(delayed_clip, tmp_path_factory):
    """(report, preview) of two seconds of a clip that is 200 ms late."""
    return preview(delayed_clip(200), tmp_path_factory.mktemp("preview") / "p.mp4", seconds=2.0)


def test_both_halves_sound_as_they_should(previewed, delayed_clip):
    report, made = previewed
    heard = read_sound(made.path, end_s=4.0, rate=RATE)
    source = read_sound(delayed_clip(200), rate=RATE)
    before, after = heard[: 2 * RATE], heard[2 * RATE :]
    at_ms = 1000 * made.start_s
    assert lag_ms(before, source) + at_ms == pytest.approx(0, abs=5)
    assert lag_ms(after, source) + at_ms == pytest.approx(report.shift_ms, abs=5)
    assert -240 < report.shift_ms < -160
    assert min(np.abs(before).max(), np.abs(after).max()) > 0.1


def test_both_halves_show_the_same_seconds_with_a_panel(previewed, delayed_clip):
    _, made = previewed
    info = probe(made.path)
    assert (info.video.width, info.video.height, info.video.fps) == (640 + 720, 640, 25)
    assert info.video.duration_s == pytest.approx(4.0, abs=0.05) and info.audio[0].duration_s == pytest.approx(4.0, abs=0.05)
    frames = [f.picture.bgr() for f in read_frames(made.path, max_side=4000)]
    film = [f.picture.bgr() for f in read_frames(delayed_clip(200))]
    first = round(made.start_s * FPS)
    assert len(frames) == 100
    off = lambda a, b: np.abs(a.astype(int) - b).mean()  # noqa: E731
    for k in (0, 17, 49):
        own = np.asarray(Image.fromarray(film[first + k]).resize((640, 640)))
        assert off(frames[k][:, :640], own) < 6 and off(frames[50 + k][:, :640], own) < 6
        assert off(frames[k][:, 640:], frames[0][:, 640:]) < 1 and off(frames[50 + k][:, 640:], frames[0][:, 640:]) > 2


def test_a_start_of_ones_own_and_a_short_rest(delayed_clip, tmp_path):
    _, made = preview(delayed_clip(200, ".mkv"), tmp_path / "p.mkv", start_s=4.0, seconds=6.0)
    assert made.start_s == 4.0 and made.seconds == pytest.approx(1.0, abs=0.15)
    assert probe(made.path).video.duration_s == pytest.approx(2 * made.seconds, abs=0.05)


def test_a_recording_is_heard_as_it_is_and_then_in_its_place(delayed_clip, ffmpeg, tmp_path):
    """A recorder that was started 700 ms before the camera."""
    wav = tmp_path / "mic.wav"
    ffmpeg("-i", delayed_clip(200), "-vn", "-af", "adelay=700:all=1", wav)
    report, made = preview(delayed_clip(200), tmp_path / "p.mp4", audio=wav, start_s=1.0, seconds=2.0)
    heard, source = read_sound(made.path, end_s=4.0, rate=RATE), read_sound(wav, rate=RATE)
    assert report.shift_ms == pytest.approx(-900, abs=40)
    assert lag_ms(heard[: 2 * RATE], source) == pytest.approx(-1000, abs=5)
    assert lag_ms(heard[2 * RATE :], source) == pytest.approx(-1000 + report.shift_ms, abs=5)


def test_it_begins_where_the_speech_tells_most(delayed_clip):
    evidence = examine(open_film(delayed_clip(200)))
    n, column = 30 * FPS, evidence.peak.index
    p = np.full((n, len(evidence.decision.delays)), 0.1, np.float32)
    weight = np.zeros(n)
    p[12 * FPS : 17 * FPS, column] = 0.9
    weight[10 * FPS : 20 * FPS] = 1  # other seconds have speech too, but it tells nothing
    video = replace(evidence.info.video, duration_s=30.0)
    scores = Scores(p, evidence.decision.delays, np.arange(n) / FPS, weight)
    told = replace(evidence, parts=(scores,), info=replace(evidence.info, video=video))
    assert telling_start(told, 5.0) == pytest.approx(12.0, abs=0.05)
    assert telling_start(told, 28.0) <= 2.0
    assert telling_start(told, 60.0) == 0.0


def test_layouts_are_even_and_legible():
    for width, height in ((1920, 1080), (854, 480), (1080, 1920), (256, 256), (333, 251), (4000, 300)):
        layout = Layout.of(width, height)
        sizes = np.array([layout.picture, layout.panel])
        assert (
            (sizes % 2 == 0).all()
            and min(layout.panel) >= 360
            and layout.picture[0] / layout.picture[1] == pytest.approx(width / height, rel=0.02)
        )
        assert len(set(sizes[:, 1 if layout.beside else 0])) == 1  # they fit together


def test_undecided_writes_nothing(no_face, tmp_path):
    report, made = preview(no_face, tmp_path / "p.mp4")
    assert report.verdict == "undecided" and made is None and not any(tmp_path.iterdir())


def test_errors_are_one_line_and_leave_nothing(delayed_clip, ffmpeg, tmp_path):
    (tmp_path / "there.mp4").write_bytes(b"mine")
    silent = tmp_path / "nosound.mp4"
    ffmpeg("-i", delayed_clip(0), "-an", "-c", "copy", silent)
    before = sorted(tmp_path.iterdir())
    for source, name, more, error, words in (
        (delayed_clip(200), "p.webm", {}, OutputError, ".mp4"),
        (delayed_clip(200), "p", {}, OutputError, ".mp4"),
        (delayed_clip(200), "there.mp4", {}, OutputError, "-y"),
        (delayed_clip(200), "no/p.mp4", {}, OutputError, "folder"),
        (delayed_clip(200), "p.mp4", {"start_s": 99}, MediaError, "--start"),
        (silent, "p.mp4", {}, MediaError, "no sound"),
        (silent, "nosound.mp4", {"overwrite": True}, OutputError, "input"),
    ):
        with pytest.raises(error, match=words) as caught:
            preview(source, tmp_path / name, **more)
        assert "\n" not in str(caught.value)
    assert sorted(tmp_path.iterdir()) == before and (tmp_path / "there.mp4").read_bytes() == b"mine"


def test_the_command(delayed_clip, no_face, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the command would keep its handler in this process
    run = lambda *args: CliRunner().invoke(main, ["preview", *map(str, args)])  # noqa: E731
    done = run(delayed_clip(200), "p.mp4", "--seconds", 1)
    assert done.exit_code == 0 and "ms late" in done.stdout and "as they are, and with the sound moved" in done.stderr
    assert probe("p.mp4").duration_s == pytest.approx(2.0, abs=0.1)
    done = run(delayed_clip(200), "p.mp4")
    assert done.exit_code == 1 and len(done.stderr.splitlines()) == 1 and "-y" in done.stderr
    assert run(no_face, "q.mp4").exit_code == 3
    assert [p.name for p in tmp_path.iterdir()] == ["p.mp4"]
