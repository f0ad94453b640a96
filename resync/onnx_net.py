"""The network on a processor, by ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from scipy.special import expit

from . import weights
from .config import WINDOW_FRAMES
from .dimensions import Dimensions
from .graph import INPUT, sound_graph, visual_graph
from .mels import windows

BATCH = 32  # windows at once; more costs memory and cache misses


class OnnxNet:
    """The network, for a processor. See `embed.Net`. threads: how many at once; 0 = as many as there are cores."""

    device = "cpu"

    def __init__(self, tensors: Mapping[str, np.ndarray], dimensions: Dimensions, threads: int = 0):
        """Raises KeyError and ValueError for tensors of another network, TypeError for a scale that is no number."""
        self.dimensions, left = dimensions, dict(tensors)
        self._visual, self._sound = (_session(make(left, dimensions), threads) for make in (visual_graph, sound_graph))
        self._scale, self._bias = float(np.exp(left.pop("log_scale"))), float(left.pop("bias"))
        if left:
            raise ValueError(f"{min(left)} is not part of it")

    @classmethod
    def load(cls, path: str | Path, threads: int = 0) -> OnnxNet:
        """From a file of weights. Raises WeightsError."""
        file = Path(path)
        with weights.as_weights(file):
            return cls(*weights.read(file), threads)

    def mouth(self, crops: np.ndarray) -> np.ndarray:
        """See Net."""
        stacks = np.lib.stride_tricks.sliding_window_view(crops, WINDOW_FRAMES, axis=0).transpose(0, 3, 1, 2)
        return self._batches(self._visual, stacks, np.uint8)

    def sound(self, mels: np.ndarray) -> np.ndarray:
        """See Net."""
        return self._batches(self._sound, windows(mels), np.float32)

    def probability(self, cosine: np.ndarray) -> np.ndarray:
        """See Net."""
        return expit(cosine * np.float32(self._scale) + np.float32(self._bias))

    def _batches(self, run: Callable, inputs: np.ndarray, kind: type) -> np.ndarray:
        parts = (inputs[i : i + BATCH] for i in range(0, len(inputs), BATCH))
        return np.concatenate([run(None, {INPUT: np.ascontiguousarray(part, kind)})[0] for part in parts])


def _session(model: onnx.ModelProto, threads: int) -> Callable:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"]).run
