"""Which files a batch is about: folders looked through, outputs named, shares for several machines."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from .errors import MediaError, OutputError

#: File types that are taken from a folder; a file that is named itself may be of any type.
MEDIA = frozenset(".3g2 .3gp .asf .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .nut .ogv .ts .vob .webm .wmv".split())
OWN_SUFFIX = ".resync"  # before the file type, in the names of outputs written with -o


class Input(NamedTuple):
    """A file, and where it lies below the folder that was given (its bare name when it was named itself)."""

    path: Path
    below: Path

    @property
    def is_own(self) -> bool:
        """Is it an output of an earlier `fix -o`?"""
        return self.path.stem.endswith(OWN_SUFFIX)

    def in_share(self, index: int, count: int) -> bool:
        """Does it belong to share `index` (1 .. count)?

        By a digest of its name below the given folder, so that a file stays in its share on every machine
        and whatever else comes into the folder or goes.
        """
        digest = hashlib.sha256(os.fsencode(self.below.as_posix())).digest()
        return int.from_bytes(digest[:8], "big") % count == index - 1


def find(given: Iterable[Path], recursive: bool = False) -> list[Input]:
    """Every file once: those named, and the media files right in the folders named, or anywhere below them.

    Hidden files and resync's own outputs are not taken from folders. Raises MediaError for a folder without any media file.
    """
    found: dict[str, Input] = {}
    for path in given:
        inputs = list(_in_folder(path, recursive)) if path.is_dir() else [Input(path, Path(path.name))]
        if not inputs:
            raise MediaError(f"{path}: no media file in this folder{'' if recursive else '; look below it with --recursive'}")
        for one in inputs:
            found.setdefault(os.path.abspath(one.path), one)
    return list(found.values())


def _in_folder(folder: Path, recursive: bool) -> Iterator[Input]:
    def refuse(error: OSError) -> None:
        raise MediaError(f"{error.filename}: the folder cannot be read ({error.strerror}); leave it out or give access")

    for place, folders, files in os.walk(folder, onerror=refuse):
        folders[:] = sorted(name for name in folders if recursive and not name.startswith("."))
        for name in sorted(files):
            one = Input(Path(place, name), Path(place, name).relative_to(folder))
            if one.path.suffix.lower() in MEDIA and not name.startswith(".") and not one.is_own:
                yield one


def targets(inputs: Iterable[Input], folder: Path) -> list[tuple[Path, Path]]:
    """(file, output) for each input; outputs lie in `folder` as the inputs lie in theirs.

    Raises OutputError where two inputs would write one output.
    """
    pairs: list[tuple[Path, Path]] = []
    taken: dict[str, Path] = {}
    for path, below in inputs:
        target = folder / below.with_name(f"{below.stem}{OWN_SUFFIX}{below.suffix}")
        other = taken.setdefault(os.path.normcase(os.path.abspath(target)), path)
        if other is not path:
            raise OutputError(f"{target}: {other} and {path} would both be written there; fix them into different folders")
        pairs.append((path, target))
    return pairs
