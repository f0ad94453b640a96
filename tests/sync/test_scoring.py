"""Scores of a segment: faces and audio compared at every delay, on one clock."""

import numpy as np
import pytest
from sync_helpers import Scene, fake_engine, scene_config, still

from resync.config import HOP_S, HOPS_PER_FRAME
from resync.sync.curve import delay_grid
from resync.sync.scoring import EmbeddedFace, EmbeddedSegment, best_face, embed_segment, extract_mouths, score_segment

CONFIG = scene_config()
BOX = (0.25, 12 / 64, 0.75, 52 / 64)


def test_best_face_is_the_one_that_matches():
    low, high = np.full((50, 9), 0.1, np.float32), np.full((50, 9), 0.1, np.float32)
    high[:, 6] = 0.8
    best, chosen = best_face(np.stack([low, high]), 25)
    assert np.allclose(best[:, 6], 0.8) and np.allclose(best[:, :6], 0.1) and (chosen[:, 6] == 1).all()
    low[:] = np.nan
    best, chosen = best_face(np.stack([high, low]), 25)
    assert np.allclose(best, high) and (chosen == 0).all()


def test_best_face_of_one_and_of_none():
    one = np.random.default_rng(0).uniform(size=(1, 20, 9)).astype(np.float32)
    best, chosen = best_face(one, 25)
    assert (best == one[0]).all() and (chosen == 0).all()
    best, chosen = best_face(np.empty((0, 20, 9), np.float32), 25)
    assert np.isnan(best).all() and best.shape == chosen.shape == (20, 9)


def embedded(scene, start_s=0.0, end_s=4.0):
    engine = fake_engine()
    return embed_segment(engine, extract_mouths(engine, scene.source.frames(start_s, end_s), CONFIG))


def test_a_segment_is_embedded_with_place_and_crops():
    segment = embedded(Scene(8, 0.0), 2.0, 4.0)
    assert segment.first_tick == 50 and len(segment.time_s) == 46 and segment.time_s[[0, -1]].tolist() == [2.0, 3.8]
    (face,) = segment.faces
    assert face.start == 0 and face.boxes.mean == pytest.approx(BOX) and face.crops.shape == (50, 8, 8)
    times_s = [*np.arange(2.0, 4.0, 0.2), 3.96]  # every fifth frame, and the last one
    assert face.boxes.time_s == pytest.approx(times_s) and face.boxes.edges == pytest.approx(np.tile(BOX, (11, 1)))
    assert face.mouth.shape == (46, 5) and face.mouth.dtype == np.float16
    bare = segment.without_crops()
    assert bare.faces[0].crops is None and (bare.faces[0].mouth == face.mouth).all() and face.crops is not None


@pytest.mark.parametrize("late_s, delays", [(0.12, delay_grid(0.3)), (2.04, delay_grid(0.3, 2.0)), (-0.4, delay_grid(1.0))])
def test_scores_peak_at_the_delay_for_any_grid(late_s, delays):
    scene = Scene(8, late_s)
    segment = embedded(scene, 2.0, 6.0)
    scored = score_segment(fake_engine(), scene.tracks[0], segment, delays, CONFIG)
    scores = scored.scores
    assert scores.probability.shape == scores.speech.shape == scores.weight.shape == (96, len(delays)) and (scores.delays == delays).all()
    assert scores.probability.mean(0).argmax() == round(late_s / HOP_S) - delays[0]
    assert (scores.time_s == segment.time_s).all() and scored.chosen is None
    ((start_s, end_s),) = scene.tracks[0].reads
    assert start_s == pytest.approx(2.0 + delays[0] * HOP_S) and end_s == pytest.approx(6.0 + delays[-1] * HOP_S)


def test_activity_lies_where_the_audio_is_active():
    """The voice ends with the video at 4 s; 0.3 s late, it ends at 4.3 s, and digital silence follows."""
    scene = Scene(4, 0.3)
    scored = score_segment(fake_engine(), scene.tracks[0], embedded(scene), delay_grid(1.0), CONFIG)
    scores = scored.scores
    heard_s = scores.time_s[:, None] + scores.delays * HOP_S
    for share in (scores.speech, scores.weight):
        assert (share[(heard_s > 0.35) & (heard_s < 4.05)] == 1).all(), "windows of 0.2 s within the voice"
        assert (share[(heard_s < 0.05) | (heard_s > 4.35)] == 0).all()
    assert len(scores.activity) == HOPS_PER_FRAME * (len(scores.time_s) - 1) + len(scores.delays)


def test_frames_shown_late_are_compared_with_later_audio():
    scene = Scene(8, 0.0)
    segment = embedded(scene, 2.0, 4.0)
    score_segment(fake_engine(), scene.tracks[0], segment._replace(lag_s=0.013), delay_grid(0.1), CONFIG)
    assert scene.tracks[0].reads[-1] == pytest.approx((2.0 - 0.1 + 0.013, 4.0 + 0.1 + 0.013))


def test_the_speaking_face_is_chosen_and_each_keeps_its_own_scores():
    """The second face is visible from window 20 on and speaks; the first never does."""
    scene = Scene(4, 0.0)
    whole = embedded(scene)
    speaker = whole.faces[0]._replace(start=20, mouth=whole.faces[0].mouth[20:], crops=whole.faces[0].crops[20:])
    listener = EmbeddedFace(0, still((0.7, 0.1, 0.9, 0.3)), -whole.faces[0].mouth, whole.faces[0].crops)
    segment = EmbeddedSegment(0, whole.time_s, 0.0, (listener, speaker))
    scored = score_segment(fake_engine(), scene.tracks[0], segment, delay_grid(0.2), CONFIG)
    assert scored.chosen.dtype == np.uint8 and (scored.chosen[25:, 20] == 1).all() and (scored.chosen[:20] == 0).all()
    assert np.isfinite(scored.scores.probability).all()
    assert scored.scores.probability[30:, 20].mean() > 0.9 > 0.1 > scored.scores.probability[:20, 20].mean()
    first, second = scored.faces
    assert (first.start_s, second.start_s) == (0.0, pytest.approx(0.8)) and first.boxes is listener.boxes and second.boxes is speaker.boxes
    assert first.odds.shape == (4, 41) and second.odds.shape == (4, 41)
    assert second.odds[:, 20].sum() > 0 > first.odds[:, 20].sum()


def test_no_face():
    scene = Scene(4, 0.0)
    scored = score_segment(fake_engine(), scene.tracks[0], embedded(scene)._replace(faces=()), delay_grid(0.2), CONFIG)
    assert np.isnan(scored.scores.probability).all() and scored.faces == () and scored.scores.speech.max() == 1
