"""Several trained networks as one."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from training_helpers import TINY

from resync.errors import DataError
from resync.syncnet.checkpoint import load_model, save_model
from resync.syncnet.model import ICSyncNet
from resync.training.join import join_models


def network(seed, dimensions=TINY):
    torch.manual_seed(seed)
    return ICSyncNet(dimensions).eval()


@torch.inference_mode()
def test_log_odds_are_the_mean_of_those_of_the_members(tmp_path):
    nets = [network(seed) for seed in range(3)]
    for net in nets:  # of equal scale; otherwise they are the mean only about
        net.log_scale.fill_(np.log(11.0))
    nets[2].bias.fill_(-2.0)
    save_model(join_models(nets), tmp_path / "joined.safetensors")
    joined = load_model(tmp_path / "joined.safetensors")
    mouths, mels = torch.randint(0, 255, (4, 5, 64, 64), dtype=torch.uint8), torch.randn(6, 20, 80) - 3
    expected = torch.stack([net(mouths, mels) for net in nets]).mean(0)
    assert torch.allclose(joined(mouths, mels), expected, atol=1e-4)
    assert torch.allclose(joined.embed_audio(mels).norm(dim=1), torch.ones(6), atol=1e-5)


def test_a_single_network_stays_as_it_is():
    net = network(0)
    assert join_models([net]) is net


def test_networks_of_other_dimensions_and_joined_ones_are_refused():
    for other in (network(1, replace(TINY, embedding=24)), join_models([network(1), network(2)])):
        with pytest.raises(DataError, match="cannot be joined"):
            join_models([network(0), other])
    joined = join_models([network(1), network(2)])
    with pytest.raises(DataError, match="cannot be joined"):
        join_models([joined, joined])
