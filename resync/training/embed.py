"""Embeddings of cached tracks, and their scores, peaks and reference delays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from ..config import FPS, HOP_S, HOPS_PER_FRAME, WINDOW_FRAMES, WINDOW_HOPS, CropConfig, CurveConfig
from ..sync.activity import activity_mask, activity_share, audible_mask
from ..sync.curve import Peak, Scores, delay_grid, find_peak, frame_to_hop, pair_cosines, probability_curve
from ..syncnet.backend import Backend
from ..syncnet.model import ICSyncNet
from ..syncnet.torch_backend import TorchBackend, probability
from .augment import Augment, view_crops
from .cache import Entry, read_crops, read_index, read_mels, relative_crop_side
from .dataset import Track
from .people import Half, half_of_people


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


def inference_backend(net: ICSyncNet) -> Backend:
    """The backend that embeds fastest on the device of a network."""
    if next(net.parameters()).device.type != "cpu" or find_spec("onnxruntime") is None:  # training does not need it
        return TorchBackend(net)
    from ..syncnet.onnx_backend import OnnxBackend

    tensors = {name: tensor.detach().numpy() for name, tensor in net.state_dict().items()}
    return OnnxBackend(tensors, net.dimensions, net.rule, torch.get_num_threads())


def embed_track(backend: Backend, track: Track) -> Embedded:
    """Embed one cached track as the analysis does: central crop, no augmentation."""
    mels = track.mels.astype(np.float32)
    mouth = backend.embed_mouths(center_crops(track.crops, backend.dimensions.crop))
    first_hop = frame_to_hop(track.entry.start + np.arange(len(mouth)))
    return Embedded(track.entry, mouth, backend.embed_audio(mels), first_hop, activity_mask(mels), audible_mask(mels))


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
