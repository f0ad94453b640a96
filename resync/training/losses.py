"""Balanced binary cross-entropy over all window pairs of a sequence (IC-SyncNet, arXiv 2409.00971)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..config import HOPS_PER_FRAME


def bbce(logits: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Balanced loss: mean of -log P over positive pairs plus mean of -log(1 - P) over negative pairs.

    logits: [..., n, m] log-odds of every mouth window against every audio window;
    positive, negative: masks or weights of the pairs, broadcast to the shape of logits. A pair with
    zero weight in both is ignored. Each class has its own mean, so the many negative pairs do not
    outweigh the few positive ones and no negative sampling is needed.
    """
    logits = logits.float()
    positive, negative = positive.float().expand_as(logits), negative.float().expand_as(logits)
    return (F.softplus(-logits) * positive).sum() / positive.sum() + (F.softplus(logits) * negative).sum() / negative.sum()


def ranking_loss(logits: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """Cross-entropy of the true audio window among the false ones of each mouth window, and the other way round.

    logits, positive, negative: as for `bbce`, [n, m], with one positive pair in every row and column. Where P is
    calibrated, the log-odds are log-likelihood ratios, and their softmax is the probability of each offset
    (multi-way matching of Chung et al. 2019, arXiv 1809.08001).
    """
    known = logits.float().masked_fill((positive + negative) == 0, -torch.inf)
    true = (logits.float() * positive).sum() / positive.sum()
    return (torch.logsumexp(known, 0).mean() + torch.logsumexp(known, 1).mean()) / 2 - true


def pair_masks(mouth_start: Tensor, audio_start: Tensor, gap: float) -> tuple[Tensor, Tensor]:
    """Masks of positive pairs (same start) and of negative pairs (at least `gap` apart): two bool [n, m].

    mouth_start [n], audio_start [m]: starts of the windows, in frames. Pairs in between are in
    neither mask: speech one frame away is too similar to serve as a negative.
    """
    distance = (mouth_start[:, None] - audio_start[None]).abs()
    return distance < 0.5 / HOPS_PER_FRAME, distance >= gap - 1e-6


def batch_weights(batch: int, sequence: int, gap: float, near: float = 1.0, cross: float = 0.0) -> tuple[Tensor, Tensor]:
    """Weights of positive and negative pairs of all windows of a batch: two float [batch * sequence, batch * sequence].

    Windows of a sequence start one frame apart. near: weight of negative pairs up to four frames
    apart (the rest have 1); cross: share of the negative weight given to pairs from different sequences.
    """
    start = torch.arange(sequence, dtype=torch.float32)
    positive, negative = (mask.float() for mask in pair_masks(start, start, gap))
    negative = torch.where((start[:, None] - start[None]).abs() <= 4, near * negative, negative)
    same_sequence = torch.eye(batch)
    within = torch.kron(same_sequence, negative / negative.sum()) / batch
    across = torch.kron(1 - same_sequence, torch.ones_like(negative))
    across = across / across.sum().clamp(min=1.0)
    return torch.kron(same_sequence, positive), (1 - cross) * within + cross * across
