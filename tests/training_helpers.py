"""What the training tests share: a tiny network, synthetic tracks and scores."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import numpy as np
import torch
from scipy.ndimage import gaussian_filter1d

from resync.config import FaceConfig
from resync.sync.curve import Scores
from resync.syncnet.dimensions import Dimensions
from resync.training.augment import Augment, view_crops
from resync.training.cache import MARGIN, Entry
from resync.training.dataset import TrackDataset, draw_batch, stack_windows
from resync.training.embed import Embedded
from resync.training.losses import batch_weights, bbce
from resync.training.peaks import PeakSamples
from resync.training.ranks import Rank
from resync.training.train import Recipe

TINY = Dimensions(visual_widths=(4, 8, 8, 8), sound_widths=(4, 8, 8, 8), embedding=16, head=8)
SINGLE = Rank(0, 1, torch.device("cpu"))
DISABLED = Augment(**{f.name: 0.0 for f in fields(Augment)})
FACES = FaceConfig(detector="centerface", threads=1)


def make_entry(name="x", speaker="p", delay_ms=0.0, source="s", frames=150) -> Entry:
    """An index entry of the validation split."""
    return Entry(name, f"{name}.mp4", "val", source, speaker, 25, frames, delay_ms)


def embedded_track(entry: Entry, n=150, late_hops=0, seed=0) -> Embedded:
    """A track whose mouth and audio embeddings are equal where they belong together."""
    rng = np.random.default_rng(seed)
    vectors = gaussian_filter1d(rng.normal(size=(4 * n + 200, 32)), 3, axis=0)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    first_hop = 100 + 4 * np.arange(n - 4)
    mouth, audio = vectors[first_hop].astype(np.float32), np.roll(vectors, late_hops, 0).astype(np.float32)
    loud = np.ones(len(vectors) + 19, bool)
    return Embedded(entry, mouth, audio, first_hop, loud, loud)


def peaked_scores(odds, late_hops, n=75, seed=0) -> Scores:
    """Noisy scores whose peak, `late_hops` late, rises by `odds` in log-odds."""
    delays = np.arange(-60, 61)
    rows = np.random.default_rng(seed).normal(-2, 0.5, (n, 121)) + odds * np.exp(-(((delays - late_hops) / 4) ** 2))
    return scores_of(1 / (1 + np.exp(-rows)), delays)


def scores_of(probability, delays) -> Scores:
    """Scores of windows [n, delays] with speech everywhere."""
    n, hops = len(probability), np.ones(4 * (len(probability) - 1) + len(delays))
    return Scores(probability.astype(np.float32), delays, np.arange(n) / 25, hops, hops)


def peak_samples(n=400) -> PeakSamples:
    """Peaks of clips of 7 people, of which the correct ones are higher and have more lead."""
    rng = np.random.default_rng(0)
    correct = rng.random(n) < 0.7
    features = rng.normal(0, 1, (n, 2)) + np.outer(correct, [2.0, 1.0])
    features[:, 1] = np.abs(features[:, 1])
    own = correct | (rng.random(n) < 0.3)
    return PeakSamples(features, np.ones(n), np.full(n, 3.0), correct, own, np.zeros(n, bool), np.arange(n) % 7)


def short_recipe(steps=6, **changes) -> Recipe:
    """A run of so many steps by the `clock` fixture."""
    return replace(Recipe(minutes=steps / 60, batch=2, sequence=8, warmup=2, check_minutes=1000, power=0.6), **changes)


def same_weights(a: torch.nn.Module, b: torch.nn.Module) -> bool:
    """Whether two networks are equal up to rounding."""
    state = b.state_dict()
    return all(torch.allclose(v.float(), state[k].float(), atol=1e-6) for k, v in a.state_dict().items())


def training_loss(net, cache) -> float:
    """Loss of a network on the training clips without augmentation; 2 log 2 for a network that knows nothing."""
    crops, mels = draw_batch(TrackDataset(cache, "train", sequence=24), slice(0, 6), 24, DISABLED, (0,))
    mouth, audio = stack_windows(view_crops(crops, 64, 1 / MARGIN, DISABLED), mels)
    with torch.inference_mode():
        return bbce(net(mouth, audio), *batch_weights(6, 24, 2.0)).item()


def log_rows(folder) -> list[dict]:
    """Lines of a run's log."""
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
