"""The watch as a whole: events of scenes that are played to it."""

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from threading import Thread

import numpy as np
import pytest
from sync_helpers import Scene, fake_engine, scene_config

from resync.config import SAMPLE_RATE, LiveConfig
from resync.errors import MediaError
from resync.live.feed import Connected, Ended, Lost, NewClock
from resync.live.inputs import Kind, LiveInput
from resync.live.monitor import Monitor
from resync.live.window import AudioRing
from resync.report.limits import STANDARDS

LIVE = replace(LiveConfig(), ranges_s=(0.5,), every_s=4.0, window_s=6.0, confirm_s=4.0)
SOURCE = LiveInput("studio.ts", Kind.FILE, "studio 1")
KEYS = (
    "event time input connected state stream_s analysed_s audio_delay_ms uncertainty_ms certainty limits verdict alarm alarms answers"
    " reconnects dropped_s watched_s reason"
)


@pytest.fixture
def play(monkeypatch):
    """play(*script, **options) returns the events of a watch of this script: scenes, and what the reader reports in between."""

    def run(*script, duration_s=None, once=False, live=LIVE):
        class Reader:
            def __init__(self, source, feed, media, live, audio_s, from_start):
                self.feed, self.audio_s = feed, audio_s

            def start(self):
                Thread(target=self.read, daemon=True).start()

            def read(self):
                for item in script:
                    for own in played(item, self.audio_s) if isinstance(item, Scene) else [item]:
                        self.feed.put(own)

            def close(self):
                self.feed.close()

        monkeypatch.setattr("resync.live.monitor.StreamReader", Reader)
        monitor = Monitor(fake_engine(), scene_config(), SOURCE, STANDARDS["r37"], live, exhaustive=True)
        return [*monitor.events(duration_s, once), monitor.summary()]

    return run


