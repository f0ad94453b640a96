"""Which files a batch is about: folders searched, outputs named, shards for several machines."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from ..config import MEDIA_SUFFIXES
from ..errors import MediaError, OutputError
from ..remux.distinct import OutputNames

OWN_SUFFIX = ".resync"  # before the file type, in the names of outputs written with -o


class Input(NamedTuple):
    """A file, and its path relative to the folder that was given (its bare name when the file itself was given)."""

    path: Path
    relative: Path

    @property
    def is_own(self) -> bool:
        """Whether it is an output of an earlier `fix -o`."""
        return self.path.stem.endswith(OWN_SUFFIX)

    def in_shard(self, index: int, count: int) -> bool:
        """Whether it belongs to shard `index` (1 .. count).

        Decided by a hash of its relative path, so that a file stays in its shard on every machine
        and whatever is added to the folder or removed.
        """
        digest = hashlib.sha256(os.fsencode(self.relative.as_posix())).digest()
        return int.from_bytes(digest[:8], "big") % count == index - 1


def find_inputs(given: Iterable[Path], recursive: bool = False) -> list[Input]:
    """Every file once: those named, and the media files in the folders named, or anywhere below them.

    Hidden files and resync's own outputs are not taken from folders. Raises MediaError for a folder without any media file.
    """
    inputs: dict[str, Input] = {}
    for path in given:
        files = list(_in_folder(path, recursive)) if path.is_dir() else [Input(path, Path(path.name))]
        if not files:
            raise MediaError(f"{path}: no media file in this folder{'' if recursive else '; include its subfolders with --recursive'}")
        for file in files:
            inputs.setdefault(os.path.abspath(file.path), file)
    return list(inputs.values())


def _in_folder(top: Path, recursive: bool) -> Iterator[Input]:
    def refuse(error: OSError) -> None:
        raise MediaError(f"{error.filename}: the folder cannot be read ({error.strerror}); leave it out or change its permissions")

    for folder, subfolders, files in os.walk(top, onerror=refuse):
        subfolders[:] = sorted(name for name in subfolders if recursive and not name.startswith("."))
        for name in sorted(files):
            file = Input(Path(folder, name), Path(folder, name).relative_to(top))
            if file.path.suffix.lower() in MEDIA_SUFFIXES and not name.startswith(".") and not file.is_own:
                yield file


def own_name(path: Path) -> str:
    """The name of the output of `fix -o`."""
    return f"{path.stem}{OWN_SUFFIX}{path.suffix}"


def output_paths(inputs: Iterable[Input], folder: Path, name: Callable[[Path], str] = own_name) -> list[tuple[Path, Path]]:
    """(input, output) for each input; outputs lie in `folder` as the inputs lie in theirs. name: the name of an input's output.

    Raises OutputError where two inputs would be written to one output.
    """
    pairs: list[tuple[Path, Path]] = []
    names, sources = OutputNames(), dict[Path, Path]()
    for path, relative in inputs:
        target = folder / relative.with_name(name(relative))
        if same := names.add(target):
            raise OutputError(f"{target}: both {sources[same]} and {path} would be written there; name different folders for them")
        sources[target] = path
        pairs.append((path, target))
    return pairs
