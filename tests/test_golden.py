"""Results as they were before the analysis was made faster.

tests/golden/curves.json was written by the code of commit ff9d4c2 (every picture as colour pixels, the network by torch),
with tests/golden/make.py. When other weights are packaged it is to be made again, by that code.
"""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from golden import make

from resync.api import load_engine
from resync.syncnet.checkpoint import default_weights_path

CASES = [*make.CLIPS, "memory"]


@pytest.fixture(scope="module")
def sources():
    return make.sources()


def torch_engine(config):
    """As the analysis loads it where there is CUDA, but with torch on the processor."""
    import torch

    from resync.syncnet.torch_backend import TorchBackend

    return replace(load_engine(config), net=TorchBackend.load(default_weights_path(), torch.device("cpu")))


@pytest.mark.parametrize("path", ["onnx", "torch"])
@pytest.mark.parametrize("name", CASES)
def test_results_are_as_before(sources, name, path, monkeypatch):
    if path == "torch":
        engine = torch_engine(make.config())
        monkeypatch.setattr(pipeline, "load_engine", lambda config: engine)
    before, now = json.loads(make.CURVES.read_text())[name], make.result(sources[name])
    assert now["weights"] == before["weights"], "other weights are packaged: curves.json is to be made again, see the top of this file"
    assert now["verdict"] == before["verdict"] == "out_of_sync"
    assert now["audio_delay_ms"] == pytest.approx(before["audio_delay_ms"], abs=1)
    assert now["certainty"] == pytest.approx(before["certainty"], abs=0.01)
    assert now["curve"]["shift_ms"] == before["curve"]["shift_ms"] and len(before["curve"]["shift_ms"]) == 201
    away = np.abs(np.subtract(now["curve"]["probability"], before["curve"]["probability"]))
    assert away.max() <= 1e-3, f"{away.max():.5f} at {now['curve']['shift_ms'][away.argmax()]} ms"


@pytest.mark.parametrize("name", make.CLIPS)
def test_what_was_found_before_is_right(name):
    """The clips are made with a known delay."""
    before = json.loads(make.CURVES.read_text())[name]
    assert before["audio_delay_ms"] == pytest.approx(make.CLIPS[name]["delay_ms"], abs=20)


def test_the_clips_take_both_ways():
    """One is kept as decoded, one is scaled down."""
    from resync.config import MediaConfig
    from resync.media.probe import probe

    small, large = (probe(Path(make.HERE) / name).video for name in ("small.mp4", "large.mp4"))
    assert max(small.width, small.height) <= MediaConfig.max_side < max(large.width, large.height)
