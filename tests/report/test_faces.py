"""Faces in groups: one for each place of the frame."""

import pytest

from resync.config import FaceConfig
from resync.report.faces import face_groups
from resync.sync.speakers import FaceResult


def face(start_s, end_s, centre, *speaking):
    return FaceResult(start_s, end_s, (centre - 0.1, 0.2, centre + 0.1, 0.7), None, None, None, speaking)


def test_faces_beside_each_other_are_groups_from_left_to_right():
    faces = [face(0, 8, 0.7, (0, 2)), face(0, 4, 0.25), face(4, 8, 0.3, (5, 6), (7, 8)), face(0, 8, 0.5)]
    left, centre, right = face_groups(faces)
    assert [group.name for group in (left, centre, right)] == ["face 1 (left)", "face 2 (centre)", "face 3 (right)"]
    assert left.faces == (faces[1], faces[2]) and right.faces == (faces[0],)
    assert (left.visible_s, left.speaking_s, right.speaking_s) == (8, 2, 2)


def test_one_face_at_a_time_about_one_place_is_one_group():
    (group,) = face_groups([face(start, start + 5, 0.5 + start / 100) for start in (0, 5, 12)])
    assert group.name == "face" and group.visible_s == 15


def test_many_shots_make_no_more_groups_than_rows_that_fit():
    faces = [face(start, start + 2, (start % 10) / 10 + 0.05) for start in range(0, 100, 2)]
    groups = face_groups(faces)
    assert 1 < len(groups) <= FaceConfig.max_faces and sum(len(group.faces) for group in groups) == 50
    for group in groups:
        assert all(before.end_s <= after.start_s for before, after in zip(group.faces, group.faces[1:]))
    assert sum(group.visible_s for group in groups) == pytest.approx(100)


def test_no_faces_no_groups():
    assert face_groups([]) == []
