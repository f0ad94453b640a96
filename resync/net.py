"""The trained network as the analysis uses it, on whatever runs it fastest: ONNX Runtime on a processor, torch on CUDA."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Protocol

import numpy as np

from .dimensions import Dimensions


class Net(Protocol):
    """Mouths and sound to embeddings, and these to P(in sync)."""

    dimensions: Dimensions
    device: str

    def mouth(self, crops: np.ndarray) -> np.ndarray:
        """uint8 [n, S, S] consecutive crops -> float32 [n - 4, E] unit vectors, one for each five-frame window."""

    def sound(self, mels: np.ndarray) -> np.ndarray:
        """float [n, bands] mel frames -> float32 [n - 19, E] unit vectors, one for each 0.2 s window, every 10 ms."""

    def probability(self, cosine: np.ndarray) -> np.ndarray:
        """Cosines -> P(in sync), float32 of the same shape, NaN kept."""


def load_net(path: Path, device: str = "auto", threads: int = 0) -> Net:
    """The network of a weights file on a device: auto, cpu, cuda or cuda:N.

    threads: of a processor; 0 = as many as there are cores. Raises WeightsError, and DeviceError when CUDA was asked for and is missing.
    """
    if device != "cpu" and (device != "auto" or has_cuda_driver()):
        from .embed import TorchNet, pick_device

        chosen = pick_device(device)
        if chosen.type == "cuda":
            return TorchNet.load(path, chosen)
    from .onnx_net import OnnxNet

    return OnnxNet.load(path, threads)


def has_cuda_driver() -> bool:
    """Whether NVIDIA's driver is here and has a device; asked of the driver itself, because importing torch takes a second."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
