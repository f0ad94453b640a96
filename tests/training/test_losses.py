"""Balanced binary cross-entropy and the pairs it is computed over."""

import math

import pytest
import torch

from resync.training.losses import batch_weights, bbce, pair_masks, ranking_loss


def test_value_by_hand():
    logits = torch.tensor([[2.0, -1.0], [0.5, 3.0]])
    positive = torch.eye(2, dtype=torch.bool)
    positive_mean = (math.log(1 + math.exp(-2)) + math.log(1 + math.exp(-3))) / 2
    negative_mean = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(0.5))) / 2
    assert bbce(logits, positive, ~positive).item() == pytest.approx(positive_mean + negative_mean, rel=1e-5)


def test_pairs_in_neither_mask_are_ignored():
    logits = torch.zeros(3, 3)
    positive, negative = pair_masks(torch.arange(3.0), torch.arange(3.0), gap=2)
    before = bbce(logits, positive, negative)
    logits[0, 1] = logits[2, 1] = 50.0  # one frame apart
    assert bbce(logits, positive, negative) == before == pytest.approx(2 * math.log(2))


def test_many_negative_pairs_do_not_outweigh_the_positive_ones():
    def loss(n):
        positive = torch.eye(n, dtype=torch.bool)
        return bbce(torch.full((n, n), -3.0), positive, ~positive).item()

    assert loss(4) == pytest.approx(loss(40), rel=1e-5)


def test_batch_of_sequences():
    torch.manual_seed(0)
    logits = torch.randn(5, 7, 7)
    positive, negative = pair_masks(torch.arange(7.0), torch.arange(7.0), gap=2)
    each = torch.stack([bbce(x, positive, negative) for x in logits])
    assert bbce(logits, positive, negative).item() == pytest.approx(each.mean().item(), rel=1e-5)


def test_large_and_half_precision_logits_stay_finite():
    positive = torch.eye(2, dtype=torch.bool)
    logits = torch.tensor([[-300.0, 300.0], [300.0, -300.0]], requires_grad=True)
    loss = bbce(logits, positive, ~positive)
    loss.backward()
    assert loss.item() == pytest.approx(600) and torch.isfinite(logits.grad).all()
    assert bbce(torch.zeros(2, 2, dtype=torch.bfloat16), positive, ~positive).dtype == torch.float32


def test_signs_of_the_gradients():
    positive, negative = pair_masks(torch.arange(6.0), torch.arange(6.0), gap=2)
    logits = torch.zeros(6, 6, requires_grad=True)
    bbce(logits, positive, negative).backward()
    assert (logits.grad[positive] < 0).all() and (logits.grad[negative] > 0).all()
    assert (logits.grad[~positive & ~negative] == 0).all()


def test_pair_masks():
    positive, negative = pair_masks(torch.arange(4.0), torch.arange(4.0), gap=2)
    assert positive.tolist() == torch.eye(4, dtype=torch.bool).tolist()
    assert negative.int().tolist() == [[0, 0, 1, 1], [0, 0, 0, 1], [1, 0, 0, 0], [1, 1, 0, 0]]
    wide = pair_masks(torch.arange(4.0), torch.arange(4.0), gap=3)[1]
    assert wide.sum() == 2 and wide[0, 3] and wide[3, 0]


def test_pair_masks_on_the_grid_of_hops():
    positive, negative = pair_masks(torch.arange(3.0), torch.arange(0, 5, 0.25), gap=2)
    assert positive.shape == negative.shape == (3, 20)
    assert positive.nonzero().tolist() == [[0, 0], [1, 4], [2, 8]]
    assert negative[0].nonzero().flatten().tolist() == list(range(8, 20))


def test_batch_weights():
    positive, negative = batch_weights(3, 8, gap=2.0)
    assert torch.equal(positive, torch.eye(24)) and negative.sum().item() == pytest.approx(1)
    assert negative[:8, 8:].sum() == 0, "no pairs across sequences"
    _, near = batch_weights(3, 8, gap=2.0, near=0.5)
    assert near[0, 4] / near[0, 5] == pytest.approx(0.5) and near[0, 1] == 0
    _, cross = batch_weights(3, 8, gap=2.0, cross=0.25)
    assert cross[:8, 8:].sum() + cross[8:16, :8].sum() > 0 and cross.sum().item() == pytest.approx(1)
    own = sum(cross[i : i + 8, i : i + 8].sum().item() for i in (0, 8, 16))
    assert own == pytest.approx(0.75)


def test_ranking_loss_by_hand():
    logits = torch.tensor([[2.0, -1.0, 0.5], [9.0, 1.0, 9.0], [0.0, 0.5, 3.0]])
    positive, negative = pair_masks(torch.arange(3.0), torch.arange(3.0), gap=2)  # of the second row nothing but the true pair
    terms = [math.log(1 + math.exp(0.5 - 2)), 0, math.log(1 + math.exp(-3)), math.log(1 + math.exp(-2)), 0, math.log(1 + math.exp(0.5 - 3))]
    assert ranking_loss(logits, positive.float(), negative.float()).item() == pytest.approx(sum(terms) / 6, rel=1e-5)


def test_ranking_loss_ignores_what_all_pairs_have_in_common():
    positive, negative = batch_weights(2, 6, gap=2.0)
    torch.manual_seed(0)
    logits = torch.randn(12, 12, requires_grad=True)
    loss = ranking_loss(logits, positive, negative)
    assert ranking_loss(logits + 3, positive, negative).item() == pytest.approx(loss.item(), rel=1e-4)
    loss.backward()
    assert (logits.grad[positive > 0] < 0).all() and (logits.grad[negative > 0] > 0).all()
    assert (logits.grad[(positive + negative) == 0] == 0).all()
