"""Weights files: a round trip, and one line for whatever is wrong with one."""

import json

import pytest
import torch

from resync import weights
from resync.config import CropConfig, MelConfig
from resync.dimensions import Dimensions
from resync.errors import WeightsError
from resync.model import ICSyncNet

TINY = Dimensions(
    visual_widths=(4, 4, 8, 8),
    sound_widths=(4, 4, 4, 8),
    embedding=12,
    head=4,
    crop=CropConfig(side_units=1.9, size=32),
    mel=MelConfig(low_hz=70.0),
)


@pytest.fixture
def file(tmp_path):
    torch.manual_seed(3)
    path = tmp_path / "net.safetensors"
    weights.save(ICSyncNet(TINY), path, {"made": "by a test"})
    return path


def complaint(path):
    with pytest.raises(WeightsError) as error:
        weights.load(path)
    text = str(error.value)
    assert "\n" not in text and str(path) in text and "--weights" in text
    return text


def test_round_trip(file):
    torch.manual_seed(3)
    first, again = ICSyncNet(TINY).eval(), weights.load(file)
    assert again.dimensions == TINY and not again.training
    assert all(torch.equal(v, again.state_dict()[k]) for k, v in first.state_dict().items())
    assert len(again.state_dict()) == len(first.state_dict())
    x = torch.randint(0, 255, (2, 5, 32, 32), dtype=torch.uint8)
    assert torch.equal(first.embed_mouth(x), again.embed_mouth(x))


def test_checksum_is_that_of_sha256sum(file):
    import hashlib

    text = weights.checksum_path(file).read_text()
    assert text == f"{hashlib.sha256(file.read_bytes()).hexdigest()}  {file.name}\n"


def test_without_a_checksum_it_loads_too(file):
    weights.checksum_path(file).unlink()
    assert weights.load(str(file)).dimensions == TINY


def test_missing(tmp_path):
    assert "no such" in complaint(tmp_path / "none.safetensors")
    assert "no such" in complaint(tmp_path)  # a folder


def test_altered(file):
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    assert "SHA-256" in complaint(file)


@pytest.mark.parametrize("keep", [0, 5, 300, -1])
def test_truncated(file, keep):
    data = file.read_bytes()[:keep]
    file.write_bytes(data)
    assert "SHA-256" in complaint(file)
    weights.checksum_path(file).unlink()
    complaint(file)


def test_not_safetensors(tmp_path):
    path = tmp_path / "x.safetensors"
    torch.save({"a": torch.ones(2)}, path)  # a pickle is never opened
    complaint(path)
    path.write_text("hello")
    complaint(path)


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
def test_foreign_safetensors(tmp_path, metadata):
    from safetensors.torch import save_file

    path = tmp_path / "foreign.safetensors"
    save_file({"a": torch.ones(3)}, path, metadata=metadata)
    assert "not weights of this network" in complaint(path)


def test_a_tensor_too_few(file):
    from safetensors import safe_open
    from safetensors.torch import save_file

    with safe_open(file, "pt") as f:
        tensors, metadata = {k: f.get_tensor(k) for k in f.keys()}, f.metadata()
    tensors.pop("bias")
    save_file(tensors, file, metadata=metadata)
    weights.checksum_path(file).unlink()
    complaint(file)


def test_default_path(monkeypatch, tmp_path):
    package = tmp_path / "site" / "resync"
    package.mkdir(parents=True)
    monkeypatch.setattr(weights, "__file__", str(package / "weights.py"))
    with pytest.raises(WeightsError) as error:
        weights.default_path()
    assert "\n" not in str(error.value) and "install" in str(error.value)
    beside = package.parent / "weights" / weights.NAME
    beside.parent.mkdir()
    beside.touch()
    assert weights.default_path() == beside
    inside = package / "weights" / weights.NAME
    inside.parent.mkdir()
    inside.touch()
    assert weights.default_path() == inside
