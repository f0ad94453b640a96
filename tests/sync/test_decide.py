"""From scores to a verdict, or to reasons with a number and its threshold."""

import re
from dataclasses import replace

import numpy as np
import pytest

from resync.config import DecideConfig
from resync.sync.curve import Scores
from resync.sync.decide import certainty, decide, features, is_in_sync, speech_seconds, uncertainty

REACH = 60


def speech(delay_s, seconds=8.0, high=3.0, low=-5.0, noise=0.7, start_s=0.0, seed=0, reach=REACH):
    """Scores of a clear speaker whose audio is `delay_s` late; a delay that changes is a function of time."""
    rng = np.random.default_rng(seed)
    frames = round(seconds * 25)
    delays = np.arange(-reach, reach + 1)
    time_s = start_s + np.arange(frames) / 25
    at = np.array([delay_s(t) if callable(delay_s) else delay_s for t in time_s]) * 100
    odds = low + (high - low) * np.exp(-((delays - at[:, None]) ** 2) / (2 * 5.0**2)) + rng.normal(0, noise, (frames, len(delays)))
    return Scores((1 / (1 + np.exp(-odds))).astype(np.float32), delays, time_s, np.ones(frames))


def changed(scores, **changes):
    return Scores(**{**vars(scores), **changes})


def sampled(delay_s, count=10, every_s=60.0, **kw):
    return [speech(delay_s, start_s=every_s * i, seed=i, **kw) for i in range(count)]


def judge(*segments, config=DecideConfig(), **options):
    return decide(Scores.join(list(segments)), list(segments), config, **options)


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
    assert_reason(d, "no clear best offset", f"{DecideConfig().min_certainty:.2f}")
    assert d.segments[0].delay_s is None


def test_two_equal_peaks_are_undecided():
    one, two = speech(0.3), speech(-0.3)
    assert_unknown(judge(changed(one, probability=np.maximum(one.probability, two.probability))))


@pytest.mark.parametrize("delay", [0.595, -0.6, 0.9])
def test_a_peak_at_the_edge_names_the_range(delay):
    d = judge(speech(delay))
    if delay == 0.9:  # lies outside: no peak at all
        assert_unknown(d)
        return
    assert_unknown(d)
    assert_reason(d, "--range", f"{1000 * DecideConfig().edge_s:.0f} ms")
    assert judge(speech(delay, reach=100)).delay_s == pytest.approx(delay, abs=0.003)


def test_no_face():
    scores = speech(0.1)
    d = judge(changed(scores, probability=np.full_like(scores.probability, np.nan)))
    assert_unknown(d)
    assert_reason(d, "face", "0.0 of 8.0 s", "0.6 s")
    assert d.offscreen_ratio == 1 and d.probability is None


def test_silence():
    scores = speech(0.1)
    d = judge(changed(scores, weight=np.zeros(len(scores.weight))))
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
    muted = np.ones(500)
    muted[100:200] = 0  # no speech where there is no face
    quiet = judge(changed(scores, probability=p, weight=muted))
    assert quiet.offscreen_ratio == pytest.approx(150 / 400, abs=0.03)


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
def test_a_jump_is_refused_with_its_time_and_size(at):
    d = judge(*(speech(-0.1 + 0.3 * (i >= at), start_s=60 * i, seed=i) for i in range(10)))
    assert_unknown(d)
    assert len(d.reasons) == 1
    assert_reason(d, "jumps by +300 ms", f"between {60 * (at - 1) + 4:.0f} and {60 * at + 4:.0f} s", "80 ms")


def test_a_long_video_with_one_delay_has_no_drift():
    d = judge(*sampled(0.2))
    assert d.verdict == "out_of_sync" and d.delay_s == pytest.approx(0.2, abs=0.003)
    assert abs(60 * d.drift.slope) < 0.001
    assert len(d.segments) == 10


def test_one_bad_segment_is_outvoted():
    segments = sampled(0.2)
    segments[3] = speech(-0.4, start_s=180, seed=77)
    d = judge(*segments)
    assert d.verdict == "out_of_sync" and d.delay_s == pytest.approx(0.2, abs=0.003)
    assert abs(60 * d.drift.slope) < 0.005


def test_segments_that_disagree():
    delays = [0.3, -0.3, 0.3, 0.3, -0.3, 0.3, -0.3, 0.3, 0.3, -0.3]
    d = judge(*(speech(x, start_s=60 * i, seed=i) for i, x in enumerate(delays)))
    assert_unknown(d)
    assert_reason(d, "disagree", f"{1000 * DecideConfig().max_spread_s:.0f} ms")


def test_a_segment_without_a_face_has_no_delay():
    segments = sampled(0.2, count=4)
    segments[1] = changed(segments[1], probability=np.full_like(segments[1].probability, np.nan))
    d = judge(*segments)
    assert d.verdict == "out_of_sync"
    assert [s.delay_s is None for s in d.segments] == [False, True, False, False]
    assert d.segments[1].probability is None


