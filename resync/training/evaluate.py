"""How right a network is: 5-frame accuracy, whole clips, pieces of clips, swapped voices, by source.

Every figure is taken against each clip's reference delay (see `reference`), within one
frame (40 ms) unless said otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch

from .. import curve as curves
from ..config import FPS, HOP_S, HOPS_PER_FRAME, WINDOW_FRAMES, WINDOW_HOPS, CropConfig, CurveConfig
from ..curve import Scores
from ..decide import certainty
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


def evaluate(net: ICSyncNet, tracks: Iterable[Track]) -> dict[str, dict]:
    """Table of figures by source, with `all` and `swapped_auc` (own voice against another clip's).

    The network's own whole-clip answer is the reference only where the index has none.
    """
    tallies: dict[str, Tally] = defaultdict(Tally)
    embedded = [embed_track(net, t) for t in tracks]
    heights, swapped = [], []
    for i, e in enumerate(embedded):
        scores = score(net, e, range_s=1.0)
        near = score(net, e)
        whole = estimate(near)
        truth = reference(e.entry, whole)
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


def area_under_curve(good: list[float], bad: list[float]) -> float | None:
    """Chance that a good value is above a bad one (Mann-Whitney)."""
    if not good or not bad:
        return None
    a, b = np.array(good)[:, None], np.array(bad)[None]
    return round(float(np.mean((a > b) + 0.5 * (a == b))), 4)


def repair(net: ICSyncNet, tracks: Iterable[Track], *, least: float = 0.9, range_s: float = 0.6) -> dict[str, float | None]:
    """Each track's own delay in ms, None where nothing is sure enough to train on.

    The network's answer counts where its certainty is at least `least`. Otherwise the index's does,
    if the network does not contradict it: for a clip of one second the index, which knows the
    clip's whole group, is the better witness. Within 30 ms of each other the index is kept.
    """
    out: dict[str, float | None] = {}
    for track in tracks:
        scores = score(net, embed_track(net, track), range_s=range_s)
        values = curves.curve(scores)
        told = track.entry.delay_ms
        out[track.entry.name] = None
        if np.isnan(values).all():
            continue
        top = curves.peak(values, scores.delays)
        apart = np.inf if told is None else abs(1000 * top.delay_s - told)
        if apart > 30 and certainty(scores, values, top) >= least:
            out[track.entry.name] = round(1000 * top.delay_s, 1)
        elif apart <= 60:
            out[track.entry.name] = told
    return out
