"""Cuts and face tracks, with a detector whose output is known."""

import numpy as np
import pytest

from resync.config import FaceConfig
from resync.faces.boxes import Faces
from resync.faces.tracks import Scan, detect_faces, find_dissolves, link_tracks, smooth_landmarks
from resync.media.image import ArrayImage

FACE = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)  # landmarks in a box of 100 x 120 px


def faces_at(*corners):
    """Faces with boxes of 100 x 120 px whose upper left corners are `corners`."""
    origin = np.array(corners, np.float32).reshape(-1, 2)
    boxes = np.concatenate([origin, origin + (100, 120)], 1)
    return Faces(boxes, origin[:, None] + FACE, np.full(len(origin), 0.9, np.float32))


def tracks_of(corner, frames, cuts=()):
    """Tracks of one detection `corner(frame)` (None: no detection) in each of `frames`."""
    corners = {f: corner(f) for f in frames}
    return link_tracks(Scan([], {f: faces_at(*([c] if c is not None else [])) for f, c in corners.items()}, cuts))


def spans(tracks):
    return sorted((t.start, t.stop) for t in tracks)


class KnownDetector:
    """Returns faces at `corners(frame)`; reads the frame number from the first pixels of a whole frame, sees nothing in a part of one."""

    name = "known"

    def __init__(self, corners=lambda frame: ()):
        self.corners, self.calls = corners, []

    def __call__(self, image, side=None):
        if side is not None:
            return faces_at()
        pixels = image.bgr()
        frame = int(pixels[0, 0, 0]) + 256 * int(pixels[0, 1, 0])
        self.calls.append(frame)
        return faces_at(*self.corners(frame))


