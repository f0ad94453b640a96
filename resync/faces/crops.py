"""Aligned mouth crops from the landmarks of a face track."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from PIL import Image

from ..config import FPS, CropConfig
from ..media.image import GrayImage
from ..smoothing import mean_filter
from .tracks import FaceTrack


def crop_geometry(landmarks: np.ndarray, config: CropConfig = CropConfig()) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Position, size and rotation of the square mouth crop in each frame.

    landmarks: [n, 5, 2] px. Returns centre [n, 2] px (midpoint of the mouth corners), side [n] px and roll [n] rad.
    The side is a multiple of a face unit: the larger of the distance from eyes to mouth and 0.9 x the distance between
    the eyes. Pitch shortens the first, yaw the second. The unit is smoothed over a second, because a face does not
    change its size at the rate of speech.
    """
    eyes, mouth = landmarks[:, :2], landmarks[:, 3:5]
    centre = mouth.mean(1)
    eyes_to_mouth = centre - eyes.mean(1)
    eye_to_eye = eyes[:, 1] - eyes[:, 0]
    unit = np.maximum(np.linalg.norm(eyes_to_mouth, axis=1), 0.9 * np.linalg.norm(eye_to_eye, axis=1))
    # The sum of both directions is steadier than either alone.
    across = eye_to_eye / np.linalg.norm(eye_to_eye, axis=1, keepdims=True).clip(1e-6)
    down = eyes_to_mouth / np.linalg.norm(eyes_to_mouth, axis=1, keepdims=True).clip(1e-6)
    axis = across + np.stack([down[:, 1], -down[:, 0]], 1)
    unit_frames = max(1, round(config.unit_window_s * FPS))
    roll = np.arctan2(_mean(axis[:, 1], unit_frames // 3), _mean(axis[:, 0], unit_frames // 3))
    return centre, config.side_units * _mean(unit, unit_frames), roll


def mouth_crops(gray_images: Sequence[GrayImage], track: FaceTrack, config: CropConfig = CropConfig()) -> np.ndarray:
    """Mouth crop of every frame of `track`: uint8 [n, size, size].

    gray_images: indexed by the frame numbers that `track` uses.
    """
    centre, side, roll = crop_geometry(track.landmarks, config)
    return np.stack([_crop(gray_images[track.start + i], centre[i], side[i], roll[i], config.size) for i in range(len(side))])


def _crop(gray: GrayImage, centre: np.ndarray, side: float, roll: float, size: int) -> np.ndarray:
    """One rotated square of `gray`, resampled to `size` px; black outside the image."""
    # Bilinear sampling alone would alias on large faces: reduce by averaging blocks first.
    shrink = max(1, int(side / size))
    radius = int(side) + 2
    # Half the diagonal of the square plus a margin for sampling is enough. Subtract whole blocks: the same pixels are averaged.
    radius -= max(0, radius - int(0.75 * side) - 2 * shrink) // shrink * shrink
    x0, y0 = (np.floor(centre).astype(int) - radius).tolist()
    region = gray.crop(x0, y0, 2 * radius)
    if shrink > 1:
        region = region.reduce(shrink)
    c, s = np.cos(roll) * side / size / shrink, np.sin(roll) * side / size / shrink
    x, y = (centre - (x0, y0) + 0.5) / shrink
    half = size / 2  # Pillow's affine transform puts pixel centres at + 1/2
    matrix = (c, -s, x - half * (c - s), s, c, y - half * (s + c))
    return np.asarray(region.transform((size, size), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))


def _mean(x: np.ndarray, frames: int) -> np.ndarray:
    return mean_filter(x, max(1, min(frames, len(x))))
