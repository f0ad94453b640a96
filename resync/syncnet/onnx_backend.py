"""The network on the CPU, with ONNX Runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import onnxruntime

from ..config import WINDOW_FRAMES, DecisionRule
from ..smoothing import expit
from .checkpoint import read_tensors, weights_errors
from .dimensions import Dimensions
from .interpolation import computed_windows, interpolate_embeddings
from .mel import constant_windows, mel_windows
from .onnx_graph import INPUT, audio_graph, visual_graph

BATCH = 32  # windows per call; larger batches cost memory and cache misses


class OnnxBackend:
    """The network on the CPU. See Backend."""

    device = "cpu"

    def __init__(self, tensors: Mapping[str, np.ndarray], dimensions: Dimensions, rule: DecisionRule = DecisionRule(), threads: int = 0):
        """Build the network from its tensors. rule: the decision rule fitted to it; threads: 0 = one per core.

        Raises KeyError, ValueError or TypeError for the tensors of another network.
        """
        self.dimensions, self.rule, remaining = dimensions, rule, dict(tensors)
        self._visual, self._audio = (_session(graph(remaining, dimensions), threads) for graph in (visual_graph, audio_graph))
        self._scale, self._bias = float(np.exp(remaining.pop("log_scale"))), float(remaining.pop("bias"))
        if remaining:
            raise ValueError(f"unexpected tensor {min(remaining)}")

    @classmethod
    def load(cls, path: str | Path, threads: int = 0) -> OnnxBackend:
        """Load a weights file. Raises WeightsError."""
        file = Path(path)
        with weights_errors(file):
            return cls(*read_tensors(file), threads)

    def embed_mouths(self, crops: np.ndarray) -> np.ndarray:
        """See Backend."""
        windows = np.lib.stride_tricks.sliding_window_view(crops, WINDOW_FRAMES, axis=0).transpose(0, 3, 1, 2)
        return self._run_batches(self._visual, windows, np.uint8, np.arange(len(windows)))

    def embed_audio(self, mels: np.ndarray) -> np.ndarray:
        """See Backend."""
        windows = mel_windows(mels)
        computed, constant = computed_windows(len(windows)), constant_windows(mels)
        constant = constant[computed]
        embeddings = np.empty((len(computed), self.dimensions.embedding), np.float32)
        embeddings[~constant] = self._run_batches(self._audio, windows, np.float32, computed[~constant])
        if constant.any():
            embeddings[constant] = self._run_batches(self._audio, windows, np.float32, computed[constant][:1])
        return interpolate_embeddings(embeddings, computed)

    def probability(self, cosine: np.ndarray) -> np.ndarray:
        """See Backend."""
        return expit(cosine * np.float32(self._scale) + np.float32(self._bias))

    def _run_batches(self, run: Callable, windows: np.ndarray, dtype: type, rows: np.ndarray) -> np.ndarray:
        """Embeddings of some of the windows: float32 [rows, E]."""
        batches = (windows[rows[i : i + BATCH]] for i in range(0, len(rows), BATCH))
        empty = np.empty((0, self.dimensions.embedding), np.float32)
        return np.concatenate([empty, *(run(None, {INPUT: np.ascontiguousarray(batch, dtype)})[0] for batch in batches)])


def _session(model: bytes, threads: int) -> Callable:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors only
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"]).run
