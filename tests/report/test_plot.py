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
from resync.report.activity import activity_masks
from resync.report.heat_map import MAX_COLUMNS, MAX_ROWS
from resync.report.plot import HEIGHT_PX, WIDTH_PX, check_plot, figure, panel, written_plot
from resync.report.result import JumpResult, PieceResult
from resync.report.timeline import TimeAxis
from resync.sync.curve import Scores, delay_grid
from resync.sync.evidence import MAX_WINDOWS, WINDOWS_PER_SEGMENT, strongest_windows
from resync.sync.pieces import Piece
from resync.sync.scoring import EmbeddedFace, EmbeddedSegment, ScoredSegment
from resync.sync.speakers import NO_BOXES, FaceResult

PLOT = b"\x89PNG\r\n\x1a\n Software Matplotlib"  # what is recognised of an earlier plot


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
    assert [tick.get_text() for tick in activity.get_yticklabels()] == ["speech", "face", "off screen"]


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


def bars(axes, row):
    """The spans (start, end) of all bars in a row of the activity panel, by colour, first drawn first."""
    spans = {}
    for collection in axes.collections:
        for path in collection.get_paths():
            box = path.get_extents()
            if round(box.y0) == row:
                spans.setdefault(tuple(np.round(collection.get_facecolor()[0], 2)), []).append((round(box.x0, 2), round(box.x1, 2)))
    return list(spans.values())


def test_activity_matches_the_off_screen_ratio(late, faceless):
    for analysis in (late, faceless):
        speech, off_screen = (np.concatenate(masks) for masks in zip(*activity_masks(analysis.evidence)))
        assert off_screen[speech].mean() == pytest.approx(analysis.report.offscreen_ratio, abs=1e-3)
        assert not off_screen[~speech].any()
    activity = figure(faceless).axes[2]
    assert bars(activity, 0) == bars(activity, 2) and not bars(activity, 1)
    assert sum(end - start for start, end in bars(activity, 0)[0]) > 2  # s of speech, all of it off screen


def test_activity_shows_who_speaks_when(late):
    left, right = (0.1, 0.2, 0.3, 0.6), (0.6, 0.2, 0.8, 0.6)
    faces = (
        FaceResult(0.0, 4.0, right, 0.2, 0.8, 0.5, ((2.0, 4.0),)),
        FaceResult(0.0, 3.0, left, 0.2, 0.8, 0.6, ((0.0, 2.0),)),
        FaceResult(3.5, 5.0, left, 0.2, 0.8, 0.6, ((4.5, 5.0),)),
    )
    activity = figure(late._replace(evidence=replace(late.evidence, faces=faces))).axes[2]
    assert [tick.get_text() for tick in activity.get_yticklabels()] == ["speech", "face 1 (left)", "face 2 (right)", "off screen"]
    assert bars(activity, 1) == [[(0, 3), (3.5, 5)], [(0, 2), (4.5, 5)]]  # visible, then speaking
    assert bars(activity, 2) == [[(0, 4)], [(2, 4)]]
    assert [text.get_text() for text in activity.get_legend().get_texts()] == ["face visible", "face speaks"]


def test_mouth_windows_are_crops_of_the_video(analyzer, late, delayed_clip):
    engine, config, evidence = analyzer.engine, analyzer.config.faces, late.evidence
    scan = detect_faces((frame.image for frame in read_frames(delayed_clip(200), nearest=True, deblock=False)), engine.detector, config)
    (track,) = link_tracks(scan, config)
    crops = mouth_crops(scan.gray_images, track, engine.backend.dimensions.crop)
    assert 2 <= len(evidence.windows) <= MAX_WINDOWS
    assert min(np.diff(sorted(window.time_s for window in evidence.windows))) >= 1
    for window in evidence.windows:
        first = round(window.time_s * FPS) - track.start
        assert np.array_equal(window.crops, crops[first : first + 5])
        assert window.crops.base is None  # a view would keep the crops of the whole segment in memory
    worths = [window.worth for window in evidence.windows]
    assert worths == sorted(worths, reverse=True) and worths[-1] > 0


def constant_scores(delays, start_s, seconds, value=0.2):
    """Scores of a segment: the same P(in sync) everywhere, and speech throughout."""
    count = round(seconds * FPS) - 4
    speech = np.ones(4 * (count - 1) + len(delays))
    return Scores(np.full((count, len(delays)), value, np.float32), delays, start_s + np.arange(count) / FPS, speech, speech)


