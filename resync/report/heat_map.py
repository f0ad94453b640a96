"""The heat map of a plot: P(in sync) over time and audio shift, with the result drawn over it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from ..config import FPS, HOP_S, CurveConfig
from ..sync.curve import Scores, running_mean
from ..sync.evidence import Evidence
from .activity import windows_to_frames
from .panels import BLACK, ORANGE, legend_above, signed_ms, write_centered
from .timeline import TimeAxis, segment_span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .result import Analysis, Report

MAX_COLUMNS, MAX_ROWS = 1000, 320  # of the image: about the pixels of the panel; more would cost time and memory
MARGIN_MS = 1000 * CurveConfig.ranges_s[0]  # of shifts shown on both sides of the result, where a wider range was tested


def draw_heat_map(axes: Axes, analysis: Analysis, time_axis: TimeAxis) -> None:
    """P(in sync) against time and audio shift, as a running mean over one second; of a wide range only what is near the result."""
    from matplotlib import colormaps

    report, evidence = analysis
    axes.set_ylabel("audio shift (ms)\n\N{MINUS SIGN} earlier, + later")
    axes.tick_params(labelbottom=False)
    if not evidence.segments:
        write_centered(axes, "not analysed")
        return
    pixels, (low, high) = heat_map_image(evidence, time_axis, shown_shifts(analysis))
    colours = colormaps["viridis"].with_extremes(bad=(0, 0, 0, 0))
    axes.patch.set(facecolor="#e8e8e8", edgecolor="gray", hatch="xx")  # shows through where there is no face
    extent = (0.0, time_axis.length, low, high)
    image = axes.imshow(pixels, extent=extent, origin="lower", aspect="auto", interpolation="nearest", cmap=colours, vmin=0, vmax=1)
    axes.set_ylim(low, high)
    time_axis.hatch_gaps(axes)
    _draw_result(axes, report, time_axis)
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.01, 0, 0.012, 1)))
    note = "" if all(np.isfinite(segment.probability).all() for segment in evidence.segments) else "\n(cross-hatched: no face)"
    bar.set_label(f"P(in sync), 1 s mean{note}")


def shown_shifts(analysis: Analysis) -> tuple[float, float]:
    """The lowest and the highest shift in ms that the heat map shows."""
    report, evidence = analysis
    shifts_ms = -1000 * evidence.decision.delays_s
    low, high = float(shifts_ms.min()), float(shifts_ms.max())
    lines = np.clip([shift for _, shifts in result_lines(report) for shift in shifts], low, high)
    if not len(lines) or high - low <= 4 * MARGIN_MS:
        return low, high
    return max(low, float(lines.min()) - MARGIN_MS), min(high, float(lines.max()) + MARGIN_MS)


def result_lines(report: Report) -> Iterator[tuple[tuple[float, float], tuple[float, float]]]:
    """The chosen shift over time as lines ((start, end) in s, (shift at the start, at the end) in ms); none where there is no answer."""
    slope = (report.drift_ms_per_min or 0) / 60
    if report.decided and report.audio_delay_ms is not None:
        yield (0.0, report.duration_s), (-report.audio_delay_ms, -report.audio_delay_ms)
    elif report.verdict == "drift" and report.drift_start_ms is not None:
        yield (0.0, report.duration_s), (-report.drift_start_ms, -report.drift_start_ms - slope * report.duration_s)
    elif report.verdict == "jump":
        for piece in report.pieces:
            change_ms = slope * (piece.end_s - piece.start_s)
            yield (piece.start_s, piece.end_s), (-piece.audio_delay_ms, -piece.audio_delay_ms - change_ms)


def heat_map_image(
    evidence: Evidence, time_axis: TimeAxis, shown_ms: tuple[float, float], max_rows: int = MAX_ROWS, max_columns: int = MAX_COLUMNS
) -> tuple[np.ndarray, tuple[float, float]]:
    """P(in sync) of all segments on the time axis: float32 [shifts, positions], NaN without a face, and its lowest and highest edge in ms.

    Ascending shifts. At most max_rows x max_columns: delays and frames that share a pixel are averaged.
    """
    shifts_ms = -1000 * evidence.decision.delays_s
    tolerance = 1e-6
    shown = np.flatnonzero((shifts_ms >= shown_ms[0] - tolerance) & (shifts_ms <= shown_ms[1] + tolerance))
    rows = np.arange(shown[0], shown[-1] + 1, -(-len(shown) // max_rows))  # first delay of each row
    ends = np.append(rows[1:], shown[-1] + 1)
    count = max(1, min(max_columns, round(time_axis.length * FPS)))
    pixels = np.full((count, len(rows)), np.nan, np.float32)
    for segment in evidence.segments:
        first, last = (float(edge) / time_axis.length * count for edge in time_axis.position(np.array(segment_span(segment))))
        columns = np.arange(max(0, round(first)), min(count, round(last)))
        if len(columns):
            frames = windows_to_frames(_row_means(segment, rows, ends, evidence.config.curve))
            starts = np.clip(((columns - first) / (last - first) * len(frames) + tolerance).astype(int), 0, len(frames) - 1)
            pixels[columns] = _group_means(frames, starts)
    edges = 500 * HOP_S * np.array([-1, 1])  # half a step beyond the outermost shifts
    low, high = float(shifts_ms[shown[-1]]) + edges[0], float(shifts_ms[shown[0]]) + edges[1]
    return pixels.T[::-1], (low, high)  # reversed: delays ascend, so shifts descend


def _row_means(segment: Scores, starts: np.ndarray, ends: np.ndarray, config: CurveConfig) -> np.ndarray:
    """Running mean of P over one second, averaged over the delays starts[i] .. ends[i] - 1: float [windows, rows]."""
    p = segment.probability[:, starts[0] : ends[-1]]
    known = np.isfinite(p)
    total = np.add.reduceat(np.where(known, p, 0), starts - starts[0], axis=1)
    with np.errstate(invalid="ignore"):
        return running_mean(total / np.add.reduceat(known, starts - starts[0], axis=1, dtype=np.float32), config)


def _group_means(values: np.ndarray, starts: np.ndarray) -> np.ndarray:
    """Means over rows starts[i] .. starts[i + 1] - 1 of values [n, ...], at least of row starts[i]; NaN does not count."""
    known = np.isfinite(values)
    total = np.add.reduceat(np.where(known, values, 0), starts)
    with np.errstate(invalid="ignore"):
        return total / np.add.reduceat(known, starts, dtype=np.float32)


def _draw_result(axes: Axes, report: Report, time_axis: TimeAxis) -> None:
    """Draw the chosen shift, the drift line or the pieces with the jumps between them, and the result of each segment."""
    from matplotlib.patheffects import withStroke

    outline = [withStroke(linewidth=3.5, foreground=BLACK)]
    dashes = (0, (4, 8))  # mostly gap, so that the ridge below stays visible
    for number, (span, shifts_ms) in enumerate(result_lines(report)):
        label = result_label(report) if number == 0 else None
        times = time_axis.bends(*span)
        shifts = np.interp(times, span, shifts_ms)
        axes.plot(time_axis.position(times), shifts, color="white", linestyle=dashes, linewidth=1.5, path_effects=outline, label=label)
    for number, jump in enumerate(report.jumps):
        label = "jump, and its interval" if number == 0 else None
        axes.axvline(float(time_axis.position(jump.at_s)), color="white", linewidth=1.5, path_effects=outline)
        earliest, latest = time_axis.position(np.array([jump.earliest_s, jump.latest_s]))
        axes.axvspan(earliest, latest, facecolor="white", edgecolor=BLACK, alpha=0.4, label=label)
    points = [((s.start_s + s.end_s) / 2, -1000 * s.delay_s) for s in report.segments if s.delay_s is not None]
    if len(report.segments) > 1 and points:
        middles, shifts = np.transpose(points)
        label = "a segment's own result"
        axes.plot(time_axis.position(middles), shifts, "o", color=ORANGE, markeredgecolor=BLACK, markersize=7, label=label)
    if axes.get_legend_handles_labels()[0]:
        legend_above(axes, 3)


def result_label(report: Report) -> str:
    """The legend's text for the result that is drawn."""
    if report.verdict == "jump":
        return "chosen for each piece"
    if report.verdict != "drift":
        return f"chosen: {signed_ms(-(report.audio_delay_ms or 0))} ms"
    between = ""
    if report.drift_interval_ms_per_min is not None:
        low, high = report.drift_interval_ms_per_min
        between = f" (90 % interval {signed_ms(low)} to {signed_ms(high)})"
    return f"drift of the delay: {signed_ms(report.drift_ms_per_min or 0)} ms per minute{between}"
