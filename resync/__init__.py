"""resync: measure the A/V offset of a talking-face video, and write a corrected file.

A synthetic clip whose audio is 120 ms late:

>>> import resync
>>> from resync.demo.clip import talking_clip, write_clip
>>> clip = talking_clip(seconds=4, seed=1, size=(256, 256))
>>> write_clip(clip, "in.mp4", audio_delay_ms=120)
>>> analyzer = resync.Analyzer()
>>> report = analyzer.analyze("in.mp4")
>>> report.verdict
'out_of_sync'
>>> abs(report.audio_delay_ms - 120) < 40
True
>>> report, written = analyzer.fix("in.mp4", "out.mp4")
>>> analyzer.analyze("out.mp4").verdict
'in_sync'

Frames and audio in memory, without a file:

>>> analyzer.analyze(resync.from_arrays(clip.frames, clip.fps, clip.audio, clip.rate)).verdict
'in_sync'

Importing this package is cheap: everything else is loaded at first use.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .errors import (
    BatchError,
    DataError,
    DetectorError,
    DeviceError,
    MediaError,
    OutputError,
    RemuxError,
    ResyncError,
    UndecidedError,
    WeightsError,
)

if TYPE_CHECKING:
    from .api import Analyzer, FixOptions, analyze, fix
    from .config import Config
    from .media.source import from_arrays
    from .remux.paths import Overwrite
    from .report.result import Report

# ONNX Runtime from 1.29 on reports its use to its makers over the network, unless this is set before it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.6.0"
__all__ = [
    "Analyzer",
    "BatchError",
    "Config",
    "DataError",
    "DetectorError",
    "DeviceError",
    "FixOptions",
    "MediaError",
    "OutputError",
    "Overwrite",
    "RemuxError",
    "Report",
    "ResyncError",
    "UndecidedError",
    "WeightsError",
    "analyze",
    "fix",
    "from_arrays",
]
_LAZY = {
    "Analyzer": "api",
    "Config": "config",
    "FixOptions": "api",
    "Overwrite": "remux.paths",
    "Report": "report.result",
    "analyze": "api",
    "fix": "api",
    "from_arrays": "media.source",
}


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
