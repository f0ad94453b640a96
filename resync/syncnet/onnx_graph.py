"""The two encoders of model.py as ONNX graphs: on the CPU, ONNX Runtime is several times as fast as PyTorch.

The graphs are built from the tensors of the weights file at load time, so that there is only one weights file. Every tensor
that a graph uses is removed from the dict, so that tensors of another network are left over and detected. Batch norm is
folded into the convolution before it: in inference both are linear.
"""

from __future__ import annotations

from collections.abc import MutableMapping, Sequence

import numpy as np

from .. import onnx_format
from ..config import MEL_BANDS, WINDOW_FRAMES, WINDOW_HOPS
from .dimensions import AUDIO_STRIDES, CONTRAST_FLOOR, VISUAL_STRIDES, Dimensions

INPUT, OUTPUT = "input", "embedding"
BLUR_TAPS = np.array([1, 2, 1]) / 4
NORM_EPSILON = 1e-5  # default of torch.nn.BatchNorm2d


def visual_graph(tensors: MutableMapping[str, np.ndarray], dimensions: Dimensions) -> bytes:
    """Graph of ICSyncNet.embed_mouths: uint8 [n, WINDOW_FRAMES, S, S] -> float32 [n, E].

    Removes the tensors it uses. Raises KeyError or ValueError when they are not those of this network.
    """
    graph = _Graph(tensors)
    side = dimensions.crop.size
    x = graph.add("Cast", INPUT, to=onnx_format.DATA_TYPES[np.dtype(np.float32)])
    x = graph.add("Sub", x, graph.add("ReduceMean", x, axes=[1, 2, 3]))
    count = WINDOW_FRAMES * side * side
    variance = graph.add("Div", graph.add("ReduceSumSquare", x, axes=[1, 2, 3]), graph.constant(count - 1.0))
    x = graph.add("Div", x, graph.add("Add", graph.add("Sqrt", variance), graph.constant(CONTRAST_FLOOR)))
    size = (side, side)
    graph.encoder("visual", x, WINDOW_FRAMES, size, dimensions.visual_widths, VISUAL_STRIDES, dimensions, dimensions.blur_stem)
    return graph.model(np.uint8, (WINDOW_FRAMES, side, side), dimensions.embedding)


def audio_graph(tensors: MutableMapping[str, np.ndarray], dimensions: Dimensions) -> bytes:
    """Graph of ICSyncNet.embed_audio: float32 [n, WINDOW_HOPS, MEL_BANDS] -> float32 [n, E].

    Removes the tensors it uses. Raises KeyError or ValueError when they are not those of this network.
    """
    graph = _Graph(tensors)
    x = graph.add("Sub", INPUT, graph.add("ReduceMean", INPUT, axes=[1, 2]))
    x = graph.add("Unsqueeze", graph.add("Transpose", x, perm=[0, 2, 1]), graph.constant([1], np.int64))
    # The audio encoder's tensors are named "sound.*" in the weights file.
    graph.encoder("sound", x, 1, (MEL_BANDS, WINDOW_HOPS), dimensions.sound_widths, AUDIO_STRIDES, dimensions)
    return graph.model(np.float32, (WINDOW_HOPS, MEL_BANDS), dimensions.embedding)


def _blurred(kernel: np.ndarray) -> np.ndarray:
    """The kernel of a `BlurConv` of model.py: [O, I, 3, 3] -> [O, I, 5, 5]."""
    padded = np.pad(kernel, ((0, 0), (0, 0), (2, 2), (2, 2)))
    return np.einsum("oiyxjk,j,k->oiyx", np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(2, 3)), BLUR_TAPS, BLUR_TAPS)