def video(*shot_lengths, seed=0):
    """Images of consecutive shots: one texture each, which moves by 1 px per frame."""
    rng, n = np.random.default_rng(seed), 0
    for length in shot_lengths:
        texture = np.kron(rng.integers(0, 256, (10, 15, 3)), np.ones((20, 20, 1))).astype(np.uint8)
        for i in range(length):
            pixels = np.roll(texture, i, 1)
            pixels[0, :2] = [[n % 256] * 3, [n // 256] * 3]
            yield ArrayImage(pixels)
            n += 1


def test_cuts_are_detected_and_motion_is_not_a_cut():
    assert detect_faces(video(23, 31, 40), KnownDetector()).cuts == (23, 54)
    assert detect_faces(video(60), KnownDetector()).cuts == ()


def test_constant_change_is_not_a_series_of_cuts():
    rng = np.random.default_rng(1)
    noise = [ArrayImage(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(30)]
    assert len(detect_faces(noise, KnownDetector()).cuts) <= 2


def test_scan_keeps_every_frame_and_detects_on_both_sides_of_a_cut():
    detector = KnownDetector(lambda frame: ((10, 20),))
    scan = detect_faces(video(23, 26, 20), detector, FaceConfig(detect_every=5))
    assert len(scan.gray_images) == 69 and scan.gray_images[0].pixels.shape == (200, 300)
    assert {0, 5, 20, 22, 23, 28, 48, 49, 54, 68} <= set(scan.detections)
    assert len(detector.calls) == len(set(detector.calls)) <= 18, "at most one detection per frame"


def dissolve(first, last, frames):
    """The end of one shot mixed with the start of the next, over so many frames."""
    return [a * (1 - share) + b * share for a, b, share in zip(first, last, np.linspace(0, 1, frames + 2)[1:-1])]


def thumbnails(n, seed):
    """A shot in which the middle of the scene moves, with noise: n times float32 [32, 32]."""
    rng = np.random.default_rng(seed)
    scene = np.kron(rng.integers(20, 236, (8, 8)), np.ones((4, 4))).astype(np.float32)
    shot = [scene + rng.normal(0, 2, scene.shape).astype(np.float32) for _ in range(n)]
    for i, image in enumerate(shot):
        image[12:18, 12:18] = np.roll(image[12:18, 12:18], i // 8, 1)
    return shot


@pytest.mark.parametrize("frames", [12, 18, 25])
def test_dissolves_are_detected(frames):
    first, last = thumbnails(60, 1), thumbnails(60, 2)
    transition = dissolve(first[60 - frames :], last, frames)
    ((start, stop),) = find_dissolves([*first[: 60 - frames], *transition, *last[frames:]])
    assert abs(start - (60 - frames)) <= 4 and abs(stop - 60) <= 4


def test_what_is_no_dissolve():
    shot, other = thumbnails(60, 1), thumbnails(60, 2)
    black = [np.zeros_like(image) for image in shot]
    assert find_dissolves([*shot, *other]) == (), "a cut"
    assert find_dissolves([*shot[:40], *dissolve(shot[40:], black, 20), *black]) == (), "a fade to black"
    assert find_dissolves([*shot[:40], *dissolve(shot[40:], [0.4 * image for image in shot], 20)]) == (), "another exposure"
    assert find_dissolves([np.roll(shot[0], i, 1) for i in range(60)]) == (), "a pan"
    assert find_dissolves([]) == find_dissolves(shot[:5]) == ()


def test_tracks_neither_cross_nor_include_a_dissolve():
    detections = {f: faces_at((10, 20)) for f in range(0, 101, 5)}  # the same box in both shots
    tracks = link_tracks(Scan([], detections, (), ((43, 60),)))
    assert spans(tracks) == [(0, 41), (60, 101)]
    assert spans(link_tracks(Scan([], detections, ()))) == [(0, 101)]


def test_scan_of_no_frames():
    scan = detect_faces([], KnownDetector())
    assert scan.gray_images == [] and scan.cuts == () and link_tracks(scan) == []


def test_tracks_do_not_cross_a_cut():
    scan = detect_faces(video(33, 42), KnownDetector(lambda frame: ((10, 20),)))  # the same box in both shots
    assert spans(link_tracks(scan)) == [(0, 33), (33, 75)]


def test_two_faces_give_two_tracks_in_whatever_order_they_are_detected():
    def corners(frame):
        pair = [(10 + frame, 20), (230 - frame, 30)]
        return pair[:: 1 if frame % 2 else -1]

    scan = Scan([], {f: faces_at(*corners(f)) for f in range(0, 61, 5)}, ())
    left, right = sorted(link_tracks(scan), key=lambda t: t.landmarks[0, 0, 0])
    assert (left.start, left.stop, right.start, right.stop) == (0, 61, 0, 61)
    frames = np.arange(61)[:, None]
    assert np.abs(left.landmarks[:, 0] - (np.array([40, 60]) + frames * (1, 0))).max() < 1.5
    assert np.abs(right.landmarks[:, 0] - (np.array([260, 70]) - frames * (1, 0))).max() < 1.5


def test_positions_between_detections_are_interpolated():
    (track,) = tracks_of(lambda f: (10 + 2 * f, 300 - f), range(0, 101, 5))
    expected = FACE + np.array([10, 300]) + np.arange(101)[:, None, None] * np.array([2, -1])
    assert track.landmarks.shape == (101, 5, 2) and track.size == pytest.approx(120)
    # The median holds back the first and last detection; between them the track follows the motion exactly.
    assert np.abs(track.landmarks - expected)[10:-10].max() < 0.05
    assert np.abs(track.landmarks - expected).max() < 12


def test_boxes_are_those_of_the_detections():
    (track,) = tracks_of(lambda f: None if f == 30 else (10 + 2 * f, 20), range(0, 101, 5))
    assert track.detected.tolist() == [f for f in range(0, 101, 5) if f != 30]
    assert track.boxes[:, 0].tolist() == [10 + 2 * f for f in track.detected] and (track.boxes[:, 3] == 140).all()


def test_short_gap_is_bridged_and_long_gap_ends_the_track():
    assert spans(tracks_of(lambda f: None if f == 30 else (10, 20), range(0, 61, 5))) == [(0, 61)]
    assert spans(tracks_of(lambda f: None if 25 <= f <= 45 else (10, 20), range(0, 81, 5))) == [(0, 21), (50, 81)]


def test_jump_starts_another_track():
    assert spans(tracks_of(lambda f: (10, 20) if f < 30 else (300, 20), range(0, 61, 5))) == [(0, 26), (30, 61)]


def test_short_tracks_are_dropped():
    assert tracks_of(lambda f: (10, 20) if f < 11 else None, range(0, 61, 5)) == []


def test_largest_faces_first_and_at_most_max_faces():
    def sized():
        boxes = np.array([[200 * i, 0, 200 * i + 40 + 20 * i, 50 + 20 * i] for i in range(5)], np.float32)
        return Faces(boxes, boxes[:, None, :2] + FACE / 4, np.ones(5, np.float32))

    tracks = link_tracks(Scan([], {f: sized() for f in range(0, 51, 5)}, ()), FaceConfig(max_faces=2))
    assert [t.size for t in tracks] == [130, 110]


def test_smoothing_removes_jitter_and_outliers():
    rng = np.random.default_rng(0)
    detected, frames = np.arange(0, 251, 5), np.arange(251)
    noisy = FACE + rng.normal(0, 2, (len(detected), 5, 2))
    smooth = smooth_landmarks(detected, noisy, frames)
    assert smooth.dtype == np.float32 and np.std(np.diff(smooth, axis=0)) < 0.35  # 2.8 px between raw detections
    assert np.abs(np.diff(smooth, 2, axis=0)).max() < 1.2, "no kink at a detection"
    with_outlier = np.repeat(FACE[None], len(detected), 0)
    with_outlier[20] += 60
    assert np.abs(smooth_landmarks(detected, with_outlier, frames) - FACE).max() < 0.01


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 12])
def test_smoothing_of_few_frames(n):
    detected = np.array([0]) if n == 1 else np.array([0, n - 1])
    assert np.abs(smooth_landmarks(detected, np.repeat(FACE[None], len(detected), 0), np.arange(n)) - FACE).max() < 1e-3
