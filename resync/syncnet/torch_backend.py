"""The network with PyTorch: inference on CUDA, and evaluation during training on any device."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from ..config import WINDOW_FRAMES, WINDOW_HOPS
from ..errors import DeviceError
from .checkpoint import load_model
from .interpolation import computed_windows, interpolate_embeddings
from .model import ICSyncNet

BATCH = {"cpu": 64, "cuda": 1024}  # maximum number of windows per call; on the CPU larger batches cost memory and gain nothing
WINDOW_BYTES = 4 * 2**20  # GPU memory to plan per window; the three maps of the first stage take 1.2 MiB of it


def pick_device(name: str = "auto") -> torch.device:
    """The device that auto, cpu, cuda or cuda:N names. Raises DeviceError for any other name and for missing CUDA."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError as e:
        raise DeviceError(f"{name}: unknown device; use auto, cpu, cuda or cuda:N") from e
    if device.type == "cuda" and (not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count()):
        raise DeviceError(f"{name}: no such CUDA device on this machine; use --device cpu")
    if device.type not in ("cpu", "cuda"):
        raise DeviceError(f"{name}: unsupported device; use auto, cpu, cuda or cuda:N")
    return device


class TorchBackend:
    """The network on a PyTorch device. See Backend."""

    def __init__(self, net: ICSyncNet):
        self._net, self.dimensions, self.rule = net, net.dimensions, net.rule
        self.device = str(next(net.parameters()).device)

    @classmethod
    def load(cls, path: Path, device: torch.device) -> TorchBackend:
        """Load a weights file. Raises WeightsError."""
        return cls(load_model(path, device))

    def embed_mouths(self, crops: np.ndarray) -> np.ndarray:
        """See Backend."""
        return embed_mouths(self._net, crops)

    def embed_audio(self, mels: np.ndarray) -> np.ndarray:
        """See Backend."""
        return embed_audio(self._net, mels)

    def probability(self, cosine: np.ndarray) -> np.ndarray:
        """See Backend."""
        return probability(self._net, cosine)


@torch.inference_mode()
def embed_mouths(net: ICSyncNet, crops: np.ndarray) -> np.ndarray:
    """Embed every window of five consecutive mouth crops: uint8 [n, S, S] -> unit vectors, float32 [n - 4, E]."""
    images = _on_device(net, np.array(crops))  # each crop is transferred once; windows are formed on the device
    return _run_batches(net.embed_mouths, images.unfold(0, WINDOW_FRAMES, 1).permute(0, 3, 1, 2))


@torch.inference_mode()
def embed_audio(net: ICSyncNet, mels: np.ndarray) -> np.ndarray:
    """Embed every window of 20 mel frames: float [n, bands] -> unit vectors, float32 [n - 19, E]."""
    frames = _on_device(net, np.array(mels, np.float32))
    windows = frames.unfold(0, WINDOW_HOPS, 1).permute(0, 2, 1)
    computed = computed_windows(len(windows))
    return interpolate_embeddings(_run_batches(net.embed_audio, windows[torch.from_numpy(computed).to(windows.device)]), computed)


@torch.inference_mode()
def probability(net: ICSyncNet, cosine: np.ndarray) -> np.ndarray:
    """P(in sync) from cosine similarities: float32 of the same shape; NaN stays NaN."""
    return torch.sigmoid(net.logits(_on_device(net, cosine))).cpu().numpy()


def _on_device(net: ICSyncNet, array: np.ndarray) -> torch.Tensor:
    """Copy `array` to the device of `net`; to CUDA through pinned memory, which allows an asynchronous transfer."""
    device, tensor = next(net.parameters()).device, torch.from_numpy(array)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor


def batch_size(device: torch.device) -> int:
    """Windows per call: on a GPU at most as many as fit in half of its free memory."""
    limit = BATCH[device.type]
    return limit if device.type == "cpu" else max(1, min(limit, torch.cuda.mem_get_info(device)[0] // 2 // WINDOW_BYTES))


def _run_batches(embed: Callable[[torch.Tensor], torch.Tensor], windows: torch.Tensor) -> np.ndarray:
    size = batch_size(windows.device)
    return torch.cat([embed(windows[i : i + size]) for i in range(0, len(windows), size)]).cpu().numpy()
