"""Training sequences: tracks sampled by speaker, with random tempo, frame rate and repeated frames, audio in sync."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from ..config import HOP_S, HOPS_PER_FRAME, WINDOW_FRAMES, WINDOW_HOPS
from ..errors import DataError
from .augment import Augment
from .cache import Entry, read_crops, read_index, read_mels
from .people import person_hash


@dataclass(frozen=True)
class Track:
    """One cached face track in memory. crops: uint8 [n, S, S]; mels: float16 [m, bands] of the whole clip."""

    entry: Entry
    crops: np.ndarray
    mels: np.ndarray


class TrackDataset:
    """All usable tracks of a cache in memory, drawn with probability proportional to (frames of the speaker) ** power.

    skip: sources left out; people: share of the speakers that is used; delays: repaired delays in ms
    by track name, in place of the index's. Tracks without a delay or shorter than a sequence are left
    out. Raises DataError if none remains.
    """

    def __init__(
        self,
        cache: Path,
        split: str,
        *,
        sequence: int,
        skip: tuple[str, ...] = (),
        power: float = 0.6,
        people: float = 1.0,
        delays: dict[str, float | None] | None = None,
    ):
        entries = [e for e in read_index(cache) if e.split == split and e.source not in skip]
        delay_ms = {e.name: e.delay_ms if delays is None else delays.get(e.name) for e in entries}
        self.delay_ms = {name: delay for name, delay in delay_ms.items() if delay is not None}
        min_frames = sequence + WINDOW_FRAMES - 1
        usable = [e for e in entries if e.name in self.delay_ms and e.frames >= min_frames and person_hash(e) < people]
        if not usable:
            raise DataError(
                f"{cache}: no {split} track has a known delay and at least {min_frames} frames; prepare longer clips or shorten `sequence`"
            )
        self.tracks = [Track(e, read_crops(cache, e), read_mels(cache, e)) for e in usable]
        speaker_frames: dict[str, float] = defaultdict(float)
        for e in usable:
            speaker_frames[e.source + e.speaker] += e.frames
        weight = np.array([e.frames / speaker_frames[e.source + e.speaker] ** (1 - power) for e in usable])
        self._cumulative = np.cumsum(weight / weight.sum())

    def draw(self, rng: np.random.Generator) -> Track:
        """One random track."""
        return self.tracks[min(int(np.searchsorted(self._cumulative, rng.random())), len(self.tracks) - 1)]


def draw_sequence(dataset: TrackDataset, sequence: int, augment: Augment, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A segment of one random track, in sync: crops uint8 [sequence + 4, S, S] and mels float32 [4 (sequence + 4), bands].

    The track's own delay is compensated; the tempo of video and audio is changed alike.
    """
    track = dataset.draw(rng)
    count = sequence + WINDOW_FRAMES - 1
    max_speed = (len(track.crops) - 1) / max(count - 1, 1)
    speed = min(max_speed, float(np.exp(rng.uniform(-augment.speed, augment.speed))))
    start = rng.uniform(0, len(track.crops) - 1 - speed * (count - 1) + 1e-9)
    frames = start + speed * np.arange(count)
    if rng.random() < augment.convert:
        frames = _reduce_frame_rate(frames, rng)
    frames = np.clip(np.round(frames), 0, len(track.crops) - 1).astype(int)
    # Frame numbers were rounded: the audio starts where the frames do on average, plus the clip's own delay.
    start += float(np.mean(frames - start - speed * np.arange(count)))
    first_hop = (track.entry.start + start) * HOPS_PER_FRAME + dataset.delay_ms[track.entry.name] / (1000 * HOP_S)
    hops = first_hop + speed * (np.arange(count * HOPS_PER_FRAME) + 0.5) - 0.5
    return track.crops[_repeat_frame(frames, augment, rng)], _interpolate(track.mels, hops)


def _reduce_frame_rate(frames: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Frame positions as a video with a lower frame rate would show them."""
    step, phase = rng.uniform(1, 2), rng.random()
    return (np.round(frames / step + phase) - phase) * step


def _repeat_frame(frames: np.ndarray, augment: Augment, rng: np.random.Generator) -> np.ndarray:
    """Sometimes show one frame twice, as frame rate converters do."""
    if rng.random() < augment.repeat:
        i = rng.integers(1, len(frames))
        frames = frames.copy()
        frames[i] = frames[i - 1]
    return frames


def _interpolate(mels: np.ndarray, hops: np.ndarray) -> np.ndarray:
    """Mel frames [m, bands] at fractional hops [n], linearly interpolated: float32 [n, bands]."""
    hops = np.clip(hops, 0, len(mels) - 1.001)
    low = hops.astype(int)
    fraction = (hops - low)[:, None].astype(np.float32)
    return mels[low].astype(np.float32) * (1 - fraction) + mels[low + 1].astype(np.float32) * fraction


def draw_batch(dataset: TrackDataset, batch_slice: slice, sequence: int, augment: Augment, seed: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """The sequences `batch_slice` of a batch: crops uint8 [n, sequence + 4, S, S] and mels float32 [n, 4 (sequence + 4), bands].

    Each depends only on the seed and its index in the batch, whichever process draws it.
    """
    rngs = (np.random.default_rng((*seed, i)) for i in range(batch_slice.start, batch_slice.stop))
    crops, mels = zip(*(draw_sequence(dataset, sequence, augment, rng) for rng in rngs))
    return torch.from_numpy(np.stack(crops)), torch.from_numpy(np.stack(mels))


def stack_windows(crops: Tensor, mels: Tensor) -> tuple[Tensor, Tensor]:
    """Sequences to windows: [B, T + 4, S, S], [B, 4 (T + 4), bands] -> [B T, 5, S, S], [B T, 20, bands]."""
    mouth = crops.unfold(1, WINDOW_FRAMES, 1).permute(0, 1, 4, 2, 3).flatten(0, 1)
    audio = mels.unfold(1, WINDOW_HOPS, HOPS_PER_FRAME).transpose(2, 3).flatten(0, 1)
    return mouth, audio
