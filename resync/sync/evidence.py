"""What an answer rests on, kept for plots: scores, and the few windows with the strongest evidence."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..config import FPS, WINDOW_FRAMES, Config, CurveConfig
from ..media.probe import MediaInfo
from ..media.source import AudioSource
from .curve import Peak, Scores, log_odds, probability_curve
from .decide import Decision

MAX_WINDOWS = 8  # kept of a whole video, whatever its length
MAX_CANDIDATES = 120  # kept until the best delay is known
WINDOWS_PER_SEGMENT = 3  # at least a second apart


@dataclass(frozen=True)
class MouthWindow:
    """One window as the network saw it.

    time_s: its first frame; crops: uint8 [WINDOW_FRAMES, size, size], the mouth; probability: float32 [delays],
    P(in sync) at each delay; weight: share of active audio; worth: its evidence for the best delay of its own segment.
    """

    time_s: float
    crops: np.ndarray
    probability: np.ndarray
    weight: float
    worth: float


@dataclass(frozen=True)
class Evidence:
    """A decision and what it was made of.

    info, audio: what was analysed. segments: scores of each segment, in order of time. faces: number of face tracks.
    windows: those with the strongest evidence for the best delay, strongest first; at most MAX_WINDOWS.
    """

    config: Config
    info: MediaInfo
    audio: AudioSource
    decision: Decision
    segments: tuple[Scores, ...]
    windows: tuple[MouthWindow, ...]
    faces: int = 0

    @property
    def peak(self) -> Peak | None:
        """The highest point of the curve, None without one. It is an answer only if the decision says so."""
        return self.decision.peak

    @property
    def analysed_s(self) -> float:
        """Seconds of video that were analysed."""
        return sum(len(segment.weight) for segment in self.segments) / FPS


def evidence_for(probability: np.ndarray, weight: np.ndarray, column: int) -> np.ndarray:
    """How strongly each window supports one delay over the others: float [n], 0 where nothing is known.

    probability: [n, delays]; weight: [n]. Log-odds at the delay over their mean at all delays, times the weight.
    """
    odds = log_odds(np.asarray(probability, float))
    known = np.isfinite(odds)
    mean = np.where(known, odds, 0).sum(1) / np.maximum(known.sum(1), 1)
    return np.nan_to_num(odds[:, column] - mean) * weight


def strongest_in_segment(
    scores: Scores, mouths: list[tuple[int, np.ndarray]], chosen: np.ndarray, smooth: CurveConfig = CurveConfig()
) -> tuple[MouthWindow, ...]:
    """The windows of one segment with the strongest evidence for the segment's own best delay.

    mouths: of every face the number of its first frame and its crops; chosen: int [n, delays], the face that was used.
    """
    values = probability_curve(scores, smooth)
    if not mouths or np.isnan(values).all():
        return ()
    column = int(np.argmax(values))
    worth = evidence_for(scores.probability, scores.weight, column)
    windows: list[MouthWindow] = []
    while len(windows) < WINDOWS_PER_SEGMENT and worth.max() > 0:
        row = int(np.argmax(worth))
        first, crops = mouths[chosen[row, column]]
        own = crops[row - first : row - first + WINDOW_FRAMES].copy()  # a view would keep the crops of the whole segment
        windows.append(
            MouthWindow(float(scores.time_s[row]), own, scores.probability[row].copy(), float(scores.weight[row]), float(worth[row]))
        )
        worth[max(0, row - FPS) : row + FPS + 1] = 0
    return tuple(windows)


def keep_strongest(windows: tuple[MouthWindow, ...]) -> tuple[MouthWindow, ...]:
    """The MAX_CANDIDATES strongest, so that memory does not grow with the video."""
    return tuple(sorted(windows, key=lambda window: -window.worth)[:MAX_CANDIDATES])


def strongest_overall(windows: Iterable[MouthWindow], decision: Decision) -> tuple[MouthWindow, ...]:
    """Those with the strongest evidence for the video's best delay, strongest first; those against it are left out."""
    top, windows = decision.peak, tuple(windows)
    if top is None or not windows:
        return ()
    worth = evidence_for(np.stack([w.probability for w in windows]), np.array([w.weight for w in windows]), top.index)
    return tuple(windows[i] for i in np.argsort(-worth)[:MAX_WINDOWS] if worth[i] > 0)
