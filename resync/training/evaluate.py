"""How right a network is: 5-frame accuracy, whole clips, pieces of clips, swapped voices, by source.

Every figure is taken against each clip's own delay (see `reference`), or "plain" as if every clip
were published in sync; within one frame (40 ms) unless said otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from .. import curve as curves
from ..config import FPS, HOP_S, HOPS_PER_FRAME, WINDOW_FRAMES, WINDOW_HOPS, CropConfig, CurveConfig
from ..curve import Scores
from ..decide import decide
from ..embed import embed_mouth, embed_sound, probability
from ..mels import speech_mask
from ..model import ICSyncNet
from .cache import Entry, read_crops, read_index, read_mels, share_of_cached
from .dataset import Augment, Track, view_crops

FRAME_S = 1 / FPS
CONTEXTS = (5, 7, 9, 11, 13, 15)  # frames, as in the paper's tables
LENGTHS = (1, 2, 3, 5, 8)  # seconds of the pieces that clips are cut into
NEAR_S = FRAME_S + 0.001  # one frame, with room for rounding


@dataclass(frozen=True)
class Embedded:
    """Embeddings of one track. mouth: [n, E]; sound: [m, E]; first_hop: int [n]; speech: bool [m + 19]."""

    entry: Entry
    mouth: np.ndarray
    sound: np.ndarray
    first_hop: np.ndarray
    speech: np.ndarray


def read_tracks(cache: Path, split: str, seconds: float | None = None) -> Iterator[Track]:
    """All tracks of one split, one after the other; of each the first `seconds` of picture."""
    for e in read_index(cache):
        if e.split == split:
            keep = e.frames if seconds is None else min(e.frames, round(seconds * FPS))
            mels = read_mels(cache, e)[: (e.start + keep + 2 * FPS) * HOPS_PER_FRAME]
            yield Track(e, read_crops(cache, e)[:keep], mels)


def embed_track(net: ICSyncNet, track: Track) -> Embedded:
    """Embed one cached track as the tool would: central crop, no augmentation."""
    mels = track.mels.astype(np.float32)
    mouth = embed_mouth(net, central(track.crops, net.dimensions.crop))
    first = curves.frame_hops(track.entry.start + np.arange(len(mouth)))
    return Embedded(track.entry, mouth, embed_sound(net, mels), first, speech_mask(mels))


def central(crops: np.ndarray, config: CropConfig) -> np.ndarray:
    """Cached wide crops [n, W, W] -> the network's crops [n, S, S]."""
    plain = Augment(**dict.fromkeys(Augment.__dataclass_fields__, 0.0))
    x = view_crops(torch.from_numpy(crops)[None], config.size, share_of_cached(config), plain)
    return x[0].round().to(torch.uint8).numpy()


def score(net: ICSyncNet, mouth: Embedded, sound: Embedded | None = None, range_s: float = 0.6) -> Scores:
    """Scores of a track's picture against its own sound, or against another track's."""
    voice = sound or mouth
    delays = curves.delay_grid(range_s)
    cosine = curves.pair_cosines(mouth.mouth, voice.sound, mouth.first_hop, delays)
    weight = curves.speech_weight(voice.speech, mouth.first_hop, WINDOW_HOPS)
    return Scores(probability(net, cosine), delays, mouth.first_hop * HOP_S, weight)


def pieces(scores: Scores, seconds: float) -> Iterator[Scores]:
    """Cut scores into stretches whose picture lasts `seconds`, none overlapping."""
    n = round(seconds * FPS)
    keep = n - WINDOW_FRAMES + 1
    for i in range(0, len(scores.weight) - keep + 1, n):
        cut = slice(i, i + keep)
        yield Scores(scores.probability[cut], scores.delays, scores.time_s[cut], scores.weight[cut])


def estimate(scores: Scores, config: CurveConfig = CurveConfig()) -> curves.Peak | None:
    """Peak of the curve, or None where no frame carries speech."""
    values = curves.curve(scores, config)
    return None if np.isnan(values).all() else curves.peak(np.nan_to_num(values), scores.delays)


def reference(entry: Entry, whole: curves.Peak | None) -> float | None:
    """A clip's reference delay in seconds: the index's where it has one, else the network's own for the whole clip."""
    if entry.delay_ms is not None:
        return entry.delay_ms / 1000
    return whole.delay_s if whole else None


def window_hits(scores: Scores, delay_s: float, frames: int = 15, context: int = WINDOW_FRAMES) -> np.ndarray:
    """Is the best of 2 x 15 + 1 whole-frame shifts around the reference within one frame? bool [stretches with speech].

    The measure of SyncNet and its successors (section 4 of IC-SyncNet): `context` pictures, scores
    averaged over the 5-frame windows among them, against the sound at +-15 frames.
    """
    centre = len(scores.delays) // 2 + round(delay_s / HOP_S)
    columns = centre + HOPS_PER_FRAME * np.arange(-frames, frames + 1)
    count = context - WINDOW_FRAMES + 1
    if columns.min() < 0 or columns.max() >= scores.probability.shape[1] or len(scores.weight) < count:
        return np.zeros(0, bool)
    over = lambda x: np.lib.stride_tricks.sliding_window_view(x, count, axis=0).mean(-1)  # noqa: E731
    table = over(curves.log_odds(scores.probability[:, columns]))
    table = table[np.isfinite(table).all(1) & (over(scores.weight) > 0.5)]
    return np.abs(table.argmax(1) - frames) <= 1 if len(table) else np.zeros(0, bool)


