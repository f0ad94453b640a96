"""Sequences for training: sampled by speaker, augmented in time, picture and sound.

Everything after `Library` works on whole batches of tensors, on whatever device they are on.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import HOPS_PER_FRAME, WINDOW_FRAMES, WINDOW_HOPS
from ..errors import DataError
from .cache import Entry, read_crops, read_index, read_mels


@dataclass(frozen=True)
class Track:
    """One cached face track in memory. crops: uint8 [n, S, S]; mels: float16 [m, bands] of the whole clip."""

    entry: Entry
    crops: np.ndarray
    mels: np.ndarray


@dataclass(frozen=True)
class Augment:
    """Strength of every augmentation; zeros give plain data."""

    speed: float = 0.1  # tempo drawn from 1 - speed .. 1 + speed, both streams alike
    convert: float = 0.0  # share of sequences shown at 12 to 25 pictures a second
    scale: float = 0.15  # size of the mouth, +- share
    shift: float = 0.06  # centre, +- share of the crop's side
    roll: float = 0.15  # rad
    stretch: float = 0.08  # width against height, +- share
    warp: float = 0.0  # smooth random bending, spread as a share of the crop's side: another face's shape
    contrast: float = 0.3
    shade: float = 0.0  # light from one side, spread in grey levels
    noise: float = 6.0  # grey levels
    blur: float = 0.3  # share of sequences that are blurred
    coarse: float = 0.0  # share at half the resolution
    blocks: float = 0.0  # share with the blocks of a strongly compressed picture
    occlude: float = 0.2  # share of sequences with a covered patch
    repeat: float = 0.15  # share of sequences with a repeated (dropped) frame
    voices: float = 0.3  # share of sequences with another clip's sound under it
    hiss: float = 0.4  # share with stationary noise
    tilt: float = 0.25  # log10 power, spread of a random smooth equaliser
    echo: float = 0.25  # share with room echo
    mask: float = 0.2  # share with a band of frequencies missing
    low_pass: float = 0.0  # share whose high bands are cut off, as telephones and codecs do
    tract: float = 0.0  # +- share by which the frequency axis is stretched, as another vocal tract would


class Library:
    """All tracks of a cache, chosen by speaker in proportion to (frames of the speaker) ** power."""

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
        delay = {e.name: e.delay_ms if delays is None else delays.get(e.name) for e in entries}
        need = sequence + WINDOW_FRAMES - 1
        self.delay = {name: d for name, d in delay.items() if d is not None}
        kept = [e for e in entries if e.name in self.delay and e.frames >= need and _lot(e) < people]
        if not kept:
            raise DataError(f"{cache}: no {split} clip is long enough and of known delay")
        self.tracks = [Track(e, read_crops(cache, e), read_mels(cache, e)) for e in kept]
        by_speaker: dict[str, float] = defaultdict(float)
        for e in kept:
            by_speaker[e.source + e.speaker] += e.frames
        weight = np.array([e.frames / by_speaker[e.source + e.speaker] ** (1 - power) for e in kept])
        self.odds = np.cumsum(weight / weight.sum())

    def draw(self, rng: np.random.Generator) -> Track:
        """One track at random."""
        return self.tracks[min(int(np.searchsorted(self.odds, rng.random())), len(self.tracks) - 1)]


def draw_sequence(library: Library, sequence: int, augment: Augment, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """A stretch of one track: crops uint8 [sequence + 4, S, S] and mels float32 [4 (sequence + 4), bands], in sync.

    The track's own delay is taken out; its tempo is changed (both streams alike).
    """
    track = library.draw(rng)
    frames = sequence + WINDOW_FRAMES - 1
    room = (len(track.crops) - 1) / max(frames - 1, 1)
    speed = min(room, float(np.exp(rng.uniform(-augment.speed, augment.speed))))
    begin = rng.uniform(0, len(track.crops) - 1 - speed * (frames - 1) + 1e-9)
    pictures = begin + speed * np.arange(frames)
    if rng.random() < augment.convert:
        pictures = _convert(pictures, rng)
    pictures = np.clip(np.round(pictures), 0, len(track.crops) - 1).astype(int)
    # The pictures are whole numbers: the sound begins where they do on average, plus the clip's own delay.
    begin += float(np.mean(pictures - begin - speed * np.arange(frames)))
    start = (track.entry.start + begin) * HOPS_PER_FRAME + library.delay[track.entry.name] / 10
    at = start + speed * (np.arange(frames * HOPS_PER_FRAME) + 0.5) - 0.5
    return track.crops[_stutter(pictures, augment, rng)], _resample(track.mels, at)


def _lot(entry: Entry) -> float:
    """Number in 0..1 drawn by the speaker's name, the same in every run; clips of unnamed people draw one each."""
    name = entry.source + (entry.file if entry.speaker == "unknown" else entry.speaker)
    return int(hashlib.sha1(name.encode()).hexdigest()[:8], 16) / 2**32


