"""Locate, verify, load and save weights files: safetensors with dimensions and decision rule as metadata, SHA-256 beside it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..config import DecisionRule
from ..errors import WeightsError
from .dimensions import Dimensions

if TYPE_CHECKING:
    import torch

    from .model import ICSyncNet

WEIGHTS_NAME = "ic_syncnet.safetensors"
HINT = "reinstall resync or pass another file with --weights"


def default_weights_path() -> Path:
    """Path of the weights that ship with resync.

    An installed package has them in resync/weights/, a source checkout in weights/ at its top.
    Raises WeightsError when neither exists.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "weights", package.parent / "weights"):
        if (folder / WEIGHTS_NAME).is_file():
            return folder / WEIGHTS_NAME
    raise WeightsError(f"{package / 'weights' / WEIGHTS_NAME}: weights file not found; {HINT}")


def save_model(net: ICSyncNet, path: Path, notes: dict[str, str] | None = None) -> None:
    """Write the weights of `net`, its dimensions, its decision rule and `notes` to `path`, and the SHA-256 of that file beside it."""
    from safetensors.torch import save_file

    tensors = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    own = {"dimensions": json.dumps(net.dimensions.to_dict()), "decision_rule": json.dumps(asdict(net.rule))}
    save_file(tensors, path, metadata={**(notes or {}), **own})
    path.chmod(0o644)  # save_file makes the file readable by its owner only
    checksum_path(path).write_text(f"{sha256_of(path)}  {path.name}\n")


def load_model(path: str | Path | None = None, device: torch.device | str = "cpu") -> ICSyncNet:
    """Load a weights file as a PyTorch module in eval mode; without a path, the weights that ship with resync.

    Raises WeightsError for a file that is missing, damaged or of another network.
    """
    import torch

    from .model import ICSyncNet

    file = Path(path) if path else default_weights_path()
    with weights_errors(file):
        tensors, dimensions, rule = read_tensors(file)
        net = ICSyncNet(dimensions)
        net.rule = rule
        net.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
    return net.eval().to(device)


def read_tensors(file: Path) -> tuple[dict[str, np.ndarray], Dimensions, DecisionRule]:
    """Verify and read a weights file: its tensors by name, the dimensions of its network, and the decision rule fitted to it.

    A file without a rule of its own gets the default one.
    Raises WeightsError when the checksum differs; call it inside `weights_errors`, which converts all other errors.
    """
    from safetensors import safe_open

    verify_checksum(file)
    with safe_open(file, "np") as f:
        tensors = {k: f.get_tensor(k) for k in f.keys()}
        metadata = f.metadata() or {}
    rule = DecisionRule.from_dict(json.loads(metadata.get("decision_rule", "{}")))
    return tensors, Dimensions.from_dict(json.loads(metadata["dimensions"])), rule


@contextmanager
def weights_errors(file: Path) -> Iterator[None]:
    """Convert every error that the content of a weights file causes in the body to a one-line WeightsError."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as e:
        reason = (str(e).splitlines() or [type(e).__name__])[0]
        raise WeightsError(f"{file}: not a weights file of this network ({reason}); {HINT}") from e


def verify_checksum(file: Path) -> None:
    """Compare `file` with the SHA-256 beside it, if there is one. Raises WeightsError when `file` is missing or differs."""
    if not file.is_file():
        raise WeightsError(f"{file}: no such weights file; {HINT}")
    listed = checksum_path(file)
    if listed.is_file() and listed.read_text().split()[:1] != [sha256_of(file)]:
        raise WeightsError(f"{file}: damaged or modified (SHA-256 differs from {listed.name}); {HINT}")


def checksum_path(file: Path) -> Path:
    """Path of the file that holds the SHA-256 of a weights file, in the format of sha256sum."""
    return file.with_suffix(".sha256")


def sha256_of(file: Path) -> str:
    """SHA-256 of a file, in hex."""
    with open(file, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()
