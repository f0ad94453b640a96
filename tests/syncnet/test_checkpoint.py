"""Weights files: save and load, and a one-line error for every kind of bad file, whatever loads it."""

import hashlib
import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from resync.config import CropConfig, DecisionRule, MelConfig
from resync.errors import WeightsError
from resync.syncnet import checkpoint
from resync.syncnet.backend import load_backend
from resync.syncnet.checkpoint import WEIGHTS_NAME, checksum_path, default_weights_path, load_model, read_tensors, save_model
from resync.syncnet.dimensions import Dimensions
from resync.syncnet.model import ICSyncNet
from resync.syncnet.onnx_backend import OnnxBackend
from resync.syncnet.torch_backend import TorchBackend

TINY = Dimensions(
    visual_widths=(4, 4, 8, 8),
    sound_widths=(4, 4, 4, 8),
    embedding=12,
    head=4,
    crop=CropConfig(side_units=1.9, size=32),
    mel=MelConfig(low_hz=70.0),
)
FOREIGN = "not a weights file of this network"


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(3)
    path = tmp_path / "net.safetensors"
    save_model(ICSyncNet(TINY), path, {"source": "test"})
    return path


def rewrite(file, change=lambda tensors: None, dimensions=None, **more):
    """Change the tensors, the dimensions or other metadata (None: removed) of a weights file; removes its checksum."""
    with safe_open(file, "pt") as f:
        tensors, metadata = {k: f.get_tensor(k) for k in f.keys()}, f.metadata()
    change(tensors)
    if dimensions is not None:
        metadata["dimensions"] = json.dumps(dimensions.to_dict())
    metadata = {name: value for name, value in {**metadata, **more}.items() if value is not None}
    save_file(tensors, file, metadata=metadata)
    checksum_path(file).unlink(missing_ok=True)


def assert_refused(path, expected):
    """Every loader raises a WeightsError of one line that names the file, the problem and the way out."""
    for load in (load_model, OnnxBackend.load, load_backend, lambda p: TorchBackend.load(p, torch.device("cpu"))):
        with pytest.raises(WeightsError) as error:
            load(path)
        text = str(error.value)
        assert "\n" not in text and text.startswith(f"{path}: ") and expected in text and "--weights" in text


def test_round_trip(file):
    torch.manual_seed(3)
    saved, loaded = ICSyncNet(TINY).eval(), load_model(file)
    assert loaded.dimensions == TINY and not loaded.training
    assert all(torch.equal(v, loaded.state_dict()[k]) for k, v in saved.state_dict().items())
    assert len(loaded.state_dict()) == len(saved.state_dict())
    x = torch.randint(0, 255, (2, 5, 32, 32), dtype=torch.uint8)
    assert torch.equal(saved.embed_mouths(x), loaded.embed_mouths(x))


def test_metadata_holds_the_notes_and_the_file_is_readable_by_all(file):
    with safe_open(file, "pt") as f:
        assert f.metadata()["source"] == "test"
    assert file.stat().st_mode & 0o444 == 0o444


def test_checksum_has_the_format_of_sha256sum(file):
    assert checksum_path(file).read_text() == f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"


def test_checksum_is_optional(file):
    checksum_path(file).unlink()
    assert load_model(str(file)).dimensions == TINY
    assert OnnxBackend.load(str(file)).dimensions == TINY


def test_default_path_is_the_installed_folder_or_that_of_a_checkout(monkeypatch, tmp_path):
    package = tmp_path / "site" / "resync"
    (package / "syncnet").mkdir(parents=True)
    monkeypatch.setattr(checkpoint, "__file__", str(package / "syncnet" / "checkpoint.py"))
    with pytest.raises(WeightsError) as error:
        default_weights_path()
    assert "\n" not in str(error.value) and str(package / "weights" / WEIGHTS_NAME) in str(error.value) and "reinstall" in str(error.value)
    for folder in (package.parent / "weights", package / "weights"):  # the installed folder takes precedence
        folder.mkdir()
        (folder / WEIGHTS_NAME).touch()
        assert default_weights_path() == folder / WEIGHTS_NAME


def test_load_model_without_a_path_loads_the_default_weights(monkeypatch, file):
    monkeypatch.setattr(checkpoint, "default_weights_path", lambda: file)
    assert load_model().dimensions == TINY


# --- the decision rule -----------------------------------------------------------------------------

RULE = DecisionRule(constant=-1.25, height=1.5, lead=2.5, reach=0.25, min_certainty=0.55, min_widened=0.75)


def rules_of(path):
    """The rule that each loader gets from a weights file."""
    torch_backend = TorchBackend.load(path, torch.device("cpu"))
    return [load_model(path).rule, OnnxBackend.load(path).rule, load_backend(path).rule, torch_backend.rule, read_tensors(path)[2]]


