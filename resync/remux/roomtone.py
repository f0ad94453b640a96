"""Where audio may be cut, and what fills a gap: levels of the audio around a change point. On arrays only."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

_BLOCK_S = 0.02  # levels are measured in blocks of this duration
_AS_QUIET = 1.4  # 3 dB: a moment that is louder by less than this is as good for a cut
_BACKGROUND = 2.0  # 6 dB: louder blocks are not background
_SILENT = 3e-5  # -90 dB: below this there is no room tone, only a muted track
_EXCERPTS_S = (1.0, 0.5, 0.25, 0.15)  # durations of room tone to try; the longer, the less its repetition is heard
_MIN_SPREAD = 0.25  # a quieter block within the excerpt, against the background, is a dropout


class Excerpt(NamedTuple):
    """A span of the source, in s."""

    start_s: float
    end_s: float


def quiet_moment(samples: np.ndarray, rate: int) -> float:
    """The time in mono audio [n] at which a cut is heard least, in s.

    The latest moment that is about as quiet as the quietest one.
    """
    levels = _levels(samples, rate, hop=4)
    if not len(levels):
        return len(samples) / rate
    quiet = np.flatnonzero(levels <= _AS_QUIET * levels.min() + _SILENT)
    if quiet[-1] == len(levels) - 1:
        return len(samples) / rate
    return float(quiet[-1] * (_BLOCK_S / 4) + _BLOCK_S / 2)


def find_room_tone(samples: np.ndarray, rate: int, near_s: float, wanted_s: float) -> Excerpt | None:
    """The excerpt of mono audio [n] that fits best as the background at `near_s`; None where nothing is quiet enough.

    At most `wanted_s` long, as long as there is one, and of those the nearest. Quiet enough is up to 6 dB above the background
    (the level that one block in ten stays below), and 6 dB below the loud blocks, unless the level is the same all the time.
    """
    levels = _levels(samples, rate)
    heard = levels[levels > _SILENT]
    if not len(heard):
        return None
    steady_low, background, loud, steady_high = np.percentile(heard, [5, 10, 90, 95])
    limit = _BACKGROUND * background
    if steady_high > _BACKGROUND * steady_low:
        limit = min(limit, loud / _BACKGROUND)
    fits = (levels <= limit) & (levels >= _MIN_SPREAD * background)
    for duration_s in _EXCERPTS_S:
        blocks = max(round(min(duration_s, max(wanted_s, _EXCERPTS_S[-1])) / _BLOCK_S), 1)
        ends = np.cumsum(np.concatenate([[0], fits]))
        starts_s = _BLOCK_S * np.flatnonzero(ends[blocks:] - ends[:-blocks] == blocks)
        if len(starts_s):
            away_s = np.maximum(starts_s - near_s, near_s - starts_s - blocks * _BLOCK_S)
            start_s = float(starts_s[np.argmin(away_s)])
            return Excerpt(start_s, start_s + blocks * _BLOCK_S)
    return None


def extend(excerpt: np.ndarray, samples: int) -> np.ndarray:
    """The excerpt, float32 [n, channels], repeated forwards and backwards to `samples` samples: no step where it turns."""
    if not len(excerpt):
        return np.zeros((samples, excerpt.shape[1]), np.float32)
    return np.pad(excerpt, ((0, max(samples - len(excerpt), 0)), (0, 0)), mode="symmetric")[:samples]


def cross_fade(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """From `before` to `after`, both float32 [n, channels], with constant power: for audio that is not correlated."""
    angle = (np.arange(len(before), dtype=np.float32)[:, None] + 0.5) * (np.pi / 2 / max(len(before), 1))
    return (before * np.cos(angle) + after * np.sin(angle)).astype(np.float32)


def _levels(samples: np.ndarray, rate: int, hop: int = 1) -> np.ndarray:
    """RMS of blocks that start every `_BLOCK_S` / hop: float64 [blocks]."""
    block, step = round(_BLOCK_S * rate), round(_BLOCK_S * rate) // hop
    total = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    starts = np.arange(0, len(samples) - block + 1, step)
    return np.sqrt(np.maximum(total[starts + block] - total[starts], 0) / block)
