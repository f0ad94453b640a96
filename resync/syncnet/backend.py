"""The trained network as the analysis uses it: ONNX Runtime on the CPU, PyTorch on CUDA."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import Protocol

import numpy as np

from ..config import DecisionRule
from .dimensions import Dimensions


class Backend(Protocol):
    """The network loaded on one device. Safe to call from several threads at once."""

    dimensions: Dimensions
    rule: DecisionRule
    device: str

    def embed_mouths(self, crops: np.ndarray) -> np.ndarray:
        """Embed every window of five consecutive mouth crops: uint8 [n, S, S] -> unit vectors, float32 [n - 4, E]."""

    def embed_audio(self, mels: np.ndarray) -> np.ndarray:
        """Embed every window of 20 mel frames (0.2 s), one every 10 ms: float [n, bands] -> unit vectors, float32 [n - 19, E].

        Three of four are interpolated, see interpolation.py.
        """

    def probability(self, cosine: np.ndarray) -> np.ndarray:
        """P(in sync) from cosine similarities: float32 of the same shape; NaN stays NaN."""


def load_backend(path: Path, device: str = "auto", threads: int = 0) -> Backend:
    """Load a weights file on a device: auto, cpu, cuda or cuda:N.

    threads: CPU threads, 0 = one per core. Raises WeightsError, and DeviceError for an unknown device or missing CUDA.
    PyTorch is imported only when CUDA is requested or a CUDA driver is present.
    """
    chosen = resolve_device(device)
    if chosen != "cpu":
        from .torch_backend import TorchBackend, pick_device

        return TorchBackend.load(path, pick_device(chosen))
    from .onnx_backend import OnnxBackend

    return OnnxBackend.load(path, threads)


def resolve_device(device: str) -> str:
    """The device that `load_backend` takes for a name, as in `Backend.device`: cpu or cuda:N. Raises DeviceError."""
    if device == "cpu" or (device == "auto" and not has_cuda_driver()):
        return "cpu"
    from .torch_backend import pick_device

    chosen = pick_device(device)
    return "cpu" if chosen.type == "cpu" else f"cuda:{chosen.index or 0}"


def has_cuda_driver() -> bool:
    """Whether the NVIDIA driver is installed and reports a device. Queries the driver, because importing PyTorch takes a second."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int()
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
