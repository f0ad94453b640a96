"""The time axis of a plot. Long gaps that were not analysed are compressed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..config import FPS, WINDOW_FRAMES
from ..sync.curve import Scores

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MAX_GAP_SHARE = 0.02  # of the analysed time: longer gaps are compressed to this width
MAX_GAPS_SHARE = 0.3  # of the analysed time: all gaps together take no more
FEW_SPANS = 3  # analysed: with fewer of them, their starts alone would be too few ticks
MIN_GAP_S = 0.5  # shorter gaps between segments are ignored


class TimeAxis:
    """Maps time in the video to a position on the axis. Long gaps are compressed but never removed.

    analysed, gaps: (start, end) in s. Together they cover the video.
    """

    def __init__(self, segments: Sequence[Scores], duration_s: float):
        self.analysed: list[tuple[float, float]] = []
        for start, end in map(segment_span, segments):
            if self.analysed and start - self.analysed[-1][1] < MIN_GAP_S:
                start = self.analysed.pop()[0]
            self.analysed.append((start, end))
        edges = [0.0, *(edge for span in self.analysed for edge in span), duration_s]
        self.gaps = [(start, end) for start, end in zip(edges[::2], edges[1::2]) if end - start >= MIN_GAP_S]
        share = min(MAX_GAP_SHARE, MAX_GAPS_SHARE / max(1, len(self.gaps)))
        max_gap = share * sum(end - start for start, end in self.analysed)
        knots = sorted({edge for span in self.analysed + self.gaps for edge in span} | {0.0})
        widths = [min(end - start, max_gap) if (start, end) in self.gaps else end - start for start, end in zip(knots, knots[1:])]
        self.is_compressed = any(end - start > max_gap for start, end in self.gaps)
        self._knots, self._positions = knots, np.concatenate([[0.0], np.cumsum(widths)])

    @property
    def length(self) -> float:
        """Position of the end of the axis."""
        return max(float(self._positions[-1]), 1 / FPS)

    @property
    def scale(self) -> tuple[list[float], list[float]]:
        """Times in s at which the scale of the axis may change, ascending, and their positions."""
        return self._knots, self._positions.tolist()

    def bends(self, start_s: float, end_s: float) -> np.ndarray:
        """start_s, end_s and the times between at which the scale of the axis may change: float [n >= 2], ascending."""
        return np.array([start_s, *(knot for knot in self._knots if start_s < knot < end_s), end_s])

    def position(self, time_s: float | np.ndarray) -> np.ndarray:
        """Position of each time on the axis."""
        return np.interp(time_s, self._knots, self._positions)

    def label(self, axes: Axes) -> None:
        """Set the limits, ticks and label of the x axis."""
        axes.set_xlim(0, self.length)
        if self.is_compressed:
            ticks = self._ticks()
            axes.set_xticks(self.position(ticks), [f"{t // 60:.0f}:{t % 60:02.0f}" for t in ticks.round()])
            axes.set_xlabel("time in the video (min:s); hatched: not analysed, compressed")
        else:
            axes.set_xlabel("time in the video (s)" + ("; hatched: not analysed" if self.gaps else ""))

    def _ticks(self) -> np.ndarray:
        """Times to label where gaps are compressed: the starts of the analysed spans, and times within them if there are only a few."""
        starts = np.array([start for start, _ in self.analysed])
        if len(starts) >= FEW_SPANS:
            return starts[:: max(1, len(starts) // 10)]
        step = next(s for s in (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1e9) if s >= self.length / 10)
        return np.concatenate([np.arange(start, max(end - step / 2, start + 1e-3), step) for start, end in self.analysed])

    def hatch_gaps(self, axes: Axes) -> None:
        """Hatch the time that was not analysed."""
        for gap in self.gaps:
            axes.axvspan(*self.position(np.array(gap)), facecolor="white", edgecolor="gray", hatch="////", linewidth=0.5, zorder=3)


def segment_span(segment: Scores) -> tuple[float, float]:
    """Start of the first and end of the last frame of a segment, in s."""
    return float(segment.time_s[0]), float(segment.time_s[-1]) + WINDOW_FRAMES / FPS
