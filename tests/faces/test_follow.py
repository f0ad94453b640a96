"""Faces followed in small squares, with a detector that finds bright rectangles."""

import numpy as np
import pytest

from resync.config import FaceConfig
from resync.faces.boxes import Faces
from resync.faces.follow import FaceFollower
from resync.media.image import ArrayImage

CONFIG = FaceConfig(search_every=15, max_faces=2)
FACE = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.35, 0.7], [0.65, 0.7]])  # landmarks in shares of the box


class BrightDetector:
    """Finds each rectangle of pixels of one level above 100. `searches`, `looks`: sizes of whole images and of squares."""

    name = "bright"

    def __init__(self):
        self.searches, self.looks = [], []

    def __call__(self, image, side=None) -> Faces:
        (self.searches if side is None else self.looks).append(image.size)
        gray = image.bgr()[:, :, 0]
        boxes = []
        for level in np.unique(gray[gray > 100]):
            rows, columns = np.nonzero(gray == level)
            boxes.append((columns.min(), rows.min(), columns.max() + 1, rows.max() + 1))
        boxes = np.array(boxes, np.float32).reshape(-1, 4)
        marks = boxes[:, None, :2] + FACE * (boxes[:, None, 2:] - boxes[:, None, :2])
        return Faces(boxes, marks.astype(np.float32), np.linspace(0.9, 0.8, len(boxes), dtype=np.float32))


def image(*boxes) -> ArrayImage:
    """A dark image of 320 x 240 px with a bright rectangle for each (x, y, width, height), brighter ones first."""
    pixels = np.zeros((240, 320, 3), np.uint8)
    for number, (x, y, width, height) in enumerate(boxes):
        pixels[y : y + height, x : x + width] = 150 + 20 * number
    return ArrayImage(pixels)


def test_a_moving_face_is_followed_in_squares_around_it():
    detector = BrightDetector()
    follow = FaceFollower(detector, CONFIG)
    for frame in range(0, 15, 5):
        faces = follow(image((100 + frame, 80 - frame, 40, 50)), frame)
        assert faces.boxes.tolist() == [[100 + frame, 80 - frame, 140 + frame, 130 - frame]]
        assert faces.landmarks[0, 2] == pytest.approx((120 + frame, 105 - frame)), "in px of the image"
    assert detector.searches == [(320, 240)] and detector.looks == [(100, 100)] * 3


def test_the_whole_image_is_searched_again_after_a_while():
    detector = BrightDetector()
    follow = FaceFollower(detector, CONFIG)
    one, both = image((50, 80, 40, 50)), image((50, 80, 40, 50), (220, 80, 40, 50))
    assert [len(follow(one if frame < 5 else both, frame).scores) for frame in range(0, 20, 5)] == [1, 1, 1, 2]
    assert len(detector.searches) == 2


def test_a_lost_face_is_looked_for_in_the_whole_image_at_once():
    detector = BrightDetector()
    follow = FaceFollower(detector, CONFIG)
    follow(image((20, 80, 40, 50)), 0)
    assert follow(image((240, 80, 40, 50)), 5).boxes[0, 0] == 240
    assert len(follow(image(), 10).scores) == 0
    assert len(detector.searches) == 3


def test_while_there_is_no_face_the_whole_image_is_searched_with_one_look_in_between():
    detector = BrightDetector()
    follow = FaceFollower(detector, CONFIG)
    assert [len(follow(image(), frame).scores) for frame in (0, 5)] == [0, 0]
    assert detector.searches == [(320, 240)] == detector.looks
    assert follow(image((240, 80, 40, 50)), 10).boxes.tolist() == [[240, 80, 280, 130]]
    assert len(detector.searches) == 1 and detector.looks[1] == (320, 240)


def test_one_face_is_not_two():
    """Two faces of which one is covered by the other: both squares show the same one."""
    detector = BrightDetector()
    follow = FaceFollower(detector, CONFIG)
    follow(image((100, 80, 40, 50), (138, 80, 40, 50)), 0)
    assert len(follow(image((120, 80, 40, 50)), 5).scores) == 1


def test_a_face_at_the_edge_and_more_faces_than_are_followed():
    follow = FaceFollower(BrightDetector(), CONFIG)
    assert follow(image((0, 0, 40, 50)), 0).boxes.tolist() == [[0, 0, 40, 50]]
    assert follow(image((0, 0, 40, 50)), 5).boxes.tolist() == [[0, 0, 40, 50]], "less than a square at the edge"
    many = BrightDetector()
    follow = FaceFollower(many, CONFIG)
    for frame in range(0, 15, 5):
        assert len(follow(image((10, 80, 40, 50), (110, 80, 40, 50), (210, 80, 40, 50)), frame).scores) == 3
    assert len(many.searches) == 3 and not many.looks


def test_a_box_without_finite_size_is_not_followed():
    class Broken(BrightDetector):
        def __call__(self, image, side=None):
            faces = super().__call__(image, side)
            return faces._replace(boxes=np.full_like(faces.boxes, np.inf)) if side is None else faces

    follow = FaceFollower(Broken(), CONFIG)
    assert [len(follow(image((100, 80, 40, 50)), frame).scores) for frame in (0, 5)] == [1, 1]


def test_a_new_shot_is_searched():
    detector = BrightDetector()
    follow = FaceFollower(detector, CONFIG)
    follow(image((100, 80, 40, 50)), 0)
    follow.reset()
    follow(image((100, 80, 40, 50)), 3)
    assert len(detector.searches) == 2
