"""Accuracy of a network by source: windows of 5 to 15 frames, segments, whole clips, and audio of another clip.

A delay is correct within one frame (40 ms) of the clip's own delay (see `reference_delay`), or of
zero for `plain` figures, which assume that every clip was published in sync.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch

from ..config import FPS, HOP_S, HOPS_PER_FRAME, WINDOW_FRAMES, WINDOW_HOPS, CropConfig, CurveConfig, DecideConfig
from ..sync.activity import activity_mask, activity_share, audible_mask
from ..sync.curve import Peak, Scores, delay_grid, find_peak, frame_to_hop, log_odds, pair_cosines, probability_curve
from ..sync.decide import decide
from ..syncnet.model import ICSyncNet
from ..syncnet.torch_backend import embed_audio, embed_mouths, probability
from .augment import Augment, view_crops
from .cache import Entry, read_crops, read_index, read_mels, relative_crop_side
from .dataset import Track
from .people import Half, half_of_people

FRAME_S = 1 / FPS
CONTEXTS = (5, 7, 9, 11, 13, 15)  # frames, as in the paper's tables
SEGMENT_LENGTHS = (1, 2, 3, 5, 8)  # s
TOLERANCE_S = FRAME_S + 0.001  # one frame, with room for rounding


@dataclass(frozen=True)
class Embedded:
    """Embeddings of one track.

    mouth: float32 [n, E], one for each window; audio: float32 [m, E], one every hop; first_hop: int [n],
    where each mouth window starts; active, audible: bool [m + 19], hops loud enough to be speech, and those that are not silent.
    """

    entry: Entry
    mouth: np.ndarray
    audio: np.ndarray
    first_hop: np.ndarray
    active: np.ndarray
    audible: np.ndarray

    def cut_audio(self, start: int, stop: int) -> Embedded:
        """The same track with nothing but the audio between two hops, which start is counted from."""
        hops = slice(start, stop)
        audio = self.audio[start : max(start, stop - WINDOW_HOPS + 1)]
        return replace(self, audio=audio, first_hop=self.first_hop - start, active=self.active[hops], audible=self.audible[hops])


def read_tracks(cache: Path, split: str, seconds: float | None = None, half: Half | None = None) -> Iterator[Track]:
    """All tracks of one split, or of half of its people, one after another, cut to their first `seconds`. Raises DataError."""
    for entry in half_of_people((e for e in read_index(cache) if e.split == split), half):
        count = entry.frames if seconds is None else min(entry.frames, round(seconds * FPS))
        mels = read_mels(cache, entry)[: (entry.start + count + 2 * FPS) * HOPS_PER_FRAME]
        yield Track(entry, read_crops(cache, entry)[:count], mels)


def embed_track(net: ICSyncNet, track: Track) -> Embedded:
    """Embed one cached track as the analysis does: central crop, no augmentation."""
    mels = track.mels.astype(np.float32)
    mouth = embed_mouths(net, center_crops(track.crops, net.dimensions.crop))
    first_hop = frame_to_hop(track.entry.start + np.arange(len(mouth)))
    return Embedded(track.entry, mouth, embed_audio(net, mels), first_hop, activity_mask(mels), audible_mask(mels))


def center_crops(crops: np.ndarray, config: CropConfig) -> np.ndarray:
    """Cached crops uint8 [n, W, W] -> the network's crops uint8 [n, S, S]."""
    disabled = Augment(**dict.fromkeys(Augment.__dataclass_fields__, 0.0))
    x = view_crops(torch.from_numpy(crops)[None], config.size, relative_crop_side(config), disabled)
    return x[0].round().to(torch.uint8).numpy()


def score_track(net: ICSyncNet, track: Embedded, other: Embedded | None = None, range_s: float = 0.6) -> Scores:
    """Scores of a track's mouth windows against its own audio, or against that of another track."""
    return score_windows(net, track.mouth, track.first_hop, other or track, delay_grid(range_s))


def score_windows(net: ICSyncNet, mouth: np.ndarray, first_hop: np.ndarray, audio: Embedded, delays: np.ndarray) -> Scores:
    """Scores of consecutive mouth windows [n, E] against the audio of a track.

    first_hop: int [n], the hop of that audio that starts together with each window at delay zero; delays: int [delays] in hops.
    """
    hops = first_hop[0] + delays[0] + np.arange(HOPS_PER_FRAME * (len(first_hop) - 1) + len(delays))
    shares = (activity_share(mask, hops, WINDOW_HOPS).astype(np.float32) for mask in (audio.active, audio.audible))
    cosine = pair_cosines(mouth, audio.audio, first_hop, delays)
    return Scores(probability(net, cosine), delays, first_hop * HOP_S, *shares)


