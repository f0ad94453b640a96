"""From scores to a verdict, or to reasons with a number and its threshold."""

import re
from dataclasses import replace

import numpy as np
import pytest
from sync_helpers import RULE, changed, judge, sampled, speech

from resync.config import DecideConfig, DecisionRule
from resync.sync.decide import is_in_sync, too_short

CONFIG = DecideConfig(rule=RULE)


def assert_unknown(d):
    assert d.verdict == "undecided" and d.reasons
    assert d.delay_s is None and d.uncertainty_s is None
    for reason in d.reasons:
        assert "\n" not in reason


def assert_reason(d, *words):
    """One of the reasons has the words, two numbers (the value, the threshold), and says what would help."""
    (reason,) = [r for r in d.reasons if all(w in r for w in words)]
    assert "; " in reason and len(re.findall(r"\d+(?:\.\d+)?", reason)) >= 2, reason


@pytest.mark.parametrize("delay", [0.12, -0.2, 0.043, 0.5])
def test_a_clear_peak_is_out_of_sync(delay):
    d = judge(speech(delay))
    assert d.verdict == "out_of_sync" and d.reasons == ()
    assert d.delay_s == pytest.approx(delay, abs=0.003)
    assert d.probability > 0.85 and d.offscreen_ratio == 0
    assert 0.004 < d.uncertainty_s < 0.02
    assert d.drift is None
    (segment,) = d.segments
    assert segment.delay_s == pytest.approx(delay, abs=0.003) and (segment.start_s, segment.end_s) == (0, pytest.approx(8))


@pytest.mark.parametrize("delay", [0.0, 0.015, -0.016])
def test_within_20_ms_is_in_sync(delay):
    d = judge(speech(delay))
    assert d.verdict == "in_sync" and d.delay_s == pytest.approx(delay, abs=0.003) and d.reasons == ()


def test_just_over_20_ms_is_not():
    assert judge(speech(0.025)).verdict == "out_of_sync"


def test_a_flat_curve_is_undecided():
    d = judge(speech(0.1, high=-5.0))
    assert_unknown(d)
    assert_reason(d, "no clear best offset", f"{RULE.min_certainty:.2f}")
    assert d.segments[0].delay_s is None


@pytest.mark.parametrize("delay", [0.595, -0.6])
def test_a_peak_at_the_edge_names_the_range(delay):
    d = judge(speech(delay))
    assert_unknown(d)
    assert_reason(d, "--range", f"{1000 * DecideConfig().edge_s:.0f} ms")
    assert d.best_s is None and d.certainty is None, "it may be the slope of a peak outside"
    assert judge(speech(delay, reach=100)).delay_s == pytest.approx(delay, abs=0.003)


def test_a_peak_outside_the_range_is_undecided():
    assert_unknown(judge(speech(0.9)))


@pytest.mark.parametrize("delay", [2.44, 2.96, 3.04, 3.56])
def test_a_range_of_delays_around_another_than_zero(delay):
    d = judge(speech(delay, centre=300))
    assert d.delay_s == pytest.approx(delay, abs=0.003) and d.verdict == "out_of_sync"
    assert d.delays_s[0] == pytest.approx(2.4) and d.delays_s[-1] == pytest.approx(3.6)
    edge = judge(speech(delay, centre=300), config=replace(CONFIG, edge_s=0.045))
    assert (edge.verdict == "undecided") == (delay in (2.44, 3.56)), "distances count from the ends of the range that was tested"


def test_no_face():
    scores = speech(0.1)
    d = judge(changed(scores, probability=np.full_like(scores.probability, np.nan)))
    assert_unknown(d)
    assert_reason(d, "face", "0.0 of 8.0 s", "0.6 s")
    assert d.offscreen_ratio == 1 and d.probability is None


def test_silence():
    scores = speech(0.1)
    d = judge(changed(scores, activity=0.0, audible=0.0))
    assert_unknown(d)
    assert_reason(d, "silent", "0.0 of 8.0 s", "0.6 s", "--audio-track")
    assert d.probability is None and d.offscreen_ratio is None


def test_too_little_speech():
    d = judge(speech(0.1, seconds=0.4, noise=0.1))
    assert_unknown(d)
    assert_reason(d, "0.4 s", f"{DecideConfig().min_speech_s:.1f} s")


def test_offscreen_ratio_counts_wrong_faces_and_no_faces():
    scores = speech(0.1, seconds=20)
    p = scores.probability.copy()
    p[100:200] = np.nan  # no face
    p[300:450] = speech(0.1, seconds=6, high=-5.0).probability  # a listener's face
    d = judge(changed(scores, probability=p))
    assert d.verdict == "out_of_sync" and d.delay_s == pytest.approx(0.1, abs=0.004)
    assert d.offscreen_ratio == pytest.approx(0.5, abs=0.03)
    assert 0.5 < d.probability < 0.75  # over frames with a face
    quiet = judge(changed(speech(0.1, seconds=20, activity=lambda t: not 4.1 <= t < 8.1), probability=p))
    assert quiet.offscreen_ratio == pytest.approx(150 / 400, abs=0.04), "no speech where there is no face"


