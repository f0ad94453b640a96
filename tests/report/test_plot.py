"""Plots: marks where the report says, labelled axes with units, visible gaps, all file formats."""

from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from resync.cli.main import main
from resync.config import FPS
from resync.errors import OutputError
from resync.faces.crops import mouth_crops
from resync.faces.tracks import detect_faces, link_tracks
from resync.media.video import read_frames
from resync.report.panels import activity_masks
from resync.report.plot import HEIGHT_PX, WIDTH_PX, check_plot, figure, panel, written_plot
from resync.report.timeline import TimeAxis
from resync.sync.evidence import MAX_WINDOWS, evidence_for, strongest_overall


@pytest.fixture(scope="module")
def faceless(analyzer, no_face):
    return analyzer.examine(no_face)


def with_report(analysis, **changes):
    return analysis._replace(report=replace(analysis.report, **changes))


def labelled(axes, prefix):
    """The only line or patch in these axes whose label begins with `prefix`."""
    (artist,) = (artist for artist in [*axes.lines, *axes.patches] if str(artist.get_label()).startswith(prefix))
    return artist


def test_axes_have_labels_with_units(late):
    curve, heat_map, activity, *_ = figure(late).axes
    for label, words in (
        (curve.get_xlabel(), ("shift", "(ms)", "earlier", "later")),
        (curve.get_ylabel(), ("P(in sync)",)),
        (heat_map.get_ylabel(), ("shift", "(ms)")),
        (activity.get_xlabel(), ("time", "(s)")),
    ):
        assert all(word in label for word in words), label
    left, right = sorted(curve.texts, key=lambda text: text.get_position()[0])
    assert "audio late" in left.get_text() and "audio early" in right.get_text()
    assert [tick.get_text() for tick in activity.get_yticklabels()] == ["speech", "face visible", "off screen"]


