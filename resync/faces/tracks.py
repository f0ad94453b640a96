"""Face tracks from frames: shot detection, detection every few frames, linking over time, smoothed landmarks."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..config import FPS, FaceConfig
from ..media.image import FrameImage, GrayImage
from ..smoothing import savitzky_golay
from .boxes import Faces, iou
from .detect import Detector
from .follow import FaceFollower

THUMBNAIL_SIDE = 32  # px; frames are compared at this size to detect cuts

# A dissolve: over 13 frames (half a second) each frame is a mix of the first and the last one. Nothing in 25 minutes of people
# speaking was taken for one with these limits; fades from and to a flat colour, where no face is confused with another, are not.
_DISSOLVE_REACH = 6  # frames before and after the middle
_DISSOLVE_CHANGE = 0.25  # least mean change from first to last, relative to the contrast as for a cut
_DISSOLVE_RESIDUAL = 0.2  # largest deviation of a frame from the mix, relative to the change
_DISSOLVE_STEP = 0.3  # largest share of the change between two frames; a hard cut has 1
_DISSOLVE_CORRELATION = 0.85  # of first and last frame; in a fade or another exposure they are the same image
_DISSOLVE_CONTRAST = 8.0  # least standard deviation of first and last frame


@dataclass(frozen=True)
class Scan:
    """Result of one pass over consecutive frames.

    gray_images: one per frame; detections: frame number -> faces; cuts: numbers of the frames that start a new shot;
    dissolves: first frame and the one after the last of each soft transition between two shots.
    """

    gray_images: list[GrayImage]
    detections: dict[int, Faces]
    cuts: tuple[int, ...]
    dissolves: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True)
class FaceTrack:
    """One face over consecutive frames start .. start + n - 1.

    landmarks: float32 [n, 5, 2] px, smoothed; size: mean height of the box in px; detected: int [m], the frames in which it was
    detected, the first and the last one among them; boxes: float32 [m, 4], (left, top, right, bottom) in px there.
    """

    start: int
    landmarks: np.ndarray
    size: float
    detected: np.ndarray
    boxes: np.ndarray

    @property
    def stop(self) -> int:
        """Number of the first frame after the track."""
        return self.start + len(self.landmarks)


def detect_faces(images: Iterable[FrameImage], detector: Detector, config: FaceConfig = FaceConfig()) -> Scan:
    """Read `images` once: keep them in grey, detect cuts and dissolves, and detect faces every `detect_every` frames of a shot.

    The detector also runs on the last frame of every shot, so that positions between detections can always be
    interpolated within a shot.
    """
    gray_images: list[GrayImage] = []
    detections: dict[int, Faces] = {}
    cuts: list[int] = []
    thumbnails: list[np.ndarray] = []
    cut_detector = _CutDetector(config.cut_threshold)
    follow = FaceFollower(detector, config)
    previous: FrameImage | None = None
    for i, image in enumerate(images):
        gray = image.gray
        thumbnails.append(gray.thumbnail(THUMBNAIL_SIDE))
        cut = cut_detector.is_cut(thumbnails[-1])
        if cut:
            cuts.append(i)
            if previous is not None and i - 1 not in detections:
                detections[i - 1] = follow(previous, i - 1)
            follow.reset()
        if cut or (i - (cuts[-1] if cuts else 0)) % config.detect_every == 0:
            detections[i] = follow(image, i)
        gray_images.append(gray)
        previous = image
    if previous is not None and len(gray_images) - 1 not in detections:
        detections[len(gray_images) - 1] = follow(previous, len(gray_images) - 1)
    return Scan(gray_images, detections, tuple(cuts), find_dissolves(thumbnails))


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


def find_dissolves(thumbnails: Sequence[np.ndarray]) -> tuple[tuple[int, int], ...]:
    """First frame and the one after the last of each dissolve in consecutive frames, given as thumbnails [side, side]."""
    span = 2 * _DISSOLVE_REACH
    if len(thumbnails) <= span:
        return ()
    frames = np.stack(thumbnails).reshape(len(thumbnails), -1)
    contrast = frames.std(axis=1)
    higher, lower = (choose(contrast[:-span], contrast[span:]) for choose in (np.maximum, np.minimum))
    change = np.abs(frames[span:] - frames[:-span]).mean(axis=1)
    mixed = np.zeros(len(frames) + 1, bool)
    for first in np.flatnonzero((change > _DISSOLVE_CHANGE * higher) & (lower > _DISSOLVE_CONTRAST)):
        share = _dissolve_shares(frames[first : first + span + 1])
        mixed[first : first + span + 1] |= (share > 0.05) & (share < 0.95)
    edges = np.flatnonzero(np.diff(mixed, prepend=False))
    return tuple((int(start), int(stop)) for start, stop in zip(edges[::2], edges[1::2]))


def _dissolve_shares(frames: np.ndarray) -> np.ndarray:
    """Share of the last of the `frames` [n, pixels] in each: [n]; zeros if they are not a mix, in growing proportion, of two images."""
    change = frames[-1] - frames[0]
    from_first = frames - frames[0]
    share = from_first @ change / (change @ change)
    residual = np.sqrt(np.mean((from_first - share[:, None] * change) ** 2, axis=1) / np.mean(change**2))
    steps = np.diff(share)
    is_mix = residual.max() < _DISSOLVE_RESIDUAL and steps.min() > -0.05 and steps.max() < _DISSOLVE_STEP
    differ = np.corrcoef(frames[0], frames[-1])[0, 1] < _DISSOLVE_CORRELATION
    return share if is_mix and differ else np.zeros_like(share)


def link_tracks(scan: Scan, config: FaceConfig = FaceConfig()) -> list[FaceTrack]:
    """Link detections of the same face to tracks, largest face first; no track crosses a cut or includes frames of a dissolve."""
    active: list[_DetectionChain] = []
    finished: list[_DetectionChain] = []
    starts = [*scan.cuts, *(stop for _, stop in scan.dissolves)]
    shot = 0
    for i in sorted(scan.detections):
        if any(first <= i < stop for first, stop in scan.dissolves):
            continue
        shot_of_frame = sum(start <= i for start in starts)
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
        detected, boxes = np.array(self.frames), np.stack(self.boxes)
        landmarks = smooth_landmarks(detected, np.stack(self.landmarks), frames)
        return FaceTrack(self.frames[0], landmarks, float(np.mean(boxes[:, 3] - boxes[:, 1], dtype=float)), detected, boxes)


def smooth_landmarks(detected_frames: np.ndarray, landmarks: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Interpolate landmarks [m, 5, 2] of the m `detected_frames` to all n `frames`, and smooth them: float32 [n, 5, 2].

    Median of three detections against outliers, linear interpolation, then a Savitzky-Golay filter: raw landmarks jitter by
    pixels, which the lip-sync network would take for speech.
    """
    neighbours = [np.concatenate([landmarks[:1], landmarks[:-1]]), landmarks, np.concatenate([landmarks[1:], landmarks[-1:]])]
    medians = np.median(neighbours, axis=0).reshape(len(detected_frames), -1)
    dense = np.stack([np.interp(frames, detected_frames, column) for column in medians.T], 1)
    filter_length = min(11, len(frames) // 2 * 2 - 1)
    if filter_length > 2:
        dense = savitzky_golay(dense, filter_length)
    return dense.reshape(-1, 5, 2).astype(np.float32)


def _extend_chains(chains: list[_DetectionChain], frame: int, faces: Faces, config: FaceConfig) -> list[_DetectionChain]:
    """Add the faces of one frame to the chains they overlap most; return new chains for the others."""
    linked = set()
    if chains and len(faces.scores):
        overlap = iou(np.stack([c.boxes[-1] for c in chains]), faces.boxes)
        for c, f in _best_pairs(overlap):
            if overlap[c, f] >= config.link_iou:
                chains[c].add(frame, faces.boxes[f], faces.landmarks[f])
                linked.add(f)
    return [_DetectionChain(frame, faces.boxes[f], faces.landmarks[f]) for f in range(len(faces.scores)) if f not in linked]


def _best_pairs(overlap: np.ndarray) -> list[tuple[int, int]]:
    """The pairs (row, column) with the largest sum."""
    if overlap.size == 1:
        return [(0, 0)]
    from scipy.optimize import linear_sum_assignment  # takes 0.2 s to import, and one face at a time does not need it

    return list(zip(*linear_sum_assignment(-overlap)))


def _keep_largest(tracks: list[FaceTrack], max_faces: int) -> list[FaceTrack]:
    """Drop every track with `max_faces` larger ones on screen at its middle. tracks: largest first."""
    kept: list[FaceTrack] = []
    for t in tracks:
        middle = (t.start + t.stop) // 2
        if sum(k.start <= middle < k.stop for k in kept) < max_faces:
            kept.append(t)
    return kept
