"""Balanced binary cross-entropy and the pairs it is taken over."""

import math

import pytest
import torch

from resync.training.losses import bbce, pair_masks


def test_by_hand():
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    same = torch.eye(2, dtype=torch.bool)
    true = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-3))) / 2
    false = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(0.5))) / 2
    assert bbce(logits, same, ~same).item() == pytest.approx(true + false, rel=1e-5)


def test_pairs_in_neither_mask_do_not_count():
    logits = torch.zeros(3, 3)
    same, other = pair_masks(torch.arange(3.0), torch.arange(3.0), gap=2)
    before = bbce(logits, same, other)
    logits[0, 1] = logits[2, 1] = 50.0  # one frame apart
    assert bbce(logits, same, other) == before == pytest.approx(2 * math.log(2))


def test_many_false_pairs_do_not_outweigh_the_true_ones():
    def loss(n):
        same = torch.eye(n, dtype=torch.bool)
        return bbce(torch.where(same, -3.0, -3.0), same, ~same).item()

    assert loss(4) == pytest.approx(loss(40), rel=1e-5)


def test_batches_of_sequences():
    torch.manual_seed(0)
    logits = torch.randn(5, 7, 7)
    same, other = pair_masks(torch.arange(7.0), torch.arange(7.0), gap=2)
    each = torch.stack([bbce(x, same, other) for x in logits])
    assert bbce(logits, same, other).item() == pytest.approx(each.mean().item(), rel=1e-5)


def test_large_and_half_precision_logits_stay_finite():
    same = torch.eye(2, dtype=torch.bool)
    logits = torch.tensor([[-300.0, 300.0], [300.0, -300.0]], requires_grad=True)
    loss = bbce(logits, same, ~same)
    loss.backward()
    assert loss.item() == pytest.approx(600) and torch.isfinite(logits.grad).all()
    assert bbce(torch.zeros(2, 2, dtype=torch.bfloat16), same, ~same).dtype == torch.float32


def test_gradients_pull_the_right_way():
    same, other = pair_masks(torch.arange(6.0), torch.arange(6.0), gap=2)
    logits = torch.zeros(6, 6, requires_grad=True)
    bbce(logits, same, other).backward()
    assert (logits.grad[same] < 0).all() and (logits.grad[other] > 0).all()
    assert (logits.grad[~same & ~other] == 0).all()


def test_pair_masks():
    same, other = pair_masks(torch.arange(4.0), torch.arange(4.0), gap=2)
    assert same.tolist() == torch.eye(4, dtype=torch.bool).tolist()
    assert other.int().tolist() == [[0, 0, 1, 1], [0, 0, 0, 1], [1, 0, 0, 0], [1, 1, 0, 0]]
    wide = pair_masks(torch.arange(4.0), torch.arange(4.0), gap=3)[1]
    assert wide.sum() == 2 and wide[0, 3] and wide[3, 0]


def test_pair_masks_on_a_finer_grid():
    same, other = pair_masks(torch.arange(3.0), torch.arange(0, 5, 0.25), gap=2)
    assert same.shape == other.shape == (3, 20)
    assert same.nonzero().tolist() == [[0, 0], [1, 4], [2, 8]]
    assert other[0].nonzero().flatten().tolist() == list(range(8, 20))
