"""The panels of a plot. Each function draws one panel into matplotlib axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..config import FPS, HOP_S, WINDOW_FRAMES
from ..sync.curve import Scores, has_face, probability_at, running_mean
from ..sync.evidence import Evidence, MouthWindow
from .timeline import TimeAxis, segment_span

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .result import Analysis, Report

MOUTH_WINDOWS_SHOWN = 3
BLACK, ORANGE, GREEN, BLUE, RED = "#000000", "#E69F00", "#009E73", "#0072B2", "#D55E00"


def signed_ms(ms: float) -> str:
    """Whole milliseconds with a sign, in the style of the axis ticks."""
    return f"{round(ms):+d}".replace("-", "\N{MINUS SIGN}")


def draw_curve(axes: Axes, analysis: Analysis) -> None:
    """P(in sync) against the audio shift, with the peak, its uncertainty and the runner-up."""
    report, evidence = analysis
    decision, peak = evidence.decision, evidence.peak
    axes.set_ylim(0, 1.05)
    axes.set_ylabel("P(in sync)")
    axes.set_xlabel("audio shift (ms): \N{MINUS SIGN} plays the audio earlier, + later")
    if peak is None:
        axes.set_xlim(-1000 * evidence.config.curve.range_s, 1000 * evidence.config.curve.range_s)
        write_centered(axes, "no curve: no segment could be scored")
        return
    shifts_ms = -1000 * decision.delays_s
    axes.set_xlim(shifts_ms.min(), shifts_ms.max())
    axes.grid(alpha=0.3)
    axes.fill_between(shifts_ms, decision.curve, color=BLUE, alpha=0.12, linewidth=0)
    axes.plot(shifts_ms, decision.curve, color=BLUE, linewidth=2.5, label="P(in sync)")
    axes.axvline(0, color=BLACK, linewidth=1, linestyle=":", label="no shift")
    _mark_peak(axes, report, evidence)
    if peak.runner_up_s is not None:
        runner_up_ms = -1000 * peak.runner_up_s
        label = f"runner-up: {signed_ms(runner_up_ms)} ms"
        axes.plot([runner_up_ms], [peak.runner_up], "s", color=ORANGE, markeredgecolor=BLACK, markersize=8, zorder=4, label=label)
    hints = (
        (0.01, "left", "\N{LEFTWARDS ARROW} audio late: play it earlier"),
        (0.99, "right", "audio early: play it later \N{RIGHTWARDS ARROW}"),
    )
    for x, align, text in hints:
        axes.text(x, 0.96, text, transform=axes.transAxes, ha=align, va="top", style="italic")
    legend_above(axes, 5)


def _mark_peak(axes: Axes, report: Report, evidence: Evidence) -> None:
    """Mark the reported delay with its uncertainty, or the highest point of the curve where no delay is reported."""
    peak, uncertainty_ms = evidence.peak, report.uncertainty_ms
    assert peak is not None
    if report.decided and report.audio_delay_ms is not None:
        shift_ms = -report.audio_delay_ms
        axes.axvline(shift_ms, color=RED, linewidth=1.5, linestyle="--")
        axes.plot(
            [shift_ms],
            [peak.height],
            "v",
            color=RED,
            markeredgecolor=BLACK,
            markersize=11,
            zorder=4,
            label=f"peak: {signed_ms(shift_ms)} ms",
        )
        if uncertainty_ms is not None:
            label = f"uncertainty: \N{PLUS-MINUS SIGN}{uncertainty_ms:.0f} ms"
            axes.axvspan(shift_ms - uncertainty_ms, shift_ms + uncertainty_ms, facecolor=RED, alpha=0.3, label=label)
    else:
        shift_ms = -1000 * peak.delay_s
        label = f"highest: {signed_ms(shift_ms)} ms (delay {signed_ms(-shift_ms)} ms), not accepted"
        axes.axvline(shift_ms, color=RED, linewidth=1.5, linestyle=":")
        axes.plot([shift_ms], [peak.height], "x", color=RED, markeredgewidth=2, markersize=11, zorder=4, label=label)


def draw_heat_map(axes: Axes, analysis: Analysis, time_axis: TimeAxis) -> None:
    """P(in sync) against time and audio shift, as a running mean over one second."""
    from matplotlib import colormaps

    report, evidence = analysis
    axes.set_ylabel("audio shift (ms)\n\N{MINUS SIGN} earlier, + later")
    axes.tick_params(labelbottom=False)
    if not evidence.segments:
        write_centered(axes, "not analysed")
        return
    colours = colormaps["viridis"].with_extremes(bad=(0, 0, 0, 0))
    axes.patch.set(facecolor="#e8e8e8", edgecolor="gray", hatch="xx")  # shows through where there is no face
    shifts_ms = -1000 * evidence.decision.delays_s
    low, high = shifts_ms.min() - 500 * HOP_S, shifts_ms.max() + 500 * HOP_S  # half a step beyond the outermost shifts
    for segment in evidence.segments:
        smooth = running_mean(segment.probability, evidence.config.curve)
        pixels = windows_to_frames(smooth).T[::-1]  # reversed: delays ascend, so shifts descend
        extent = (*time_axis.position(np.array(segment_span(segment))), low, high)
        image = axes.imshow(pixels, extent=extent, origin="lower", aspect="auto", interpolation="nearest", cmap=colours, vmin=0, vmax=1)
    axes.set_ylim(low, high)
    time_axis.hatch_gaps(axes)
    _draw_result(axes, report, time_axis)
    bar = axes.figure.colorbar(image, cax=axes.inset_axes((1.01, 0, 0.012, 1)))
    note = "" if all(np.isfinite(segment.probability).all() for segment in evidence.segments) else "\n(cross-hatched: no face)"
    bar.set_label(f"P(in sync), 1 s mean{note}")


def _draw_result(axes: Axes, report: Report, time_axis: TimeAxis) -> None:
    """Draw the chosen shift or the drift line, and the result of each segment."""
    from matplotlib.patheffects import withStroke

    times = np.array(time_axis.analysed).ravel()
    if report.decided and report.audio_delay_ms is not None:
        shifts_ms, label = np.full(len(times), -report.audio_delay_ms), f"chosen: {signed_ms(-report.audio_delay_ms)} ms"
    elif report.verdict == "drift" and report.drift_start_ms is not None and report.drift_ms_per_min is not None:
        shifts_ms, label = -report.drift_start_ms - report.drift_ms_per_min * times / 60, "drift"
    else:
        shifts_ms = None
    if shifts_ms is not None:
        outline = [withStroke(linewidth=3.5, foreground=BLACK)]
        dashes = (0, (4, 8))  # mostly gap, so that the ridge below stays visible
        axes.plot(time_axis.position(times), shifts_ms, color="white", linestyle=dashes, linewidth=1.5, path_effects=outline, label=label)
    points = [((s.start_s + s.end_s) / 2, -1000 * s.delay_s) for s in report.segments if s.delay_s is not None]
    show_points = len(report.segments) > 1 and bool(points)
    if show_points:
        middles, shifts = np.transpose(points)
        label = "a segment's own result"
        axes.plot(time_axis.position(middles), shifts, "o", color=ORANGE, markeredgecolor=BLACK, markersize=7, label=label)
    if shifts_ms is not None or show_points:
        legend_above(axes, 2)


def draw_activity(axes: Axes, evidence: Evidence, time_axis: TimeAxis) -> None:
    """Three bars over time: speech, a visible face, and off-screen speech."""
    rows = (("speech", BLUE), ("face visible", GREEN), ("off screen", RED))
    axes.set_ylim(-0.1, len(rows) - 0.1)
    axes.invert_yaxis()
    axes.set_yticks([row + 0.4 for row in range(len(rows))], [name for name, _ in rows])
    axes.tick_params(axis="y", length=0)
    for segment, masks in zip(evidence.segments, activity_masks(evidence)):
        for row, (mask, (_, colour)) in enumerate(zip(masks, rows)):
            spans = time_axis.position(segment.time_s[0] + _true_ranges(windows_to_frames(mask)) / FPS)
            axes.broken_barh([(start, end - start) for start, end in spans], (row, 0.8), facecolor=colour)
    time_axis.label(axes)
    time_axis.hatch_gaps(axes)


def activity_masks(evidence: Evidence) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Speech, face and off-screen masks of each segment: bool [windows] each.

    Off screen means what `offscreen_ratio` counts: speech with P(in sync) under 0.5 at the peak, or without a face.
    """
    if not evidence.segments:
        return []
    scores, peak = Scores.join(list(evidence.segments)), evidence.peak
    speech, face = scores.weight > 0, has_face(scores)
    probability = probability_at(scores, peak.index, evidence.config.curve) if peak else np.zeros(len(speech))
    off_screen = speech & (np.nan_to_num(probability) < 0.5)
    ends = np.cumsum([len(segment.weight) for segment in evidence.segments])[:-1]
    return list(zip(*(np.split(mask, ends) for mask in (speech, face, off_screen))))


