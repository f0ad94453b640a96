"""The windows that are shown as evidence."""

import numpy as np
import pytest
from sync_helpers import Scene, fake_engine, make_scores, scene_config, still

from resync.sync.evidence import MAX_WINDOWS, evidence_for, strongest_windows
from resync.sync.measure import measure
from resync.sync.scoring import EmbeddedFace, EmbeddedSegment, ScoredSegment


def scored_segment(windows=100, reach=10, face_start=0, crops=True, chosen=None, tick=0, **audio):
    """A segment in which window 40 is the strongest at +3 hops; its crops are numbered."""
    odds = np.full((windows, 2 * reach + 1), -3.0)
    odds[:, reach + 3] = -1.0
    odds[40, reach + 3] = 4.0
    scores = make_scores(odds, np.arange(-reach, reach + 1), start_s=tick / 25, **audio)
    numbered = np.arange(face_start, windows + 4, dtype=np.uint8)[:, None, None] * np.ones((1, 2, 2), np.uint8)
    face = EmbeddedFace(face_start, still((0, 0, 1, 1)), np.zeros((windows - face_start, 4), np.float16), numbered if crops else None)
    other = face._replace(crops=np.full_like(numbered, 255))
    faces = (face,) if chosen is None else (other, face)
    return EmbeddedSegment(tick, scores.time_s, 0.0, faces), ScoredSegment(scores, (), chosen)


def test_evidence_is_log_odds_over_the_mean_times_speech_at_the_delay():
    _, scored = scored_segment(activity=lambda t: t < 2)
    worth = evidence_for(scored.scores, 13)
    assert worth[10] == pytest.approx(-1 - (-3 * 20 - 1) / 21) and worth[40] > 2 * worth[10]
    assert worth[60] == 0, "there is no speech"
    assert np.flatnonzero(worth == 0)[0] < np.flatnonzero(evidence_for(scored.scores, 0) == 0)[0], "audio ends earlier for late audio"


def test_windows_without_a_score_are_no_evidence():
    embedded, scored = scored_segment()
    scored.scores.probability[40] = np.nan
    assert evidence_for(scored.scores, 13)[40] == 0
    assert strongest_windows([(embedded, scored)], 13)[0].time_s != 1.6


@pytest.mark.parametrize("face_start", [0, 12])
def test_the_strongest_window_comes_first_with_its_crops(face_start):
    first = strongest_windows([scored_segment(face_start=face_start)], 13)[0]
    assert first.time_s == pytest.approx(1.6) and first.crops[:, 0, 0].tolist() == [40, 41, 42, 43, 44]
    assert first.probability.shape == (21,) and first.probability.argmax() == 13


def test_windows_are_a_second_apart_and_few():
    windows = strongest_windows([scored_segment(windows=200, tick=500 * i) for i in range(5)], 13)
    assert len(windows) == MAX_WINDOWS and [w.worth for w in windows] == sorted((w.worth for w in windows), reverse=True)
    times = sorted(w.time_s for w in windows)
    assert np.diff(times).min() > 1
    assert [w.time_s for w in strongest_windows([scored_segment(windows=41)], 13)] == pytest.approx([1.6, 0.0])


def test_the_crops_are_those_of_the_face_behind_the_score():
    chosen = np.zeros((100, 21), np.uint8)
    chosen[:, 13] = 1
    assert strongest_windows([scored_segment(chosen=chosen)], 13)[0].crops.max() < 255
    assert strongest_windows([scored_segment(chosen=np.zeros_like(chosen))], 13)[0].crops.min() == 255


def test_segments_without_crops_or_evidence_are_skipped():
    assert strongest_windows([scored_segment(crops=False)], 13) == ()
    assert strongest_windows([scored_segment(activity=0.0)], 13) == ()
    assert strongest_windows([scored_segment()], 0) == (), "windows against the delay are no evidence for it"
    assert len(strongest_windows([scored_segment(crops=False), scored_segment(tick=500)], 13)) > 0


def test_a_crop_keeps_no_other_in_memory():
    assert strongest_windows([scored_segment()], 13)[0].crops.base is None


def test_evidence_of_a_measurement():
    scene = Scene(10, 0.12)
    evidence = measure(fake_engine(), scene.source, scene_config(segment_s=5.0))
    assert evidence.peak is evidence.decision.peak and evidence.range_s == 0.5
    assert len(evidence.segments) == 2 and evidence.analysed_s == pytest.approx((250 - 8) / 25)
    assert evidence.audio is scene.tracks[0] and evidence.info is scene.source.info
    column = evidence.peak.index
    for window in evidence.windows:
        segment = evidence.segments[int(window.time_s >= 5)]
        row = round((window.time_s - segment.time_s[0]) * 25)
        assert (window.probability == segment.probability[row]).all()
        assert window.worth == pytest.approx(evidence_for(segment, column)[row])
