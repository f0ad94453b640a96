"""What can go wrong, by name.

Every error a user can cause is a `ResyncError` whose text is one line that names the file
and the way out. The command line prints that line and exits with `exit_code`.
"""

from __future__ import annotations

import os


def printable(text: str) -> str:
    """A text in one line, without characters that control a terminal: names of files may hold any."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


class ResyncError(Exception):
    """Base of all errors that are reported to the user in one line."""

    exit_code = 1

    def __str__(self) -> str:
        return printable(super().__str__())


def os_error_line(error: OSError) -> str:
    """An error of the system that names a file, as one line for the user."""
    name = os.fsdecode(error.filename) if isinstance(error.filename, bytes) else error.filename
    return printable(f"{name}: cannot be used ({error.strerror}); check its name, its permissions and the disk")


class MediaError(ResyncError):
    """The input cannot be opened, or has no video or no audio."""


class OutputError(ResyncError):
    """The output cannot be written where it was asked for."""


class RemuxError(ResyncError):
    """The ffmpeg program is missing or refused the file."""


class DetectorError(ResyncError):
    """A face detector or its model is not available."""


class WeightsError(ResyncError):
    """The network's weights are missing, damaged or of another shape."""


class DeviceError(ResyncError):
    """The requested compute device does not exist."""


class UndecidedError(ResyncError):
    """There is no answer certain enough to act on."""

    exit_code = 3


class DataError(ResyncError):
    """A training folder, index or cache cannot be used."""


class BatchError(ResyncError):
    """The cluster or the results cache of a batch cannot be used."""
