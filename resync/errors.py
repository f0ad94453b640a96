"""What can go wrong, by name.

Every error a user can cause is a `ResyncError` whose text is one line that names the file
and the way out. The command line prints that line and exits with `exit_code`.
"""

from __future__ import annotations


class ResyncError(Exception):
    """Base of all errors that are reported to the user in one line."""

    exit_code = 1


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
