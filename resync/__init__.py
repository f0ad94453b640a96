"""resync: find how far the sound of a talking-face video is off, and write a corrected file.

>>> import resync
>>> report = resync.analyze("in.mp4")            # doctest: +SKIP
>>> print(report.audio_delay_ms)                 # doctest: +SKIP
>>> resync.fix("in.mp4", "out.mp4")              # doctest: +SKIP

Importing this package is cheap: torch and the rest are loaded at the first use.
"""

from __future__ import annotations

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
    from .config import Config
    from .pipeline import analyze, fix
    from .report import Report

__version__ = "0.1.0"
__all__ = [
    "BatchError",
    "Config",
    "DataError",
    "DetectorError",
    "DeviceError",
    "MediaError",
    "OutputError",
    "RemuxError",
    "Report",
    "ResyncError",
    "UndecidedError",
    "WeightsError",
    "analyze",
    "fix",
]
_LAZY = {"analyze": "pipeline", "fix": "pipeline", "Report": "report", "Config": "config"}


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
