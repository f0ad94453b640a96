"""Conditions of a recording."""

from dataclasses import replace

import numpy as np
import pytest
from training_helpers import make_entry

from resync.training.conditions import background_level, condition_groups, face_yaw


def face(nose_x, roll=0.0):
    """Landmarks of a face with eyes 40 px apart, its nose nose_x px beside their middle, rotated by `roll`."""
    points = np.array([[-20, 0], [20, 0], [nose_x, 25], [-15, 50], [15, 50]], float)
    rotation = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
    return np.repeat((points @ rotation.T)[None], 10, 0)


def test_yaw_is_that_of_the_nose_and_not_of_a_tilted_head():
    assert face_yaw(face(0)) == pytest.approx(0) == face_yaw(face(0, 0.5))
    assert face_yaw(face(10)) == pytest.approx(0.25) == face_yaw(face(-10, -0.4))


def test_background_level():
    speech, silence = np.full((80, 80), -1.0), np.full((20, 80), -3.5)
    assert background_level(np.concatenate([speech, silence])) == pytest.approx(25)
    assert background_level(speech) == pytest.approx(0)


def test_groups_of_a_track():
    entry = replace(make_entry(), face_px=120.0, yaw=0.1, background_db=35.0, fps=29.97, language="Polish")
    assert condition_groups(entry) == ["face 80 to 160 px", "frontal", "background over 30 dB below", "over 25 fps", "language: Polish"]
    assert condition_groups(make_entry()) == []
