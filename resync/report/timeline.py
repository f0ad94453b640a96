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
        max_gap = MAX_GAP_SHARE * sum(end - start for start, end in self.analysed)
        knots = sorted({edge for span in self.analysed + self.gaps for edge in span} | {0.0})
        widths = [min(end - start, max_gap) if (start, end) in self.gaps else end - start for start, end in zip(knots, knots[1:])]
        self.is_compressed = any(end - start > max_gap for start, end in self.gaps)
        self._knots, self._positions = knots, np.concatenate([[0.0], np.cumsum(widths)])

    def position(self, time_s: float | np.ndarray) -> np.ndarray:
        """Position of each time on the axis."""
        return np.interp(time_s, self._knots, self._positions)

    def label(self, axes: Axes) -> None:
        """Set the limits, ticks and label of the x axis."""
        axes.set_xlim(0, max(float(self._positions[-1]), 1 / FPS))
        if self.is_compressed:
            ticks = np.array([start for start, _ in self.analysed])[:: max(1, len(self.analysed) // 10)]
            axes.set_xticks(self.position(ticks), [f"{t // 60:.0f}:{t % 60:02.0f}" for t in ticks.round()])
            axes.set_xlabel("time in the video (min:s); hatched: not analysed, compressed")
        else:
            axes.set_xlabel("time in the video (s)" + ("; hatched: not analysed" if self.gaps else ""))

    def hatch_gaps(self, axes: Axes) -> None:
        """Hatch the time that was not analysed."""
        for gap in self.gaps:
            axes.axvspan(*self.position(np.array(gap)), facecolor="white", edgecolor="gray", hatch="////", linewidth=0.5, zorder=3)


def segment_span(segment: Scores) -> tuple[float, float]:
    """Start of the first and end of the last frame of a segment, in s."""
    return float(segment.time_s[0]), float(segment.time_s[-1]) + WINDOW_FRAMES / FPS
