"""Plots of an analysis: the probability curve, the heat map over time, speech and face activity, mouth crops."""

from __future__ import annotations

import textwrap
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import OutputError
from ..remux.paths import Overwrite, check_output, output_errors, written_output
from .activity import draw_activity, row_count
from .heat_map import draw_heat_map
from .panels import BLACK, MOUTH_WINDOWS_SHOWN, draw_curve, draw_mouths, legend_above
from .result import Analysis, Report
from .text import headline
from .timeline import TimeAxis

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PLOT_SUFFIXES = (".png", ".svg", ".pdf")
DPI = 100
WIDTH_PX, HEIGHT_PX = 1200, 1080
STYLE = {"font.size": 11.5, "legend.fontsize": 10.5, "axes.titlesize": 12.5, "axes.spines.top": False, "axes.spines.right": False}
LEGEND_PT = 30  # space for the legend between the axes and their title
MAX_NAME = 60  # characters of the file name in the title


def check_plot(src: str | Path, dst: str | Path, overwrite: Overwrite | bool = Overwrite.NEVER) -> None:
    """Raise OutputError if `dst` has no supported suffix, where `check_output` does, and for an image that is no plot."""
    dst = Path(dst)
    if dst.suffix.lower() not in PLOT_SUFFIXES:
        raise OutputError(f"{dst}: unsupported plot format; use .png, .svg or .pdf")
    check_output(src, dst, overwrite)
    if overwrite < Overwrite.ANY and dst.exists() and not _is_plot(dst):
        raise OutputError(f"{dst}: is an image that resync did not write; choose another name")


def _is_plot(path: Path) -> bool:
    """Whether Matplotlib wrote an image, as its metadata say: at the start of PNG and SVG, at the end of PDF. True for an empty file."""
    with open(path, "rb") as file:
        head = file.read(4096)
        file.seek(max(path.stat().st_size - 65536, 0))
        return not head or b"Matplotlib" in head + file.read()


@contextmanager
def written_plot(analysis: Analysis, dst: str | Path, overwrite: Overwrite | bool = Overwrite.NEVER) -> Iterator[None]:
    """Draw the plot to a temporary file, and rename it to `dst` after the body. If the body fails, no plot is left behind.

    Raises OutputError.
    """
    used = (analysis.evidence.info.path, analysis.evidence.audio.path)
    check_plot(used[0], dst, overwrite)
    with written_output(dst, used, overwrite) as temporary:
        with output_errors(dst), _default_style():
            figure(analysis).savefig(temporary, dpi=DPI)
        yield


@contextmanager
def _default_style() -> Iterator[None]:
    """Use STYLE on matplotlib's defaults whatever the user's settings, and silence warnings about glyphs its font lacks."""
    from matplotlib import style

    with style.context(["default", STYLE]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def figure(analysis: Analysis) -> Figure:
    """The complete plot, WIDTH_PX x HEIGHT_PX at DPI."""
    report, evidence = analysis
    fig = _empty_figure(WIDTH_PX, HEIGHT_PX)
    fig.suptitle(title(report), fontsize=16, fontweight="bold", parse_math=False)
    rows = fig.add_gridspec(4, 1, height_ratios=(2.9, 3.0, 0.3 * row_count(evidence), 1.35))
    curve = fig.add_subplot(rows[0])
    draw_curve(curve, analysis)
    curve.set_title(subtitle(report), pad=LEGEND_PT, parse_math=False)
    time_axis = TimeAxis(evidence.segments, report.duration_s)
    heat_map = fig.add_subplot(rows[1])
    activity = fig.add_subplot(rows[2], sharex=heat_map)
    draw_heat_map(heat_map, analysis, time_axis)
    draw_activity(activity, evidence, time_axis)
    cells = rows[3].subgridspec(1, MOUTH_WINDOWS_SHOWN)
    draw_mouths([fig.add_subplot(cells[0, i]) for i in range(MOUTH_WINDOWS_SHOWN)], analysis)
    return fig


def panel(analysis: Analysis, corrected: bool, width: int, height: int) -> np.ndarray:
    """The probability curve with the current position of the audio, before or after the correction: uint8 [height, width, 3] RGB."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    with _default_style():
        canvas = FigureCanvasAgg(_panel_figure(analysis, corrected, width, height))
        canvas.draw()
        return np.array(canvas.buffer_rgba())[:, :, :3]


def _panel_figure(analysis: Analysis, corrected: bool, width: int, height: int) -> Figure:
    fig, report = _empty_figure(width, height), analysis.report
    shift_ms = report.shift_ms or 0.0
    after = f"AFTER: audio shifted {shift_text(shift_ms)}" if shift_ms else "AFTER: no shift needed"
    heading = after if corrected else f"BEFORE: {headline(report)}"
    fig.suptitle("\n".join(textwrap.wrap(heading, max(20, width // 12))), fontsize=16, fontweight="bold", parse_math=False)
    axes = fig.add_subplot()
    draw_curve(axes, analysis)
    axes.axvline(shift_ms if corrected else 0.0, color=BLACK, linewidth=4, label="now playing", zorder=2.5)
    legend_above(axes, 3)
    return fig


def title(report: Report) -> str:
    """File name and verdict."""
    name = "".join(c if c.isprintable() else "?" for c in Path(report.file).name)
    short = name if len(name) <= MAX_NAME else f"{name[: MAX_NAME - 3]}..."
    return "\n".join(textwrap.wrap(f"{short}: {headline(report)}", 85))


def subtitle(report: Report) -> str:
    """Accuracy of the result and the correction, the certainty of a changing delay, or the reason why there is no result."""
    if report.decided and report.uncertainty_ms is not None and report.shift_ms is not None:
        accuracy = f"\N{PLUS-MINUS SIGN}{report.uncertainty_ms:.0f} ms, P(in sync) {report.probability_at_offset:.2f} at the peak"
        off_screen = f"{100 * (report.offscreen_ratio or 0):.0f} % of the speech off screen"
        return f"{accuracy}, {off_screen}; correction: {shift_text(report.shift_ms)}"
    if report.reasons:
        return "\n".join(textwrap.wrap(report.reasons[0], 120))
    return "" if report.certainty is None else f"certainty {report.certainty:.2f}; the curve is the mean over the whole video"


def shift_text(shift_ms: float) -> str:
    """A shift of the audio in words."""
    return f"{abs(shift_ms):.0f} ms {'later' if shift_ms > 0 else 'earlier'}" if shift_ms else "not needed"


def _empty_figure(width: int, height: int) -> Figure:
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.05))