def test_only_the_strongest_windows_are_kept():
    column, delays, segments = 30, delay_grid(0.5), []
    for number, heights in enumerate(np.random.default_rng(2).permutation(np.linspace(0.05, 0.95, 32)).reshape(8, 4)):
        scores = constant_scores(delays, 8.0 * number, 8)
        rows = [0, 40, 80, 120]  # more than a second apart
        scores.probability[rows, column] = heights
        face = EmbeddedFace(0, NO_BOXES, np.zeros((196, 1)), np.full((200, 2, 2), number, np.uint8))
        segments.append((EmbeddedSegment(200 * number, scores.time_s, 0.0, (face,)), ScoredSegment(scores, (), None)))
    kept = strongest_windows(segments, column)
    best = [sorted(scored.scores.probability[:, column], reverse=True)[:WINDOWS_PER_SEGMENT] for _, scored in segments]
    assert [w.probability[column] for w in kept] == sorted(np.ravel(best), reverse=True)[:MAX_WINDOWS]
    assert all(window.crops.shape == (5, 2, 2) and (window.crops == window.time_s // 8).all() for window in kept)
    dropped = [(embedded.without_crops(), scored) for embedded, scored in segments[:4]] + segments[4:]
    assert min(window.time_s for window in strongest_windows(dropped, column)) >= 32


def with_segments(analysis, segments, duration_s):
    """The analysis as if of a video of this length, with other segments."""
    evidence = replace(analysis.evidence, segments=tuple(segments))
    return with_report(analysis, duration_s=duration_s)._replace(evidence=evidence)


def test_gaps_are_compressed_and_hatched(late):
    delays = late.evidence.segments[0].delays
    segments = [constant_scores(delays, start_s, 8, (i + 1) / 5) for i, start_s in enumerate((0, 8, 400, 900))]
    time_axis = TimeAxis(segments, 1000.0)
    assert time_axis.analysed == [(0, 16), (400, 408), (900, 908)]
    assert time_axis.gaps == [(16, 400), (408, 900), (908, 1000)] and time_axis.is_compressed
    positions = time_axis.position(np.array([0, 16, 400, 408, 900, 908, 1000]))
    assert np.diff(positions) == pytest.approx([16, 0.64, 8, 0.64, 8, 0.64])  # gaps take 2 % of the 32 s analysed
    heat_map, activity = figure(with_segments(late, segments, 1000.0)).axes[1:3]
    (image,) = heat_map.images
    pixels = np.ma.filled(image.get_array(), np.nan)
    assert image.get_extent()[:2] == pytest.approx((0, positions[-1]))
    for span, value in (((0, 8), 0.2), ((8, 16), 0.4), ((16, 400), np.nan), ((400, 408), 0.6), ((900, 908), 0.8), ((908, 1000), np.nan)):
        first, last = np.round(time_axis.position(np.array(span)) / positions[-1] * pixels.shape[1]).astype(int)
        assert np.allclose(pixels[:, first + 1 : last - 1], value, equal_nan=True), span
    for axes in (heat_map, activity):
        assert sum(patch.get_hatch() == "////" for patch in axes.patches) == 3
    assert "not analysed" in activity.get_xlabel() and "compressed" in activity.get_xlabel()
    assert [tick.get_text() for tick in activity.get_xticklabels()] == ["0:00", "6:40", "15:00"]


def test_a_long_span_before_a_gap_has_ticks_of_its_own(late):
    activity = figure(with_segments(late, [constant_scores(late.evidence.segments[0].delays, 0.0, 30)], 60.0)).axes[2]
    assert [tick.get_text() for tick in activity.get_xticklabels()] == ["0:00", "0:05", "0:10", "0:15", "0:20", "0:25"]


def test_many_gaps_leave_most_of_the_width_to_the_segments(late):
    delays = late.evidence.segments[0].delays
    time_axis = TimeAxis([constant_scores(delays, 100.0 * i, 6) for i in range(50)], 5000.0)
    assert len(time_axis.gaps) == 50 and time_axis.length == pytest.approx(1.3 * 50 * 6, rel=0.01)


def test_a_wide_range_is_drawn_around_the_result_in_the_pixels_there_are(late):
    """50 segments at +-10 s, with a ridge at a delay of 4.2 s."""
    delays = delay_grid(10.0)
    segments = [constant_scores(delays, 20.0 * i, 6) for i in range(50)]
    for segment in segments:
        segment.probability[:, np.abs(delays - 420) <= 4] = 0.9
    curve = np.where(np.abs(delays - 420) <= 4, 0.9, 0.2)
    evidence = replace(late.evidence, decision=replace(late.evidence.decision, curve=curve, delays_s=0.01 * delays))
    analysis = with_segments(late._replace(evidence=evidence), segments, 1000.0)
    decided = with_report(analysis, audio_delay_ms=4200.0, shift_ms=-4200.0)
    curve_axes, heat_map = figure(decided).axes[:2]
    (image,) = heat_map.images
    assert curve_axes.get_xlim() == (-10_000, 10_000) and heat_map.get_ylim() == pytest.approx((-5205, -3195))
    assert image.get_array().shape[0] <= MAX_ROWS and image.get_array().shape[1] <= MAX_COLUMNS
    undecided = with_report(analysis, verdict="undecided", audio_delay_ms=None, shift_ms=None, reasons=("why",))
    (image,) = figure(undecided).axes[1].images
    pixels, (_, _, low, high) = np.ma.filled(image.get_array(), np.nan), image.get_extent()
    assert len(pixels) <= MAX_ROWS and (low, high) == pytest.approx((-10_005, 10_005))
    row = np.nanmean(pixels, axis=1).argmax()
    assert low + (row + 0.5) / len(pixels) * (high - low) == pytest.approx(-4200, abs=50)


def test_drift_is_drawn_as_a_line_with_its_interval(late):
    changes = {"verdict": "drift", "audio_delay_ms": None, "shift_ms": None, "drift_ms_per_min": 600.0, "drift_start_ms": 100.0}
    fig = figure(with_report(late, **changes, drift_interval_ms_per_min=(590.0, 611.0)))
    assert "drift" in fig.get_suptitle().lower()
    end_ms = -100 - 600 * late.report.duration_s / 60
    line = labelled(fig.axes[1], "drift")
    assert line.get_ydata()[[0, -1]] == pytest.approx([-100, end_ms], abs=2)
    assert "+600 ms per minute" in line.get_label() and "+590 to +611" in line.get_label()
    band = labelled(fig.axes[0], "drift").get_extents().transformed(fig.axes[0].transData.inverted())
    assert (band.x0, band.x1) == pytest.approx((end_ms, -100), abs=2)


def test_jumps_are_drawn_with_the_shift_of_each_piece(late):
    pieces = (PieceResult(0.0, 2.0, 200.0, 18.0, 1.0), PieceResult(2.0, 5.0, -300.0, 18.0, 0.9))
    jumps = (JumpResult(2.0, 1.8, 2.3, -500.0),)
    fig = figure(with_report(late, verdict="jump", audio_delay_ms=None, shift_ms=None, pieces=pieces, jumps=jumps))
    curve, heat_map = fig.axes[:2]
    lines = [line for line in heat_map.lines if line.get_linestyle() == "--"]
    assert [line.get_xdata().tolist() for line in lines] == [[0, 2], [2, 5]]
    assert [line.get_ydata().tolist() for line in lines] == [[-200, -200], [300, 300]]
    span = labelled(heat_map, "jump").get_extents().transformed(heat_map.transData.inverted())
    assert (span.x0, span.x1) == pytest.approx((1.8, 2.3), abs=0.01)
    assert any(np.allclose(line.get_xdata(), 2.0) for line in heat_map.lines)
    marks = labelled(curve, "2 pieces")
    assert marks.get_xdata().tolist() == [-200, 300] and "+300 ms" in marks.get_label()
    assert marks.get_ydata()[0] == pytest.approx(late.evidence.peak.height, abs=0.02)
    assert not any(str(line.get_label()).startswith(("runner-up", "highest", "peak")) for line in curve.lines)


def test_activity_follows_the_delay_of_each_piece(late):
    """With another delay from 2.5 s on, nothing that is said then fits the mouth."""
    pieces = tuple(Piece(start, end, delay, 0.02, 1.0) for start, end, delay in ((0, 2.5, 0.2), (2.5, 5, -0.6)))
    evidence = replace(late.evidence, decision=replace(late.evidence.decision, verdict="jump", drift=None, pieces=pieces))
    time_s = np.concatenate([segment.time_s for segment in evidence.segments])
    speech, off_screen = (np.concatenate(masks) for masks in zip(*activity_masks(evidence)))
    early, later = speech & (time_s < 2), speech & (time_s > 3)
    assert off_screen[later].mean() > 0.5 > 0.2 > off_screen[early].mean()


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
    # Black, within the axes, below the marker of the peak; a label may lie over a part of it.
    columns = [np.flatnonzero((image[300:500, 80:640] < 10).all(2).mean(0) > 0.6) for image in (before, after)]
    assert all(len(column) for column in columns)
    assert columns[0].mean() - columns[1].mean() == pytest.approx(200 / 2000 * 600, abs=15)  # 2000 ms on about 600 px


def test_unusable_plot_paths_are_rejected(delayed_clip, tmp_path):
    (tmp_path / "there.png").write_bytes(b"mine")
    for name, message in (("a.jpg", ".png"), ("no/a.png", "folder"), ("there.png", "-y")):
        with pytest.raises(OutputError, match=message) as caught:
            check_plot(delayed_clip(200), tmp_path / name)
        assert str(caught.value).startswith(str(tmp_path / name)) and "\n" not in str(caught.value)
    with pytest.raises(OutputError, match="did not write"):
        check_plot(delayed_clip(200), tmp_path / "there.png", True)
    (tmp_path / "there.png").write_bytes(PLOT)
    check_plot(delayed_clip(200), tmp_path / "there.png", True)


def test_no_plot_is_left_behind_after_a_failure(late, tmp_path):
    (tmp_path / "there.png").write_bytes(PLOT)
    with pytest.raises(OutputError), written_plot(late, tmp_path / "there.png"):
        pass
    for name in ("new.png", "there.png"):
        with pytest.raises(RuntimeError), written_plot(late, tmp_path / name, True):
            raise RuntimeError
    assert [p.name for p in tmp_path.iterdir()] == ["there.png"] and (tmp_path / "there.png").read_bytes() == PLOT


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