def test_speech_is_counted_at_the_chosen_delay():
    """The audio is half a second late: what is spoken by the face that is visible from 3 s on is heard from 3.5 s on."""
    scores = speech(0.5, seconds=8, activity=lambda t: t >= 3.5 - 1e-9)
    p = scores.probability.copy()
    p[:75] = np.nan
    d = judge(changed(scores, probability=p))
    assert d.delay_s == pytest.approx(0.5, abs=0.004) and d.offscreen_ratio == pytest.approx(0, abs=0.02)


def test_a_steadily_changing_delay_is_drift():
    slope = 0.03  # s a minute
    d = judge(*sampled(lambda t: -0.12 + slope * t / 60))
    assert d.verdict == "drift" and d.reasons == ()
    assert 60 * d.drift.slope == pytest.approx(slope, rel=0.05)
    assert d.delay_s is None and d.uncertainty_s is None  # no single shift
    assert len(d.segments) == 10 and d.segments[5].delay_s == pytest.approx(-0.12 + 5 * slope, abs=0.02)


@pytest.mark.parametrize("slope", [0.1, -0.1])
def test_fast_drift_is_drift_too(slope):
    d = judge(*sampled(lambda t: slope * (t - 270) / 60))
    assert d.verdict == "drift" and 60 * d.drift.slope == pytest.approx(slope, rel=0.05)


@pytest.mark.parametrize("slope", [0.02, 0.06, 0.2])
def test_the_drift_line_gives_the_delay_at_the_start(slope):
    start = -0.05 - 1.5 * slope  # three minutes: the delay stays inside the range
    d = judge(*sampled(lambda t: start + slope * t / 60, count=24 if slope < 0.05 else 12, every_s=15.0 if slope > 0.05 else 22.0))
    assert d.verdict == "drift" and 60 * d.drift.slope == pytest.approx(slope, rel=0.05)
    assert d.drift.start_s == pytest.approx(start, abs=0.006)


@pytest.mark.parametrize("at", [2, 5, 8])
def test_a_jump_has_a_verdict_pieces_and_its_place(at):
    d = judge(*(speech(-0.1 + 0.3 * (i >= at), start_s=60 * i, seed=i) for i in range(10)))
    assert d.verdict == "jump" and d.reasons == () and d.delay_s is None and d.uncertainty_s is None and d.best_s is None
    assert d.certainty > 0.9 and d.drift is None
    before, after = d.pieces
    assert before.delay_s == pytest.approx(-0.1, abs=0.005) and after.delay_s == pytest.approx(0.2, abs=0.005)
    assert before.start_s == 0 and before.end_s == after.start_s and after.end_s == pytest.approx(548, abs=0.2)
    (jump,) = d.jumps
    assert jump.size_s == pytest.approx(0.3, abs=0.01)
    assert 60 * (at - 1) + 8 - 0.4 <= jump.earliest_s <= jump.at_s == before.end_s <= jump.latest_s <= 60 * at + 0.4


def test_a_jump_within_a_segment():
    d = judge(speech(lambda t: 0.1 if t < 4 else -0.3))
    assert d.verdict == "jump" and [p.delay_s for p in d.pieces] == pytest.approx([0.1, -0.3], abs=0.01)
    assert d.jumps[0].earliest_s - 0.1 <= 4 <= d.jumps[0].latest_s + 0.1 and d.jumps[0].latest_s - d.jumps[0].earliest_s < 1


def test_an_uncertain_jump_or_drift_is_undecided():
    """No change is believed where the delays of its pieces are not."""
    sure = replace(CONFIG, rule=replace(RULE, constant=-100.0))
    for segments in (
        [speech(-0.1 + 0.3 * (i >= 5), start_s=60 * i, seed=i) for i in range(10)],
        sampled(lambda t: -0.12 + 0.03 * t / 60),
    ):
        assert judge(*segments).verdict in ("jump", "drift")
        d = judge(*segments, config=sure)
        assert_unknown(d)
        assert d.pieces == d.jumps == ()


def test_a_long_video_with_one_delay_has_no_drift():
    d = judge(*sampled(0.2))
    assert d.verdict == "out_of_sync" and d.delay_s == pytest.approx(0.2, abs=0.003)
    assert abs(60 * d.drift.slope) < 0.001
    assert len(d.segments) == 10


def test_one_bad_segment_is_outvoted():
    segments = sampled(0.2)
    segments[3] = speech(-0.4, start_s=180, seed=77, high=-1.5, noise=2.0)
    d = judge(*segments)
    assert d.verdict == "out_of_sync" and d.delay_s == pytest.approx(0.2, abs=0.003)
    assert abs(60 * d.drift.slope) < 0.005


def test_a_segment_inserted_with_another_delay_is_a_piece():
    segments = sampled(0.2)
    segments[3] = speech(-0.4, start_s=180, seed=77)
    d = judge(*segments)
    assert d.verdict == "jump" and [p.delay_s for p in d.pieces] == pytest.approx([0.2, -0.4, 0.2], abs=0.005)


