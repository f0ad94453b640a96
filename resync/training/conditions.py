"""Under which conditions a clip was recorded, for accuracy by condition."""

from __future__ import annotations

import numpy as np

from .cache import Entry

# Name of a figure of `Entry`, and the lower limits and names of its groups.
GROUPS: dict[str, tuple[tuple[float, str], ...]] = {
    "face_px": ((0, "face under 80 px"), (80, "face 80 to 160 px"), (160, "face over 160 px")),
    "yaw": ((0, "frontal"), (0.15, "turned"), (0.4, "nearly in profile")),
    "background_db": ((0, "background up to 15 dB below"), (15, "background 15 to 30 dB below"), (30, "background over 30 dB below")),
    "fps": ((0, "under 24 fps"), (23.9, "24 to 25 fps"), (25.1, "over 25 fps")),
}  # fmt: skip


def face_yaw(landmarks: np.ndarray) -> float:
    """How far a face is turned: distance of the nose from the middle of the eyes, along them, in eye distances; 0 = frontal.

    landmarks: [n, 5, 2] px of a track (eyes, nose, corners of the mouth). The median over its frames.
    """
    eyes, nose = landmarks[:, :2], landmarks[:, 2]
    across = eyes[:, 1] - eyes[:, 0]
    width = np.linalg.norm(across, axis=1).clip(1e-6)
    return float(np.median(np.abs(((nose - eyes.mean(1)) * across).sum(1)) / width**2))


def background_level(mels: np.ndarray) -> float:
    """How far the quiet moments (10th percentile) are below the loud ones (95th), in dB, from log10 mel power [n, bands]."""
    level = 10 * np.log10((10.0 ** mels.astype(np.float64)).mean(1))
    quiet, loud = np.percentile(level, (10, 95))
    return float(loud - quiet)


def condition_groups(entry: Entry) -> list[str]:
    """Names of the groups that a track belongs to, one for each known condition."""
    values = {name: getattr(entry, name) for name in GROUPS}
    groups = [[name for low, name in GROUPS[key] if value >= low][-1] for key, value in values.items() if value is not None]
    return groups + [f"language: {entry.language}"] * bool(entry.language)
