"""Pictures to face tracks: shot cuts, detections linked over time, landmarks smoothed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import median_filter

from .config import FPS, FaceConfig
from .faces import Detector, Faces, iou
from .pictures import Gray, Picture

THUMB = 32  # px; pictures are compared at this size to find cuts


@dataclass(frozen=True)
class Scan:
    """One look over a run of pictures.

    grays: the pictures; found: frame number -> Faces; cuts: frames that begin a new shot.
    """

    grays: list[Gray]
    found: dict[int, Faces]
    cuts: tuple[int, ...]


@dataclass(frozen=True)
class FaceTrack:
    """One face over consecutive frames start .. start + n - 1.

    landmarks: float32 [n, 5, 2] px, smoothed; size: mean box height in px.
    """

    start: int
    landmarks: np.ndarray
    size: float

    @property
    def stop(self) -> int:
        """First frame after the track."""
        return self.start + len(self.landmarks)


def scan(pictures: Iterable[Picture], detector: Detector, config: FaceConfig = FaceConfig()) -> Scan:
    """Go once through `pictures`: grey pictures, cuts, detections every few frames.

    The last frame before a cut and the very last frame are looked at too, so that positions
    between detections can always be interpolated inside a shot.
    """
    grays: list[Gray] = []
    found: dict[int, Faces] = {}
    cuts: list[int] = []
    meter = _CutMeter(config.cut_threshold)
    last: Picture | None = None
    for i, picture in enumerate(pictures):
        gray = picture.gray
        cut = meter.is_cut(gray.thumb(THUMB))
        if cut:
            cuts.append(i)
            if last is not None and i - 1 not in found:
                found[i - 1] = detector(last)
        if cut or (i - (cuts[-1] if cuts else 0)) % config.detect_every == 0:
            found[i] = detector(picture)
        grays.append(gray)
        last = picture
    if last is not None and len(grays) - 1 not in found:
        found[len(grays) - 1] = detector(last)
    return Scan(grays, found, tuple(cuts))


class _CutMeter:
    """Tells a cut from motion: a jump that is large, and large against its recent past."""

    def __init__(self, threshold: float):
        self._threshold = threshold
        self._last: np.ndarray | None = None
        self._usual = 0.0

    def is_cut(self, thumb: np.ndarray) -> bool:
        last, self._last = self._last, thumb
        if last is None:
            return False
        contrast = max(float(np.std(last)), float(np.std(thumb)), 8.0)
        jump = float(np.mean(np.abs(thumb - last))) / contrast
        cut = jump > self._threshold and jump > 4 * self._usual
        self._usual = 0.7 * self._usual + 0.3 * jump
        return cut


def link(scan_: Scan, config: FaceConfig = FaceConfig()) -> list[FaceTrack]:
    """Join detections of the same face to tracks, largest first; none crosses a cut."""
    open_: list[_Chain] = []
    done: list[_Chain] = []
    shot = 0
    for i in sorted(scan_.found):
        now = sum(c <= i for c in scan_.cuts)
        if now != shot:
            shot, done, open_ = now, done + open_, []
        stale = [c for c in open_ if i - c.frames[-1] > config.max_gap_s * FPS]
        done += stale
        open_ = [c for c in open_ if c not in stale]
        open_ += _extend(open_, i, scan_.found[i], config)
    tracks = [t for c in done + open_ for t in c.track(config)]
    return _largest(sorted(tracks, key=lambda t: -t.size), config.max_faces)


class _Chain:
    """Detections of one face, in order."""

    def __init__(self, frame: int, box: np.ndarray, marks: np.ndarray):
        self.frames, self.boxes, self.marks = [frame], [box], [marks]

    def add(self, frame: int, box: np.ndarray, marks: np.ndarray) -> None:
        self.frames.append(frame)
        self.boxes.append(box)
        self.marks.append(marks)

    def track(self, config: FaceConfig) -> Iterator[FaceTrack]:
        frames = np.arange(self.frames[0], self.frames[-1] + 1)
        if len(frames) < config.min_track_s * FPS:
            return
        size = float(np.mean([b[3] - b[1] for b in self.boxes]))
        yield FaceTrack(self.frames[0], smooth(np.array(self.frames), np.stack(self.marks), frames), size)


def smooth(at: np.ndarray, landmarks: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """Landmarks [m, 5, 2] found at frames `at` -> [n, 5, 2] at `frames`.

    Median of three finds against outliers, linear interpolation, then Savitzky-Golay: raw
    landmarks jitter by pixels, which a lip network would take for speech.
    """
    from scipy.signal import savgol_filter  # a quarter of a second, during which pictures are being decoded

    marks = median_filter(landmarks, size=(3, 1, 1), mode="nearest").reshape(len(at), -1)
    dense = np.stack([np.interp(frames, at, column) for column in marks.T], 1)
    window = min(11, len(frames) // 2 * 2 - 1)
    if window > 2:
        dense = savgol_filter(dense, window, 2, axis=0, mode="interp")
    return dense.reshape(-1, 5, 2).astype(np.float32)


def _extend(chains: list[_Chain], frame: int, faces: Faces, config: FaceConfig) -> list[_Chain]:
    """Add the finds of one frame to the chains they overlap best; return chains newly begun."""
    from scipy.optimize import linear_sum_assignment

    taken = set()
    if chains and len(faces.scores):
        score = iou(np.stack([c.boxes[-1] for c in chains]), faces.boxes)
        for c, f in zip(*linear_sum_assignment(-score)):
            if score[c, f] >= config.link_iou:
                chains[c].add(frame, faces.boxes[f], faces.landmarks[f])
                taken.add(f)
    return [_Chain(frame, faces.boxes[f], faces.landmarks[f]) for f in range(len(faces.scores)) if f not in taken]


def _largest(tracks: list[FaceTrack], most: int) -> list[FaceTrack]:
    """Drop a track where `most` larger ones are on screen at its middle."""
    kept: list[FaceTrack] = []
    for t in tracks:
        middle = (t.start + t.stop) // 2
        if sum(k.start <= middle < k.stop for k in kept) < most:
            kept.append(t)
    return kept
