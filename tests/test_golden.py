"""Results change only on purpose, and are the same with ONNX Runtime and PyTorch.

tests/golden/curves.json holds them; tests/golden/make.py says where they come from and how to generate them again.
"""

import json
from dataclasses import replace

import numpy as np
import pytest
from golden import make

from resync import Analyzer
from resync.config import MediaConfig
from resync.media.probe import probe
from resync.syncnet.checkpoint import default_weights_path


@pytest.fixture(scope="module")
def sources():
    return make.sources()


@pytest.fixture(scope="module", params=["onnx", "torch"])
def analyzer(request):
    """One with each backend, on the CPU."""
    analyzer = Analyzer(make.config())
    if request.param == "torch":  # used with CUDA only, but it runs on the CPU, too
        import torch

        from resync.syncnet.torch_backend import TorchBackend

        backend = TorchBackend.load(default_weights_path(), torch.device("cpu"))
        analyzer._engine = replace(analyzer.engine, backend=backend)
    return analyzer


@pytest.mark.parametrize("name", [*make.CLIPS, "memory"])
def test_results_are_unchanged(analyzer, sources, name):
    before, now = json.loads(make.CURVES.read_text())[name], make.result(sources[name], analyzer)
    assert now["weights"] == before["weights"], "the packaged weights have changed: see tests/golden/make.py"
    assert now["verdict"] == before["verdict"] == "out_of_sync", "if on purpose: see tests/golden/make.py"
    assert now["audio_delay_ms"] == pytest.approx(before["audio_delay_ms"], abs=1)
    assert now["certainty"] == pytest.approx(before["certainty"], abs=0.01)
    assert now["curve"]["shift_ms"] == before["curve"]["shift_ms"] and len(before["curve"]["shift_ms"]) == 201
    difference = np.abs(np.subtract(now["curve"]["probability"], before["curve"]["probability"]))
    assert difference.max() <= 1e-3, f"{difference.max():.5f} at {now['curve']['shift_ms'][difference.argmax()]} ms"


@pytest.mark.parametrize("name", make.CLIPS)
def test_reference_results_are_correct(name):
    """The clips were generated with a known delay."""
    reference = json.loads(make.CURVES.read_text())[name]
    assert reference["audio_delay_ms"] == pytest.approx(make.CLIPS[name]["delay_ms"], abs=20)


def test_one_clip_is_scaled_down_and_one_is_not():
    small, large = (probe(make.HERE / name).video for name in ("small.mp4", "large.mp4"))
    assert max(small.width, small.height) <= MediaConfig.max_side < max(large.width, large.height)
