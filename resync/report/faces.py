"""Faces grouped into rows of a plot and a line of text: who speaks when."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from ..config import FPS, FaceConfig
from ..sync.speakers import FaceResult

SAME_PLACE = 0.2  # of the frame's width: faces whose centres are this near may be one person
OVERLAP_S = 1 / FPS  # two faces of a group may be visible together for so long: rounding


class FaceGroup(NamedTuple):
    """Faces about one place of the frame, one after the other; often one person.

    name: "face" for the only group, else with a number from left to right and the place, such as "face 2 (right)".
    """

    name: str
    faces: tuple[FaceResult, ...]

    @property
    def visible_s(self) -> float:
        """Seconds during which one of the faces is visible."""
        return sum(face.end_s - face.start_s for face in self.faces)

    @property
    def speaking_s(self) -> float:
        """Seconds during which the speech is that of one of the faces."""
        return sum(end - start for face in self.faces for start, end in face.speaking)


def face_groups(faces: Sequence[FaceResult]) -> list[FaceGroup]:
    """All faces in groups, from left to right; seldom more than are visible at one time (`FaceConfig.max_faces`)."""
    groups: list[list[FaceResult]] = []
    for face in sorted(faces, key=lambda face: face.start_s):
        free = [group for group in groups if group[-1].end_s <= face.start_s + OVERLAP_S]
        nearest = min(free, key=lambda group: _distance(group[-1], face), default=None)
        if nearest is None or (_distance(nearest[-1], face) > SAME_PLACE and len(groups) < FaceConfig.max_faces):
            groups.append([face])
        else:
            nearest.append(face)
    groups.sort(key=_centre)
    if len(groups) == 1:
        return [FaceGroup("face", tuple(groups[0]))]
    return [FaceGroup(f"face {number} ({_place(group)})", tuple(group)) for number, group in enumerate(groups, 1)]


def _distance(a: FaceResult, b: FaceResult) -> float:
    """Distance between the centres, as a share of the frame's width."""
    return abs(_centre([a]) - _centre([b]))


def _centre(faces: Sequence[FaceResult]) -> float:
    """Mean horizontal position over time: 0 = left edge of the frame, 1 = right edge."""
    seconds = [face.end_s - face.start_s for face in faces]
    return sum(s * (face.box[0] + face.box[2]) / 2 for s, face in zip(seconds, faces)) / sum(seconds)


def _place(faces: Sequence[FaceResult]) -> str:
    centre = _centre(faces)
    return "left" if centre < 0.4 else "right" if centre > 0.6 else "centre"
