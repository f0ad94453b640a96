"""ONNX models as bytes: the package onnx reads them, and would write the same."""

import numpy as np
import onnx
import onnxruntime
import pytest

from resync.faces.centerface import network_path
from resync.onnx_format import batch, model, node, tensor, with_any_size
from resync.syncnet.checkpoint import default_weights_path, read_tensors
from resync.syncnet.onnx_graph import audio_graph, visual_graph


def run(data, *inputs):
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(data, options)
    return session.run(None, {x.name: value for x, value in zip(session.get_inputs(), inputs, strict=True)})


@pytest.mark.parametrize("graph", [visual_graph, audio_graph])
def test_the_encoders_are_valid_models_in_the_canonical_encoding(graph):
    data = graph(*read_tensors(default_weights_path())[:2])
    parsed = onnx.load_from_string(data)
    onnx.checker.check_model(parsed, full_check=True)
    assert parsed.SerializeToString() == data


def test_values_of_every_kind():
    constants = [
        tensor("scale", np.array([[2.0, -3.0]], np.float32)),
        tensor("axes", np.array([-1], np.int64)),
        tensor("empty", np.zeros((0, 300), np.uint8)),
    ]
    nodes = [
        node("Mul", ["x", "scale"], "y", {}),
        node("ReduceSum", ["y", "axes"], "z", {"keepdims": 0}),
    ]
    data = model(nodes, constants, batch("x", np.float32, (2,)), batch("z", np.float32, ()))
    parsed = onnx.load_from_string(data)
    assert parsed.SerializeToString() == data and [tuple(t.dims) for t in parsed.graph.initializer] == [(1, 2), (1,), (0, 300)]
    assert run(data, np.array([[1, 1], [10, 1]], np.float32))[0].tolist() == [-1, 17]


def test_integers_and_lists_of_them_as_attributes():
    pads, group = onnx.NodeProto.FromString(node("Conv", "xw", "y", {"pads": [0, 1, -1, 300], "group": -(2**40)})).attribute
    assert (pads.name, list(pads.ints), group.name, group.i) == ("pads", [0, 1, -1, 300], "group", -(2**40))
    assert (pads.type, group.type) == (onnx.AttributeProto.INTS, onnx.AttributeProto.INT)


def test_a_network_of_fixed_size_takes_any_size():
    fixed = network_path().read_bytes()
    resized = with_any_size(fixed)
    images = np.random.default_rng(0).uniform(0, 255, (2, 3, 64, 96)).astype(np.float32)
    outputs = run(resized, images)
    assert [x.shape for x in outputs] == [(2, channels, 16, 24) for channels in (1, 2, 2, 10)]
    ten = np.random.default_rng(1).uniform(0, 255, (10, 3, 32, 32)).astype(np.float32)  # as it declares
    constants = onnx.load_from_string(fixed)
    names = {tensor.name for tensor in constants.graph.initializer}
    for number, value in reversed(list(enumerate(constants.graph.input))):
        if value.name in names:
            del constants.graph.input[number]
    assert all(np.allclose(a, b, atol=1e-4) for a, b in zip(run(resized, ten), run(constants.SerializeToString(), ten), strict=True))


@pytest.mark.parametrize("damaged", [b"\x0f", b"\x3a\x84", network_path().read_bytes()[:100]])
def test_what_is_no_model_is_an_error(damaged):
    with pytest.raises(ValueError):
        with_any_size(damaged)
