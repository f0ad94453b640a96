"""Face track and pictures to aligned mouth crops."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image
from scipy.ndimage import uniform_filter1d

from .config import FPS, CropConfig
from .pictures import Gray
from .tracks import FaceTrack


def geometry(landmarks: np.ndarray, config: CropConfig = CropConfig()) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Where the mouth square lies in each frame.

    landmarks: [n, 5, 2] px. Returns centre [n, 2] px (middle of the mouth corners), side [n] px
    and roll [n] rad. The unit of length is max(eye middle to mouth middle, 0.9 x eye distance):
    the first shrinks when the head nods, the second when it turns. It is smoothed over a second
    because a face does not change its size at the rate of speech.
    """
    eyes, mouth = landmarks[:, :2], landmarks[:, 3:5]
    centre = mouth.mean(1)
    down = centre - eyes.mean(1)
    across = eyes[:, 1] - eyes[:, 0]
    unit = np.maximum(np.linalg.norm(down, axis=1), 0.9 * np.linalg.norm(across, axis=1))
    # The sum of both directions is steadier than either: eyes and the nose line turn together.
    axis = across / np.linalg.norm(across, axis=1, keepdims=True).clip(1e-6)
    upright = down / np.linalg.norm(down, axis=1, keepdims=True).clip(1e-6)
    both = axis + np.stack([upright[:, 1], -upright[:, 0]], 1)
    wide = max(1, round(config.unit_window_s * FPS))
    return centre, config.side_units * _steady(unit, wide), np.arctan2(_steady(both[:, 1], wide // 3), _steady(both[:, 0], wide // 3))


def mouth_crops(grays: Sequence[Gray], track: FaceTrack, config: CropConfig = CropConfig()) -> np.ndarray:
    """Cut the mouth square of every frame of `track`: uint8 [n, size, size].

    grays: the pictures, indexed by frame number.
    """
    centre, side, roll = geometry(track.landmarks, config)
    return np.stack([_cut(grays[track.start + i], centre[i], side[i], roll[i], config.size) for i in range(len(side))])


def _cut(gray: Gray, centre: np.ndarray, side: float, roll: float, size: int) -> np.ndarray:
    """One rotated square of `gray`, resampled to `size` px; what lies outside the picture is black."""
    # Bilinear sampling alone would alias large faces: shrink by area first.
    shrink = max(1, int(side / size))
    reach = int(side) + 2
    # The square's half diagonal, with room for sampling; whole blocks less, so that the same pixels are shrunk to one.
    reach -= max(0, reach - int(0.75 * side) - 2 * shrink) // shrink * shrink
    x0, y0 = (np.floor(centre).astype(int) - reach).tolist()
    part = Image.fromarray(gray.part(x0, y0, 2 * reach))
    if shrink > 1:
        part = part.reduce(shrink)
    c, s = np.cos(roll) * side / size / shrink, np.sin(roll) * side / size / shrink
    x, y = (centre - (x0, y0) + 0.5) / shrink
    half = size / 2  # Pillow's affine takes pixel centres at + 1/2
    matrix = (c, -s, x - half * (c - s), s, c, y - half * (s + c))
    return np.asarray(part.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))


def _steady(x: np.ndarray, frames: int) -> np.ndarray:
    return uniform_filter1d(x, max(1, min(frames, len(x))), mode="nearest")