def _convert(pictures: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Picture times as a film of fewer pictures a second would show them."""
    step, phase = rng.uniform(1, 2), rng.random()
    return (np.round(pictures / step + phase) - phase) * step


def _stutter(pictures: np.ndarray, augment: Augment, rng: np.random.Generator) -> np.ndarray:
    """Now and then show one frame twice, as a converter of frame rates does."""
    if rng.random() < augment.repeat:
        i = rng.integers(1, len(pictures))
        pictures = pictures.copy()
        pictures[i] = pictures[i - 1]
    return pictures


def _resample(mels: np.ndarray, at: np.ndarray) -> np.ndarray:
    at = np.clip(at, 0, len(mels) - 1.001)
    low = at.astype(int)
    part = (at - low)[:, None].astype(np.float32)
    return mels[low].astype(np.float32) * (1 - part) + mels[low + 1].astype(np.float32) * part


def draw_batch(library: Library, share: slice, sequence: int, augment: Augment, seed: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Sequences `share` of a batch: crops uint8 [n, sequence + 4, S, S] and mels float32 [n, 4 (sequence + 4), bands].

    Each is drawn by the seed and its number alone, whoever draws it.
    """
    rngs = (np.random.default_rng((*seed, i)) for i in range(share.start, share.stop))
    crops, mels = zip(*(draw_sequence(library, sequence, augment, rng) for rng in rngs))
    return torch.from_numpy(np.stack(crops)), torch.from_numpy(np.stack(mels))


def view_crops(crops: Tensor, size: int, share: float, augment: Augment) -> Tensor:
    """Cached crops uint8 [B, T, S, S] -> network input float [B, T, size, size], one random view a sequence.

    share: side of the network's crop as a share of the cached one.
    """
    batch, frames = crops.shape[:2]
    spread = lambda width: (torch.rand(batch, device=crops.device) * 2 - 1) * width  # noqa: E731
    flip = torch.where(torch.rand(batch, device=crops.device) < 0.5 * (augment.scale > 0), -1.0, 1.0)
    scale, roll, stretch = share * torch.exp(spread(augment.scale)), spread(augment.roll), torch.exp(spread(augment.stretch))
    rows = [
        torch.stack([flip * scale * stretch * roll.cos(), -scale * roll.sin(), 2 * share * spread(augment.shift)], 1),
        torch.stack([flip * scale * stretch * roll.sin(), scale * roll.cos(), 2 * share * spread(augment.shift)], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), [batch, 1, size, size], align_corners=False)
    if augment.warp:
        knots = torch.randn(batch, 2, 4, 4, device=crops.device) * 2 * share * augment.warp
        grid = grid + F.interpolate(knots, size, mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    x = F.grid_sample(crops.float(), grid, align_corners=False, padding_mode="zeros")
    return _retouch(x, augment) if augment.contrast else x


def _retouch(x: Tensor, augment: Augment) -> Tensor:
    """Light, blur, noise and a covered patch, constant over a sequence."""
    batch, device = len(x), x.device
    one = lambda: torch.rand(batch, 1, 1, 1, device=device)  # noqa: E731
    x = 255 * (x / 255).clamp(0, 1) ** torch.exp((one() * 2 - 1) * augment.contrast)
    x = 128 + (x - 128) * (1 + (one() * 2 - 1) * augment.contrast) + (one() * 2 - 1) * 30
    if augment.shade:
        corners = torch.randn(batch, 1, 2, 2, device=device) * augment.shade
        x = x + F.interpolate(corners, x.shape[-2:], mode="bilinear", align_corners=True)
    soft = F.avg_pool2d(x, 3, 1, 1)
    x = torch.where(one() < augment.blur, torch.lerp(x, soft, one()), x)
    if augment.coarse:
        small = F.interpolate(F.avg_pool2d(x, 2), x.shape[-2:], mode="bilinear")
        x = torch.where(one() < augment.coarse, small, x)
    x = x + torch.randn_like(x) * one() * augment.noise
    if augment.blocks:
        x = torch.where(one() < augment.blocks, _compress(x, 4 + 20 * one()), x)
    side = x.shape[-1]
    at = torch.arange(side, device=device)
    low, span = torch.rand(2, batch, 1, device=device) * side, torch.rand(2, batch, 1, device=device) * side * 0.3
    inside = (at >= low) & (at < low + span)
    patch = (inside[0][:, :, None] & inside[1][:, None])[:, None] & (one() < augment.occlude)
    return torch.where(patch, 255 * one(), x).clamp(0, 255)


def _compress(x: Tensor, coarseness: Tensor) -> Tensor:
    """Quantise 8 x 8 blocks as JPEG and MPEG do: [B, T, S, S], coarseness [B, 1, 1, 1] in grey levels."""
    at = torch.arange(8, device=x.device)
    basis = torch.cos((2 * at[None] + 1) * at[:, None] * torch.pi / 16) * torch.where(at == 0, 0.125, 0.25).sqrt()[:, None]
    # Fine detail is quantised more coarsely; the mean of a block hardly at all.
    step = (coarseness[..., None, None] * (0.2 + (at[:, None] + at[None]) / 4)).float()
    batch, frames, side = x.shape[:3]
    blocks = x.view(batch, frames, side // 8, 8, side // 8, 8).transpose(3, 4)
    packed = torch.round(basis @ blocks @ basis.T / step) * step
    return (basis.T @ packed @ basis).transpose(3, 4).reshape(x.shape)


def muddy_sound(mels: Tensor, augment: Augment) -> Tensor:
    """Noise, other voices, echo, equaliser and missing bands, on log10 mel power [B, T, bands]."""
    batch, frames, bands = mels.shape
    one = lambda: torch.rand(batch, 1, 1, device=mels.device)  # noqa: E731
    power = 10.0 ** (_stretch_bands(mels, torch.exp((one() * 2 - 1) * augment.tract)) if augment.tract else mels)
    loud = power.mean((1, 2), keepdim=True)
    level = lambda low, high: loud * 10 ** ((low + (high - low) * one()) / 10)  # noqa: E731
    other = power.roll(1, 0)
    other = other / other.mean((1, 2), keepdim=True) * level(-25, -3)
    power = power + other * (one() < augment.voices)
    hiss = 10 ** (_smooth_random(batch, bands, mels.device) * 0.8)
    power = power + hiss * level(-35, -5) * torch.empty_like(power).exponential_() * (one() < augment.hiss)
    power = torch.where(one() < augment.echo, _echo(power, 0.1 + 0.75 * one()), power)
    out = torch.log10(power) + _smooth_random(batch, bands, mels.device) * augment.tilt
    at = torch.arange(bands, device=mels.device)
    low = one() * bands
    gone = (at >= low) & (at < low + one() * 16) & (one() < augment.mask)
    gone = gone | ((at >= bands * (0.5 + 0.5 * one())) & (one() < augment.low_pass))
    return torch.where(gone, out.amin((1, 2), keepdim=True), out)


def _stretch_bands(mels: Tensor, factor: Tensor) -> Tensor:
    """Read [B, T, bands] at band times factor [B, 1, 1] (vocal tract length perturbation, Jaitly and Hinton 2013)."""
    bands = mels.shape[-1]
    at = (torch.arange(bands, device=mels.device) * factor).clamp(max=bands - 1.001).expand(mels.shape)
    low = at.long()
    return torch.lerp(mels.gather(2, low), mels.gather(2, low + 1), at - low)


def _echo(power: Tensor, decay: Tensor) -> Tensor:
    """Exponentially decaying tail of 12 hops; decay [B, 1, 1] is the share left after each."""
    taps = decay[:, :, 0] ** torch.arange(1, 13, device=power.device) * 0.25
    kernel = torch.cat([torch.ones_like(taps[:, :1]), taps], 1).flip(1)
    padded = F.pad(power.transpose(1, 2), (12, 0))
    return F.conv1d(padded.transpose(0, 1), kernel[:, None], groups=len(power)).permute(1, 2, 0)


def _smooth_random(batch: int, bands: int, device: torch.device) -> Tensor:
    """Random smooth curve over the bands: [B, 1, bands], unit spread."""
    knots = torch.randn(batch, 1, 6, device=device)
    return F.interpolate(knots, bands, mode="linear", align_corners=True)


def stack_windows(crops: Tensor, mels: Tensor) -> tuple[Tensor, Tensor]:
    """Cut sequences into windows: [B, T + 4, S, S], [B, 4 (T + 4), bands] -> [B T, 5, S, S], [B T, 20, bands]."""
    mouth = crops.unfold(1, WINDOW_FRAMES, 1).permute(0, 1, 4, 2, 3).flatten(0, 1)
    sound = mels.unfold(1, WINDOW_HOPS, HOPS_PER_FRAME).transpose(2, 3).flatten(0, 1)
    return mouth, sound
