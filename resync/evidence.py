"""What an answer rests on, kept for pictures of it: scores, and the few moments that told most."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from . import curve as curves
from .config import FPS, WINDOW_FRAMES, Config, CurveConfig
from .curve import Peak, Scores
from .decide import Decision
from .external import Sound
from .media import MediaInfo
from .report import Report

MOST_MOMENTS = 8  # kept of a whole film, whatever its length
KEPT_MOMENTS = 120  # until the best delay is known
STRETCH_MOMENTS = 3  # kept of one stretch, at least a second apart


@dataclass(frozen=True)
class Moment:
    """One window as the network saw it.

    time_s: its first picture; crops: uint8 [WINDOW_FRAMES, size, size], the mouth; probability: float32 [delays],
    P(in sync) at each delay; weight: share of speech in its sound; worth: how much it tells of its stretch's own best delay.
    """

    time_s: float
    crops: np.ndarray
    probability: np.ndarray
    weight: float
    worth: float


@dataclass(frozen=True)
class Evidence:
    """A report and what it was made of.

    info, sound: what was looked at and listened to. parts: scores of each stretch, in order of time.
    moments: those that told most of the best delay, the most telling first; at most MOST_MOMENTS.
    """

    report: Report
    config: Config
    info: MediaInfo
    sound: Sound
    decision: Decision
    parts: tuple[Scores, ...]
    moments: tuple[Moment, ...]

    @property
    def peak(self) -> Peak | None:
        """The highest point of the curve, None without one. It is an answer only if the report is decided."""
        return top_of(self.decision)

    def shift_ms(self, delay_s: float | np.ndarray) -> float | np.ndarray:
        """How the sound has to be moved, + = later, when it was `delay_s` late where it was listened to."""
        return 1000 * (self.sound.starts_s - delay_s)


def telling(probability: np.ndarray, weight: np.ndarray, column: int) -> np.ndarray:
    """How much each window speaks for one delay and against the others: float [n], 0 where nothing is known.

    probability: [n, delays]; weight: [n]. In log-odds over the mean of all delays, times the share of speech.
    """
    odds = curves.log_odds(np.asarray(probability, float))
    known = np.isfinite(odds)
    mean = np.where(known, odds, 0).sum(1) / np.maximum(known.sum(1), 1)
    return np.nan_to_num(odds[:, column] - mean) * weight


def moments_of(
    scores: Scores, mouths: list[tuple[int, np.ndarray]], chosen: np.ndarray, smooth: CurveConfig = CurveConfig()
) -> tuple[Moment, ...]:
    """The windows of one stretch that tell most of the stretch's own best delay.

    mouths: of every face the number of its first picture and its crops; chosen: int [n, delays], the face that counts.
    """
    values = curves.curve(scores, smooth)
    if not mouths or np.isnan(values).all():
        return ()
    column = int(np.argmax(values))
    worth = telling(scores.probability, scores.weight, column)
    found: list[Moment] = []
    while len(found) < STRETCH_MOMENTS and worth.max() > 0:
        row = int(np.argmax(worth))
        first, crops = mouths[chosen[row, column]]
        pictures = crops[row - first : row - first + WINDOW_FRAMES].copy()  # a view would keep all of the stretch's
        found.append(
            Moment(float(scores.time_s[row]), pictures, scores.probability[row].copy(), float(scores.weight[row]), float(worth[row]))
        )
        worth[max(0, row - FPS) : row + FPS + 1] = 0
    return tuple(found)


def kept(moments: tuple[Moment, ...]) -> tuple[Moment, ...]:
    """Those worth most, so that a film of hours does not fill the memory with them."""
    return tuple(sorted(moments, key=lambda moment: -moment.worth)[:KEPT_MOMENTS])


def most_telling(moments: Iterable[Moment], decision: Decision) -> tuple[Moment, ...]:
    """Those that tell most of the film's best delay, the most telling first; those that speak against it are left out."""
    top, moments = top_of(decision), tuple(moments)
    if top is None or not moments:
        return ()
    worth = telling(np.stack([m.probability for m in moments]), np.array([m.weight for m in moments]), top.index)
    return tuple(moments[i] for i in np.argsort(-worth)[:MOST_MOMENTS] if worth[i] > 0)


def top_of(decision: Decision) -> Peak | None:
    """Peak of the decision's curve, None where nothing votes."""
    known = len(decision.curve) and not np.isnan(decision.curve).all()
    return curves.peak(decision.curve, decision.delays) if known else None
