"""Who speaks when: the result of each face."""

from dataclasses import replace

import numpy as np
import pytest
from sync_helpers import still

from resync.config import FPS
from resync.sync.curve import Peak, Scores, delay_grid
from resync.sync.decide import Decision
from resync.sync.drift import Drift
from resync.sync.pieces import Piece
from resync.sync.speakers import FaceBoxes, chosen_columns, face_results, face_scores

DELAYS = delay_grid(0.5)
LEFT, RIGHT = (0.1, 0.2, 0.3, 0.6), (0.6, 0.2, 0.8, 0.6)
SECONDS = 8


def decision(verdict="out_of_sync", delay_s=0.2, **changes):
    index = int(np.argmin(np.abs(0.01 * DELAYS - delay_s)))
    peak = Peak(delay_s, 0.9, index, 0.1)
    given = Decision(verdict, delay_s, 0.9, 0.0, 0.02, None, (), (), np.zeros(len(DELAYS)), 0.01 * DELAYS, peak, delay_s, 1.0)
    return replace(given, **changes)


def segment(start_s=0.0, speech=1.0):
    """Scores of a segment with this share of active audio in each second (or in all)."""
    count = SECONDS * FPS
    hops = 4 * (count - 1) + len(DELAYS)
    active = np.interp(np.arange(hops) - 20 - len(DELAYS) // 2, 4 * np.arange(count), np.repeat(np.broadcast_to(speech, SECONDS), FPS))
    time_s = start_s + np.arange(count) / FPS
    return Scores(np.full((count, len(DELAYS)), np.nan, np.float32), DELAYS, time_s, active, active)


def face(scores, box, fits, delay_s=0.2, first=0, seconds=SECONDS, boxes=None):
    """A face visible from second `first` on, whose mouth fits the audio at one delay, or one for each second, in these seconds."""
    p = np.full((seconds * FPS, len(DELAYS)), 0.1, np.float32)
    for second in fits:
        rows, late_s = slice((second - first) * FPS, (second - first + 1) * FPS), np.broadcast_to(delay_s, SECONDS)[second]
        p[rows, np.abs(0.01 * DELAYS - late_s) < 0.05] = 0.95
    return face_scores(boxes or still(box), first * FPS, p, scores)


def test_two_faces_that_take_turns():
    scores = segment()
    left, right = face_results([face(scores, LEFT, (0, 1, 2, 6)), face(scores, RIGHT, (3, 4, 5, 7))], decision())
    assert left.box == pytest.approx(LEFT) and right.box == pytest.approx(RIGHT)
    assert left.speaking == ((0, 3), (6, 7)) and right.speaking == ((3, 6), (7, pytest.approx(8, abs=0.2)))
    for result in (left, right):
        assert result.delay_s == pytest.approx(0.2, abs=0.01) and result.speech_share == pytest.approx(0.5, abs=0.02)
        assert (result.start_s, result.end_s) == (0, pytest.approx(8, abs=0.2))


def test_a_listener_does_not_speak():
    (result,) = face_results([face(segment(), LEFT, ())], decision())
    assert result.speaking == () and result.speech_share == 0 and result.probability < 0.2


def test_seconds_without_speech_are_nobodys():
    """A closed mouth fits silence."""
    scores = segment(speech=(1, 1, 1, 0, 0, 0, 1, 1))
    (result,) = face_results([face(scores, LEFT, range(8))], decision())
    assert [(round(start), round(end)) for start, end in result.speaking] == [(0, 3), (6, 8)] and result.speech_share > 0.95
    (silent,) = face_results([face(segment(speech=0), LEFT, range(8))], decision())
    assert silent.speaking == () and silent.speech_share is None and silent.delay_s is None


def test_a_face_that_stays_is_one_across_segments():
    first, second = segment(), segment(8.16)
    faces = [face(second, LEFT, range(8)), face(first, LEFT, range(8)), face(second, RIGHT, (), first=2, seconds=6)]
    left, right = face_results(faces, decision())
    assert (left.start_s, round(left.end_s)) == (0, 16) and len(left.speaking) == 1
    assert right.start_s == pytest.approx(10.16) and right.speech_share == 0
    later = segment(9.0)
    assert len(face_results([face(first, LEFT, ()), face(later, LEFT, ())], decision())) == 2


def test_a_face_that_moves_is_one_across_segments():
    """It is compared where one segment ends and the next one starts, not by its mean positions, which are far apart."""
    across = FaceBoxes(np.array([0.0, 8.0]), np.array([LEFT, RIGHT], np.float32))
    back = FaceBoxes(np.array([8.16, 16.0]), np.array([RIGHT, LEFT], np.float32))
    first, second = face(segment(), None, (), boxes=across), face(segment(8.16), None, (), boxes=back)
    (result,) = face_results([first, second], decision())
    assert result.boxes.time_s.tolist() == [0, 8, 8.16, 16]
    assert result.boxes.edges == pytest.approx(np.array([LEFT, RIGHT, RIGHT, LEFT]))
    assert result.box == pytest.approx(np.mean([LEFT, RIGHT], axis=0))
    assert len(face_results([first, face(segment(8.16), LEFT, ())], decision())) == 2


def test_each_face_has_a_certainty_and_an_interval_of_its_own():
    scores = segment()
    speaker, listener = face_results([face(scores, LEFT, range(8)), face(scores, RIGHT, ())], decision())
    assert speaker.certainty > 0.9 > 0.1 > listener.certainty
    (wide,) = face_results([face(scores, RIGHT, range(8), delay_s=[0.2, 0.3] * 4)], decision())
    assert 0.016 < speaker.uncertainty_s < 0.03 < wide.uncertainty_s, "seconds that disagree make it wider"
    (brief,) = face_results([face(scores, LEFT, (0,), seconds=1)], decision())
    assert brief.delay_s == pytest.approx(0.2, abs=0.01) and brief.uncertainty_s is None, "a single second has no spread"
    (silent,) = face_results([face(segment(speech=0), LEFT, range(8))], decision())
    assert silent.certainty is None and silent.uncertainty_s is None


def test_a_cut_ends_a_face_even_where_the_next_one_is_at_the_same_place():
    scores = segment()
    shots = [face(scores, LEFT, (), seconds=4), face(scores, LEFT, range(4, 8), first=4, seconds=4)]
    listener, speaker = face_results(shots, decision())
    assert (listener.speech_share, speaker.speech_share) == (0, 1) and speaker.start_s == 4


def test_speech_is_judged_at_the_delay_of_its_piece():
    scores = segment()
    early, late = (face(scores, LEFT, range(4), delay_s=-0.3, seconds=4), face(scores, RIGHT, range(4, 8), delay_s=0.2, first=4, seconds=4))
    pieces = tuple(Piece(start, end, delay, 0.02, 1.0) for start, end, delay in ((0, 4, -0.3), (4, 8, 0.2)))
    jump = decision("jump", delay_s=0.2, pieces=pieces)
    assert [result.speech_share for result in face_results([early, late], jump)] == pytest.approx([1, 1])
    assert [result.speech_share for result in face_results([early, late], decision())] == pytest.approx([0, 1])


def test_columns_follow_the_decision():
    times = np.array([0.0, 10.0, 20.0])
    assert chosen_columns(decision(peak=None), times) is None
    assert DELAYS[chosen_columns(decision(), times)].tolist() == [20, 20, 20]
    line = Drift(0.1, 0.01, 0.009, 0.011)
    assert DELAYS[chosen_columns(decision("drift", drift=line), times)].tolist() == [10, 20, 30]
    assert DELAYS[chosen_columns(decision(drift=line), times)].tolist() == [20, 20, 20]  # too small to count
    steep = replace(line, slope=0.1)
    assert DELAYS[chosen_columns(decision("drift", drift=steep), times)].tolist() == [10, 50, 50]  # as far as was tested


def test_offsets_count_from_where_video_and_recording_start_together():
    (result,) = face_results([face(segment(), LEFT, range(8))], decision(delays_s=0.01 * DELAYS - 1.5))
    assert result.delay_s == pytest.approx(-1.3, abs=0.01)