def split_segments(scores: Scores, seconds: float) -> Iterator[Scores]:
    """Scores of consecutive segments of `seconds` each, without overlap; a shorter rest is dropped."""
    frames = round(seconds * FPS)
    windows = frames - WINDOW_FRAMES + 1
    for start in range(0, len(scores.time_s) - windows + 1, frames):
        yield scores.rows(start, start + windows)


def curve_peak(scores: Scores, config: CurveConfig = CurveConfig()) -> Peak | None:
    """Peak of the probability curve, None if no window carries speech."""
    values = probability_curve(scores, config)
    return None if np.isnan(values).all() else find_peak(np.nan_to_num(values), scores.delays)


def reference_delay(entry: Entry, whole_clip: Peak | None) -> float | None:
    """A clip's reference delay in s: the index's if it has one, else the network's own for the whole clip."""
    if entry.delay_ms is not None:
        return entry.delay_ms / 1000
    return whole_clip.delay_s if whole_clip else None


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


@dataclass
class Tally:
    """Counts of one source or of all: hits of windows (by frames of context), segments (by seconds) and clips."""

    windows: dict[int, list[bool]] = field(default_factory=lambda: {n: [] for n in CONTEXTS})
    segments: dict[int, list[bool]] = field(default_factory=lambda: {s: [] for s in SEGMENT_LENGTHS})
    clips: list[bool] = field(default_factory=list)
    errors_ms: list[float] = field(default_factory=list)

    def add(self, scores: Scores, whole_clip: Peak, truth_s: float) -> None:
        """Count one clip whose true delay is truth_s. scores: over at least 15 frames either side of it."""
        for context in CONTEXTS:
            self.windows[context] += window_hits(scores, truth_s, context=context).tolist()
        self.clips.append(abs(whole_clip.delay_s - truth_s) <= TOLERANCE_S)
        self.errors_ms.append(1000 * abs(whole_clip.delay_s - truth_s))

    def add_segments(self, scores: Scores, truth_s: float) -> None:
        """Count the segments of one clip whose true delay is truth_s."""
        for seconds in SEGMENT_LENGTHS:
            peaks = (curve_peak(segment) for segment in split_segments(scores, seconds))
            self.segments[seconds] += [abs(peak.delay_s - truth_s) <= TOLERANCE_S for peak in peaks if peak]

    def row(self) -> dict[str, float | int | None]:
        """Accuracies 0..1 and counts, None where nothing was counted. The keys are those of --json and of training logs."""
        return {
            "clips": len(self.clips),
            "windows": len(self.windows[WINDOW_FRAMES]),
            **{f"frames_{n}": _mean(hits) for n, hits in self.windows.items()},
            **{f"piece_{s}s": _mean(hits) for s, hits in self.segments.items()},
            "whole_clip": _mean(self.clips),
            "median_error_ms": round(float(np.median(self.errors_ms)), 1) if self.errors_ms else None,
        }


def accuracy_table(net: ICSyncNet, embedded: list[Embedded], *, plain: bool = False) -> dict[str, dict]:
    """Rows of `Tally` by source and for `all`, which also has `swapped_auc`: own audio against that of another clip.

    plain: the true delay of every clip is zero; otherwise it is `reference_delay`.
    """
    tallies: dict[str, Tally] = defaultdict(Tally)
    own_heights, swapped_heights = [], []
    for i, track in enumerate(embedded):
        scores = score_track(net, track)
        peak = curve_peak(scores)
        truth_s = 0.0 if plain else reference_delay(track.entry, peak)
        if peak is None or truth_s is None:
            continue
        own_heights.append(peak.height)
        other = embedded[i - 1]
        if other.entry.speaker != track.entry.speaker and (swapped := curve_peak(score_track(net, track, other))):
            swapped_heights.append(swapped.height)
        wide = score_track(net, track, range_s=1.0)
        for tally in (tallies[track.entry.source], tallies["all"]):
            tally.add(wide, peak, truth_s)
            tally.add_segments(scores, truth_s)
    table = {source: tally.row() for source, tally in sorted(tallies.items())}
    table.setdefault("all", Tally().row())["swapped_auc"] = roc_auc(own_heights, swapped_heights)
    return table


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


def _mean(values: list) -> float | None:
    return round(float(np.mean(values)), 4) if values else None
