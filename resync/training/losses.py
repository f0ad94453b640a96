"""Balanced binary cross-entropy over all pairs of a sequence (IC-SyncNet, arXiv 2409.00971)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def bbce(logits: Tensor, same: Tensor, other: Tensor) -> Tensor:
    """Mean over true pairs of -log P plus mean over false pairs of -log(1 - P).

    logits: [..., n, m] log-odds of every picture window against every sound window; same, other:
    masks or weights of the true and of the false pairs that broadcast to it; pairs of no weight
    in either do not count. Each side has its own mean, so the many false pairs do not outweigh
    the few true ones and no sampling scheme is needed.
    """
    logits = logits.float()
    same, other = same.float().expand_as(logits), other.float().expand_as(logits)
    return (F.softplus(-logits) * same).sum() / same.sum() + (F.softplus(logits) * other).sum() / other.sum()


def pair_masks(picture_at: Tensor, sound_at: Tensor, gap: float) -> tuple[Tensor, Tensor]:
    """True pairs start together, false pairs at least `gap` apart: two bool [n, m].

    picture_at [n], sound_at [m]: starts of the windows, in frames. Pairs in between are
    neither: speech one frame away is too alike to be called false.
    """
    distance = (picture_at[:, None] - sound_at[None]).abs()
    return distance < 0.5 / 4, distance >= gap - 1e-6


def batch_weights(batch: int, sequence: int, gap: float, near: float = 1.0, cross: float = 0.0) -> tuple[Tensor, Tensor]:
    """Weights of true and false pairs among all windows of a batch: two float [batch * sequence, batch * sequence].

    Windows of a sequence are one frame apart. near: weight of false pairs up to four frames
    apart, against 1 for the rest; cross: share of the false side given to pairs of different sequences.
    """
    at = torch.arange(sequence, dtype=torch.float32)
    same, other = (mask.float() for mask in pair_masks(at, at, gap))
    other = torch.where((at[:, None] - at[None]).abs() <= 4, near * other, other)
    own = torch.eye(batch)
    inside = torch.kron(own, other / other.sum()) / batch
    outside = torch.kron(1 - own, torch.ones_like(other))
    outside = outside / outside.sum().clamp(min=1.0)
    return torch.kron(own, same), (1 - cross) * inside + cross * outside