class _Graph:
    """Collects the nodes and constants of one encoder."""

    def __init__(self, tensors: MutableMapping[str, np.ndarray]):
        self._tensors = tensors
        self._nodes: list[tuple[str, tuple[str, ...], str, dict]] = []
        self._constants: list[bytes] = []

    def add(self, operator: str, *inputs: str, **attributes) -> str:
        """Append a node; returns the name of its output."""
        name = f"{operator}_{len(self._nodes)}"
        self._nodes.append((operator, inputs, name, attributes))
        return name

    def constant(self, values, dtype: type = np.float32) -> str:
        """Append a constant; returns its name."""
        name = f"constant_{len(self._constants)}"
        self._constants.append(onnx_format.tensor(name, np.asarray(values, dtype)))
        return name

    def model(self, input_type: type, shape: Sequence[int], embedding: int) -> bytes:
        """The complete model, with one input [n, *shape] and one output [n, embedding]."""
        *nodes, (operator, inputs, _, attributes) = self._nodes
        encoded = [onnx_format.node(*node) for node in [*nodes, (operator, inputs, OUTPUT, attributes)]]
        ends = onnx_format.batch(INPUT, input_type, shape), onnx_format.batch(OUTPUT, np.float32, (embedding,))
        return onnx_format.model(encoded, self._constants, *ends)

    def encoder(
        self, name: str, x: str, inputs: int, size: tuple[int, int], widths, strides, dimensions: Dimensions, blur_stem: bool = False
    ) -> str:
        """Append an `Encoder` of model.py; returns the name of its output."""
        x = self._relu(self._conv(x, f"{name}.stem.0", (widths[0], inputs, 3, 3), f"{name}.stem.1", blur=blur_stem))
        before = widths[0]
        for stage, (width, stride) in enumerate(zip(widths, strides, strict=True)):
            x = x if blur_stem and stage == 0 else self._blur(x, before, stride)
            x = self._residual(x, f"{name}.stages.{2 * stage + 1}", before, width)
            before = width
            size = (-(-size[0] // stride[0]), -(-size[1] // stride[1]))
        x = self._relu(self._conv(x, f"{name}.head.0", (dimensions.head, before, 1, 1), f"{name}.head.1"))
        features = dimensions.head * size[0] * size[1]
        weight = self._take(f"{name}.out.weight", (dimensions.embedding, features))
        bias = self._take(f"{name}.out.bias", (dimensions.embedding,))
        x = self.add("Gemm", self.add("Flatten", x), self.constant(weight), self.constant(bias), transB=1)
        return self.add("LpNormalization", x, axis=-1, p=2)

    def _residual(self, x: str, name: str, inputs: int, outputs: int) -> str:
        """Append a `Residual` of model.py."""
        y = self._relu(self._conv(x, f"{name}.conv1", (outputs, inputs, 3, 3), f"{name}.bn1"))
        y = self._conv(y, f"{name}.conv2", (outputs, outputs, 3, 3), f"{name}.bn2")
        short = x if inputs == outputs else self._conv(x, f"{name}.short", (outputs, inputs, 1, 1))
        return self._relu(self.add("Add", y, short))

    def _conv(self, x: str, name: str, shape: tuple[int, int, int, int], norm: str | None = None, blur: bool = False) -> str:
        """Append a convolution without bias, with the batch norm after it folded in if there is one. blur: a `BlurConv` of model.py."""
        weight, inputs = self._take(f"{name}.weight", shape), [x]
        weight = _blurred(weight) if blur else weight
        if norm is None:
            inputs.append(self.constant(weight))
        else:
            gain, bias, mean, variance = (
                self._take(f"{norm}.{field}", shape[:1]).astype(np.float64) for field in ("weight", "bias", "running_mean", "running_var")
            )
            self._tensors.pop(f"{norm}.num_batches_tracked", None)  # used in training only
            gain = gain / np.sqrt(variance + NORM_EPSILON)
            inputs += [self.constant(weight * gain[:, None, None, None]), self.constant(bias - mean * gain)]
        return self.add("Conv", *inputs, pads=[weight.shape[2] // 2] * 4, strides=[2, 2] if blur else [1, 1])

    def _blur(self, x: str, channels: int, stride: tuple[int, int]) -> str:
        """Append a `BlurPool` of model.py."""
        taps = [BLUR_TAPS if s > 1 else np.ones(1) for s in stride]
        kernel = np.broadcast_to(np.outer(*taps), (channels, 1, len(taps[0]), len(taps[1])))
        return self.add("Conv", x, self.constant(kernel), group=channels, strides=list(stride), pads=[len(t) // 2 for t in taps] * 2)

    def _relu(self, x: str) -> str:
        return self.add("Relu", x)

    def _take(self, name: str, shape: tuple[int, ...]) -> np.ndarray:
        """Remove and return a tensor of the weights file; it must have this shape."""
        tensor = self._tensors.pop(name)
        if tensor.shape != shape:
            raise ValueError(f"{name} has shape {list(tensor.shape)}, expected {list(shape)}")
        return tensor
