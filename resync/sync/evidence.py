"""What an answer rests on, kept for plots: scores, and the few windows with the strongest evidence."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from ..config import FPS, WINDOW_FRAMES, Config
from ..media.probe import MediaInfo
from ..media.source import AudioSource
from .curve import Peak, Scores, log_odds
from .decide import Decision
from .scoring import EmbeddedSegment, ScoredSegment
from .speakers import FaceResult

MAX_WINDOWS = 8  # kept of a whole video, whatever its length
WINDOWS_PER_SEGMENT = 3  # at least a second apart


@dataclass(frozen=True)
class MouthWindow:
    """One window as the network saw it.

    time_s: its first frame; crops: uint8 [WINDOW_FRAMES, size, size], the mouth; probability: float32 [delays],
    P(in sync) at each delay; worth: its evidence for the best delay, times its share of active audio.
    """

    time_s: float
    crops: np.ndarray
    probability: np.ndarray
    worth: float


@dataclass(frozen=True)
class Evidence:
    """A decision and what it was made of.

    info, audio: what was analysed. segments: scores of each segment, in order of time.
    windows: those with the strongest evidence for the best delay, strongest first; at most MAX_WINDOWS. faces: each face's own result.
    """

    config: Config
    info: MediaInfo
    audio: AudioSource
    decision: Decision
    segments: tuple[Scores, ...]
    windows: tuple[MouthWindow, ...]
    faces: tuple[FaceResult, ...] = ()

    @property
    def range_s(self) -> float:
        """Delays up to so many seconds were tested."""
        return self.config.curve.first_range_s

    @property
    def peak(self) -> Peak | None:
        """The highest point of the curve, None without one. It is an answer only if the decision says so."""
        return self.decision.peak

    @property
    def analysed_s(self) -> float:
        """Seconds of video that were analysed."""
        return sum(len(segment.time_s) for segment in self.segments) / FPS


def evidence_for(scores: Scores, column: int) -> np.ndarray:
    """How strongly each window supports one delay, given by its index, over the others: float [windows], 0 where nothing is known.

    Log-odds at the delay over their mean at all delays, times the share of active audio.
    """
    odds = log_odds(np.asarray(scores.probability, float))
    known = np.isfinite(odds)
    mean = np.where(known, odds, 0).sum(1) / np.maximum(known.sum(1), 1)
    return np.nan_to_num(odds[:, column] - mean) * scores.speech[:, column]


def strongest_windows(segments: Iterable[tuple[EmbeddedSegment, ScoredSegment]], column: int) -> tuple[MouthWindow, ...]:
    """The windows with the strongest evidence for one delay, given by its index, strongest first; those against it are left out.

    Segments whose crops were dropped are skipped.
    """
    windows = [window for embedded, scored in segments for window in _strongest_in_segment(embedded, scored, column)]
    return tuple(sorted(windows, key=lambda window: -window.worth)[:MAX_WINDOWS])


def _strongest_in_segment(embedded: EmbeddedSegment, scored: ScoredSegment, column: int) -> Iterator[MouthWindow]:
    scores = scored.scores
    worth = evidence_for(scores, column)
    for _ in range(WINDOWS_PER_SEGMENT if embedded.faces else 0):
        row = int(np.argmax(worth))
        face = embedded.faces[0 if scored.chosen is None else scored.chosen[row, column]]
        if not worth[row] > 0 or face.crops is None:
            return
        crops = face.crops[row - face.start : row - face.start + WINDOW_FRAMES].copy()  # a view would keep all crops of the segment
        yield MouthWindow(float(scores.time_s[row]), crops, scores.probability[row].copy(), float(worth[row]))
        worth[max(0, row - FPS) : row + FPS + 1] = 0
