"""The activity panel of a plot: when somebody speaks, who of the visible faces it is, and when the speech is off screen."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..config import FPS, WINDOW_FRAMES
from ..sync.curve import running_mean
from ..sync.evidence import Evidence
from ..sync.speakers import chosen_columns
from .faces import face_groups
from .panels import BLUE, GREEN, RED, legend_above
from .timeline import TimeAxis

if TYPE_CHECKING:
    from matplotlib.axes import Axes

VISIBLE = "#A8DCC8"  # GREEN, pale


def row_count(evidence: Evidence) -> int:
    """Number of rows that `draw_activity` needs."""
    return 2 + max(1, len(face_groups(evidence.faces)))


def draw_activity(axes: Axes, evidence: Evidence, time_axis: TimeAxis) -> None:
    """Bars over time: speech; each face, pale where it is visible and strong where it speaks; off-screen speech."""
    groups = face_groups(evidence.faces)
    names = ["speech", *([group.name for group in groups] or ["no face"]), "off screen"]
    axes.set_ylim(-0.1, len(names) - 0.1)
    axes.invert_yaxis()
    axes.set_yticks([row + 0.4 for row in range(len(names))], names)
    axes.tick_params(axis="y", length=0)
    for row, colour, spans in zip((0, len(names) - 1), (BLUE, RED), activity_spans(evidence)):
        _draw_bars(axes, time_axis, row, spans, colour)
    for row, group in enumerate(groups, 1):
        label = "legend" if row == 1 else ""
        _draw_bars(axes, time_axis, row, ((face.start_s, face.end_s) for face in group.faces), VISIBLE, label and "face visible")
        _draw_bars(axes, time_axis, row, (span for face in group.faces for span in face.speaking), GREEN, label and "face speaks")
    if groups:
        legend_above(axes, 2)
    time_axis.label(axes)
    time_axis.hatch_gaps(axes)


def _draw_bars(axes: Axes, time_axis: TimeAxis, row: int, spans: Iterable[Sequence[float]], colour: str, label: str = "") -> None:
    """Draw times (start, end) in s as bars in a row. Bars that touch become one: there may be thousands."""
    edges = joined_spans(time_axis.position(np.array(list(spans)).reshape(-1, 2)).tolist())
    axes.broken_barh([(start, end - start) for start, end in edges], (row, 0.8), facecolor=colour, label=label or None)


def joined_spans(spans: Iterable[Sequence[float]], max_gap: float = 1e-6) -> list[tuple[float, float]]:
    """Ascending spans (start, end), those with no more than `max_gap` between them as one."""
    joined: list[tuple[float, float]] = []
    for start, end in spans:
        if joined and start <= joined[-1][1] + max_gap:
            start = joined.pop()[0]
        joined.append((start, end))
    return joined


def activity_spans(evidence: Evidence) -> tuple[list[list[float]], list[list[float]]]:
    """Times [start, end] in s of speech, and of off-screen speech, each ascending."""
    spans: tuple[list[list[float]], list[list[float]]] = ([], [])
    for segment, masks in zip(evidence.segments, activity_masks(evidence)):
        for own, mask in zip(spans, masks):
            own += (segment.time_s[0] + _true_ranges(windows_to_frames(mask)) / FPS).tolist()
    return spans


def activity_masks(evidence: Evidence) -> list[tuple[np.ndarray, np.ndarray]]:
    """Speech and off-screen masks of each segment: bool [windows] each.

    Off screen means what `offscreen_ratio` counts: speech with P(in sync) under 0.5 at the chosen delay, or without a face.
    """
    if not evidence.segments:
        return []
    speech, probability = [], []
    for segment in evidence.segments:
        columns = chosen_columns(evidence.decision, segment.time_s)
        rows = np.arange(len(segment.time_s))
        at = (rows, len(segment.delays) // 2 if columns is None else columns)
        speech.append(segment.speech[at] > 0)
        probability.append(segment.probability[at])
    in_sync = np.nan_to_num(running_mean(np.concatenate(probability), evidence.config.curve)) >= 0.5
    ends = np.cumsum([len(mask) for mask in speech])[:-1]
    return [(own, own & ~fits) for own, fits in zip(speech, np.split(in_sync, ends))]


def windows_to_frames(values: np.ndarray) -> np.ndarray:
    """Values of windows [windows, ...] -> of frames [windows + 4, ...]: each frame gets the window centred on it, or the nearest one."""
    reach = WINDOW_FRAMES // 2
    return np.pad(values, ((reach, reach), *((0, 0),) * (values.ndim - 1)), mode="edge")


def _true_ranges(mask: np.ndarray) -> np.ndarray:
    """Ranges of True in `mask` [n]: int [ranges, 2], first index and one past the last."""
    return np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(int))).reshape(-1, 2)