def test_segments_that_disagree():
    """Each has a delay of its own, but none is clear enough for a piece of the timeline."""
    delays = np.random.default_rng(3).uniform(-0.5, 0.5, 10)
    d = judge(*(speech(late, seconds=2, start_s=60 * i, seed=i, high=0.0, noise=2.0) for i, late in enumerate(delays)))
    assert_unknown(d)
    assert_reason(d, "disagree", f"{1000 * DecideConfig().max_spread_s:.0f} ms")


def test_a_segment_without_a_face_has_no_delay():
    segments = sampled(0.2, count=4)
    segments[1] = changed(segments[1], probability=np.full_like(segments[1].probability, np.nan))
    d = judge(*segments)
    assert d.verdict == "out_of_sync"
    assert [s.delay_s is None for s in d.segments] == [False, True, False, False]
    assert d.segments[1].probability is None


def test_thresholds_are_taken_from_the_config():
    strict = DecideConfig(rule=replace(RULE, min_certainty=1.1), min_speech_s=60.0)
    d = judge(speech(0.1), config=strict)
    assert_unknown(d)
    assert_reason(d, "1.10", "certainty")
    assert_reason(d, "60.0 s")
    assert judge(speech(0.1), config=replace(CONFIG, in_sync_s=0.15)).verdict == "in_sync"
    assert judge(speech(0.1), config=DecideConfig()).certainty == judge(speech(0.1), config=DecideConfig(rule=DecisionRule())).certainty


def test_the_best_delay_is_reported_below_the_threshold_too():
    d = judge(speech(0.1))
    assert d.best_s == d.delay_s and d.certainty > 0.8
    doubtful = judge(speech(0.1, high=-3.5))
    assert_unknown(doubtful)
    assert doubtful.best_s == pytest.approx(0.1, abs=0.02) and doubtful.certainty < RULE.min_certainty


def test_there_is_no_best_delay_where_none_can_exist():
    scores = speech(0.1)
    nobody = judge(changed(scores, probability=np.full_like(scores.probability, np.nan)))
    silence = judge(changed(scores, activity=0.0, audible=0.0))
    short = too_short(0.12)
    assert_unknown(short)
    assert_reason(short, "0.12 s", "0.20 s")
    jump = judge(*(speech(-0.1 + 0.3 * (i >= 5), start_s=60 * i, seed=i) for i in range(10)))
    drift = judge(*sampled(lambda t: -0.12 + 0.03 * t / 60))
    for d in (nobody, silence, short, jump, drift, judge(speech(0.595))):
        assert d.verdict != "out_of_sync" and d.best_s is None, d.reasons
    assert drift.certainty > 0.9 and jump.certainty > 0.9, "of the course of the delay"


def test_delays_count_from_where_an_external_recording_starts():
    """The recording starts 0.45 s into the video and is 0.1 s late there: had both started together, it would be 0.35 s early."""
    scores = speech(0.1)
    own, placed = judge(scores), judge(scores, audio_start_s=0.45)
    for name in ("delay_s", "best_s"):
        assert getattr(placed, name) == pytest.approx(getattr(own, name) - 0.45)
    assert placed.segments[0].delay_s == pytest.approx(own.segments[0].delay_s - 0.45)
    assert placed.peak.delay_s == placed.delay_s and placed.peak.index == own.peak.index
    assert placed.peak.runner_up_s == pytest.approx(own.peak.runner_up_s - 0.45)
    assert placed.delays_s == pytest.approx(own.delays_s - 0.45)
    assert (placed.curve == own.curve).all() and placed.uncertainty_s == own.uncertainty_s and placed.certainty == own.certainty
    assert judge(scores, audio_start_s=0.1).verdict == "in_sync" and own.verdict == "out_of_sync"


def test_a_course_counts_from_where_an_external_recording_starts():
    drifting = sampled(lambda t: -0.12 + 0.03 * t / 60)
    line, moved = judge(*drifting), judge(*drifting, audio_start_s=0.2)
    assert moved.drift.start_s == pytest.approx(line.drift.start_s - 0.2) and moved.drift.slope == pytest.approx(line.drift.slope)
    assert (moved.drift.low, moved.drift.high) == (line.drift.low, line.drift.high) and moved.certainty == line.certainty
    jumping = [speech(-0.1 + 0.3 * (i >= 5), start_s=60 * i, seed=i) for i in range(10)]
    own, placed = judge(*jumping), judge(*jumping, audio_start_s=0.2)
    assert [p.delay_s for p in placed.pieces] == pytest.approx([p.delay_s - 0.2 for p in own.pieces])
    assert placed.jumps == own.jumps and [p.start_s for p in placed.pieces] == [p.start_s for p in own.pieces], "times stay the video's"


def test_an_edge_is_named_by_the_delay_that_is_reported():
    (reason,) = judge(speech(0.595), audio_start_s=0.45).reasons
    assert "+150 ms" in reason, "0.6 s on the video's clock"


@pytest.mark.parametrize("delay_s, expected", [(0.02, True), (0.02004, True), (0.0201, False), (-0.02, True), (-0.021, False)])
def test_the_verdict_agrees_with_the_number_as_printed(delay_s, expected):
    assert is_in_sync(delay_s) == expected
