"""The measurement, on videos in memory: which frames are decoded, which audio is read, over which range, and what is kept."""

import weakref
from dataclasses import replace

import numpy as np
import pytest
from sync_helpers import RULE, Scene, fake_engine, scene_config

from resync.config import FPS, HOP_S, CurveConfig
from resync.sync.measure import measure, measure_tracks

SAMPLES = {"full_scan_s": 20.0, "sample_s": 3.0, "segment_s": 3.0, "min_samples": 4, "max_samples": 8}
EXHAUSTIVE = {"full_scan_s": float("inf"), "segment_s": 2.0, "sample_s": 2.0, "max_samples": 4, "wide_samples": 3}


def measured(scene, config=scene_config(), **options):
    return measure(fake_engine(), scene.source, config, **options)


def range_read_s(scene, track=0):
    """How much more audio than video was read each time, divided by two: the range of each read, in s."""
    reads = [end - start for start, end in scene.tracks[track].reads]
    return [round((length - 3.0) / 2, 1) for length in reads]


# --- the range -------------------------------------------------------------------------------------


def test_default_ranges():
    assert CurveConfig().range_s is None and CurveConfig().ranges_s == (1.0, 3.0, 10.0) and CurveConfig().first_range_s == 1.0
    assert CurveConfig(range_s=2.0).first_range_s == 2.0


def test_a_clear_clip_is_read_once():
    scene = Scene(8, 0.12)
    evidence = measured(scene)
    assert evidence.decision.delay_s == pytest.approx(0.12, abs=0.01)
    assert evidence.range_s == 0.5 and len(evidence.decision.curve) == 101
    assert len(scene.tracks[0].reads) == 1 and scene.decoded == list(range(200))


@pytest.mark.parametrize("late_s, range_s, reads", [(1.0, 1.5, 2), (-1.3, 1.5, 2), (2.7, 4.0, 3), (0.49, 1.5, 2)])
def test_the_range_widens_until_there_is_an_answer_and_only_audio_is_read_again(late_s, range_s, reads):
    """0.49 s is answered, at the edge of the first range, only by the next one."""
    scene = Scene(12, late_s)
    evidence = measured(scene, scene_config(segment_s=12.0))
    assert evidence.decision.verdict == "out_of_sync" and evidence.decision.delay_s == pytest.approx(late_s, abs=0.01)
    assert evidence.range_s == range_s and evidence.segments[0].probability.shape[1] == len(evidence.decision.curve) == 200 * range_s + 1
    assert len(scene.tracks[0].reads) == reads
    assert scene.decoded == list(range(300)), "every frame is decoded once"


def test_a_given_range_is_kept():
    scene = Scene(8, 1.0)
    narrow = measured(scene, scene_config(range_s=0.5))
    assert narrow.decision.verdict == "undecided" and narrow.range_s == 0.5 and len(scene.tracks[0].reads) == 1
    scene = Scene(8, 1.0)
    wide = measured(scene, scene_config(range_s=1.2))
    assert wide.decision.delay_s == pytest.approx(1.0, abs=0.01) and wide.range_s == 1.2 and len(wide.decision.curve) == 241
    assert len(scene.tracks[0].reads) == 1


@pytest.mark.parametrize("seed", range(3))
def test_without_an_answer_the_most_certain_range_is_reported(seed):
    scene = Scene(8, None, seed=seed)
    config = scene_config()
    fixed = {r: measured(scene, scene_config(range_s=r)).decision for r in config.curve.ranges_s}
    best = max(fixed, key=lambda r: fixed[r].certainty or 0.0)
    evidence = measured(scene)
    assert evidence.decision.verdict == "undecided" and evidence.range_s == best
    assert evidence.decision.certainty == fixed[best].certainty and evidence.decision.best_s == fixed[best].best_s
    assert all(s.probability.shape[1] == len(evidence.decision.curve) == round(200 * best) + 1 for s in evidence.segments)


def test_an_answer_over_a_wider_range_must_be_more_certain():
    """Every range that is tested is one more chance to be wrong."""
    base = scene_config()
    sure = replace(base, decide=replace(base.decide, rule=replace(RULE, min_widened=1 - 1e-12)))
    assert measured(Scene(8, 0.2), sure).decision.verdict == "out_of_sync", "the first one is not wider"
    assert measured(Scene(8, 1.0), sure).decision.verdict == "undecided" and measured(Scene(8, 1.0)).decision.verdict == "out_of_sync"
    asked = replace(sure, curve=replace(sure.curve, range_s=1.2))
    assert measured(Scene(8, 1.0), asked).decision.verdict == "out_of_sync", "nor is one that was asked for"
    loose = replace(base, decide=replace(base.decide, rule=replace(RULE, min_widened=1e-9)))
    unrelated = measured(Scene(8, None), loose).decision
    assert unrelated.verdict == "undecided" and unrelated.certainty < RULE.min_certainty, "never less certain than the first"


