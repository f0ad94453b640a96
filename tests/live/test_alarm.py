"""When an alarm is raised and cleared."""

import numpy as np

from resync.config import LiveConfig
from resync.live.alarm import Alarm
from resync.live.window import Estimate
from resync.report.limits import Limits

LIMITS = Limits("test", 40, 60)
CONFIRM_S = LiveConfig.confirm_s
STEP_S = LiveConfig.step_s


def estimate(end_s, delay_ms, certainty=1.0) -> Estimate:
    if delay_ms is None:
        return Estimate(end_s, "undecided", None, None, 0.2, 10.0)
    return Estimate(end_s, "answer", delay_ms / 1000, 0.02, certainty, 10.0)


def changes(delays_ms, alarm=None, start_s=0.0, **options) -> list[tuple[float, str]]:
    """What changes, and when, with one estimate a step."""
    alarm = alarm or Alarm(LIMITS)
    times = start_s + STEP_S * np.arange(1, len(delays_ms) + 1)
    found = [(float(t), alarm.update(estimate(t, delay, **options))) for t, delay in zip(times, delays_ms)]
    return [(t, change) for t, change in found if change]


def test_a_delay_beyond_the_limits_raises_one_alarm_and_one_within_them_clears_it():
    delays = [0] * 10 + [120] * 10 + [5] * 10
    assert changes(delays) == [(22 + CONFIRM_S, "alarm"), (42 + CONFIRM_S, "cleared")]
    assert changes([-d for d in delays]) == changes(delays)


def test_limits_are_asymmetric():
    assert not changes([55] * 20) and changes([-55] * 20)


def test_a_single_wrong_estimate_raises_no_alarm():
    for wrong in (300, -700):
        assert not changes(([0] * 4 + [wrong]) * 10)
    assert not changes([0, 300, -400, 700, -200, 500] * 10), "they must agree with each other"


def test_uncertain_estimates_count_for_nothing():
    assert not changes([120] * 30, certainty=LiveConfig.min_certainty - 0.01)
    assert changes([0] * 5 + [120, None] * 10) == [(12 + CONFIRM_S + STEP_S, "alarm")]
    assert not changes([0] * 5 + ([120] + [None] * 10) * 5), "too long ago to be confirmed"


def test_a_delay_near_a_limit_does_not_flicker():
    noise = np.random.default_rng(0).normal(0, 4, 500)
    for limit in (60, -40):
        assert len(changes(limit + noise)) <= 1, "the alarm is raised, but not cleared by a little less"


def test_before_the_first_decision_it_is_unknown():
    alarm = Alarm(LIMITS)
    changes([0] * 2, alarm)
    assert alarm.is_on is None
    assert changes([0] * 4, alarm, start_s=4) == [] and alarm.is_on is False, "nothing was cleared"


def test_a_new_clock_keeps_the_alarm_but_not_the_estimates():
    alarm = Alarm(LIMITS)
    assert changes([120] * 5, alarm)
    alarm.restart()
    assert alarm.is_on and not changes([0] * 3, alarm)
    assert changes([0] * 3, alarm, start_s=6) == [(8.0, "cleared")]


def test_narrow_limits_can_be_met_again():
    alarm = Alarm(Limits("5:5", 5, 5))
    assert changes([12] * 5, alarm) and changes([0] * 5, alarm, start_s=10)
