"""The measurement: segments sampled, scored and decided upon, over wider ranges of delays until the answer is clear."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing
from copy import copy
from dataclasses import replace
from itertools import chain, islice
from typing import NamedTuple

import numpy as np

from ..config import FPS, HOP_S, Config, DecideConfig
from ..media.probe import require_video
from ..media.source import AudioSource, VideoSource
from .curve import Scores, delay_grid
from .decide import Decision, decide, too_short
from .evidence import Evidence, strongest_windows
from .pieces import next_span
from .sampling import is_long, planned_s, sampled_segments
from .scoring import EmbeddedSegment, Engine, ScoredSegment, embed_segment, mouth_segments, score_segment
from .speakers import face_results

logger = logging.getLogger(__name__)

MAX_JUMP_SPANS = 40  # analysed to locate the jumps of a long video


class Progress(NamedTuple):
    """What a progress callback gets: seconds of video analysed, and seconds planned."""

    done_s: float
    planned_s: float


ProgressCallback = Callable[[Progress], None]


def measure(engine: Engine, source: VideoSource, config: Config, progress: ProgressCallback | None = None) -> Evidence:
    """Measure the A/V offset of a video and keep what the answer rests on. Raises MediaError."""
    return measure_tracks(engine, source, [source.audio], config, progress)[0]


def measure_tracks(
    engine: Engine, source: VideoSource, tracks: Sequence[AudioSource], config: Config, progress: ProgressCallback | None = None
) -> list[Evidence]:
    """Measure a video against each of several audio tracks; decoded, and faces detected, only once. Raises MediaError.

    The first one decides which segments of a long video are analysed.
    """
    config = replace(config, decide=replace(config.decide, rule=config.decide.rule or engine.backend.rule))
    video = _Video(engine, source, config, progress)
    return [_measurement(video, _Track(video, audio)) for audio in tracks]


class _Video:
    """The embedded segments of one video, in order of time; more are analysed on demand. on_segment: called with each new one."""

    def __init__(self, engine: Engine, source: VideoSource, config: Config, progress: ProgressCallback | None):
        self.engine, self.source, self.config, self._progress = engine, source, config, progress
        self.segments: list[EmbeddedSegment] = []
        self.on_segment: Callable[[EmbeddedSegment], None] = lambda segment: None
        self.spans: list[tuple[float, float]] = []
        self.is_sampled = is_long(source.info, config.sampling)
        self._planned = sampled_segments(source, engine.detector, config.sampling)
        self._done_s = 0.0
        if self.is_sampled:
            logger.info("%s: longer than %g s, so only samples of it are analysed", source.info.path, config.sampling.full_scan_s)

    def rounds(self) -> Iterator[None]:
        """Analyse the planned segments in rounds: while the answer may still turn out certain, no more should be started than is needed."""
        while (first := next(self._planned, None)) is not None:
            self.analyse(chain([first], islice(self._planned, self.config.sampling.min_samples - 1)))
            yield

    def analyse(self, spans: Iterable[tuple[float, float]]) -> None:
        """Analyse more of the video, given by (start, end) in s. Raises MediaError."""

        def noted() -> Iterator[tuple[float, float]]:
            for span in spans:
                self.spans.append(span)
                yield span

        began = time.monotonic()
        with closing(mouth_segments(self.engine, self.source, noted(), self.config)) as segments:
            for mouths in segments:
                self.segments.append(embed_segment(self.engine, mouths))
                self.on_segment(self.segments[-1])  # while the next one is being decoded
                self._limit_crops()
                self._done_s += len(mouths.ticks) / FPS
                start_s, end_s, now = mouths.ticks[0].time_s, mouths.ticks[-1].time_s, time.monotonic()
                line = "%s: %.2f to %.2f s analysed in %.2f s, face tracks: %d"
                logger.info(line, self.source.info.path, start_s, end_s, now - began, len(mouths.tracks))
                began = now
                if self._progress:
                    self._progress(Progress(self._done_s, planned_s(self.source.info, self.config.sampling)))
        self.segments.sort(key=lambda segment: segment.first_tick)

    def sample(self, indices: Iterable[int]) -> _Video:
        """This video as if only these of its segments had been analysed."""
        some = copy(self)
        some.segments = [self.segments[i] for i in sorted(indices)]
        return some

    def _limit_crops(self) -> None:
        """Drop the crops of every other segment that has them while there are many: those of hours would fill the memory."""
        cropped = [i for i, segment in enumerate(self.segments) if any(face.crops is not None for face in segment.faces)]
        if len(cropped) > 2 * self.config.sampling.max_samples:
            for i in cropped[1::2]:
                self.segments[i] = self.segments[i].without_crops()


class _Track:
    """The scores of a video against one audio track."""

    def __init__(self, video: _Video, audio: AudioSource):
        self.video, self.audio = video, audio
        self.range_s = video.config.curve.first_range_s
        self.centre_s = 0.0
        self.tested_s = self.range_s  # also where only a sample of the segments was tested so far out
        self._scored: dict[int, ScoredSegment] = {}  # by first tick

    def scored(self) -> list[ScoredSegment]:
        """The scores of all segments analysed so far, in order of time. Raises MediaError."""
        for segment in self.video.segments:
            if segment.first_tick not in self._scored:
                self.score(segment)
        return [self._scored[segment.first_tick] for segment in self.video.segments]

    def score(self, segment: EmbeddedSegment) -> None:
        """Compare one segment with the audio. Raises MediaError."""
        video, delays = self.video, delay_grid(self.range_s, self.centre_s)
        self._scored[segment.first_tick] = score_segment(video.engine, self.audio, segment, delays, video.config)

    def decide(self) -> Decision:
        """The decision on all segments analysed so far."""
        segments = [segment.scores for segment in self.scored()]
        if not segments:
            return too_short(require_video(self.video.source.info).duration_s)
        config = self.video.config
        decision = decide(Scores.join(segments), segments, self._decide_config(), config.curve, self.audio.start_s)
        self._log(decision, len(segments))
        return decision

    def _log(self, decision: Decision, segments: int) -> None:
        best = "no single best offset" if decision.best_s is None else f"best offset {round(1000 * decision.best_s):+d} ms"
        sure = "" if decision.certainty is None else f", certainty {decision.certainty:.2f}"
        basis = (self.audio.track + 1, self.tested_s, segments)
        line = "%s: %s, %s%s (audio track %d, offsets up to %g s, segments: %d)"
        logger.info(line, self.video.source.info.path, decision.verdict, best, sure, *basis)

    def _decide_config(self) -> DecideConfig:
        config = self.video.config
        rule = config.decide.rule
        if rule is None or not self._wider_ranges(config.curve.first_range_s) or self.tested_s == config.curve.first_range_s:
            return config.decide
        return replace(config.decide, rule=replace(rule, min_certainty=max(rule.min_certainty, rule.min_widened)))

    def widened(self, decision: Decision, is_last: bool = True) -> Decision:
        """The decision over the first wider range that gives an answer; the scores are kept for that range.

        Without any: the most certain one if no more segments will be analysed, else that of the first range.
        """
        if not self._may_lie_outside(decision):
            return decision
        if len(self.video.segments) > self.video.config.sampling.wide_samples:
            return self._recentred(decision)
        tried = {self.range_s: (decision, self._scored)}
        for range_s in self._wider_ranges(self.range_s):
            self.range_s, self.tested_s, self._scored = range_s, range_s, {}
            decision = self.decide()
            tried[range_s] = decision, self._scored
            if decision.verdict != "undecided":
                return decision
        self.range_s = max(tried, key=lambda range_s: tried[range_s][0].certainty or 0.0) if is_last else min(tried)
        self.tested_s = self.range_s
        decision, self._scored = tried[self.range_s]
        return decision

    def _recentred(self, decision: Decision) -> Decision:
        """The decision around the delay that the segments with most evidence have over a wider range; with all it would take minutes."""
        evidence = [np.isfinite(segment.scores.probability).any(1) @ segment.scores.speech.mean(1) for segment in self.scored()]
        best = np.argsort(evidence)[-self.video.config.sampling.wide_samples :]
        sample = _Track(self.video.sample(best), self.audio)
        found = sample.widened(sample.decide())
        if found.peak is None or found.verdict == "undecided" or sample.range_s == self.range_s:
            return decision
        self.centre_s, self._scored = HOP_S * float(sample.scored()[0].scores.delays[found.peak.index]), {}
        self.tested_s = sample.range_s
        return self.decide()

    def _wider_ranges(self, than_s: float) -> list[float]:
        curve = self.video.config.curve
        return [] if curve.range_s is not None else [range_s for range_s in curve.ranges_s if range_s > than_s]

    def _may_lie_outside(self, decision: Decision) -> bool:
        return decision.verdict == "undecided" and any(segment.faces for segment in self.video.segments)


def _measurement(video: _Video, track: _Track) -> Evidence:
    video.on_segment = track.score
    decision = _decision(video, track)
    if decision.verdict == "jump":
        decision = _jumps_located(video, track, decision)
    if decision.verdict == "undecided" and video.is_sampled:
        decision = replace(decision, reasons=(*decision.reasons, "only samples of this video were analysed; try --exhaustive"))
    scored = track.scored()
    column = decision.peak.index if decision.peak else None
    windows = () if column is None else strongest_windows(zip(video.segments, scored), column)
    faces = face_results((face for segment in scored for face in segment.faces), decision, video.config.decide, video.config.curve)
    config = replace(video.config, curve=replace(video.config.curve, range_s=track.tested_s))
    return Evidence(config, video.source.info, track.audio, decision, tuple(s.scores for s in scored), windows, faces)


def _decision(video: _Video, track: _Track) -> Decision:
    """Analyse the planned segments until the decision is certain enough; a further track is decided on the segments of the first."""
    if video.segments:
        return track.widened(track.decide())
    decision = None
    for number, _ in enumerate(video.rounds()):
        decision = track.decide()
        if video.is_sampled and number == 0:
            decision = track.widened(decision, is_last=False)  # a far delay shows in the first few samples; more of them would show no more
        if video.is_sampled and _is_certain(decision, len(video.segments), video.config):
            return decision
    return track.widened(track.decide() if decision is None else decision)


def _is_certain(decision: Decision, segments: int, config: Config) -> bool:
    """Whether a long video needs no more samples; a drift, and a segment that disagrees, take a few more of them."""
    delays = [segment.delay_s for segment in decision.segments if segment.delay_s is not None]
    disagree = decision.best_s is not None and any(abs(delay - decision.best_s) > config.decide.max_spread_s for delay in delays)
    if (disagree or decision.verdict in ("drift", "jump")) and segments < 2 * config.sampling.min_samples:
        return False
    if decision.verdict in ("drift", "jump"):
        return True
    return decision.uncertainty_s is not None and decision.uncertainty_s <= config.sampling.target_uncertainty_s


def _jumps_located(video: _Video, track: _Track, decision: Decision) -> Decision:
    """The decision after more of a sampled video was analysed around each jump."""
    for _ in range(MAX_JUMP_SPANS if video.is_sampled else 0):
        span = next_span(decision.jumps, video.spans, video.config.sampling.sample_s)
        if span is None:
            break
        video.analyse([span])
        if (closer := track.decide()).verdict != "jump":
            break
        decision = closer
    return decision
