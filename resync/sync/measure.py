"""The measurement: segments sampled and scored until the answer is certain."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from itertools import chain, islice
from typing import NamedTuple

from ..config import FPS, Config
from ..media.probe import require_video
from ..media.source import VideoSource
from .curve import Scores
from .decide import Decision, decide, too_short
from .evidence import Evidence, MouthWindow, keep_strongest, strongest_overall
from .sampling import is_long, planned_s, sampled_segments
from .scoring import Engine, ScoredSegment, mouth_segments, score_segment


class Progress(NamedTuple):
    """What a progress callback gets: seconds of video analysed, and seconds planned."""

    done_s: float
    planned_s: float


def measure(engine: Engine, source: VideoSource, config: Config, progress: Callable[[Progress], None] | None = None) -> Evidence:
    """Measure the A/V offset of a video and keep what the answer rests on. Raises MediaError."""
    scored: list[ScoredSegment] = []
    windows: tuple[MouthWindow, ...] = ()
    done_s, sampled = 0.0, is_long(source.info, config.sampling)
    spans = sampled_segments(source, engine.detector, config.sampling)
    # In rounds, because while the answer may still turn out certain, no more should be started than is needed anyway.
    while not (sampled and scored and _is_certain(scored, source, config)) and (first := next(spans, None)):
        some = chain([first], islice(spans, config.sampling.min_samples - 1))
        with closing(mouth_segments(engine, source, some, config)) as segments:
            for mouths in segments:
                segment = score_segment(engine, source.audio, mouths, config)
                scored.append(segment._replace(windows=()))  # those of hours of video would fill the memory
                windows = keep_strongest(windows + segment.windows)
                done_s += len(mouths.ticks) / FPS
                if progress:
                    progress(Progress(done_s, planned_s(source.info, config.sampling)))
    decision = _decide(scored, source, config) if scored else too_short(require_video(source.info).duration_s)
    if decision.verdict == "undecided" and sampled:
        decision = replace(decision, reasons=(*decision.reasons, "only samples of this video were analysed; try --exhaustive"))
    faces = sum(segment.faces for segment in scored)
    strongest = strongest_overall(windows, decision)
    return Evidence(config, source.info, source.audio, decision, tuple(_in_order(scored)), strongest, faces)


def _in_order(scored: list[ScoredSegment]) -> list[Scores]:
    return sorted((segment.scores for segment in scored), key=lambda scores: scores.time_s[0])


def _decide(scored: list[ScoredSegment], source: VideoSource, config: Config) -> Decision:
    segments = _in_order(scored)
    return decide(Scores.join(segments), segments, config.decide, config.curve, source.audio.start_s)


def _is_certain(scored: list[ScoredSegment], source: VideoSource, config: Config) -> bool:
    """Whether a long video needs no more samples; a drift's slope takes a few more of them."""
    decision = _decide(scored, source, config)
    if decision.verdict == "drift":
        return len(scored) >= 2 * config.sampling.min_samples
    return decision.uncertainty_s is not None and decision.uncertainty_s <= config.sampling.target_uncertainty_s