def test_without_a_face_nothing_is_read_again():
    scene = Scene(8, 0.1)
    blind = fake_engine()
    blind.detector.__class__ = type("NoFace", (type(blind.detector),), {"__call__": lambda self, image, side: no_faces()})
    evidence = measure(blind, scene.source, scene_config())
    assert evidence.decision.verdict == "undecided" and "face" in evidence.decision.reasons[0]
    assert len(scene.tracks[0].reads) == 1 and evidence.faces == () and evidence.windows == ()


def no_faces():
    from resync.faces.boxes import Faces

    return Faces(np.zeros((0, 4), np.float32), np.zeros((0, 5, 2), np.float32), np.zeros(0, np.float32))


def test_a_video_of_less_than_one_window():
    evidence = measured(Scene(0.12, 0.0))
    assert evidence.decision.verdict == "undecided" and "0.12 s" in evidence.decision.reasons[0]
    assert evidence.segments == () and evidence.analysed_s == 0


def test_the_recording_s_own_clock_does_not_change_the_range():
    scene = Scene(8, 0.3, start_s=2.5)
    evidence = measured(scene)
    assert evidence.decision.delay_s == pytest.approx(0.3 - 2.5, abs=0.01) and evidence.range_s == 0.5
    assert evidence.faces[0].delay_s == pytest.approx(0.3 - 2.5, abs=0.01)


def test_the_rule_is_the_network_s_unless_one_is_given():
    never = replace(RULE, constant=-100.0)
    scene = Scene(8, 0.1)
    assert measure(fake_engine(rule=never), scene.source, scene_config(range_s=0.5)).decision.verdict == "undecided"
    given = scene_config()
    given = replace(given, decide=replace(given.decide, rule=RULE))
    assert measure(fake_engine(rule=never), scene.source, given).decision.verdict == "out_of_sync"


# --- long videos -----------------------------------------------------------------------------------


def test_a_long_video_is_sampled_until_the_answer_is_certain():
    scene = Scene(600, 0.2)
    steps = []
    evidence = measured(scene, scene_config(**SAMPLES), progress=steps.append)
    assert evidence.decision.delay_s == pytest.approx(0.2, abs=0.01)
    assert len(scene.decoded) == len(set(scene.decoded)) == round(FPS * evidence.analysed_s) + 4 * len(evidence.segments)
    assert len(evidence.segments) == 4 and evidence.range_s == 0.5
    assert [s.time_s[0] for s in evidence.segments] == sorted(s.time_s[0] for s in evidence.segments)
    assert steps[-1].done_s == pytest.approx(len(scene.decoded) / FPS) and steps[0].planned_s == 12


def test_a_far_delay_of_a_long_video_shows_in_the_first_samples():
    """The later ones are compared over the wider range at once, and no frame is decoded twice."""
    scene = Scene(600, 1.0)
    config = scene_config(**SAMPLES, target_uncertainty_s=0.0)  # never: all samples
    evidence = measured(scene, config)
    assert evidence.decision.delay_s == pytest.approx(1.0, abs=0.01) and evidence.range_s == 1.5
    assert len(evidence.segments) == 8 and len(scene.decoded) == len(set(scene.decoded)) == 8 * 3 * FPS
    assert [r for r in range_read_s(scene) if r > 0] == [0.5] * 4 + [1.5] * 8


def test_an_undecided_long_video_was_only_sampled():
    scene = Scene(600, None)
    evidence = measured(scene, scene_config(**SAMPLES))
    assert evidence.decision.verdict == "undecided" and "--exhaustive" in evidence.decision.reasons[-1]
    assert len(evidence.segments) == 8 and len(scene.decoded) == 8 * 3 * FPS
    read = [r for r in range_read_s(scene) if r > 0]
    assert read == [0.5] * 4 + [1.5] * 4 + [4.0] * 4 + [0.5] * 4 + [1.5] * 8 + [4.0] * 8, "wider at the beginning, and once more at the end"
    assert not any("--exhaustive" in reason for reason in measured(Scene(8, None)).decision.reasons)


@pytest.mark.parametrize("at_s, early, late", [(317.3, 0.1, -0.2), (101.0, 0.0, 0.4)])
def test_jumps_of_a_long_video_are_located_by_more_samples(at_s, early, late):
    """The nearest samples are tens of seconds away."""
    scene = Scene(600, lambda t: early if t < at_s else late)
    evidence = measured(scene, scene_config(**SAMPLES))
    (jump,) = evidence.decision.jumps
    assert evidence.decision.verdict == "jump" and jump.size_s == pytest.approx(late - early, abs=0.015)
    assert jump.at_s == pytest.approx(at_s, abs=0.5) and jump.latest_s - jump.earliest_s < 2
    assert len(scene.decoded) == len(set(scene.decoded)) < 0.4 * 600 * FPS
    assert len(evidence.segments) == len({s.time_s[0] for s in evidence.segments}) > 8
    assert len(evidence.decision.segments) == len(evidence.segments), "the decision is that on all of them"


