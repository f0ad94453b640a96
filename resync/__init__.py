"""resync: find how far the sound of a talking-face video is off, and write a corrected file.

A clip of its own making, whose sound is then moved 120 ms:

>>> import resync
>>> from resync.synth import talking_clip, write_clip
>>> clip = talking_clip(seconds=4, seed=1, size=(256, 256))
>>> write_clip(clip, "in.mp4", audio_delay_ms=120)
>>> report = resync.analyze("in.mp4")
>>> report.verdict
'out_of_sync'
>>> abs(report.audio_delay_ms - 120) < 40
True
>>> report, written = resync.fix("in.mp4", "out.mp4")
>>> resync.analyze("out.mp4").verdict
'in_sync'

Without a file, with the pictures and the sound in memory:

>>> resync.analyze(resync.film_of(clip.frames, clip.fps, clip.sound, clip.rate)).verdict
'in_sync'

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
    from .arrays import film_of
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
    "film_of",
    "fix",
]
_LAZY = {"film_of": "arrays", "analyze": "pipeline", "fix": "pipeline", "Report": "report", "Config": "config"}


def __getattr__(name: str):
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f".{_LAZY[name]}", __name__), name)
