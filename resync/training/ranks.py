"""Several processes that train one network: started by `torchrun`, one for each device."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from ..embed import pick_device
from ..errors import DataError


@dataclass(frozen=True)
class Ranks:
    """This process among those of the run. rank: 0 .. world - 1; device: where this process computes."""

    rank: int
    world: int
    device: torch.device

    @property
    def first(self) -> bool:
        """Is this the process that validates, logs and saves?"""
        return self.rank == 0

    def share(self, batch: int) -> slice:
        """The sequences of a batch that this process draws. Raises DataError when they cannot be shared out evenly."""
        if batch % self.world:
            raise DataError(f"a batch of {batch} sequences cannot be shared by {self.world} processes; change `batch` in --recipe")
        part = batch // self.world
        return slice(self.rank * part, (self.rank + 1) * part)

    def wrap(self, net: nn.Module) -> nn.Module:
        """The network as it is to be trained: gradients are averaged over all processes."""
        if self.world == 1:
            return net
        return nn.parallel.DistributedDataParallel(net, device_ids=[self.device.index] if self.device.type == "cuda" else None)

    def agree(self, value: float) -> float:
        """The first process's value, for clocks that differ."""
        if self.world == 1:
            return value
        told = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(told, 0)
        return told.item()

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Mean over all processes."""
        if self.world > 1:
            dist.all_reduce(value)
        return value / self.world

    def wait(self) -> None:
        """Until every process is here."""
        if self.world > 1:
            dist.barrier()


@contextmanager
def joined(device: str = "auto"):
    """The Ranks of this process; alone unless `torchrun` (or another launcher) set WORLD_SIZE. Raises DeviceError."""
    world, rank, local = (int(os.environ.get(name, default)) for name, default in (("WORLD_SIZE", 1), ("RANK", 0), ("LOCAL_RANK", 0)))
    chosen = pick_device(device)
    if world == 1:
        yield Ranks(0, 1, chosen)
        return
    if chosen.type == "cuda":
        chosen = pick_device(f"cuda:{local}")
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Ranks(rank, world, chosen)
        dist.barrier()  # one that ends while others are still at it may be aborted by its own threads
    finally:
        dist.destroy_process_group()
