"""The output of a clip: copied or linked, written with its audio shifted, or removed. The input is never touched, links or not."""

from __future__ import annotations

import filecmp
import hashlib
import os
import shutil
from pathlib import Path
from typing import Literal

from ..errors import OutputError
from ..remux.apply import shift_audio
from ..remux.correction import Correction
from ..remux.paths import Overwrite, check_output, check_ownership, output_errors, written_output

WAYS = COPIED, LINKED, REMUXED, REENCODED = "copied", "linked", "remuxed", "re-encoded"
Link = Literal["hard", "symbolic"]


def keep_clip(source: Path, target: Path, overwrite: Overwrite, link: Link | None = None) -> str:
    """Copy or link a clip, unless it is there already; returns how it is there, one of WAYS. Raises OutputError."""
    if target.exists() and os.path.samefile(source, target):
        return LINKED
    if target.exists() and filecmp.cmp(source, target, shallow=False):
        return COPIED
    _remove_link(source, target, overwrite)
    if link is None:
        with written_output(target, [source], overwrite) as temporary, output_errors(target):
            shutil.copyfile(source, temporary)
            shutil.copymode(source, temporary)
        return COPIED
    check_output(source, target, overwrite)
    with output_errors(target):
        target.unlink(missing_ok=True)
        os.link(source, target) if link == "hard" else os.symlink(source.absolute(), target)
    return LINKED


def shift_clip(source: Path, target: Path, shift_ms: float, overwrite: Overwrite, reencode: bool = False) -> str:
    """Write a clip with its audio shifted (later = positive); returns how, one of WAYS. Raises ResyncError."""
    _remove_link(source, target, overwrite)
    written = shift_audio(source, target, Correction(shift_ms), reencode=reencode, overwrite=overwrite)
    return REENCODED if written.reencoded else REMUXED


def remove_output(target: Path, overwrite: Overwrite) -> None:
    """Remove an output of an earlier run. Raises OutputError, also if nothing may be replaced, or not this file."""
    _require_permission(target, overwrite)
    if not target.is_symlink():
        check_ownership(target, overwrite)
    _unlink(target)


def mtime_of_output(target: Path) -> int:
    """Modification time (ns) of a file, or of a link, by which a later run knows that it is still what was written. Raises OutputError."""
    with output_errors(target):
        return target.lstat().st_mtime_ns


def sha256_of_output(target: Path) -> str:
    """SHA-256 of a file, in hex. Raises OutputError."""
    with output_errors(target), open(target, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _remove_link(source: Path, target: Path, overwrite: Overwrite) -> None:
    """Remove a link at `target`, so that nothing is written through it into another file."""
    if target.is_symlink() or (target.exists() and os.path.samefile(source, target)):
        _require_permission(target, overwrite)
        _unlink(target)


def _require_permission(target: Path, overwrite: Overwrite) -> None:
    if not overwrite:
        raise OutputError(f"{target}: was written before, with other limits or options; allow to replace and remove outputs with -y")


def _unlink(target: Path) -> None:
    with output_errors(target):
        target.unlink(missing_ok=True)
