"""Shot cuts and face tracks, with a detector that knows the answer."""

import numpy as np
import pytest

from resync.config import FaceConfig
from resync.faces import Faces
from resync.pictures import ArrayPicture
from resync.tracks import Scan, link, scan, smooth

FACE = np.array([[30, 40], [70, 40], [50, 60], [35, 80], [65, 80]], np.float32)  # in a box of 100 x 120


def faces_at(*corners):
    """Faces whose boxes of 100 x 120 px begin at `corners`."""
    at = np.array(corners, np.float32).reshape(-1, 2)
    boxes = np.concatenate([at, at + (100, 120)], 1)
    return Faces(boxes, at[:, None] + FACE, np.full(len(at), 0.9, np.float32))


def chain(corner, frames, cuts=()):
    """Tracks of the finds `corner(frame)` (None: missed) at `frames`."""
    found = {f: faces_at(*([corner(f)] if corner(f) is not None else [])) for f in frames}
    return link(Scan([], found, cuts))


class Known:
    """A detector that reads the frame's number from its first pixels."""

    name = "known"

    def __init__(self, corners):
        self.corners, self.asked = corners, []

    def __call__(self, picture):
        image = picture.bgr()
        frame = int(image[0, 0, 0]) + 256 * int(image[0, 1, 0])
        self.asked.append(frame)
        return faces_at(*self.corners(frame))


def film(*shots, seed=0):
    """Pictures of `shots` (lengths): one texture a shot, moving by 1 px a frame."""
    rng, n = np.random.default_rng(seed), 0
    for length in shots:
        texture = np.kron(rng.integers(0, 256, (10, 15, 3)), np.ones((20, 20, 1))).astype(np.uint8)
        for i in range(length):
            image = np.roll(texture, i, 1)
            image[0, :2] = [[n % 256] * 3, [n // 256] * 3]
            yield ArrayPicture(image)
            n += 1


def test_cuts_are_found_and_motion_is_none():
    nothing = Known(lambda frame: ())
    assert scan(film(23, 31, 40), nothing).cuts == (23, 54)
    assert scan(film(60), nothing).cuts == ()


def test_a_picture_that_is_always_new_is_not_all_cuts():
    rng = np.random.default_rng(1)
    busy = [ArrayPicture(rng.integers(0, 256, (64, 64, 3), np.uint8)) for _ in range(30)]  # every picture is new
    assert len(scan(busy, Known(lambda frame: ())).cuts) <= 2


def test_scan_gives_all_pictures_and_looks_around_cuts():
    detector = Known(lambda frame: ((10, 20),))
    seen = scan(film(23, 26, 20), detector, FaceConfig(detect_every=5))
    assert len(seen.grays) == 69 and seen.grays[0].pixels.shape == (200, 300)
    assert {0, 5, 20, 22, 23, 28, 48, 49, 54, 68} <= set(seen.found)
    assert len(detector.asked) == len(set(detector.asked)) <= 18, "no picture is looked at twice"


def test_scan_of_nothing():
    seen = scan([], Known(lambda frame: ()))
    assert seen.grays == [] and seen.cuts == () and link(seen) == []


def test_tracks_never_cross_a_cut():
    seen = scan(film(33, 42), Known(lambda frame: ((10, 20),)))  # the face stays where it is
    spans = sorted((t.start, t.stop) for t in link(seen))
    assert spans == [(0, 33), (33, 75)]


def test_two_faces_stay_two_tracks():
    def corners(frame):
        pair = [(10 + frame, 20), (230 - frame, 30)]
        return pair[:: 1 if frame % 2 else -1]  # the detector gives them in any order

    seen = Scan([], {f: faces_at(*corners(f)) for f in range(0, 61, 5)}, ())
    left, right = sorted(link(seen), key=lambda t: t.landmarks[0, 0, 0])
    assert (left.start, left.stop, right.start, right.stop) == (0, 61, 0, 61)
    frames = np.arange(61)[:, None]
    assert np.abs(left.landmarks[:, 0] - (np.array([40, 60]) + frames * (1, 0))).max() < 1.5
    assert np.abs(right.landmarks[:, 0] - (np.array([260, 70]) - frames * (1, 0))).max() < 1.5


def test_positions_between_detections():
    (track,) = chain(lambda f: (10 + 2 * f, 300 - f), range(0, 101, 5))
    expected = FACE + np.array([10, 300]) + np.arange(101)[:, None, None] * np.array([2, -1])
    assert track.landmarks.shape == (101, 5, 2) and track.size == pytest.approx(120)
    # The median holds the first and last find back; between them motion is followed exactly.
    assert np.abs(track.landmarks - expected)[10:-10].max() < 0.05
    assert np.abs(track.landmarks - expected).max() < 12


def test_a_short_miss_is_bridged_and_a_long_one_is_not():
    (track,) = chain(lambda f: None if f == 30 else (10, 20), range(0, 61, 5))
    assert (track.start, track.stop) == (0, 61)
    tracks = chain(lambda f: None if 25 <= f <= 45 else (10, 20), range(0, 81, 5))
    assert sorted((t.start, t.stop) for t in tracks) == [(0, 21), (50, 81)]


def test_a_jump_is_another_face():
    tracks = chain(lambda f: (10, 20) if f < 30 else (300, 20), range(0, 61, 5))
    assert sorted((t.start, t.stop) for t in tracks) == [(0, 26), (30, 61)]


def test_short_tracks_are_dropped():
    assert chain(lambda f: (10, 20) if f < 11 else None, range(0, 61, 5)) == []


def test_largest_first_and_no_more_than_asked():
    def sized(frame):
        boxes = np.array([[200 * i, 0, 200 * i + 40 + 20 * i, 50 + 20 * i] for i in range(5)], np.float32)
        return Faces(boxes, boxes[:, None, :2] + FACE / 4, np.ones(5, np.float32))

    tracks = link(Scan([], {f: sized(f) for f in range(0, 51, 5)}, ()), FaceConfig(max_faces=2))
    assert [t.size for t in tracks] == [130, 110]


def test_smoothing_takes_jitter_and_outliers_out():
    rng = np.random.default_rng(0)
    at, frames = np.arange(0, 251, 5), np.arange(251)
    noisy = FACE + rng.normal(0, 2, (len(at), 5, 2))
    dense = smooth(at, noisy, frames)
    assert dense.dtype == np.float32 and np.std(np.diff(dense, axis=0)) < 0.35  # raw: 2.8 px from find to find
    assert np.abs(np.diff(dense, 2, axis=0)).max() < 1.2, "no kink where the detector looked"
    spoilt = np.repeat(FACE[None], len(at), 0)
    spoilt[20] += 60
    assert np.abs(smooth(at, spoilt, frames) - FACE).max() < 0.01


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 12])
def test_smoothing_of_few_frames(n):
    at = np.array([0]) if n == 1 else np.array([0, n - 1])
    assert np.abs(smooth(at, np.repeat(FACE[None], len(at), 0), np.arange(n)) - FACE).max() < 1e-3