@dataclass
class Tally:
    """Figures of one source or of all: hits of windows (by frames of context), clips and pieces (by seconds)."""

    windows: dict[int, list[bool]] = field(default_factory=lambda: {n: [] for n in CONTEXTS})
    clips: list[bool] = field(default_factory=list)
    pieces: dict[int, list[bool]] = field(default_factory=lambda: {s: [] for s in LENGTHS})
    errors_ms: list[float] = field(default_factory=list)

    def row(self) -> dict[str, float | int | None]:
        """The figures as shares of 0..1, None where nothing was counted."""
        share = lambda x: round(float(np.mean(x)), 4) if len(x) else None  # noqa: E731
        row = {
            "clips": len(self.clips),
            "windows": len(self.windows[WINDOW_FRAMES]),
            **{f"frames_{n}": share(hits) for n, hits in self.windows.items()},
            **{f"piece_{s}s": share(hits) for s, hits in self.pieces.items()},
            "whole_clip": share(self.clips),
        }
        row["median_error_ms"] = round(float(np.median(self.errors_ms)), 1) if self.errors_ms else None
        return row


def evaluate(net: ICSyncNet, embedded: list[Embedded], *, plain: bool = False) -> dict[str, dict]:
    """Table of figures by source, with `all` and `swapped_auc` (own voice against another clip's).

    The network's own whole-clip answer is the reference only where the index has none; plain: it is zero.
    """
    tallies: dict[str, Tally] = defaultdict(Tally)
    heights, swapped = [], []
    for i, e in enumerate(embedded):
        scores = score(net, e, range_s=1.0)
        near = score(net, e)
        whole = estimate(near)
        truth = 0.0 if plain else reference(e.entry, whole)
        if whole is None or truth is None:
            continue
        heights.append(whole.height)
        other = estimate(score(net, e, embedded[i - 1]))
        swapped += [other.height] if other and embedded[i - 1].entry.speaker != e.entry.speaker else []
        for tally in (tallies[e.entry.source], tallies["all"]):
            for context in CONTEXTS:
                tally.windows[context] += window_hits(scores, truth, context=context).tolist()
            tally.clips.append(abs(whole.delay_s - truth) <= NEAR_S)
            tally.errors_ms.append(1000 * abs(whole.delay_s - truth))
            for seconds in LENGTHS:
                found = (estimate(p) for p in pieces(near, seconds))
                tally.pieces[seconds] += [abs(f.delay_s - truth) <= NEAR_S for f in found if f]
    table = {source: tally.row() for source, tally in sorted(tallies.items())}
    table.setdefault("all", Tally().row())["swapped_auc"] = area_under_curve(heights, swapped)
    return table


def clip_figures(net: ICSyncNet, e: Embedded) -> dict:
    """What the paper reports of one clip: offset, probability at offset, offscreen ratio (section 5 of IC-SyncNet).

    The offset is that of the peak, sure or not; `verdict` says whether the tool would have given it.
    """
    scores = score(net, e)
    found, top = decide(scores, [scores]), estimate(scores)
    return {
        "file": e.entry.file,
        "verdict": found.verdict,
        "offset_ms": round(1000 * top.delay_s, 1) if top else None,
        "offset_frames": round(top.delay_s * FPS) if top else None,
        "probability_at_offset": None if found.probability is None else round(found.probability, 4),
        "offscreen_ratio": None if found.offscreen_ratio is None else round(found.offscreen_ratio, 4),
    }


def set_figures(rows: list[dict]) -> dict:
    """The same of a whole set: means over its clips, and how many clips have which offset in frames of 25 a second."""
    known = lambda name: [row[name] for row in rows if row[name] is not None]  # noqa: E731
    mean = lambda values: round(float(np.mean(values)), 4) if values else None  # noqa: E731
    frames = known("offset_frames")
    return {
        "clips": len(rows),
        "answered": mean([row["verdict"] in ("in_sync", "out_of_sync") for row in rows]),
        "probability_at_offset": mean(known("probability_at_offset")),
        "offscreen_ratio": mean(known("offscreen_ratio")),
        "offset_histogram": {str(n): frames.count(n) for n in range(min(frames, default=0), max(frames, default=-1) + 1)},
    }


def area_under_curve(good: list[float], bad: list[float]) -> float | None:
    """Chance that a good value is above a bad one (Mann-Whitney)."""
    if not good or not bad:
        return None
    a, b = np.array(good)[:, None], np.array(bad)[None]
    return round(float(np.mean((a > b) + 0.5 * (a == b))), 4)
