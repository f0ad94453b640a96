"""The ring of audio, and the offset in a sliding window."""

from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from sync_helpers import FakeDetector, Scene, fake_engine, judge, scene_config, speech

from resync.config import FPS, SAMPLE_RATE, Config, LiveConfig
from resync.faces.boxes import Faces
from resync.live.window import AudioRing, Estimate, SlidingWindow
from resync.sync.scoring import ScoredSegment, embed_segment, extract_mouths

LIVE = replace(LiveConfig(), ranges_s=(0.5, 1.5))


# --- the ring


def ramp(start: int, count: int) -> np.ndarray:
    return np.arange(start + 1, start + count + 1, dtype=np.float32)


def test_ring_keeps_the_last_samples_and_is_silent_elsewhere():
    ring = AudioRing(1.0)
    for start in range(0, 5 * SAMPLE_RATE, 1000):
        ring.add(start, ramp(start, 1000))
    assert ring.end_s == 5.0
    assert np.array_equal(ring.read(4.0, 5.0), ramp(4 * SAMPLE_RATE, SAMPLE_RATE))
    assert not ring.read(-1.0, 4.0).any() and not ring.read(5.0, 7.0).any()
    assert np.count_nonzero(ring.read(3.5, 5.5)) == SAMPLE_RATE


def test_ring_fills_gaps_with_silence_and_keeps_the_first_version_of_an_overlap():
    ring = AudioRing(1.0)
    ring.add(100, ramp(100, 100))
    ring.add(150, -ramp(150, 100))
    ring.add(400, ramp(400, 10))
    samples = ring.read(0, 410 / SAMPLE_RATE)
    assert np.array_equal(samples[100:200], ramp(100, 100)) and np.array_equal(samples[200:250], -ramp(200, 50))
    assert not samples[:100].any() and not samples[250:400].any() and samples[400] == 401


@pytest.mark.parametrize("gap_s", [0.5, 3.0, 3e6])
def test_ring_forgets_what_lies_before_a_long_gap(gap_s):
    ring = AudioRing(1.0)
    ring.add(0, ramp(0, SAMPLE_RATE))
    start = round((1 + gap_s) * SAMPLE_RATE)
    ring.add(start, ramp(0, 10))
    at_s = start / SAMPLE_RATE
    assert np.count_nonzero(ring.read(at_s - 1, at_s)) == max(0, round((1 - gap_s) * SAMPLE_RATE) - 10)
    assert np.array_equal(ring.read(at_s, at_s + 10 / SAMPLE_RATE), ramp(0, 10))


def test_ring_takes_more_samples_at_once_than_it_keeps():
    ring = AudioRing(1.0)
    ring.add(0, ramp(0, 3 * SAMPLE_RATE))
    assert np.array_equal(ring.read(2.0, 3.0), ramp(2 * SAMPLE_RATE, SAMPLE_RATE))


# --- the window


class NoFaces(FakeDetector):
    def __call__(self, image, side=None) -> Faces:
        return Faces(np.empty((0, 4), np.float32), np.empty((0, 5, 2), np.float32), np.empty(0, np.float32))


def estimates(scene: Scene, engine=None, config: Config | None = None, live=LIVE, mute=False, seconds=1e9) -> list[Estimate]:
    """Estimates of a scene as of a stream: the audio comes with the video."""
    engine, config, ring = engine or fake_engine(), config or scene_config(), AudioRing(30)
    window, found, audio_s = SlidingWindow(engine, config, live, ring), [], 0.0
    frames = scene.source.frames(0, seconds)
    while block := list(islice(frames, round(live.step_s * FPS))):
        until_s = block[-1].time_s + 1 / FPS
        samples = scene.tracks[0].read(audio_s, until_s)
        ring.add(round(audio_s * SAMPLE_RATE), np.zeros_like(samples) if mute else samples)
        audio_s = until_s
        found.append(window.add(embed_segment(engine, extract_mouths(engine, block, config))))
    return found


def test_a_window_gives_the_delay_of_the_audio():
    last = estimates(Scene(14, 0.12))[-1]
    assert last.state == "answer" and last.delay_s == pytest.approx(0.12, abs=0.02) and last.certainty > 0.8
    assert last.end_s == pytest.approx(14.0) and 0 < last.uncertainty_s < 0.05 and last.analysed_s == pytest.approx(10, abs=1.0)


def test_a_slip_shows_within_the_window():
    found = estimates(Scene(24, lambda t: 0.0 if t < 12 else 0.2))
    late = {round(e.end_s): e.delay_s for e in found if e.delay_s is not None}
    assert late[12] == pytest.approx(0.0, abs=0.02)
    assert late[18] == pytest.approx(0.2, abs=0.02), "half of the window is enough, because the delay of its last piece counts"
    assert late[24] == pytest.approx(0.2, abs=0.02)


def test_without_a_face_or_speech_the_state_says_so():
    blind = replace(fake_engine(), detector=NoFaces())
    assert {e.state for e in estimates(Scene(6, 0.0), engine=blind)} == {"no_face"}
    assert {e.state for e in estimates(Scene(6, 0.0), mute=True)} == {"no_speech"}


def test_a_far_delay_is_found_in_the_next_range_which_is_left_again_when_it_is_not_needed():
    live = replace(LIVE, window_s=6.0)
    found = estimates(Scene(44, lambda t: 1.1 if t < 22 else 0.1), live=live)
    assert all(e.delay_s is None for e in found[:2])
    far, near = ([e.delay_s for e in found if start <= e.end_s <= end and e.delay_s is not None] for start, end in ((16, 22), (36, 44)))
    assert far and far == pytest.approx([1.1] * len(far), abs=0.03)
    assert near and near == pytest.approx([0.1] * len(near), abs=0.03)


def test_a_range_that_was_chosen_is_kept():
    assert {e.delay_s for e in estimates(Scene(20, 1.1), config=scene_config(0.5), live=replace(LIVE, window_s=4.0))} == {None}


def test_memory_does_not_grow(monkeypatch):
    """Over a simulated hour; the network and the decision, which keep nothing, are left out to save time."""
    engine, config, ring, scene = fake_engine(), scene_config(0.2), AudioRing(16), Scene(2, 0.0)
    window = SlidingWindow(engine, config, LIVE, ring)
    segment = embed_segment(engine, extract_mouths(engine, scene.source.frames(0, 2), config))
    audio = scene.tracks[0].read(0, 2)
    scored, decision = ScoredSegment(speech(0.1, seconds=0.2), (), None), judge(speech(0.1))
    monkeypatch.setattr("resync.live.window.score_segment", lambda *given: scored)
    monkeypatch.setattr("resync.live.window.decide", lambda *given: decision)
    kept = []
    for step in range(3600 // 2):
        ring.add(len(audio) * step, audio)
        estimate = window.add(segment._replace(first_tick=50 * step, time_s=segment.time_s + 2 * step))
        if step % 200 == 199:
            kept.append((len(window._segments), len(window._scored), ring._samples.nbytes, window._segments[0].faces[0].mouth.nbytes))
    assert estimate.end_s == 3600
    assert len(set(kept)) == 1 and kept[0][0] == 5 and window._segments[0].faces[0].crops is None
