"""Weights files that claim sizes which would fill the memory, or hold more than data."""

import copy
import json
import pickle
import struct

import numpy as np
import pytest
from safetensors.numpy import save_file

from resync.errors import WeightsError
from resync.syncnet.backend import load_backend
from resync.syncnet.checkpoint import load_model
from resync.syncnet.dimensions import Dimensions

SIZES = [
    ("embedding", 10**9),
    ("head", 10**6),
    ("visual_widths", [24, 48, 96, 10**6]),
    ("crop.size", 100_000),
    ("crop.size", -1),
    ("crop.unit_window_s", float("inf")),
    ("mel.fft", 2**30),
    ("mel.bands", 10**7),
    ("mel.high_hz", float("nan")),
    ("embedding", "x" * 9),
]


@pytest.mark.parametrize(("name", "value"), SIZES, ids=lambda x: str(x)[:20])
def test_impossible_sizes(tmp_path, name, value):
    dimensions = copy.deepcopy(Dimensions().to_dict())
    *parents, last = name.split(".")
    (dimensions[parents[0]] if parents else dimensions)[last] = value
    save_file({"x": np.zeros(1, np.float32)}, path := tmp_path / "a.safetensors", {"dimensions": json.dumps(dimensions)})
    for load in (load_model, load_backend):
        with pytest.raises(WeightsError, match=r"^[^\n]*not a size of a network|could not convert"):
            load(path)


class Evil:
    def __reduce__(self):
        return pytest.fail, ("was run",)


def with_header(text: bytes) -> bytes:
    return struct.pack("<Q", len(text)) + text


CONTENTS = {
    "pickle": pickle.dumps({"net": Evil()}),
    "nothing": b"",
    "header of 2^60 bytes": struct.pack("<Q", 1 << 60) + b"{}",
    "header of 1 GB": struct.pack("<Q", 1 << 30) + b"{}",
    "tensor of 2^50 bytes": with_header(b'{"x":{"dtype":"F32","shape":[281474976710656],"data_offsets":[0,1125899906842624]}}'),
    "deep JSON": with_header(b'{"x":' * 100_000),
}


@pytest.mark.parametrize("content", CONTENTS)
def test_what_is_no_weights_file(tmp_path, content):
    (path := tmp_path / "a.safetensors").write_bytes(CONTENTS[content])
    for load in (load_model, load_backend):
        with pytest.raises(WeightsError, match=r"^[^\n]*not a weights file of this network"):
            load(path)
