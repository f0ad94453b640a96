"""Faces looked for where they were: detection in small squares around known faces, and in the whole image now and then."""

from __future__ import annotations

import numpy as np

from ..config import FaceConfig
from ..media.image import FrameImage
from .boxes import Faces, iou, non_maximum_suppression, sort_by_score
from .detect import Detector

MIN_SIDE = 32  # px, of what is given to the detector


class FaceFollower:
    """Detects the faces of successive frames of one shot.

    The whole image is searched every `search_every` frames, and wherever a face is lost; while there is none, also in between, but
    without the detector's second look for small faces. Each known face is then detected in a square around its last place, scaled
    so that a face has the same size there whatever its distance: that takes a quarter of the pixels of the whole image, and a small
    face is seen at its own resolution.
    """

    def __init__(self, detector: Detector, config: FaceConfig = FaceConfig()):
        self._detector, self._config = detector, config
        self._boxes: np.ndarray | None = None
        self._searched = 0  # frame

    def reset(self) -> None:
        """Forget the known faces: a new shot begins."""
        self._boxes = None

    def __call__(self, image: FrameImage, frame: int) -> Faces:
        """The faces in one frame, given its number, which grows from call to call."""
        faces = None
        if self._boxes is not None and frame - self._searched < self._config.search_every:
            faces = self._faces_at(self._boxes, image) if len(self._boxes) else self._found(image, self._config.detector_side)
        if faces is None:
            faces, self._searched = self._found(image), frame
        self._boxes = faces.boxes
        return faces

    def _found(self, image: FrameImage, side: int | None = None) -> Faces:
        """The faces in the whole image."""
        found = self._detector(image, side)
        return self._faces_at(found.boxes, image) or found

    def _faces_at(self, boxes: np.ndarray, image: FrameImage) -> Faces | None:
        """The faces around these boxes [n, 4], None where one is lost, or where there are too many for this to be faster."""
        if not 0 < len(boxes) <= self._config.max_faces:
            return None
        faces = [self._face_at(box, image) for box in boxes]
        if any(face is None for face in faces):
            return None
        distinct = non_maximum_suppression(sort_by_score(*map(np.concatenate, zip(*faces))))
        return distinct if len(distinct.scores) == len(boxes) else None

    def _face_at(self, box: np.ndarray, image: FrameImage) -> Faces | None:
        """The face that overlaps a box most, None without any."""
        if not np.isfinite(box).all():  # the networks give the size as a logarithm
            return None
        side = max(MIN_SIDE, round(self._config.follow_scale * float(max(box[2:] - box[:2]))))
        low = np.maximum((box[:2] + box[2:] - side) // 4 * 2, 0).astype(int)  # even, as the samples of chroma need it
        high = np.minimum(low + side, image.size) // 2 * 2
        if min(high - low) < MIN_SIDE:
            return None
        faces = self._detector(image.part(*low.tolist(), *high.tolist()), self._config.follow_side)
        corner = low.astype(np.float32)
        faces = Faces(faces.boxes + np.tile(corner, 2), faces.landmarks + corner, faces.scores)
        overlap = iou(box[None], faces.boxes)[0]
        if not (overlap >= self._config.link_iou).any():
            return None
        best = slice(int(overlap.argmax()), int(overlap.argmax()) + 1)
        return Faces(faces.boxes[best], faces.landmarks[best], faces.scores[best])
