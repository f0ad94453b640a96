"""Which audio is worth comparing: a level gate on mel frames."""

from __future__ import annotations

import numpy as np


def loudness_db(mels: np.ndarray) -> np.ndarray:
    """Loudness of each mel frame in dB: [n], from [n, bands] log10 power."""
    return 10 * np.log10(np.mean(10.0 ** mels.astype(np.float64), axis=1))


FLOOR_DB = -60.0  # fainter audio is silence


def audible_mask(mels: np.ndarray) -> np.ndarray:
    """Mel frames that are not silent: bool [n], from [n, bands] log10 power."""
    return loudness_db(mels) > FLOOR_DB


def activity_mask(mels: np.ndarray, floor_db: float = FLOOR_DB, span_db: float = 35.0) -> np.ndarray:
    """Mel frames that are loud enough to be speech: bool [n], from [n, bands] log10 power.

    A frame counts when it is within `span_db` of the loud ones (95th percentile) and above an
    absolute floor, so that silence and faint background noise have no weight.
    """
    level = loudness_db(mels)
    if not len(level):
        return np.zeros(0, bool)
    return level > max(floor_db, float(np.percentile(level, 95)) - span_db)


def activity_share(active: np.ndarray, first_hop: np.ndarray, hops: int) -> np.ndarray:
    """Share of active hops among the `hops` from each first_hop on: float [n] in 0..1, from bool [m] and int [n]."""
    total = np.concatenate([[0], np.cumsum(active)])
    start = np.clip(first_hop, 0, len(active))
    stop = np.clip(first_hop + hops, 0, len(active))
    return (total[stop] - total[start]) / hops