def test_curve_peak_uncertainty_and_runner_up_match_the_report(late):
    report, curve = late.report, figure(late).axes[0]
    assert labelled(curve, "peak").get_xdata()[0] == pytest.approx(report.shift_ms)
    band = labelled(curve, "uncertainty").get_extents().transformed(curve.transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((report.shift_ms - report.uncertainty_ms, report.shift_ms + report.uncertainty_ms), abs=0.1)
    line = labelled(curve, "P(in sync)")
    drawn = dict(zip(np.round(line.get_xdata(), 1), line.get_ydata()))
    assert drawn == pytest.approx(dict(zip(report.curve["shift_ms"], report.curve["probability"])), abs=1e-4)
    runner_up = labelled(curve, "runner-up")
    others = [p for shift, p in drawn.items() if abs(shift - report.shift_ms) > 130]
    assert runner_up.get_ydata()[0] >= max(others) and abs(runner_up.get_xdata()[0] - report.shift_ms) > 110


def test_heat_map_is_brightest_at_the_chosen_shift(late):
    heat_map = figure(late).axes[1]
    (image,) = heat_map.images
    left, right, low, high = image.get_extent()
    assert image.origin == "lower" and low < high
    row = np.nanmean(image.get_array(), axis=1).argmax()
    assert low + (row + 0.5) / len(image.get_array()) * (high - low) == pytest.approx(late.report.shift_ms, abs=20)
    assert (left, right) == pytest.approx((0, late.report.duration_s), abs=0.1)
    assert np.allclose(labelled(heat_map, "chosen").get_ydata(), late.report.shift_ms)


def test_activity_matches_the_off_screen_ratio(late, faceless):
    for analysis in (late, faceless):
        speech, face, off_screen = (np.concatenate(masks) for masks in zip(*activity_masks(analysis.evidence)))
        assert off_screen[speech].mean() == pytest.approx(analysis.report.offscreen_ratio, abs=1e-3)
        assert not off_screen[~speech].any()
        assert face.all() if analysis is late else not face.any()
    widths = [sum(path.get_extents().width for path in bars.get_paths()) for bars in figure(faceless).axes[2].collections]
    assert widths[1] == 0 and widths[0] == widths[2] > 2  # s of speech, all of it off screen


def test_mouth_windows_are_crops_of_the_video(analyzer, late, delayed_clip):
    engine, config, evidence = analyzer.engine, analyzer.config.faces, late.evidence
    scan = detect_faces((frame.image for frame in read_frames(delayed_clip(200), nearest=True)), engine.detector, config)
    (track,) = link_tracks(scan, config)
    crops = mouth_crops(scan.gray_images, track, engine.backend.dimensions.crop)
    assert 2 <= len(evidence.windows) <= MAX_WINDOWS
    assert min(np.diff(sorted(window.time_s for window in evidence.windows))) >= 1
    for window in evidence.windows:
        first = round(window.time_s * FPS) - track.start
        assert np.array_equal(window.crops, crops[first : first + 5])
        assert window.crops.base is None  # a view would keep the crops of the whole segment in memory
    worths = [evidence_for(w.probability[None], np.array([w.weight]), evidence.peak.index)[0] for w in evidence.windows]
    assert worths == sorted(worths, reverse=True) and worths[-1] > 0


def test_only_the_strongest_windows_are_kept(late):
    evidence = late.evidence
    column, template = evidence.peak.index, evidence.windows[0]
    heights = np.random.default_rng(2).permutation(np.linspace(0.05, 0.95, 60))
    windows = []
    for i, height in enumerate(heights):
        probability = np.full(len(template.probability), 0.2, np.float32)
        probability[column] = height
        windows.append(replace(template, time_s=float(i), probability=probability))
    kept = strongest_overall(windows, evidence.decision)
    assert [w.probability[column] for w in kept] == pytest.approx(sorted(heights, reverse=True)[:MAX_WINDOWS])


def segment_at(template, start_s, seconds=8):
    """A segment of constant scores, with the delays of `template`."""
    count = round(seconds * FPS) - 4
    probability = np.full((count, template.probability.shape[1]), 0.2, np.float32)
    return replace(template, probability=probability, time_s=start_s + np.arange(count) / FPS, weight=np.ones(count))


def test_gaps_are_compressed_and_hatched(late):
    template = late.evidence.segments[0]
    segments = tuple(segment_at(template, start_s) for start_s in (0, 8, 400, 900))
    time_axis = TimeAxis(segments, 1000.0)
    assert time_axis.analysed == [(0, 16), (400, 408), (900, 908)]
    assert time_axis.gaps == [(16, 400), (408, 900), (908, 1000)] and time_axis.is_compressed
    positions = time_axis.position(np.array([0, 16, 400, 408, 900, 908, 1000]))
    assert np.diff(positions) == pytest.approx([16, 0.64, 8, 0.64, 8, 0.64])  # gaps take 2 % of the 32 s analysed
    analysis = with_report(late, duration_s=1000.0)._replace(evidence=replace(late.evidence, segments=segments))
    heat_map, activity = figure(analysis).axes[1:3]
    assert len(heat_map.images) == 4 and heat_map.images[3].get_extent()[:2] == pytest.approx(positions[4:6])
    for axes in (heat_map, activity):
        assert sum(patch.get_hatch() == "////" for patch in axes.patches) == 3
    assert "not analysed" in activity.get_xlabel() and "compressed" in activity.get_xlabel()
    assert [tick.get_text() for tick in activity.get_xticklabels()] == ["0:00", "6:40", "15:00"]


def test_drift_is_drawn_as_a_line_and_the_peak_as_not_accepted(late):
    drifting = with_report(late, verdict="drift", audio_delay_ms=None, shift_ms=None, drift_ms_per_min=600.0, drift_start_ms=100.0)
    fig = figure(drifting)
    assert "drift" in fig.get_suptitle().lower()
    end_ms = -100 - 600 * late.report.duration_s / 60
    assert labelled(fig.axes[1], "drift").get_ydata() == pytest.approx([-100, end_ms], abs=2)
    assert "not accepted" in labelled(fig.axes[0], "highest").get_label()


def test_undecided_plot_gives_the_reason(analyzer, faceless, mute, tmp_path):
    for analysis in (faceless, analyzer.examine(mute)):
        fig = figure(analysis)
        assert "undecided" in fig.get_suptitle() and fig.axes[0].get_title().replace("\n", " ") == analysis.report.reasons[0]
        with written_plot(analysis, tmp_path / "why.png", True):
            pass
        assert Image.open(tmp_path / "why.png").size == (WIDTH_PX, HEIGHT_PX)


def test_clip_too_short_to_analyse_is_plotted(analyzer, delayed_clip, ffmpeg, tmp_path):
    short = tmp_path / "short.mp4"
    ffmpeg("-i", delayed_clip(0), "-frames:v", 3, "-t", "0.12", short)
    analysis = analyzer.examine(short)
    assert not analysis.report.decided and not analysis.evidence.segments
    with written_plot(analysis, tmp_path / "short.png"):
        pass
    assert Image.open(tmp_path / "short.png").size == (WIDTH_PX, HEIGHT_PX)


def test_file_formats(late, tmp_path):
    for name in ("a.png", "a.SVG", "a.pdf"):
        with written_plot(late, tmp_path / name):
            assert not (tmp_path / name).exists()  # until the body is done
    image = Image.open(tmp_path / "a.png")
    assert image.format == "PNG" and image.size == (WIDTH_PX, HEIGHT_PX) and len(image.convert("L").getcolors()) > 50
    assert ElementTree.parse(tmp_path / "a.SVG").getroot().tag.endswith("svg")
    assert (tmp_path / "a.pdf").read_bytes().startswith(b"%PDF-")


def test_title_with_unusual_file_name(late, tmp_path):
    name = "$a_b^{$ \\frac 100% \u8bdd \n" + "x" * 150 + ".mp4"
    with written_plot(with_report(late, file=name), tmp_path / "odd.png"):
        pass
    assert Image.open(tmp_path / "odd.png").size == (WIDTH_PX, HEIGHT_PX)


def test_panel_marks_the_current_shift(late):
    before, after = (panel(late, corrected, 720, 640) for corrected in (False, True))
    assert before.shape == after.shape == (640, 720, 3) and before.dtype == np.uint8
    columns = [np.flatnonzero((image[220:500, 80:640] < 10).all((0, 2))) for image in (before, after)]  # black, within the axes
    assert columns[0].mean() - columns[1].mean() == pytest.approx(200 / 2000 * 600, abs=15)  # 2000 ms on about 600 px


def test_unusable_plot_paths_are_rejected(delayed_clip, tmp_path):
    (tmp_path / "there.png").write_bytes(b"mine")
    for name, message in (("a.jpg", ".png"), ("no/a.png", "folder"), ("there.png", "-y")):
        with pytest.raises(OutputError, match=message) as caught:
            check_plot(delayed_clip(200), tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name)) and "\n" not in str(caught.value)
    check_plot(delayed_clip(200), tmp_path / "there.png", True)


