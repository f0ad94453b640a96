"""Mouth crops and mel frames to embeddings and scores, in batches, on CUDA or CPU."""

from __future__ import annotations

import numpy as np
import torch

from .config import WINDOW_FRAMES
from .errors import DeviceError
from .mels import windows
from .model import ICSyncNet

BATCH = {"cpu": 64, "cuda": 1024}  # windows at once; on a processor more costs memory and gains nothing


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


@torch.inference_mode()
def embed_mouth(net: ICSyncNet, crops: np.ndarray) -> np.ndarray:
    """uint8 [n, S, S] consecutive crops -> float32 [n - 4, E], one for each five-frame window."""
    device = next(net.parameters()).device
    stacks = torch.from_numpy(np.array(crops)).unfold(0, WINDOW_FRAMES, 1).permute(0, 3, 1, 2)
    size = BATCH[device.type]
    parts = [net.embed_mouth(stacks[i : i + size].to(device)).cpu() for i in range(0, len(stacks), size)]
    return torch.cat(parts).numpy()


@torch.inference_mode()
def embed_sound(net: ICSyncNet, mels: np.ndarray) -> np.ndarray:
    """float [n, bands] mel frames -> float32 [n - 19, E], one for each 0.2 s window, every 10 ms."""
    device = next(net.parameters()).device
    view = windows(np.asarray(mels, np.float32))
    size = BATCH[device.type]
    parts = [net.embed_sound(torch.from_numpy(np.array(view[i : i + size])).to(device)).cpu() for i in range(0, len(view), size)]
    return torch.cat(parts).numpy()


@torch.inference_mode()
def probability(net: ICSyncNet, cosine: np.ndarray) -> np.ndarray:
    """Cosines -> P(in sync), NaN kept."""
    device = next(net.parameters()).device
    return torch.sigmoid(net.logits(torch.from_numpy(cosine).to(device))).cpu().numpy()
