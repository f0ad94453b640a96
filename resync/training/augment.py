"""Augmentation of whole batches of mouth crops and mel frames, on the device where they are."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True)
class Augment:
    """Strength of every augmentation; zeros disable it. The field names are keys of --recipe files and of training logs."""

    speed: float = 0.1  # tempo from exp(-speed) to exp(speed), same for video and audio
    convert: float = 0.0  # probability of a lower frame rate, 12 to 25 fps
    scale: float = 0.15  # mouth size, relative
    shift: float = 0.06  # crop centre, relative to the crop's side
    roll: float = 0.15  # rad
    stretch: float = 0.08  # aspect ratio, relative
    warp: float = 0.0  # smooth random deformation, relative to the crop's side: other face shapes
    contrast: float = 0.3
    shade: float = 0.0  # lighting gradient, standard deviation in gray levels
    noise: float = 6.0  # gray levels
    blur: float = 0.3  # probability of blur
    coarse: float = 0.0  # probability of half the resolution
    blocks: float = 0.0  # probability of block artefacts, as in heavily compressed video
    occlude: float = 0.2  # probability of an occluded patch
    repeat: float = 0.15  # probability of a repeated frame, in place of a dropped one
    voices: float = 0.3  # probability of another clip's audio in the background
    hiss: float = 0.4  # probability of stationary noise
    tilt: float = 0.25  # random smooth equaliser, standard deviation in log10 power
    echo: float = 0.25  # probability of room echo
    mask: float = 0.2  # probability of a missing frequency band
    low_pass: float = 0.0  # probability of missing high bands, as after telephones and codecs
    tract: float = 0.0  # scaling of the frequency axis, relative: other vocal tract lengths


def view_crops(crops: Tensor, size: int, relative_side: float, augment: Augment) -> Tensor:
    """Cached crops uint8 [B, T, S, S] -> network input float [B, T, size, size], one random view per sequence.

    relative_side: side of the network's crop divided by the side of the cached crop.
    """
    batch, frames = crops.shape[:2]
    uniform = lambda width: (torch.rand(batch, device=crops.device) * 2 - 1) * width  # noqa: E731
    flip = torch.where(torch.rand(batch, device=crops.device) < 0.5 * (augment.scale > 0), -1.0, 1.0)
    scale, roll, aspect = relative_side * torch.exp(uniform(augment.scale)), uniform(augment.roll), torch.exp(uniform(augment.stretch))
    rows = [
        torch.stack([flip * scale * aspect * roll.cos(), -scale * roll.sin(), 2 * relative_side * uniform(augment.shift)], 1),
        torch.stack([flip * scale * aspect * roll.sin(), scale * roll.cos(), 2 * relative_side * uniform(augment.shift)], 1),
    ]
    grid = F.affine_grid(torch.stack(rows, 1), [batch, 1, size, size], align_corners=False)
    if augment.warp:
        knots = torch.randn(batch, 2, 4, 4, device=crops.device) * 2 * relative_side * augment.warp
        grid = grid + F.interpolate(knots, size, mode="bicubic", align_corners=True).permute(0, 2, 3, 1)
    x = F.grid_sample(crops.float(), grid, align_corners=False, padding_mode="zeros")
    return _augment_gray_levels(x, augment) if augment.contrast else x


def _augment_gray_levels(x: Tensor, augment: Augment) -> Tensor:
    """Lighting, blur, noise and occlusion, the same for all frames of a sequence: [B, T, S, S] -> same shape."""
    batch, device = len(x), x.device
    rand = lambda: torch.rand(batch, 1, 1, 1, device=device)  # noqa: E731
    x = 255 * (x / 255).clamp(0, 1) ** torch.exp((rand() * 2 - 1) * augment.contrast)
    x = 128 + (x - 128) * (1 + (rand() * 2 - 1) * augment.contrast) + (rand() * 2 - 1) * 30
    if augment.shade:
        corners = torch.randn(batch, 1, 2, 2, device=device) * augment.shade
        x = x + F.interpolate(corners, x.shape[-2:], mode="bilinear", align_corners=True)
    blurred = F.avg_pool2d(x, 3, 1, 1)
    x = torch.where(rand() < augment.blur, torch.lerp(x, blurred, rand()), x)
    if augment.coarse:
        half = F.interpolate(F.avg_pool2d(x, 2), x.shape[-2:], mode="bilinear")
        x = torch.where(rand() < augment.coarse, half, x)
    x = x + torch.randn_like(x) * rand() * augment.noise
    if augment.blocks:
        x = torch.where(rand() < augment.blocks, _block_artefacts(x, 4 + 20 * rand()), x)
    side = x.shape[-1]
    pixel = torch.arange(side, device=device)
    low, length = torch.rand(2, batch, 1, device=device) * side, torch.rand(2, batch, 1, device=device) * side * 0.3
    inside = (pixel >= low) & (pixel < low + length)
    patch = (inside[0][:, :, None] & inside[1][:, None])[:, None] & (rand() < augment.occlude)
    return torch.where(patch, 255 * rand(), x).clamp(0, 255)


def _block_artefacts(x: Tensor, strength: Tensor) -> Tensor:
    """Quantise 8 x 8 DCT blocks as JPEG and MPEG do: [B, T, S, S], strength [B, 1, 1, 1] in gray levels."""
    index = torch.arange(8, device=x.device)
    basis = torch.cos((2 * index[None] + 1) * index[:, None] * torch.pi / 16) * torch.where(index == 0, 0.125, 0.25).sqrt()[:, None]
    # High frequencies get a coarse step, the mean of a block a fine one.
    step = (strength[..., None, None] * (0.2 + (index[:, None] + index[None]) / 4)).float()
    batch, frames, side = x.shape[:3]
    blocks = x.view(batch, frames, side // 8, 8, side // 8, 8).transpose(3, 4)
    quantised = torch.round(basis @ blocks @ basis.T / step) * step
    return (basis.T @ quantised @ basis).transpose(3, 4).reshape(x.shape)


def augment_audio(mels: Tensor, augment: Augment) -> Tensor:
    """Noise, background voices, echo, equaliser and missing bands, on log10 mel power [B, T, bands] -> same shape."""
    batch, _, bands = mels.shape
    rand = lambda: torch.rand(batch, 1, 1, device=mels.device)  # noqa: E731
    power = 10.0 ** (_scale_bands(mels, torch.exp((rand() * 2 - 1) * augment.tract)) if augment.tract else mels)
    mean = power.mean((1, 2), keepdim=True)
    level = lambda low_db, high_db: mean * 10 ** ((low_db + (high_db - low_db) * rand()) / 10)  # noqa: E731
    other = power.roll(1, 0)
    other = other / other.mean((1, 2), keepdim=True) * level(-25, -3)
    power = power + other * (rand() < augment.voices)
    spectrum = 10 ** (_smooth_random(batch, bands, mels.device) * 0.8)
    power = power + spectrum * level(-35, -5) * torch.empty_like(power).exponential_() * (rand() < augment.hiss)
    power = torch.where(rand() < augment.echo, _echo(power, 0.1 + 0.75 * rand()), power)
    out = torch.log10(power) + _smooth_random(batch, bands, mels.device) * augment.tilt
    band = torch.arange(bands, device=mels.device)
    low = rand() * bands
    missing = (band >= low) & (band < low + rand() * 16) & (rand() < augment.mask)
    missing = missing | ((band >= bands * (0.5 + 0.5 * rand())) & (rand() < augment.low_pass))
    return torch.where(missing, out.amin((1, 2), keepdim=True), out)


def _scale_bands(mels: Tensor, factor: Tensor) -> Tensor:
    """Sample [B, T, bands] at band times factor [B, 1, 1] (vocal tract length perturbation, Jaitly and Hinton 2013)."""
    bands = mels.shape[-1]
    position = (torch.arange(bands, device=mels.device) * factor).clamp(max=bands - 1.001).expand(mels.shape)
    low = position.long()
    return torch.lerp(mels.gather(2, low), mels.gather(2, low + 1), position - low)


def _echo(power: Tensor, decay: Tensor) -> Tensor:
    """Add an exponentially decaying tail of 12 hops; decay [B, 1, 1]: share of the power that remains after each hop."""
    taps = decay[:, :, 0] ** torch.arange(1, 13, device=power.device) * 0.25
    kernel = torch.cat([torch.ones_like(taps[:, :1]), taps], 1).flip(1)
    padded = F.pad(power.transpose(1, 2), (12, 0))
    return F.conv1d(padded.transpose(0, 1), kernel[:, None], groups=len(power)).permute(1, 2, 0)


def _smooth_random(batch: int, bands: int, device: torch.device) -> Tensor:
    """Random smooth curve over the bands: [B, 1, bands], interpolated between standard normal values."""
    knots = torch.randn(batch, 1, 6, device=device)
    return F.interpolate(knots, bands, mode="linear", align_corners=True)
