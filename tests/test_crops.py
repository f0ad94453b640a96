"""The mouth square: the same crop wherever, however large and however tilted the face is."""

import numpy as np
import pytest

from resync.config import CropConfig
from resync.crops import geometry, mouth_crops
from resync.pictures import ArrayGray
from resync.tracks import FaceTrack

FACE = np.array([[-0.5, -1], [0.5, -1], [0, -0.4], [-0.35, 0], [0.35, 0]])  # in units; mouth at 0
CONFIG = CropConfig(size=64, side_units=1.7)


def pattern(u, v):
    """A smooth picture in face units, with no symmetry."""
    mouth = 90 * np.exp(-((u / 0.35) ** 2 + (v / 0.1) ** 2))
    mark = 60 * np.exp(-(((u - 0.5) / 0.12) ** 2 + ((v - 0.3) / 0.12) ** 2))
    return 120 + 25 * np.sin(3 * u + 1) * np.cos(2 * v) - mouth + mark


def place(points, scale, roll, centre):
    """Face units -> px."""
    turn = scale * np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    return points @ turn + centre


def photograph(scale, roll, centre, shape=(480, 640)):
    """uint8 [H, W]: the pattern as a face of `scale` px, turned and moved; pixel centres at whole numbers."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    dx, dy = (x - centre[0]) / scale, (y - centre[1]) / scale
    return np.clip(pattern(np.cos(roll) * dx + np.sin(roll) * dy, np.cos(roll) * dy - np.sin(roll) * dx).round(), 0, 255).astype(np.uint8)


def track_of(points, n=1, start=0):
    return FaceTrack(start, np.repeat(np.asarray(points, np.float32)[None], n, 0), 100.0)


def expected():
    """The crop computed without any picture."""
    at = (np.arange(64) + 0.5 - 32) * 1.7 / 64
    return pattern(*np.meshgrid(at, at))


@pytest.mark.parametrize("scale", [25.3, 40.0, 77.7, 130.0])
@pytest.mark.parametrize("roll", [0.0, 0.5, -0.35])
@pytest.mark.parametrize("centre", [(320.0, 240.0), (301.37, 251.81)])
def test_the_same_crop_from_every_pose(scale, roll, centre):
    crop = mouth_crops([ArrayGray(photograph(scale, roll, centre))], track_of(place(FACE, scale, roll, centre)), CONFIG)[0]
    assert crop.shape == (64, 64) and crop.dtype == np.uint8
    difference = np.abs(crop - expected())
    assert difference.mean() < 2 and difference.max() < 14


def test_the_mouth_lies_in_the_middle():
    for centre in ((200.0, 150.0), (200.5, 150.25), (431.0, 77.9)):
        gray = np.zeros((300, 600), np.uint8)
        y, x = np.mgrid[:300, :600]
        gray[:] = 255 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 50)
        crop = mouth_crops([ArrayGray(gray)], track_of(place(FACE, 45, 0.2, centre)), CONFIG)[0].astype(float)
        middle = np.array([(crop.sum(0) * np.arange(64)).sum(), (crop.sum(1) * np.arange(64)).sum()]) / crop.sum()
        assert np.abs(middle - 31.5).max() < 0.15


def test_geometry():
    centre, side, roll = geometry(np.repeat(place(FACE, 50, 0.3, (100, 80))[None], 30, 0), CONFIG)
    assert np.allclose(centre, (100, 80)) and np.allclose(side, 1.7 * 50) and np.allclose(roll, 0.3)


def test_a_nod_or_a_turn_does_not_shrink_the_square():
    nod, turn = FACE * (1.2, 0.6), FACE * (0.4, 1)
    for face in (nod, turn):
        _, side, _ = geometry(place(face, 50, 0, (100, 80))[None], CONFIG)
        assert side[0] > 1.7 * 50 * 0.95


def test_size_is_steady_but_the_centre_follows():
    frames = np.arange(100)
    pulse = 50 * (1 + 0.1 * np.sin(frames * 2 * np.pi / 5))  # jitter of the landmarks
    marks = np.stack([place(FACE, s, 0, (100 + 2 * f, 80)) for f, s in zip(frames, pulse)])
    centre, side, _ = geometry(marks, CONFIG)
    assert np.ptp(side[15:-15]) < 0.25 * 1.7 * np.ptp(pulse)
    assert np.allclose(centre[:, 0], 100 + 2 * frames)


def test_every_frame_is_cut_from_its_own_picture():
    grays = [np.full((200, 200), 10 * i, np.uint8) for i in range(8)]
    crops = mouth_crops([ArrayGray(g) for g in grays], track_of(place(FACE, 30, 0, (100, 100)), n=4, start=3), CONFIG)
    assert crops.shape == (4, 64, 64) and (crops == np.array([30, 40, 50, 60])[:, None, None]).all()


def test_large_faces_are_averaged_over_their_area():
    y, x = np.mgrid[:600, :600]
    board = (255 * ((x + y) % 2)).astype(np.uint8)  # the finest detail there is
    crop = mouth_crops([ArrayGray(board)], track_of(place(FACE, 160, 0.1, (300, 300))), CONFIG)[0]
    assert crop.std() < 6 and abs(crop.mean() - 127.5) < 3


def test_outside_the_picture_is_black():
    gray = np.full((200, 200), 200, np.uint8)
    crop = mouth_crops([ArrayGray(gray)], track_of(place(FACE, 60, 0, (100, 195))), CONFIG)[0]
    assert (crop[:30] == 200).all() and (crop[42:] == 0).all()
    far = mouth_crops([ArrayGray(gray)], track_of(place(FACE, 60, 0, (-900, 1500))), CONFIG)[0]
    assert (far == 0).all()
