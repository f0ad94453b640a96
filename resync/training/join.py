"""Several trained networks as one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch

from ..errors import DataError
from ..syncnet.model import ICSyncNet


def join_models(nets: Sequence[ICSyncNet]) -> ICSyncNet:
    """One network with the members of all, of equal weight; of a single one, that network.

    Scale and bias are the means, so that the log-odds are about the mean of theirs; calibrate them. Raises DataError where the
    dimensions differ.
    """
    if len(nets) == 1:
        return nets[0]
    first = nets[0]
    if any(net.dimensions != first.dimensions or net.dimensions.members != 1 for net in nets):
        raise DataError("weights of different dimensions, or joined ones, cannot be joined; name files of single networks of the same kind")
    net = ICSyncNet(replace(first.dimensions, members=len(nets))).eval().to(first.log_scale.device)
    net.rule = first.rule
    with torch.no_grad():
        for name in ("visual", "sound"):
            for member, own in zip(getattr(net, name), nets, strict=True):
                member.load_state_dict(getattr(own, name).state_dict())
        net.log_scale.copy_(torch.stack([own.log_scale.exp() for own in nets]).mean().log())
        net.bias.copy_(torch.stack([own.bias for own in nets]).mean())
    return net