def played(scene: Scene, audio_s: float):
    """A scene as the reader hands it over: the audio is there before its frames."""
    ring = AudioRing(audio_s)
    yield NewClock(ring)
    for frame in scene.source.frames(0, math.inf):
        if frame.index % 25 == 0:
            ring.add(frame.index * SAMPLE_RATE // 25, scene.tracks[0].read(frame.time_s, frame.time_s + 1))
        yield frame


def kinds(events) -> list[str]:
    return [event.kind for event in events if event.kind != "estimate"]


ENDED = Ended("the input has ended")


def test_a_slip_raises_an_alarm_that_is_cleared_when_the_audio_is_back(play):
    events = play(Connected(), Scene(44, lambda t: 0.12 if 14 < t < 28 else 0.0), ENDED)
    assert kinds(events) == ["connected", "alarm", "cleared", "ended", "summary"]
    alarm, cleared = (next(e.status for e in events if e.kind == kind) for kind in ("alarm", "cleared"))
    assert 18 <= alarm.estimate.end_s <= 26 and alarm.estimate.delay_s == pytest.approx(0.12, abs=0.02) and alarm.alarm
    assert 32 <= cleared.estimate.end_s <= 40 and not cleared.alarm and cleared.alarms == 1
    times = [e.status.estimate.end_s for e in events if e.kind == "estimate"]
    assert times == pytest.approx(np.arange(1, 12) * LIVE.every_s, abs=0.01)


def test_silence_and_no_answer_are_states_and_raise_no_alarm(play):
    silent = Scene(8, 0.0)
    silent.tracks[0] = Scene(0.1, 0.0).tracks[0]
    events = play(Connected(), silent, Scene(8, lambda t: None), ENDED)
    assert kinds(events) == ["connected", "no_speech", "ended", "summary"]
    assert events[-1].status.alarm is None and not events[-1].status.answers
    assert json.loads(events[-3].to_json())["state"] == "undecided"


def test_a_reconnect_begins_a_new_window_and_keeps_the_alarm(play):
    events = play(Connected(), Scene(10, 0.12), Lost("gone"), Lost("gone"), Connected(), Scene(10, 0.0), ENDED)
    assert kinds(events) == ["connected", "alarm", "lost", "connected", "cleared", "ended", "summary"]
    lost, back = (events[i].status for i, e in enumerate(events) if e.kind in ("lost", "connected") and i)
    assert (lost.connected, lost.alarm, lost.estimate, lost.answer is not None) == (False, True, None, True)
    assert (back.connected, back.reconnects, back.alarm) == (True, 1, True)


def test_frames_that_were_dropped_break_no_window(play):
    """A machine that is too slow: every other three seconds are missing."""

    class Gaps(Scene):
        def _frames(self, start_s, end_s):
            return (frame for frame in super()._frames(start_s, end_s) if frame.time_s % 6 < 3)

    scene = Gaps(20, 0.12)
    scene.source = replace(scene.source, frames=scene._frames)
    assert kinds(play(Connected(), scene, ENDED)) == ["connected", "alarm", "ended", "summary"]


def test_once_ends_with_the_first_decision(play):
    for late, alarm in ((0.0, False), (0.12, True)):
        events = play(Connected(), Scene(60, late), ENDED, once=True)
        assert events[-1].status.alarm is alarm and events[-1].status.answer.end_s < 20


def test_a_watch_ends_after_its_duration_and_reports_that_it_waits(play):
    events = play(Connected(), duration_s=1.0, live=replace(LIVE, every_s=0.3))
    first, *waiting, last = kinds(events)
    assert (first, last) == ("connected", "summary") and set(waiting) == {"waiting"} and events[-1].status.watched_s < 30


def test_an_error_that_ends_the_input_is_raised(play):
    with pytest.raises(MediaError, match="broken"):
        play(Ended("", MediaError("studio.ts: broken")))


def test_events_as_json_and_text(play):
    events = play(Connected(), Scene(10, 0.12), Lost("studio 1: no data for 10 s"), ENDED)
    rows = [json.loads(event.to_json()) for event in events]
    assert all(list(row) == KEYS.split() for row in rows)
    alarm = next(row for row in rows if row["event"] == "alarm")
    assert (alarm["input"], alarm["state"], alarm["verdict"], alarm["alarm"]) == ("studio 1", "answer", "fail", True)
    assert alarm["audio_delay_ms"] == pytest.approx(120, abs=20) and alarm["limits"] == {"name": "r37", "early_ms": 40, "late_ms": 60}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", alarm["time"])
    assert rows[0]["audio_delay_ms"] is None and rows[0]["verdict"] == "unknown" and rows[0]["alarm"] is None
    text = "\n".join(event.to_text() for event in events)
    assert re.search(
        r"alarm      0:\d\d\.0  audio is 1\d\d ms late, \+-\d+ ms, certainty [\d.]+; beyond r37 \(40 ms early to 60 ms late\)$", text, re.M
    )
    assert "lost       studio 1: no data for 10 s" in text and "1 alarm, 0 reconnects; last answer: audio is" in text
    assert "\n\n" not in text and len(text.splitlines()) == len(events)


def test_metrics_of_a_watch(play, tmp_path):
    pytest.importorskip("prometheus_client")
    from prometheus_client.parser import text_string_to_metric_families

    from resync.live.metrics import write_metrics

    events = play(Connected(), Scene(10, 0.12), ENDED)
    path = tmp_path / "watch.prom"

    def metrics(status) -> dict[str, float]:
        write_metrics(status, path)
        samples = [sample for family in text_string_to_metric_families(path.read_text()) for sample in family.samples]
        assert all(sample.labels == {"input": status.input} for sample in samples)
        return {sample.name: sample.value for sample in samples}

    before, after = metrics(events[0].status), metrics(replace(events[-1].status, input='a "b"\\\n'))
    assert before["resync_connected"] == 1.0 and not {"resync_alarm", "resync_audio_delay_seconds"} & set(before)
    assert (
        after["resync_audio_delay_seconds"] == pytest.approx(0.12, abs=0.02) and 0 < after["resync_audio_delay_uncertainty_seconds"] < 0.05
    )
    assert (after["resync_alarm"], after["resync_connected"], after["resync_alarms_total"], after["resync_reconnects_total"]) == (
        1,
        0,
        1,
        0,
    )
    assert 0.8 < after["resync_certainty"] <= 1 and after["resync_last_answer_timestamp_seconds"] == events[-1].status.answered_s
    assert (after["resync_limit_early_seconds"], after["resync_limit_late_seconds"]) == (0.04, 0.06)
    assert [item.name for item in Path(tmp_path).iterdir()] == ["watch.prom"]
