"""What the outcome for a file depends on besides the file: settings, what `auto` stands for here, and the models' contents."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from ..api import FixOptions
from ..config import ANALYSIS, Config
from ..faces.detect import detector_model
from ..remux.paths import Overwrite
from ..report.result import SCHEMA, Report
from ..syncnet.backend import resolve_device
from ..syncnet.checkpoint import default_weights_path, sha256_of, verify_checksum


class Models(NamedTuple):
    """What analyses files with some settings, as named in their reports."""

    detector: str
    device: str
    weights: str

    @classmethod
    def of_report(cls, report: Report) -> Models:
        """What analysed a file."""
        return cls(report.detector, report.device, report.weights)


def models(config: Config) -> Models:
    """What an Analyzer with these settings loads on this machine, without loading it. Raises WeightsError, DetectorError, DeviceError."""
    path = weights_path(config)
    return Models(detector_model(config.faces.detector)[0], resolve_device(config.device), f"{path.name}:{sha256_of(path)[:12]}")


def settings_digest(config: Config, audio: Path | None, options: FixOptions) -> str:
    """A digest of all that the outcome for a given file depends on, in hex. Raises what `models` raises.

    Where outputs go is no part of it, nor what they may replace, nor how many threads there are.
    """
    path = weights_path(config)
    verify_checksum(path)
    used = models(config)
    files = [sha256_of(file) for file in (path, detector_model(config.faces.detector)[1])]
    config = replace(config, faces=replace(config.faces, detector="", threads=0), device="", weights=None)
    options = replace(options, overwrite=Overwrite.NEVER, export=None, plot=None)
    everything = ANALYSIS, SCHEMA, used, files, config, recording_stamp(audio), options
    return hashlib.sha256(repr(everything).encode()).hexdigest()[:16]


def file_stamp(path: Path) -> tuple[int, int]:
    """Size and modification time (ns) of a file, by which a change is noticed; (0, 0) where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns


def recording_stamp(audio: Path | None) -> tuple[str, int, int] | None:
    """What identifies an external recording."""
    return None if audio is None else (str(audio.absolute()), *file_stamp(audio))


def weights_path(config: Config) -> Path:
    """The weights file that an Analyzer with these settings loads. Raises WeightsError."""
    return Path(config.weights) if config.weights else default_weights_path()
