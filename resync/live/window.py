"""The sliding window: the last seconds of a stream, and the A/V offset in them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Lock
from typing import NamedTuple

import numpy as np

from ..config import FPS, HOP_S, SAMPLE_RATE, WINDOW_FRAMES, Config, LiveConfig
from ..media.source import AudioSource
from ..sync.curve import Scores, delay_grid
from ..sync.decide import Decision, decide
from ..sync.scoring import EmbeddedSegment, Engine, score_segment

LIVE_NAME = Path("live")  # stands for a file name
MAX_AUDIO_LAG_S = 2.0  # audio that has not come when the video is so much further is missing


class AudioRing:
    """The last seconds of a stream's audio: mono at SAMPLE_RATE, numbered from zero of the clock. Safe for two threads."""

    def __init__(self, seconds: float):
        self._samples = np.zeros(round(seconds * SAMPLE_RATE), np.float32)
        self._end = 0  # number of the first sample that has not come yet
        self._lock = Lock()

    @property
    def end_s(self) -> float:
        """Where the audio ends so far, in s."""
        return self._end / SAMPLE_RATE

    def add(self, start: int, samples: np.ndarray) -> None:
        """Place samples at sample number `start`: silence in gaps; of an overlap, the first version is kept."""
        with self._lock:
            samples = samples[max(0, self._end - start) :]
            start = max(start, self._end)
            if len(samples):
                self._put(np.zeros(min(start - self._end, len(self._samples)), np.float32), start)
                self._put(samples[-len(self._samples) :], start + len(samples))

    def read(self, start_s: float, end_s: float) -> np.ndarray:
        """Samples from start_s to end_s: float32 [n], silence where there are none, or none any more."""
        with self._lock:
            start, count = round(start_s * SAMPLE_RATE), round((end_s - start_s) * SAMPLE_RATE)
            numbers = np.arange(start, start + count)
            kept = (numbers >= max(0, self._end - len(self._samples))) & (numbers < self._end)
            return np.where(kept, self._samples[numbers % len(self._samples)], np.float32(0))

    def _put(self, samples: np.ndarray, end: int) -> None:
        """Place samples that end before number `end`, at most as many as are kept."""
        self._samples[np.arange(end - len(samples), end) % len(self._samples)] = samples
        self._end = max(self._end, end)


@dataclass(frozen=True)
class RingAudio(AudioSource):
    """An AudioRing, read like the audio of a file."""

    ring: AudioRing = field(kw_only=True)

    def read(self, start_s: float, end_s: float) -> np.ndarray:
        """See AudioSource."""
        return self.ring.read(start_s, end_s)


class Estimate(NamedTuple):
    """The A/V offset in one window. Times in s; delays positive when the audio is late, None where unknown.

    end_s: end of the window on the clock of the stream; state: "answer", "no_face", "no_speech" or "undecided"; uncertainty_s:
    half-width of the 90 % interval of delay_s; certainty: 0..1; analysed_s: how much video the window holds.
    """

    end_s: float
    state: str
    delay_s: float | None
    uncertainty_s: float | None
    certainty: float | None
    analysed_s: float


class SlidingWindow:
    """The last `window_s` of video, embedded, with the audio around them. Its memory does not grow."""

    def __init__(self, engine: Engine, config: Config, live: LiveConfig, ring: AudioRing):
        self._engine, self._config, self._live = engine, config, live
        self._audio = RingAudio(LIVE_NAME, ring=ring)
        self._segments: deque[EmbeddedSegment] = deque()
        self._scored: dict[int, Scores] = {}  # by first tick: those whose audio has come
        self._ranges_s = tested_ranges_s(config, live)
        self._range_s = self._ranges_s[0]
        self._unanswered_s = 0.0  # for how long there has been no answer, although there are faces and speech

    def add(self, segment: EmbeddedSegment) -> Estimate:
        """The offset in the window that ends with this segment."""
        self._segments.append(segment.without_crops())
        end_s = _end_s(segment)
        while _end_s(self._segments[0]) <= end_s - self._live.window_s + 0.5 / FPS:
            self._scored.pop(self._segments.popleft().first_tick, None)
        estimate = self._estimate(end_s)
        self._choose_range(estimate, len(segment.time_s) / FPS)
        return estimate

    def _estimate(self, end_s: float) -> Estimate:
        scores = [self._scores(segment, end_s) for segment in self._segments]
        rule = self._config.decide.rule or self._engine.backend.rule
        if self._range_s > self._ranges_s[0]:
            rule = replace(rule, min_certainty=max(rule.min_certainty, rule.min_widened))
        # No results of single segments: in so short a window, a line through them would say nothing.
        decision = decide(Scores.join(scores), (), replace(self._config.decide, rule=rule), self._config.curve)
        analysed_s = sum(len(segment.time_s) for segment in self._segments) / FPS
        return Estimate(end_s, *_answer(decision), analysed_s)

    def _scores(self, segment: EmbeddedSegment, now_s: float) -> Scores:
        """The scores of a segment; computed again until all audio that it is compared with has come."""
        if segment.first_tick in self._scored:
            return self._scored[segment.first_tick]
        scores = score_segment(self._engine, self._audio, segment, delay_grid(self._range_s), self._config).scores
        needed_s = _end_s(segment) + segment.lag_s + self._range_s + HOP_S
        if max(self._audio.ring.end_s, now_s - MAX_AUDIO_LAG_S) >= needed_s:
            self._scored[segment.first_tick] = scores
        return scores

    def _choose_range(self, estimate: Estimate, step_s: float) -> None:
        """Test the next range of delays where this one has not given an answer for a whole window; the first one again after the last, and
        where it is enough.
        """
        self._unanswered_s = self._unanswered_s + step_s if estimate.state == "undecided" else 0.0
        range_s, first_s = self._range_s, self._ranges_s[0]
        if self._unanswered_s >= self._live.window_s:
            range_s = self._ranges_s[(self._ranges_s.index(self._range_s) + 1) % len(self._ranges_s)]
        elif estimate.delay_s is not None and abs(estimate.delay_s) < 0.8 * first_s:
            range_s = first_s
        if range_s != self._range_s:
            self._range_s, self._scored, self._unanswered_s = range_s, {}, 0.0


def tested_ranges_s(config: Config, live: LiveConfig) -> tuple[float, ...]:
    """The ranges of delays that are tested in turn, in s."""
    return live.ranges_s if config.curve.range_s is None else (config.curve.range_s,)


def _end_s(segment: EmbeddedSegment) -> float:
    return float(segment.time_s[-1]) + WINDOW_FRAMES / FPS


def _answer(decision: Decision) -> tuple[str, float | None, float | None, float | None]:
    """State, delay, uncertainty and certainty; where the delay jumps within the window, those of its last piece."""
    if decision.peak is None:
        return "no_speech" if decision.offscreen_ratio is None else "no_face", None, None, None
    if decision.pieces:
        last = decision.pieces[-1]
        return "answer", last.delay_s, last.uncertainty_s, min(last.certainty, decision.certainty or 0.0)
    if decision.delay_s is None:
        return "undecided", None, None, decision.certainty
    return "answer", decision.delay_s, decision.uncertainty_s, decision.certainty
