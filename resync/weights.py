"""Find, verify and load the network's weights: safetensors with dimensions inside, SHA-256 beside."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .dimensions import Dimensions
from .errors import WeightsError

if TYPE_CHECKING:
    import torch

    from .model import ICSyncNet

NAME = "ic_syncnet.safetensors"
HINT = "install resync again, or give another file with --weights"


def default_path() -> Path:
    """The packaged weights: beside the package in site-packages, or at the top of a checkout.

    Raises WeightsError when neither is there.
    """
    here = Path(__file__).resolve().parent
    for folder in (here / "weights", here.parent / "weights"):
        if (folder / NAME).is_file():
            return folder / NAME
    raise WeightsError(f"{here / 'weights' / NAME}: the network's weights are missing; {HINT}")


def save(net: ICSyncNet, path: Path, notes: dict[str, str] | None = None) -> None:
    """Write `net` with its dimensions, and the SHA-256 of the file beside it."""
    from safetensors.torch import save_file

    tensors = {k: v.detach().cpu().contiguous() for k, v in net.state_dict().items()}
    save_file(tensors, path, metadata={**(notes or {}), "dimensions": json.dumps(net.dimensions.to_dict())})
    path.chmod(0o644)  # save_file gives it to its owner alone
    checksum_path(path).write_text(f"{digest(path)}  {path.name}\n")


def read(file: Path) -> tuple[dict[str, np.ndarray], Dimensions]:
    """All tensors of a weights file, and its dimensions. To be used inside `as_weights`."""
    from safetensors import safe_open

    verify(file)
    with safe_open(file, "np") as f:
        tensors = {k: f.get_tensor(k) for k in f.keys()}
        metadata = f.metadata() or {}
    return tensors, Dimensions.from_dict(json.loads(metadata["dimensions"]))


@contextmanager
def as_weights(file: Path) -> Iterator[None]:
    """Whatever goes wrong with the content of a weights file inside the body becomes a WeightsError of one line."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, RuntimeError) as e:
        raise WeightsError(f"{file}: not weights of this network ({str(e).splitlines()[0]}); {HINT}") from e


def load(path: str | Path | None = None, device: torch.device | str = "cpu") -> ICSyncNet:
    """Load a network of torch's, ready for inference. Raises WeightsError, one line, for a missing or altered file."""
    import torch

    from .model import ICSyncNet

    file = Path(path) if path else default_path()
    with as_weights(file):
        tensors, dimensions = read(file)
        net = ICSyncNet(dimensions)
        net.load_state_dict({k: torch.from_numpy(v) for k, v in tensors.items()})
    return net.eval().to(device)


def verify(file: Path) -> None:
    """Compare `file` with the SHA-256 beside it, where there is one. Raises WeightsError."""
    if not file.is_file():
        raise WeightsError(f"{file}: no such weights file; {HINT}")
    listed = checksum_path(file)
    if listed.is_file() and listed.read_text().split()[:1] != [digest(file)]:
        raise WeightsError(f"{file}: the file is damaged or was altered (SHA-256 differs from {listed.name}); {HINT}")


def checksum_path(file: Path) -> Path:
    """Where the SHA-256 of a weights file is kept."""
    return file.with_suffix(".sha256")


def digest(file: Path) -> str:
    """SHA-256 of a file, in hex."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