def test_no_plot_is_left_behind_after_a_failure(late, tmp_path):
    (tmp_path / "there.png").write_bytes(b"mine")
    with pytest.raises(OutputError), written_plot(late, tmp_path / "there.png"):
        pass
    for name in ("new.png", "there.png"):
        with pytest.raises(RuntimeError), written_plot(late, tmp_path / name, True):
            raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["there.png"] and (tmp_path / "there.png").read_bytes() == b"mine"


def test_commands_with_plots(delayed_clip, no_face, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("signal.signal", lambda *_: None)  # the command would leave its handler in this process

    def run(*args, code):
        result = CliRunner().invoke(main, [str(arg) for arg in args])
        assert result.exit_code == code, result.output
        return result

    result = run("plot", delayed_clip(200), "a.png", code=0)
    assert "ms late" in result.stdout and "a.png" in result.stderr and Image.open("a.png").size[0] == WIDTH_PX
    result = run("plot", delayed_clip(200), "a.png", code=1)
    assert len(result.stderr.splitlines()) == 1 and "-y" in result.stderr and result.stdout == ""
    run("plot", "-q", no_face, "b.svg", code=3)
    run("check", no_face, "--plot", "a.png", "-y", code=3)
    run("fix", delayed_clip(200), "out.mp4", "--plot", "c.pdf", code=0)
    run("fix", no_face, "not.mp4", "--plot", "d.png", code=3)
    run("check", delayed_clip(200), no_face, "--plot", "e.png", code=2)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.png", "b.svg", "c.pdf", "d.png", "out.mp4"]
