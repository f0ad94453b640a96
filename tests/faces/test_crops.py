"""Mouth crops: independent of the position, size and rotation of the face."""

import numpy as np
import pytest

from resync.config import CropConfig
from resync.faces.crops import crop_geometry, mouth_crops
from resync.faces.tracks import FaceTrack
from resync.media.image import ArrayGrayImage

FACE = np.array([[-0.5, -1], [0.5, -1], [0, -0.4], [-0.35, 0], [0.35, 0]])  # landmarks in face units, mouth at 0
CONFIG = CropConfig(size=64, side_units=1.7)


def pattern(u, v):
    """A smooth image without symmetry, as a function of face units."""
    mouth = 90 * np.exp(-((u / 0.35) ** 2 + (v / 0.1) ** 2))
    mark = 60 * np.exp(-(((u - 0.5) / 0.12) ** 2 + ((v - 0.3) / 0.12) ** 2))
    return 120 + 25 * np.sin(3 * u + 1) * np.cos(2 * v) - mouth + mark


def to_px(points, scale, roll, centre):
    """Points in face units -> px."""
    rotation = scale * np.array([[np.cos(roll), np.sin(roll)], [-np.sin(roll), np.cos(roll)]])
    return points @ rotation + centre


def render(scale, roll, centre, shape=(480, 640)):
    """The pattern as a face of `scale` px at `centre`, rotated by `roll`: uint8 [H, W]; pixel centres at whole numbers."""
    y, x = np.mgrid[: shape[0], : shape[1]].astype(float)
    dx, dy = (x - centre[0]) / scale, (y - centre[1]) / scale
    return np.clip(pattern(np.cos(roll) * dx + np.sin(roll) * dy, np.cos(roll) * dy - np.sin(roll) * dx).round(), 0, 255).astype(np.uint8)


def track_of(landmarks, frames=1, start=0):
    landmarks = np.repeat(np.asarray(landmarks, np.float32)[None], frames, 0)
    return FaceTrack(start, landmarks, 100.0, np.array([start, start + frames - 1]), np.zeros((2, 4), np.float32))


def expected_crop():
    """The crop computed from the pattern itself."""
    units = (np.arange(64) + 0.5 - 32) * 1.7 / 64
    return pattern(*np.meshgrid(units, units))


@pytest.mark.parametrize(
    "scale, roll, centre",
    [
        (25.3, 0.0, (320.0, 240.0)),
        (25.3, -0.35, (301.37, 251.81)),
        (40.0, 0.5, (301.37, 251.81)),
        (77.7, -0.35, (320.0, 240.0)),
        (130.0, 0.0, (301.37, 251.81)),
        (130.0, 0.5, (320.0, 240.0)),
    ],
)
def test_every_pose_gives_the_same_crop(scale, roll, centre):
    crop = mouth_crops([ArrayGrayImage(render(scale, roll, centre))], track_of(to_px(FACE, scale, roll, centre)), CONFIG)[0]
    assert crop.shape == (64, 64) and crop.dtype == np.uint8
    difference = np.abs(crop - expected_crop())
    assert difference.mean() < 2 and difference.max() < 14


def test_mouth_is_centred():
    for centre in ((200.0, 150.0), (200.5, 150.25), (431.0, 77.9)):
        y, x = np.mgrid[:300, :600]
        gray = (255 * np.exp(-((x - centre[0]) ** 2 + (y - centre[1]) ** 2) / 50)).astype(np.uint8)
        crop = mouth_crops([ArrayGrayImage(gray)], track_of(to_px(FACE, 45, 0.2, centre)), CONFIG)[0].astype(float)
        centroid = np.array([(crop.sum(0) * np.arange(64)).sum(), (crop.sum(1) * np.arange(64)).sum()]) / crop.sum()
        assert np.abs(centroid - 31.5).max() < 0.15


def test_geometry_of_a_still_face():
    centre, side, roll = crop_geometry(np.repeat(to_px(FACE, 50, 0.3, (100, 80))[None], 30, 0), CONFIG)
    assert np.allclose(centre, (100, 80)) and np.allclose(side, 1.7 * 50) and np.allclose(roll, 0.3)


def test_pitch_and_yaw_do_not_shrink_the_crop():
    pitched, yawed = FACE * (1.2, 0.6), FACE * (0.4, 1)
    for face in (pitched, yawed):
        _, side, _ = crop_geometry(to_px(face, 50, 0, (100, 80))[None], CONFIG)
        assert side[0] > 1.7 * 50 * 0.95


def test_side_is_smoothed_but_the_centre_follows():
    frames = np.arange(100)
    jittered_scale = 50 * (1 + 0.1 * np.sin(frames * 2 * np.pi / 5))
    landmarks = np.stack([to_px(FACE, s, 0, (100 + 2 * f, 80)) for f, s in zip(frames, jittered_scale)])
    centre, side, _ = crop_geometry(landmarks, CONFIG)
    assert np.ptp(side[15:-15]) < 0.25 * 1.7 * np.ptp(jittered_scale)
    assert np.allclose(centre[:, 0], 100 + 2 * frames)


def test_each_crop_comes_from_its_own_frame():
    images = [ArrayGrayImage(np.full((200, 200), 10 * i, np.uint8)) for i in range(8)]
    crops = mouth_crops(images, track_of(to_px(FACE, 30, 0, (100, 100)), frames=4, start=3), CONFIG)
    assert crops.shape == (4, 64, 64) and (crops == np.array([30, 40, 50, 60])[:, None, None]).all()


def test_large_faces_are_reduced_without_aliasing():
    y, x = np.mgrid[:600, :600]
    checkerboard = (255 * ((x + y) % 2)).astype(np.uint8)  # the finest possible detail
    crop = mouth_crops([ArrayGrayImage(checkerboard)], track_of(to_px(FACE, 160, 0.1, (300, 300))), CONFIG)[0]
    assert crop.std() < 6 and abs(crop.mean() - 127.5) < 3


def test_crop_is_black_outside_the_image():
    image = ArrayGrayImage(np.full((200, 200), 200, np.uint8))
    crop = mouth_crops([image], track_of(to_px(FACE, 60, 0, (100, 195))), CONFIG)[0]
    assert (crop[:30] == 200).all() and (crop[42:] == 0).all()
    outside = mouth_crops([image], track_of(to_px(FACE, 60, 0, (-900, 1500))), CONFIG)[0]
    assert (outside == 0).all()
