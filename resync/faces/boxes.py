"""Detections in one image, and the box arithmetic that detectors and tracking share."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Faces(NamedTuple):
    """Detections in one image, highest score first.

    boxes: float32 [n, 4], x1, y1, x2, y2 in px.
    landmarks: float32 [n, 5, 2], x, y in px; left eye, right eye, nose, left and right mouth corner, left and right as
    they appear in the image.
    scores: float32 [n].
    """

    boxes: np.ndarray
    landmarks: np.ndarray
    scores: np.ndarray


def sort_by_score(boxes: np.ndarray, landmarks: np.ndarray, scores: np.ndarray) -> Faces:
    """Detections in any order as `Faces`."""
    order = np.argsort(-scores)
    return Faces(*(np.asarray(x, np.float32)[order] for x in (boxes, landmarks, scores)))


def iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Intersection over union of boxes x1, y1, x2, y2: [n, 4] and [m, 4] -> [n, m]."""
    low, high = np.maximum(a[:, None, :2], b[None, :, :2]), np.minimum(a[:, None, 2:], b[None, :, 2:])
    intersection = np.prod(np.clip(high - low, 0, None), axis=2)
    area_a, area_b = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b))
    return intersection / np.maximum(area_a[:, None] + area_b[None] - intersection, 1e-9)


def non_maximum_suppression(faces: Faces, max_iou: float = 0.3) -> Faces:
    """Drop every detection that overlaps one with a higher score by more than `max_iou`."""
    overlapping = iou(faces.boxes, faces.boxes) > max_iou
    keep: list[int] = []
    for i in range(len(faces.scores)):
        if not overlapping[i, keep].any():
            keep.append(i)
    return Faces(faces.boxes[keep], faces.landmarks[keep], faces.scores[keep])
