"""Mouth crops and mel frames to embeddings and scores by torch: on CUDA, and wherever the network is trained."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from . import weights
from .config import WINDOW_FRAMES, WINDOW_HOPS
from .errors import DeviceError
from .model import ICSyncNet

BATCH = {"cpu": 64, "cuda": 1024}  # most windows at once; on a processor more costs memory and gains nothing
WINDOW_BYTES = 4 * 2**20  # of a card's memory that one window may take, of which 1.2 MiB are three maps of the first layer


def pick_device(name: str = "auto") -> torch.device:
    """auto, cpu, cuda or cuda:N -> device. Raises DeviceError when CUDA was asked for and is missing."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as e:
        raise DeviceError(f"{name}: no such device; use auto, cpu, cuda or cuda:N") from e
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise DeviceError(f"{name}: no such CUDA device on this machine; use --device cpu")
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"{name}: only cpu and cuda are supported")
    return device


class TorchNet:
    """The network on one of torch's devices. See `net.Net`."""

    def __init__(self, net: ICSyncNet):
        self._net, self.dimensions = net, net.dimensions
        self.device = str(next(net.parameters()).device)

    @classmethod
    def load(cls, path: Path, device: torch.device) -> TorchNet:
        """From a file of weights. Raises WeightsError."""
        return cls(weights.load(path, device))

    def mouth(self, crops: np.ndarray) -> np.ndarray:
        """See Net."""
        return embed_mouth(self._net, crops)

    def sound(self, mels: np.ndarray) -> np.ndarray:
        """See Net."""
        return embed_sound(self._net, mels)

    def probability(self, cosine: np.ndarray) -> np.ndarray:
        """See Net."""
        return probability(self._net, cosine)


@torch.inference_mode()
def embed_mouth(net: ICSyncNet, crops: np.ndarray) -> np.ndarray:
    """uint8 [n, S, S] consecutive crops -> float32 [n - 4, E], one for each five-frame window."""
    pictures = _on_device(net, np.array(crops))  # once; on the device they are stacked five by five
    return _batches(net.embed_mouth, pictures.unfold(0, WINDOW_FRAMES, 1).permute(0, 3, 1, 2))


@torch.inference_mode()
def embed_sound(net: ICSyncNet, mels: np.ndarray) -> np.ndarray:
    """float [n, bands] mel frames -> float32 [n - 19, E], one for each 0.2 s window, every 10 ms."""
    frames = _on_device(net, np.array(mels, np.float32))
    return _batches(net.embed_sound, frames.unfold(0, WINDOW_HOPS, 1).permute(0, 2, 1))


@torch.inference_mode()
def probability(net: ICSyncNet, cosine: np.ndarray) -> np.ndarray:
    """Cosines -> P(in sync), NaN kept."""
    return torch.sigmoid(net.logits(_on_device(net, cosine))).cpu().numpy()


def _on_device(net: ICSyncNet, array: np.ndarray) -> torch.Tensor:
    """A copy of `array` where the network is; for CUDA through pinned memory, from which the card reads by itself."""
    device, tensor = next(net.parameters()).device, torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def batch_size(device: torch.device) -> int:
    """Windows at once: on a card no more than half of its free memory holds."""
    most = BATCH[device.type]
    return most if device.type == "cpu" else max(1, min(most, torch.cuda.mem_get_info(device)[0] // 2 // WINDOW_BYTES))


def _batches(embed, stacks: torch.Tensor) -> np.ndarray:
    size = batch_size(stacks.device)
    return torch.cat([embed(stacks[i : i + size]) for i in range(0, len(stacks), size)]).cpu().numpy()