def test_certainty_grows_with_more_and_clearer_speech():
    def certainty_of(scores):
        from resync.sync.curve import find_peak, probability_curve

        values = probability_curve(scores)
        return certainty(scores, values, find_peak(values, scores.delays))

    clear, faint, flat = certainty_of(speech(0.1)), certainty_of(speech(0.1, high=-4.0)), certainty_of(speech(0.1, high=-5.0))
    assert 0 <= flat < faint < clear <= 1
    assert certainty_of(speech(0.1, seconds=2, high=-4.0)) < certainty_of(speech(0.1, seconds=30, high=-4.0))


def test_features():
    from resync.sync.curve import Peak

    scores = speech(0.0, seconds=4)
    values = np.full(121, 0.1)
    values[60], values[100] = 0.9, 0.5
    height, lead = features(scores, values, Peak(0.0, 0.9, 60, 0.5))
    assert height == pytest.approx(np.log(9)) and lead == pytest.approx(2 * np.log(9))


def test_speech_seconds():
    scores = speech(0.0, seconds=4)
    p = scores.probability.copy()
    p[:25] = np.nan
    assert speech_seconds(changed(scores, probability=p, weight=np.full(100, 0.5))) == pytest.approx(1.5)


def test_uncertainty_grows_with_noise_and_is_repeatable():
    clear, noisy = speech(0.1), speech(0.1, noise=12.0, high=-1.0, seconds=3)
    assert uncertainty(clear) == uncertainty(clear)
    assert 0.005 <= uncertainty(clear) < uncertainty(noisy)


def test_thresholds_are_taken_from_the_config():
    strict = replace(DecideConfig(), min_certainty=1.1, min_speech_s=60.0)
    d = judge(speech(0.1), config=strict)
    assert_unknown(d)
    assert_reason(d, "1.10", "certainty")
    assert_reason(d, "60.0 s")
    assert judge(speech(0.1), config=replace(DecideConfig(), in_sync_s=0.15)).verdict == "in_sync"


def test_the_best_delay_is_reported_below_the_threshold_too():
    d = judge(speech(0.1))
    assert d.best_s == d.delay_s and d.certainty > 0.8
    doubtful = judge(speech(0.1, high=-4.3))
    assert_unknown(doubtful)
    assert doubtful.best_s == pytest.approx(0.1, abs=0.02) and doubtful.certainty < DecideConfig().min_certainty


def test_there_is_no_best_delay_where_none_can_exist():
    scores = speech(0.1)
    nobody = judge(changed(scores, probability=np.full_like(scores.probability, np.nan)))
    silence = judge(changed(scores, weight=np.zeros(len(scores.weight))))
    jump = judge(*(speech(-0.1 + 0.3 * (i >= 5), start_s=60 * i, seed=i) for i in range(10)))
    drift = judge(*sampled(lambda t: -0.12 + 0.03 * t / 60))
    edge = judge(speech(0.595))
    for d in (nobody, silence, jump, drift, edge):
        assert d.verdict != "out_of_sync" and d.best_s is None and d.certainty is None, d.reasons


def test_delays_count_from_where_an_external_recording_starts():
    """The recording starts 0.45 s into the video and is 0.1 s late there: had both started together, it would be 0.35 s early."""
    scores = speech(0.1)
    own, placed = judge(scores), judge(scores, audio_start_s=0.45)
    for name in ("delay_s", "best_s"):
        assert getattr(placed, name) == pytest.approx(getattr(own, name) - 0.45)
    assert placed.segments[0].delay_s == pytest.approx(own.segments[0].delay_s - 0.45)
    assert placed.peak.delay_s == placed.delay_s and placed.peak.index == own.peak.index
    assert placed.delays_s == pytest.approx(own.delays_s - 0.45)
    assert (placed.curve == own.curve).all() and placed.uncertainty_s == own.uncertainty_s
    assert judge(scores, audio_start_s=0.1).verdict == "in_sync" and own.verdict == "out_of_sync"
    line, moved = judge(*sampled(lambda t: -0.12 + 0.03 * t / 60)), judge(*sampled(lambda t: -0.12 + 0.03 * t / 60), audio_start_s=0.2)
    assert moved.drift.start_s == pytest.approx(line.drift.start_s - 0.2) and moved.drift.slope == pytest.approx(line.drift.slope)


@pytest.mark.parametrize("delay_s, expected", [(0.02, True), (0.02004, True), (0.0201, False), (-0.02, True), (-0.021, False)])
def test_the_verdict_agrees_with_the_number_as_printed(delay_s, expected):
    assert is_in_sync(delay_s) == expected
