"""ONNX models as bytes: the few messages of onnx.proto that are needed here, in the protobuf wire format.

The package onnx does the same, but takes as long to import as a clip of some seconds takes to analyse; the tests check the models with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

import numpy as np

IR_VERSION, OPSET = 8, 17  # the oldest with all operators used here; ONNX Runtime 1.12 and later read them
DATA_TYPES = {np.dtype(np.float32): 1, np.dtype(np.uint8): 2, np.dtype(np.int64): 7}  # TensorProto.DataType
_INT, _INTS = 2, 7  # AttributeProto.AttributeType


def node(operator: str, inputs: Iterable[str], output: str, attributes: Mapping[str, int | Sequence[int]]) -> bytes:
    """A NodeProto. attributes: integers, or lists of them."""
    names = [_field(1, name) for name in inputs] + [_field(2, output), _field(3, output), _field(4, operator)]
    return b"".join(names + [_field(5, _attribute(name, value)) for name, value in attributes.items()])


def tensor(name: str, values: np.ndarray) -> bytes:
    """A TensorProto of float32, uint8 or int64."""
    raw = np.ascontiguousarray(values).astype(values.dtype.newbyteorder("<"), copy=False).tobytes()
    return b"".join(_field(1, size) for size in values.shape) + _field(2, DATA_TYPES[values.dtype]) + _field(8, name) + _field(9, raw)


def batch(name: str, dtype: type, shape: Iterable[int]) -> bytes:
    """A ValueInfoProto of tensors [n, *shape]."""
    sizes = [_field(2, "n")] + [_field(1, size) for size in shape]  # dim_param, dim_value
    tensor_type = _field(1, DATA_TYPES[np.dtype(dtype)]) + _field(2, b"".join(_field(1, size) for size in sizes))
    return _field(1, name) + _field(2, _field(1, tensor_type))


def model(nodes: Iterable[bytes], constants: Iterable[bytes], model_input: bytes, model_output: bytes) -> bytes:
    """A ModelProto with one graph."""
    fields = [_field(1, part) for part in nodes] + [_field(2, "encoder")] + [_field(5, part) for part in constants]
    graph = b"".join(fields) + _field(11, model_input) + _field(12, model_output)
    return _field(1, IR_VERSION) + _field(7, graph) + _field(8, _field(1, "") + _field(2, OPSET))


def with_any_size(data: bytes) -> bytes:
    """A ModelProto of images [n, channels, height, width] that takes any n, height and width, whatever sizes it declares.

    Constants that are also listed as inputs, as in older files, are no inputs any more. Raises ValueError if it is no such model.
    """
    return _edited(data, {7: _graph_with_any_size})


def _graph_with_any_size(graph: bytes) -> bytes:
    constants = {name for number, part in _fields(graph) if number == 5 for key, name in _fields(_message(part)) if key == 8}

    def free(shape: bytes) -> bytes:
        sizes = [size for _, size in _fields(shape)]
        return b"".join(_field(1, size if axis == 1 else _field(2, f"axis_{axis}")) for axis, size in enumerate(sizes))

    def resized(value_info: bytes) -> bytes | None:
        if any(number == 1 and name in constants for number, name in _fields(value_info)):
            return None
        return _edited(value_info, {2: lambda kind: _edited(kind, {1: lambda tensor_type: _edited(tensor_type, {2: free})})})

    return _edited(graph, {11: resized, 12: resized})


def _edited(message: bytes, edits: Mapping[int, Callable[[bytes], bytes | None]]) -> bytes:
    """A message with some of its fields replaced, or left out where the edit is None."""
    fields = ((number, edits[number](_message(value)) if number in edits else value) for number, value in _fields(message))
    return b"".join(_field(number, value) for number, value in fields if value is not None)


def _message(value: int | bytes) -> bytes:
    if isinstance(value, int):
        raise ValueError(f"{value} in place of a message")
    return value


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a message: an integer, or the bytes of a text or message. Raises ValueError."""
    position = 0
    while position < len(message):
        key, position = _read_varint(message, position)
        value: int | bytes
        value, position = _read_varint(message, position)
        if key & 7 == 2:
            start, position = position, position + value
            value = message[start:position]
        if key & 7 not in (0, 2) or position > len(message):
            raise ValueError("not a protobuf message of integers, texts and messages")
        yield key >> 3, value


def _read_varint(message: bytes, position: int) -> tuple[int, int]:
    """An integer, and the position after it. Raises ValueError."""
    for end in range(position, len(message)):
        if message[end] < 128:
            groups = message[position : end + 1]
            return sum((group & 127) << 7 * i for i, group in enumerate(groups)), end + 1
    raise ValueError("message ends within an integer")


def _attribute(name: str, value: int | Sequence[int]) -> bytes:
    if isinstance(value, int):
        return _field(1, name) + _field(3, value) + _field(20, _INT)
    return _field(1, name) + b"".join(_field(8, number) for number in value) + _field(20, _INTS)


def _field(number: int, value: int | str | bytes) -> bytes:
    """One field of a message: an integer as a varint, text and messages with their length."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    data = value.encode() if isinstance(value, str) else value
    return _varint(number << 3 | 2) + _varint(len(data)) + data


def _varint(value: int) -> bytes:
    value &= 2**64 - 1  # negative numbers as two's complement
    groups = []
    while value > 127:
        groups.append(value & 127 | 128)
        value >>= 7
    return bytes([*groups, value])
