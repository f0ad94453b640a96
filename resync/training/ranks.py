"""Distributed training: one process per device, started by `torchrun`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch import nn

from ..errors import DataError
from ..syncnet.torch_backend import pick_device


@dataclass(frozen=True)
class Rank:
    """This process within a training run. rank: 0 .. world_size - 1; device: where this process computes."""

    rank: int
    world_size: int
    device: torch.device

    @property
    def is_main(self) -> bool:
        """Whether this process validates, logs and saves."""
        return self.rank == 0

    def batch_slice(self, batch: int) -> slice:
        """The sequences of a batch that this process draws. Raises DataError if the batch is not divisible by the processes."""
        if batch % self.world_size:
            raise DataError(
                f"a batch of {batch} sequences is not divisible by {self.world_size} processes; change `batch` in the --recipe file"
            )
        count = batch // self.world_size
        return slice(self.rank * count, (self.rank + 1) * count)

    def wrap(self, net: nn.Module) -> nn.Module:
        """The network to train: with several processes, one that averages gradients over all of them."""
        if self.world_size == 1:
            return net
        return nn.parallel.DistributedDataParallel(net, device_ids=[self.device.index] if self.device.type == "cuda" else None)

    def broadcast(self, value: float) -> float:
        """The main process's value, because the clocks of the processes differ."""
        if self.world_size == 1:
            return value
        tensor = torch.tensor([value], dtype=torch.float64, device=self.device)
        dist.broadcast(tensor, 0)
        return tensor.item()

    def mean(self, value: torch.Tensor) -> torch.Tensor:
        """Mean over all processes."""
        if self.world_size > 1:
            dist.all_reduce(value)
        return value / self.world_size

    def barrier(self) -> None:
        """Wait until every process has reached this point."""
        if self.world_size > 1:
            dist.barrier()


@contextmanager
def join_run(device: str = "auto") -> Iterator[Rank]:
    """The Rank of this process; a single one unless `torchrun` or another launcher set WORLD_SIZE. Raises DeviceError."""
    defaults = {"WORLD_SIZE": 1, "RANK": 0, "LOCAL_RANK": 0}
    world_size, rank, local_rank = (int(os.environ.get(name, default)) for name, default in defaults.items())
    chosen = pick_device(device)
    if world_size == 1:
        yield Rank(0, 1, chosen)
        return
    if chosen.type == "cuda":
        chosen = pick_device(f"cuda:{local_rank}")
        torch.cuda.set_device(chosen)
    dist.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield Rank(rank, world_size, chosen)
        dist.barrier()  # a process that exits while others still communicate may be aborted by its own threads
    finally:
        dist.destroy_process_group()
