"""Pictures of what was found: marks where the report says, axes with words and units, gaps that show."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from resync.cli import main
from resync.config import FPS, Config
from resync.crops import mouth_crops
from resync.curve import Scores
from resync.errors import OutputError
from resync.evidence import MOST_MOMENTS, most_telling, telling
from resync.media import read_frames
from resync.pipeline import analyze, examine, fix, load_engine, open_film
from resync.plot import HEIGHT_PX, WIDTH_PX, TimeLine, drawn, figure, panel, when
from resync.tracks import link, scan


@pytest.fixture(scope="module")
def late(delayed_clip):
    """What is found of a clip whose sound is 200 ms late."""
    return examine(open_film(delayed_clip(200)))


@pytest.fixture(scope="module")
def faceless(no_face):
    return examine(open_film(no_face))


def labelled(axes, words):
    """The one thing in these axes whose label begins with `words`."""
    (found,) = (item for item in [*axes.lines, *axes.patches] if str(item.get_label()).startswith(words))
    return found


def test_axes_say_what_and_in_which_unit(late):
    curve, heat, strip, *_ = figure(late).axes
    for label, words in (
        (curve.get_xlabel(), ("shift", "(ms)", "earlier", "later")),
        (curve.get_ylabel(), ("P(in sync)",)),
        (heat.get_ylabel(), ("shift", "(ms)")),
        (strip.get_xlabel(), ("time", "(s)")),
    ):
        assert all(word in label for word in words), label
    left, right = sorted(curve.texts, key=lambda text: text.get_position()[0])
    assert "sound late" in left.get_text() and "sound early" in right.get_text()
    assert [tick.get_text() for tick in strip.get_yticklabels()] == ["speaking", "face seen", "offscreen"]


def test_the_peak_its_uncertainty_and_the_runner_up_are_where_the_report_says(late):
    report, curve = late.report, figure(late).axes[0]
    assert labelled(curve, "peak").get_xdata()[0] == pytest.approx(report.shift_ms)
    band = labelled(curve, "its uncertainty").get_extents().transformed(curve.transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((report.shift_ms - report.uncertainty_ms, report.shift_ms + report.uncertainty_ms), abs=0.1)
    line = labelled(curve, "P(in sync)")
    drawn = dict(zip(np.round(line.get_xdata(), 1), line.get_ydata()))
    assert drawn == pytest.approx(dict(zip(report.curve["shift_ms"], report.curve["probability"])), abs=1e-4)
    second = labelled(curve, "runner-up")
    away = [p for shift, p in drawn.items() if abs(shift - report.shift_ms) > 130]
    assert second.get_ydata()[0] >= max(away) and abs(second.get_xdata()[0] - report.shift_ms) > 110


def test_the_heat_map_is_brightest_at_the_chosen_shift(late):
    heat = figure(late).axes[1]
    (image,) = heat.images
    left, right, low, high = image.get_extent()
    assert image.origin == "lower" and low < high
    row = np.nanmean(image.get_array(), axis=1).argmax()
    assert low + (row + 0.5) / len(image.get_array()) * (high - low) == pytest.approx(late.report.shift_ms, abs=20)
    assert (left, right) == pytest.approx((0, late.report.duration_s), abs=0.1)
    assert np.allclose(labelled(heat, "chosen").get_ydata(), late.report.shift_ms)


def test_the_strip_shows_what_the_report_counts(late, faceless):
    for evidence in (late, faceless):
        speaking, seen, offscreen = (np.concatenate(flags) for flags in zip(*when(evidence)))
        assert offscreen[speaking].mean() == pytest.approx(evidence.report.offscreen_ratio, abs=1e-3)
        assert not offscreen[~speaking].any()
        assert seen.all() if evidence is late else not seen.any()
    widths = [sum(path.get_extents().width for path in bars.get_paths()) for bars in figure(faceless).axes[2].collections]
    assert widths[1] == 0 and widths[0] == widths[2] > 2  # s of speech, all of it offscreen


def test_the_mouths_are_those_of_the_film(late, delayed_clip):
    engine, config = load_engine(Config()), Config()
    seen = scan((f.picture for f in read_frames(delayed_clip(200), nearest=True)), engine.detector, config.faces)
    (track,) = link(seen, config.faces)
    crops = mouth_crops(seen.grays, track, engine.net.dimensions.crop)
    assert 2 <= len(late.moments) <= MOST_MOMENTS
    times = sorted(moment.time_s for moment in late.moments)
    assert min(np.diff(times)) >= 1
    for moment in late.moments:
        first = round(moment.time_s * FPS) - track.start
        assert np.array_equal(moment.crops, crops[first : first + 5])
    told = [telling(m.probability[None], np.array([m.weight]), late.peak.index)[0] for m in late.moments]
    assert told == sorted(told, reverse=True) and told[-1] > 0


def test_a_long_film_keeps_few_mouths(late):
    rng = np.random.default_rng(2)
    column, few = late.peak.index, late.moments[0]
    heights = rng.permutation(np.linspace(0.05, 0.95, 60))
    many = [replace(few, time_s=float(i), probability=np.full(len(few.probability), 0.2, np.float32)) for i in range(60)]
    for moment, height in zip(many, heights):
        moment.probability[column] = height
    kept = most_telling(many, late.decision)
    assert [m.probability[column] for m in kept] == pytest.approx(sorted(heights, reverse=True)[:MOST_MOMENTS])
    assert all(moment.crops.base is None for moment in late.moments)  # a view would hold the crops of a whole stretch


def stretch(start_s, seconds=8, delays=11):
    n = round(seconds * FPS) - 4
    p = np.full((n, delays), 0.2, np.float32)
    p[:, 3] = 0.9
    return Scores(p, np.arange(delays) - delays // 2, start_s + np.arange(n) / FPS, np.ones(n))


def test_gaps_are_shown_and_told(late):
    parts = tuple(stretch(t) for t in (0, 8, 400, 900))
    line = TimeLine(parts, 1000.0)
    assert line.runs == [(0, 16), (400, 408), (900, 908)] and line.gaps == [(16, 400), (408, 900), (908, 1000)] and line.is_broken
    at = line.place(np.array([0, 16, 400, 408, 900, 908, 1000]))
    assert np.all(np.diff(at) > 0) and np.allclose(np.diff(at)[[0, 2, 4]], [16, 8, 8])
    heat, strip = figure(replace(late, parts=parts, report=replace(late.report, duration_s=1000.0))).axes[1:3]
    assert len(heat.images) == 4 and [image.get_extent()[:2] for image in heat.images][3] == pytest.approx((at[4], at[5]))
    for axes in (heat, strip):
        assert sum(patch.get_hatch() == "////" for patch in axes.patches) == 3
    assert "not looked at" in strip.get_xlabel() and "shorter" in strip.get_xlabel()
    assert [tick.get_text() for tick in strip.get_xticklabels()] == ["0:00", "6:40", "15:00"]


def test_drift_is_a_slope_and_no_peak_is_claimed(late):
    report = replace(late.report, verdict="drift", audio_delay_ms=None, shift_ms=None, drift_ms_per_min=600.0, drift_start_ms=100.0)
    fig = figure(replace(late, report=report))
    assert "drift" in fig.get_suptitle()
    line = labelled(fig.axes[1], "drifts")
    assert line.get_ydata()[0] == pytest.approx(-100) and line.get_ydata()[-1] == pytest.approx(
        -100 - 600 * late.report.duration_s / 60, abs=2
    )
    assert "not sure" in labelled(fig.axes[0], "highest").get_label()


def test_undecided_says_so_and_why(faceless, mute, tmp_path):
    for evidence in (faceless, examine(open_film(mute))):
        words = figure(evidence).get_suptitle()
        assert "undecided" in words and evidence.report.reasons[0] in words.replace("\n", " ")
        with drawn(evidence, tmp_path / "why.png", True):
            pass
        assert Image.open(tmp_path / "why.png").size == (WIDTH_PX, HEIGHT_PX)


def test_a_film_too_short_to_look_at_is_drawn_too(delayed_clip, ffmpeg, tmp_path):
    short = tmp_path / "short.mp4"
    ffmpeg("-i", delayed_clip(0), "-frames:v", 3, "-t", "0.12", short)
    assert not analyze(short, plot=tmp_path / "short.png").decided
    assert Image.open(tmp_path / "short.png").size == (WIDTH_PX, HEIGHT_PX)


def test_every_kind_of_file(late, tmp_path):
    for name in ("a.png", "a.SVG", "a.pdf"):
        with drawn(late, tmp_path / name):
            assert not (tmp_path / name).exists()  # until the body is done
    image = Image.open(tmp_path / "a.png")
    assert image.format == "PNG" and image.size == (WIDTH_PX, HEIGHT_PX) and len(image.convert("L").getcolors()) > 50
    assert ElementTree.parse(tmp_path / "a.SVG").getroot().tag.endswith("svg")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")


def test_odd_names_do_no_harm(late, tmp_path):
    name = "$a_b^{$ \\frac 100% \u8bdd \n" + "x" * 150 + ".mp4"
    with drawn(replace(late, report=replace(late.report, file=name)), tmp_path / "odd.png"):
        pass
    assert Image.open(tmp_path / "odd.png").size == (WIDTH_PX, HEIGHT_PX)


def test_the_panel_marks_what_is_heard(late):
    before, after = (panel(late, moved, 720, 640) for moved in (False, True))
    assert before.shape == after.shape == (640, 720, 3) and before.dtype == np.uint8
    black = [np.flatnonzero((image[220:500, 80:640] < 10).all((0, 2))) for image in (before, after)]  # columns within the frame
    assert black[0].mean() - black[1].mean() == pytest.approx(200 / 2000 * 600, abs=15)  # 2000 ms on some 600 px


def test_nothing_is_left_where_it_fails(late, delayed_clip, tmp_path):
    (tmp_path / "there.png").write_bytes(b"mine")
    for name, words in (("a.jpg", ".png"), ("no/a.png", "folder"), ("there.png", "-y")):
        for run in (analyze, lambda source, **more: fix(source, tmp_path / "out.mp4", **more)):
            with pytest.raises(OutputError, match=words):
                run(delayed_clip(200), plot=tmp_path / name)
    with pytest.raises(RuntimeError), drawn(late, tmp_path / "b.png"):
        raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["there.png"] and (tmp_path / "there.png").read_bytes() == b"mine"


def test_the_commands(delayed_clip, no_face, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the command would keep its handler in this process

    def run(*args, code):
        done = CliRunner().invoke(main, [str(arg) for arg in args])
        assert done.exit_code == code, done.output
        return done

    done = run("plot", delayed_clip(200), "a.png", code=0)
    assert "ms late" in done.stdout and "a.png" in done.stderr and Image.open("a.png").size[0] == WIDTH_PX
    done = run("plot", delayed_clip(200), "a.png", code=1)
    assert len(done.stderr.splitlines()) == 1 and "-y" in done.stderr and done.stdout == ""
    run("plot", "-q", no_face, "b.svg", code=3)
    run("check", no_face, "--plot", "a.png", "-y", code=3)
    run("fix", delayed_clip(200), "out.mp4", "--plot", "c.pdf", code=0)
    run("fix", no_face, "not.mp4", "--plot", "d.png", code=3)
    run("check", delayed_clip(200), no_face, "--plot", "e.png", code=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.svg", "c.pdf", "d.png", "out.mp4"]