def test_a_drifting_long_video_takes_a_few_more_samples():
    scene = Scene(600, lambda t: 0.0005 * (t - 300))
    evidence = measured(scene, scene_config(**SAMPLES | {"max_samples": 12}))
    assert evidence.decision.verdict == "drift" and evidence.decision.drift.slope == pytest.approx(0.0005, rel=0.05)
    assert 8 <= len(evidence.segments) < 12


# --- several audio tracks --------------------------------------------------------------------------


def test_several_tracks_are_measured_on_frames_decoded_once():
    scene = Scene(8, 0.12, -0.4, 1.0, None)
    first, second, third, commentary = measure_tracks(fake_engine(), scene.source, scene.tracks, scene_config())
    assert [e.audio.track for e in (first, second, third, commentary)] == [0, 1, 2, 3]
    assert [e.decision.delay_s for e in (first, second, third)] == pytest.approx([0.12, -0.4, 1.0], abs=0.01)
    assert [e.range_s for e in (first, second, third)] == [0.5, 0.5, 1.5] and commentary.decision.verdict == "undecided"
    assert scene.decoded == list(range(200)), "decoded once"
    assert [len(track.reads) for track in scene.tracks] == [1, 1, 2, 3]
    alone = measured(Scene(8, 0.12))
    assert alone.decision.delay_s == first.decision.delay_s and (alone.decision.curve == first.decision.curve).all()


def test_further_tracks_of_a_long_video_take_no_more_samples_than_they_need():
    scene = Scene(600, 0.12, -0.4, 1.0)
    evidence = measure_tracks(fake_engine(), scene.source, scene.tracks, scene_config(**SAMPLES))
    assert [e.decision.delay_s for e in evidence] == pytest.approx([0.12, -0.4, 1.0], abs=0.01)
    assert [len(e.segments) for e in evidence] == [4, 4, 4] and len(scene.decoded) == 4 * 3 * FPS


# --- memory ----------------------------------------------------------------------------------------


def test_crops_are_dropped_while_a_very_long_video_is_analysed():
    alive, most = [], 0

    def note(crops):
        nonlocal most
        alive.append(weakref.ref(crops))
        most = max(most, sum(ref() is not None for ref in alive))

    scene = Scene(40, 0.2)
    evidence = measure(fake_engine(on_mouths=note), scene.source, scene_config(**EXHAUSTIVE))
    assert len(evidence.segments) == 20 and evidence.decision.delay_s == pytest.approx(0.2, abs=0.01)
    assert most <= 2 * EXHAUSTIVE["max_samples"] + 4 < 20, "those of most segments are gone before the last is analysed"
    assert len(evidence.windows) == 8, "enough are left to show"
    assert np.ptp([window.time_s for window in evidence.windows]) > 10, "from all over the video"


def test_a_far_delay_of_a_very_long_video_is_scored_around_it_only():
    """All scores over the wider range would fill the memory: a sample of the segments says where to look."""
    scene = Scene(40, 1.0)
    evidence = measured(scene, scene_config(**EXHAUSTIVE))
    assert evidence.decision.delay_s == pytest.approx(1.0, abs=0.01) and evidence.decision.verdict == "out_of_sync"
    assert len(evidence.segments) == 20 and len(scene.decoded) == len(set(scene.decoded)) == 1000
    assert all(len(s.delays) == 101 and s.delays[50] * HOP_S == pytest.approx(1.0, abs=0.05) for s in evidence.segments)
    assert evidence.decision.delays_s[[0, -1]] == pytest.approx([0.5, 1.5], abs=0.05)
    assert evidence.range_s == 1.5, "so far out was looked"
    at_range = np.round([(end - start - 2) / 2 for start, end in scene.tracks[0].reads], 1).tolist()
    assert at_range.count(1.5) == EXHAUSTIVE["wide_samples"]


def test_wider_ranges_of_a_long_video_without_an_answer_are_tried_on_a_few_segments_only():
    """All of them would take minutes."""
    scene = Scene(600, None)
    evidence = measured(scene, scene_config(**SAMPLES, wide_samples=5))
    assert evidence.decision.verdict == "undecided" and len(evidence.segments) == SAMPLES["max_samples"]
    first_round, last = SAMPLES["min_samples"], 5
    assert range_read_s(scene).count(4.0) == first_round + last


def test_a_very_long_video_without_an_answer_keeps_the_first_range():
    scene = Scene(20, None)
    evidence = measured(scene, scene_config(**EXHAUSTIVE))
    assert evidence.decision.verdict == "undecided" and all(len(s.delays) == 101 for s in evidence.segments)
    assert not any("--exhaustive" in reason for reason in evidence.decision.reasons)