def test_the_rule_is_saved_with_the_weights(file):
    net = load_model(file)
    net.rule = RULE
    save_model(net, file)
    assert rules_of(file) == [RULE] * 5
    with safe_open(file, "pt") as f:
        assert json.loads(f.metadata()["decision_rule"]) == asdict(RULE)


def test_a_file_without_a_rule_gets_the_default_one(file):
    """Files of 0.1 and 0.2 have none."""
    rewrite(file, decision_rule=None)
    assert rules_of(file) == [DecisionRule()] * 5


def test_a_rule_may_lack_what_later_versions_add(file):
    rewrite(file, decision_rule=json.dumps({"constant": -3.0}))
    assert rules_of(file) == [replace(DecisionRule(), constant=-3.0)] * 5


def test_the_packaged_weights_have_a_usable_rule():
    rule = OnnxBackend.load(default_weights_path()).rule
    assert 0.3 <= rule.min_certainty <= rule.min_widened <= 0.95 and rule.height > 0 and rule.lead > 0 and rule.reach >= 0


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "3",
        "[]",
        "[1]",
        '"x"',
        "null",
        '{"odd": 1.0}',
        '{"lead": "much"}',
        '{"lead": null}',
        '{"lead": NaN}',
        '{"constant": -Infinity}',
        '{"min_certainty": 0}',
        '{"min_certainty": 1.5}',
        '{"min_widened": 0}',
    ],
)
def test_a_damaged_rule_is_an_error(file, text):
    rewrite(file, decision_rule=text)
    assert_refused(file, FOREIGN)


# --- bad files -------------------------------------------------------------------------------------


def test_missing_file(tmp_path):
    assert_refused(tmp_path / "none.safetensors", "no such weights file")
    assert_refused(tmp_path, "no such weights file")


def test_modified_file(file):
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert_refused(file, "SHA-256")


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_truncated_file(file, keep):
    file.write_bytes(file.read_bytes()[:keep])
    assert_refused(file, "SHA-256")
    checksum_path(file).unlink()
    assert_refused(file, FOREIGN)


def test_not_a_safetensors_file(tmp_path):
    path = tmp_path / "x.safetensors"
    torch.save({"a": torch.ones(2)}, path)  # a pickle: never unpickled
    assert_refused(path, FOREIGN)
    path.write_text("hello")
    assert_refused(path, FOREIGN)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {"format": "pt"},
        {"dimensions": "{"},
        {"dimensions": "3"},
        {"dimensions": "{}"},
        {"dimensions": json.dumps(Dimensions().to_dict())},
        {"dimensions": json.dumps({**TINY.to_dict(), "crop": {"size": 32, "odd": 1}})},
        {"dimensions": json.dumps({**TINY.to_dict(), "visual_widths": [4]})},
    ],
)
def test_safetensors_of_another_program(tmp_path, metadata):
    path = tmp_path / "foreign.safetensors"
    save_file({"a": torch.ones(3)}, path, metadata=metadata)
    assert_refused(path, FOREIGN)


def test_missing_or_unexpected_or_misshapen_tensor_in_a_file(file):
    """One of each; test_backends.py checks every tensor."""
    original = file.read_bytes()
    for change in (
        lambda tensors: tensors.pop("bias"),
        lambda tensors: tensors.update(more=torch.ones(3)),
        lambda tensors: tensors.update(log_scale=torch.ones(2)),
        lambda tensors: tensors.update({"sound.out.weight": torch.ones(12, 2)}),
    ):
        file.write_bytes(original)
        rewrite(file, change)
        assert_refused(file, FOREIGN)


def test_dimensions_that_do_not_fit_the_tensors(file):
    for other in (
        Dimensions(),
        replace(TINY, embedding=13),
        replace(TINY, head=5),
        replace(TINY, crop=CropConfig(size=64)),
        replace(TINY, visual_widths=(4, 4, 8, 9)),
        replace(TINY, sound_widths=(4, 4, 4)),
        replace(TINY, sound_widths=(4, 4, 4, 8, 8)),
    ):
        rewrite(file, dimensions=other)
        assert_refused(file, FOREIGN)
    rewrite(file, dimensions=TINY)
    assert load_model(file).dimensions == TINY


def test_batch_norm_step_counts_are_optional(file):
    crops = np.random.default_rng(0).integers(0, 256, (12, 32, 32), np.uint8)
    before = OnnxBackend.load(file).embed_mouths(crops)

    def drop_counts(tensors):
        for name in [k for k in tensors if k.endswith("num_batches_tracked")]:
            del tensors[name]

    rewrite(file, drop_counts)
    assert np.array_equal(OnnxBackend.load(file).embed_mouths(crops), before)
    assert np.allclose(TorchBackend.load(Path(file), torch.device("cpu")).embed_mouths(crops), before, atol=1e-5)
