"""The curve and the mouth crops of a plot, and what all its panels share. Each function draws into matplotlib axes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..config import FPS, WINDOW_FRAMES
from ..sync.evidence import Evidence, MouthWindow

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .result import Analysis, Report

MOUTH_WINDOWS_SHOWN = 3
MAX_NAMED = 6  # shifts that fit into a legend
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
        axes.set_xlim(-1000 * evidence.range_s, 1000 * evidence.range_s)
        write_centered(axes, "no curve: no segment could be scored")
        return
    shifts_ms = -1000 * decision.delays_s
    axes.set_xlim(shifts_ms.min(), shifts_ms.max())
    axes.grid(alpha=0.3)
    axes.fill_between(shifts_ms, decision.curve, color=BLUE, alpha=0.12, linewidth=0)
    axes.plot(shifts_ms, decision.curve, color=BLUE, linewidth=2.5, label="P(in sync)")
    axes.axvline(0, color=BLACK, linewidth=1, linestyle=":", label="no shift")
    _mark_result(axes, report, evidence)
    if peak.runner_up_s is not None and report.verdict not in ("drift", "jump"):
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


def _mark_result(axes: Axes, report: Report, evidence: Evidence) -> None:
    """Mark the reported delay, or the delays of all pieces, or the range of a drift; the highest point where there is no result."""
    if report.decided and report.audio_delay_ms is not None:
        _mark_peak(axes, report, evidence)
    elif report.verdict == "jump":
        _mark_pieces(axes, report, evidence)
    elif report.verdict == "drift" and report.drift_start_ms is not None:
        start_ms = -report.drift_start_ms
        end_ms = start_ms - (report.drift_ms_per_min or 0) * report.duration_s / 60
        label = f"drift: {signed_ms(start_ms)} ms at the start, {signed_ms(end_ms)} ms at the end"
        axes.axvspan(min(start_ms, end_ms), max(start_ms, end_ms), facecolor=RED, alpha=0.2, label=label)
    elif evidence.peak is not None:
        shift_ms = -1000 * evidence.peak.delay_s
        label = f"highest: {signed_ms(shift_ms)} ms (delay {signed_ms(-shift_ms)} ms), not accepted"
        axes.axvline(shift_ms, color=RED, linewidth=1.5, linestyle=":")
        axes.plot([shift_ms], [evidence.peak.height], "x", color=RED, markeredgewidth=2, markersize=11, zorder=4, label=label)


def _mark_peak(axes: Axes, report: Report, evidence: Evidence) -> None:
    """Mark the reported delay with its uncertainty."""
    peak, shift_ms = evidence.peak, -(report.audio_delay_ms or 0.0)
    assert peak is not None
    axes.axvline(shift_ms, color=RED, linewidth=1.5, linestyle="--")
    _mark(axes, [shift_ms], [peak.height], f"peak: {signed_ms(shift_ms)} ms")
    if report.uncertainty_ms is not None:
        low, high = shift_ms - report.uncertainty_ms, shift_ms + report.uncertainty_ms
        axes.axvspan(low, high, facecolor=RED, alpha=0.3, label=f"uncertainty: \N{PLUS-MINUS SIGN}{report.uncertainty_ms:.0f} ms")


def _mark_pieces(axes: Axes, report: Report, evidence: Evidence) -> None:
    """Mark the delay of each piece on the curve."""
    shifts_ms = np.array([-piece.audio_delay_ms for piece in report.pieces])
    heights = np.interp(-shifts_ms, 1000 * evidence.decision.delays_s, evidence.decision.curve)
    distinct = sorted(set(shifts_ms.round().tolist()))
    named = ", ".join(map(signed_ms, distinct)) + " ms" if len(distinct) <= MAX_NAMED else f"{len(distinct)} shifts"
    _mark(axes, shifts_ms, heights, f"{len(shifts_ms)} pieces: {named}")


def _mark(axes: Axes, shifts_ms: Sequence[float] | np.ndarray, heights: Sequence[float] | np.ndarray, label: str) -> None:
    axes.plot(shifts_ms, heights, "v", color=RED, markeredgecolor=BLACK, markersize=11, zorder=4, label=label)


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
        cell.imshow(side_by_side(window), cmap="gray", vmin=0, vmax=255)
        caption = f"at {window.time_s:.2f} s, P(in sync) {window.probability[peak.index]:.2f}"
        cell.text(0, 1.04, caption, transform=cell.transAxes, va="bottom")


def side_by_side(window: MouthWindow, gap_px: int = 2) -> np.ndarray:
    """The crops of a window side by side with white gaps: uint8 [size, 5 size + 4 gap_px]."""
    gap = np.full((window.crops.shape[1], gap_px), 255, np.uint8)
    return np.hstack([column for crop in window.crops for column in (crop, gap)][:-1])


def legend_above(axes: Axes, columns: int) -> None:
    """A legend above the axes, where it covers no data."""
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=columns, handlelength=2.5, frameon=False, borderaxespad=0.2)


def write_centered(axes: Axes, text: str) -> None:
    """Write a message in the middle of empty axes."""
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center")
