"""Face tracks from frames: shot detection, detection every few frames, linking over time, smoothed landmarks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from ..config import FPS, FaceConfig
from ..media.image import FrameImage, GrayImage
from .boxes import Faces, iou
from .detect import Detector

THUMBNAIL_SIDE = 32  # px; frames are compared at this size to detect cuts


@dataclass(frozen=True)
class Scan:
    """Result of one pass over consecutive frames.

    gray_images: one per frame; detections: frame number -> faces; cuts: numbers of the frames that start a new shot.
    """

    gray_images: list[GrayImage]
    detections: dict[int, Faces]
    cuts: tuple[int, ...]


@dataclass(frozen=True)
class FaceTrack:
    """One face over consecutive frames start .. start + n - 1.

    landmarks: float32 [n, 5, 2] px, smoothed; size: mean height of the box in px.
    """

    start: int
    landmarks: np.ndarray
    size: float

    @property
    def stop(self) -> int:
        """Number of the first frame after the track."""
        return self.start + len(self.landmarks)


def detect_faces(images: Iterable[FrameImage], detector: Detector, config: FaceConfig = FaceConfig()) -> Scan:
    """Read `images` once: keep them in grey, detect cuts, and detect faces every `detect_every` frames of a shot.

    The detector also runs on the last frame of every shot, so that positions between detections can always be
    interpolated within a shot.
    """
    gray_images: list[GrayImage] = []
    detections: dict[int, Faces] = {}
    cuts: list[int] = []
    cut_detector = _CutDetector(config.cut_threshold)
    previous: FrameImage | None = None
    for i, image in enumerate(images):
        gray = image.gray
        cut = cut_detector.is_cut(gray.thumbnail(THUMBNAIL_SIDE))
        if cut:
            cuts.append(i)
            if previous is not None and i - 1 not in detections:
                detections[i - 1] = detector(previous)
        if cut or (i - (cuts[-1] if cuts else 0)) % config.detect_every == 0:
            detections[i] = detector(image)
        gray_images.append(gray)
        previous = image
    if previous is not None and len(gray_images) - 1 not in detections:
        detections[len(gray_images) - 1] = detector(previous)
    return Scan(gray_images, detections, tuple(cuts))


class _CutDetector:
    """Distinguishes a cut from motion: the change between two frames is large, and large against the recent changes."""

    def __init__(self, threshold: float):
        self._threshold = threshold
        self._previous: np.ndarray | None = None
        self._recent_change = 0.0

    def is_cut(self, thumbnail: np.ndarray) -> bool:
        previous, self._previous = self._previous, thumbnail
        if previous is None:
            return False
        contrast = max(float(np.std(previous)), float(np.std(thumbnail)), 8.0)
        change = float(np.mean(np.abs(thumbnail - previous))) / contrast
        cut = change > self._threshold and change > 4 * self._recent_change
        self._recent_change = 0.7 * self._recent_change + 0.3 * change
        return cut


def link_tracks(scan: Scan, config: FaceConfig = FaceConfig()) -> list[FaceTrack]:
    """Link detections of the same face to tracks, largest face first; no track crosses a cut."""
    active: list[_DetectionChain] = []
    finished: list[_DetectionChain] = []
    shot = 0
    for i in sorted(scan.detections):
        shot_of_frame = sum(c <= i for c in scan.cuts)
        if shot_of_frame != shot:
            shot, finished, active = shot_of_frame, finished + active, []
        lost = [c for c in active if i - c.frames[-1] > config.max_gap_s * FPS]
        finished += lost
        active = [c for c in active if c not in lost]
        active += _extend_chains(active, i, scan.detections[i], config)
    chains = [c for c in finished + active if c.frames[-1] - c.frames[0] + 1 >= config.min_track_s * FPS]
    return _keep_largest(sorted((c.track() for c in chains), key=lambda t: -t.size), config.max_faces)


class _DetectionChain:
    """Detections of one face, in order of time."""

    def __init__(self, frame: int, box: np.ndarray, landmarks: np.ndarray):
        self.frames, self.boxes, self.landmarks = [frame], [box], [landmarks]

    def add(self, frame: int, box: np.ndarray, landmarks: np.ndarray) -> None:
        self.frames.append(frame)
        self.boxes.append(box)
        self.landmarks.append(landmarks)

    def track(self) -> FaceTrack:
        frames = np.arange(self.frames[0], self.frames[-1] + 1)
        size = float(np.mean([b[3] - b[1] for b in self.boxes]))
        return FaceTrack(self.frames[0], smooth_landmarks(np.array(self.frames), np.stack(self.landmarks), frames), size)


def smooth_landmarks(detected_frames: np.ndarray, landmarks: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Interpolate landmarks [m, 5, 2] of the m `detected_frames` to all n `frames`, and smooth them: float32 [n, 5, 2].

    Median of three detections against outliers, linear interpolation, then a Savitzky-Golay filter: raw landmarks jitter by
    pixels, which the lip-sync network would take for speech.
    """
    from scipy.signal import savgol_filter  # takes 0.25 s to import; frames are being decoded by now

    medians = median_filter(landmarks, size=(3, 1, 1), mode="nearest").reshape(len(detected_frames), -1)
    dense = np.stack([np.interp(frames, detected_frames, column) for column in medians.T], 1)
    filter_length = min(11, len(frames) // 2 * 2 - 1)
    if filter_length > 2:
        dense = savgol_filter(dense, filter_length, 2, axis=0, mode="interp")
    return dense.reshape(-1, 5, 2).astype(np.float32)


def _extend_chains(chains: list[_DetectionChain], frame: int, faces: Faces, config: FaceConfig) -> list[_DetectionChain]:
    """Add the faces of one frame to the chains they overlap most; return new chains for the others."""
    from scipy.optimize import linear_sum_assignment

    linked = set()
    if chains and len(faces.scores):
        overlap = iou(np.stack([c.boxes[-1] for c in chains]), faces.boxes)
        for c, f in zip(*linear_sum_assignment(-overlap)):
            if overlap[c, f] >= config.link_iou:
                chains[c].add(frame, faces.boxes[f], faces.landmarks[f])
                linked.add(f)
    return [_DetectionChain(frame, faces.boxes[f], faces.landmarks[f]) for f in range(len(faces.scores)) if f not in linked]


def _keep_largest(tracks: list[FaceTrack], max_faces: int) -> list[FaceTrack]:
    """Drop every track with `max_faces` larger ones on screen at its middle. tracks: largest first."""
    kept: list[FaceTrack] = []
    for t in tracks:
        middle = (t.start + t.stop) // 2
        if sum(k.start <= middle < k.stop for k in kept) < max_faces:
            kept.append(t)
    return kept
