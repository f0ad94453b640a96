"""Names of outputs before anything is written: no two may be one file, and none an input, whatever the names look like.

One file has several names by way of symbolic links, hard links, and file systems that take no notice of case (or of how an accent
is encoded).
"""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Hashable, Iterable
from pathlib import Path

from ..errors import OutputError
from .temporary import temporary_folder


def require_distinct(outputs: Iterable[str | Path], inputs: Iterable[str | Path] = ()) -> None:
    """Raise OutputError where an output is an input, or two outputs are one file."""
    read = {inode: path for path in inputs if (inode := _inode(Path(path)))}
    names = OutputNames()
    for path in map(Path, outputs):
        if (inode := _inode(path)) in read:
            raise OutputError(f"{path}: is the input {read[inode]}; choose another name")
        if other := names.add(path):
            raise OutputError(f"{path}: is the same file as the output {other}; choose different names")


class OutputNames:
    """Names of outputs, compared as files."""

    def __init__(self) -> None:
        self._names: dict[Hashable, list[Path]] = {}

    def add(self, path: Path) -> Path | None:
        """Add a name; returns one that was added before and is the same file, None where there is none."""
        folder, rest = _existing_folder(path)
        place = _inode(path) or (_inode(folder), _plain(str(rest)))
        alike = self._names.setdefault(place, [])
        for other in alike:
            other_rest = _existing_folder(other)[1]
            if os.path.exists(path) or rest == other_rest or _is_one_name(folder, rest, other_rest):
                return other
        alike.append(path)
        return None


def _inode(path: Path) -> tuple[int, int] | None:
    """What all names of a file or folder share; None where there is none."""
    try:
        info = path.stat()
    except OSError:
        return None
    return info.st_dev, info.st_ino


def _existing_folder(path: Path) -> tuple[Path, Path]:
    """The nearest folder above a path that exists, and the path from there."""
    path = Path(os.path.abspath(path))
    folder = next(parent for parent in path.parents if os.path.exists(parent))
    return folder, path.relative_to(folder)


def _plain(name: str) -> str:
    """A name as the least particular file system sees it."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _is_one_name(folder: Path, a: Path, b: Path) -> bool:
    """Whether the file system of a folder takes two paths in it, which differ, for one; True where that cannot be tried."""
    try:
        with temporary_folder(folder) as trial:
            (trial / a).parent.mkdir(parents=True, exist_ok=True)
            (trial / a).touch()
            return (trial / b).exists()
    except OSError:
        return True
