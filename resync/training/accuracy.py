"""Accuracy of a network: windows of 5 to 15 frames, segments, whole clips, and audio of another clip.

A delay is correct within one frame (40 ms) of the clip's own delay (see `reference_delay`), or of
zero for `plain` figures, which assume that every clip was published in sync.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..config import FPS, HOP_S, HOPS_PER_FRAME, WINDOW_FRAMES, DecideConfig
from ..sync.curve import Scores, log_odds
from ..sync.decide import decide
from ..syncnet.model import ICSyncNet
from .cache import Entry
from .embed import Embedded, curve_peak, reference_delay, score_track, split_segments
from .people import person

CONTEXTS = (5, 7, 9, 11, 13, 15)  # frames, as in the paper's tables
SEGMENT_LENGTHS = (1, 2, 3, 5, 8)  # s
TOLERANCE_S = 1 / FPS + 0.001  # one frame, with room for rounding
RESAMPLES = 1000  # of the people, for intervals


@dataclass
class Tally:
    """Correct results of one track: windows (by frames of context), segments (by seconds) and the whole clip.

    height, swapped_height: of the peak with the track's own audio and with another person's, None if unknown.
    """

    entry: Entry
    windows: dict[int, np.ndarray]
    segments: dict[int, list[bool]]
    error_s: float
    height: float
    swapped_height: float | None = None


def window_hits(scores: Scores, delay_s: float, max_shift: int = 15, context: int = WINDOW_FRAMES) -> np.ndarray:
    """Whether the best of 2 * max_shift + 1 whole-frame shifts is within one frame of the reference: bool [windows with speech].

    The metric of SyncNet and its successors (section 4 of IC-SyncNet): scores averaged over the
    5-frame windows within `context` frames, for audio shifted by up to `max_shift` frames.
    """
    center = len(scores.delays) // 2 + round(delay_s / HOP_S)
    columns = center + HOPS_PER_FRAME * np.arange(-max_shift, max_shift + 1)
    count = context - WINDOW_FRAMES + 1
    if columns.min() < 0 or columns.max() >= scores.probability.shape[1] or len(scores.time_s) < count:
        return np.zeros(0, bool)
    average = lambda x: np.lib.stride_tricks.sliding_window_view(x, count, axis=0).mean(-1)  # noqa: E731
    odds = average(log_odds(scores.probability[:, columns]))
    odds = odds[np.isfinite(odds).all(1) & (average(scores.speech[:, center]) > 0.5)]
    return np.abs(odds.argmax(1) - max_shift) <= 1 if len(odds) else np.zeros(0, bool)


def tally_track(net: ICSyncNet, track: Embedded, other: Embedded | None, *, plain: bool = False) -> Tally | None:
    """Results of one track, None without speech or reference. other: a track of another person, if there is one."""
    scores = score_track(net, track)
    peak = curve_peak(scores)
    truth_s = 0.0 if plain else reference_delay(track.entry, peak)
    if peak is None or truth_s is None:
        return None
    wide = score_track(net, track, range_s=1.0)
    swapped = curve_peak(score_track(net, track, other)) if other else None
    return Tally(
        track.entry,
        {context: window_hits(wide, truth_s, context=context) for context in CONTEXTS},
        {seconds: segment_hits(scores, seconds, truth_s) for seconds in SEGMENT_LENGTHS},
        abs(peak.delay_s - truth_s),
        peak.height,
        swapped.height if swapped else None,
    )


def segment_hits(scores: Scores, seconds: float, truth_s: float) -> list[bool]:
    """Whether the peaks of consecutive segments with speech are within one frame of the true delay."""
    peaks = (curve_peak(segment) for segment in split_segments(scores, seconds))
    return [abs(peak.delay_s - truth_s) <= TOLERANCE_S for peak in peaks if peak]


def tally_tracks(net: ICSyncNet, embedded: list[Embedded], *, plain: bool = False) -> list[Tally]:
    """Results of all tracks; each is also scored against the audio of the track before it, if another person speaks there."""
    pairs = zip(embedded, embedded[-1:] + embedded[:-1])
    tallies = (
        tally_track(net, track, other if person(other.entry) != person(track.entry) else None, plain=plain) for track, other in pairs
    )
    return [tally for tally in tallies if tally]


def summarise(tallies: Iterable[Tally]) -> dict[str, float | int | None]:
    """Accuracies 0..1 and counts, None where nothing was counted. The keys are those of --json and of training logs."""
    tallies = list(tallies)
    return {
        "clips": len(tallies),
        "windows": sum(len(t.windows[WINDOW_FRAMES]) for t in tallies),
        **{f"frames_{n}": _mean(np.concatenate([[], *(t.windows[n] for t in tallies)])) for n in CONTEXTS},
        **{f"piece_{s}s": _mean([hit for t in tallies for hit in t.segments[s]]) for s in SEGMENT_LENGTHS},
        "whole_clip": _mean([t.error_s <= TOLERANCE_S for t in tallies]),
        "median_error_ms": round(1000 * float(np.median([t.error_s for t in tallies])), 1) if tallies else None,
    }


def accuracy_table(tallies: list[Tally], groups: Callable[[Entry], Iterable[str]] = lambda entry: (entry.source,)) -> dict[str, dict]:
    """Rows of `summarise` by group of tracks, by source if not given, and for `all`, which also has `swapped_auc`.

    groups: names of the groups that a track belongs to. swapped_auc: own audio against another person's.
    """
    members: dict[str, list[Tally]] = defaultdict(list)
    for tally in tallies:
        for group in groups(tally.entry):
            members[group].append(tally)
    table = {group: summarise(members[group]) for group in sorted(members)}
    swapped = [t.swapped_height for t in tallies if t.swapped_height is not None]
    return {**table, "all": {**summarise(tallies), "swapped_auc": roc_auc([t.height for t in tallies], swapped)}}


def intervals(tallies: list[Tally], seed: int = 0) -> dict[str, tuple[float, float]]:
    """95 % intervals of the accuracies over all tracks: a bootstrap over people, because the clips of a person are alike."""
    people: dict[str, list[Tally]] = defaultdict(list)
    for tally in tallies:
        people[person(tally.entry)].append(tally)
    hits = {
        **{f"frames_{n}": [np.concatenate([t.windows[n] for t in own]) for own in people.values()] for n in CONTEXTS},
        **{f"piece_{s}s": [np.array([h for t in own for h in t.segments[s]]) for own in people.values()] for s in SEGMENT_LENGTHS},
        "whole_clip": [np.array([t.error_s <= TOLERANCE_S for t in own]) for own in people.values()],
    }
    chosen = np.random.default_rng(seed).integers(0, len(people), (RESAMPLES, len(people)))
    return {name: _interval(own, chosen) for name, own in hits.items() if sum(map(len, own))}


def _interval(hits: list[np.ndarray], chosen: np.ndarray) -> tuple[float, float]:
    """2.5 and 97.5 percentiles of the share of hits. hits: by person; chosen: int [resamples, people]."""
    correct, count = (np.array([f(own) for own in hits]) for f in (np.sum, len))
    share = correct[chosen].sum(1) / count[chosen].sum(1).clip(1)
    low, high = np.quantile(share, (0.025, 0.975))
    return round(float(low), 4), round(float(high), 4)


def clip_metrics(net: ICSyncNet, track: Embedded) -> dict:
    """The paper's figures for one clip: offset, probability at offset, offscreen ratio (section 5 of IC-SyncNet).

    The offset is that of the peak, whatever its certainty; `verdict` is that of the analysis.
    """
    scores = score_track(net, track)
    decision, peak = decide(scores, [scores], DecideConfig(rule=net.rule)), curve_peak(scores)
    return {
        "file": track.entry.file,
        "verdict": decision.verdict,
        "offset_ms": round(1000 * peak.delay_s, 1) if peak else None,
        "offset_frames": round(peak.delay_s * FPS) if peak else None,
        "probability_at_offset": None if decision.probability is None else round(decision.probability, 4),
        "offscreen_ratio": None if decision.offscreen_ratio is None else round(decision.offscreen_ratio, 4),
    }


def mean_metrics(clips: list[dict]) -> dict:
    """Means of `clip_metrics` over a set of clips, and a histogram of their offsets in frames at 25 fps."""
    known = lambda name: [clip[name] for clip in clips if clip[name] is not None]  # noqa: E731
    frames = known("offset_frames")
    return {
        "clips": len(clips),
        "answered": _mean([clip["verdict"] in ("in_sync", "out_of_sync") for clip in clips]),
        "probability_at_offset": _mean(known("probability_at_offset")),
        "offscreen_ratio": _mean(known("offscreen_ratio")),
        "offset_histogram": {str(n): frames.count(n) for n in range(min(frames, default=0), max(frames, default=-1) + 1)},
    }


def roc_auc(positive: list[float], negative: list[float]) -> float | None:
    """Probability that a positive value is above a negative one (Mann-Whitney), None if either list is empty."""
    if not positive or not negative:
        return None
    a, b = np.array(positive)[:, None], np.array(negative)[None]
    return round(float(np.mean((a > b) + 0.5 * (a == b))), 4)


def _mean(values: Sequence[bool] | np.ndarray) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None
