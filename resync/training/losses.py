"""Balanced binary cross-entropy over all pairs of a sequence (IC-SyncNet, arXiv 2409.00971)."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def bbce(logits: Tensor, same: Tensor, other: Tensor) -> Tensor:
    """Mean over true pairs of -log P plus mean over false pairs of -log(1 - P).

    logits: [..., n, m] log-odds of every picture window against every sound window;
    same, other: bool masks that broadcast to it; pairs in neither do not count. Each side
    has its own mean, so the many false pairs do not outweigh the few true ones and no
    sampling scheme is needed.
    """
    logits = logits.float()
    true, false = F.softplus(-logits), F.softplus(logits)
    same, other = same.expand_as(logits), other.expand_as(logits)
    return true[same].mean() + false[other].mean()


def pair_masks(picture_at: Tensor, sound_at: Tensor, gap: float) -> tuple[Tensor, Tensor]:
    """True pairs start together, false pairs at least `gap` apart: two bool [n, m].

    picture_at [n], sound_at [m]: starts of the windows, in frames. Pairs in between are
    neither: speech one frame away is too alike to be called false.
    """
    distance = (picture_at[:, None] - sound_at[None]).abs()
    return distance < 0.5 / 4, distance >= gap - 1e-6