def windows_to_frames(values: np.ndarray) -> np.ndarray:
    """Values of windows [windows, ...] -> of frames [windows + 4, ...]: each frame gets the window centred on it, or the nearest one."""
    reach = WINDOW_FRAMES // 2
    return np.pad(values, ((reach, reach), *((0, 0),) * (values.ndim - 1)), mode="edge")


def _true_ranges(mask: np.ndarray) -> np.ndarray:
    """Ranges of True in `mask` [n]: int [ranges, 2], first index and one past the last."""
    return np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int))).reshape(-1, 2)


def draw_mouths(cells: list[Axes], analysis: Analysis) -> None:
    """The mouth crops of the strongest windows in order of time, one window a cell."""
    report, evidence = analysis
    peak = evidence.peak
    for cell in cells:
        cell.set_axis_off()
    if not evidence.windows or peak is None:
        write_centered(cells[len(cells) // 2], "no informative mouth crops")
        return
    role = "that decided the result" if report.decided else "that fit best"
    title = f"Mouth crops {role}: {WINDOW_FRAMES} frames ({1000 * WINDOW_FRAMES // FPS} ms) each"
    cells[0].set_title(title, loc="left", y=1.3)
    for cell, window in zip(cells, sorted(evidence.windows[: len(cells)], key=lambda window: window.time_s)):
        cell.imshow(_side_by_side(window), cmap="gray", vmin=0, vmax=255)
        caption = f"at {window.time_s:.2f} s, P(in sync) {window.probability[peak.index]:.2f}"
        cell.text(0, 1.04, caption, transform=cell.transAxes, va="bottom")


def _side_by_side(window: MouthWindow) -> np.ndarray:
    """The crops of a window side by side with white gaps of 2 px: uint8 [size, 5 size + 8]."""
    gap = np.full((window.crops.shape[1], 2), 255, np.uint8)
    return np.hstack([column for crop in window.crops for column in (crop, gap)][:-1])


def legend_above(axes: Axes, columns: int) -> None:
    """A legend above the axes, where it covers no data."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, handlelength=2.5, frameon=False, borderaxespad=0.2)


def write_centered(axes: Axes, text: str) -> None:
    """Write a message in the middle of empty axes."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center")
