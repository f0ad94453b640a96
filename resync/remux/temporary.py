"""Temporary files and folders: locked while their process works on them, and removed however it ends.

A process that is killed cannot remove its files, so the next one does that. A file is left behind when nobody holds its lock, which
the system releases with the process. The lock, and not a process number, because containers that share a folder may also share a host
name and process numbers. Where locks do not reach (another machine, a file system without them), age decides.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import shutil
import socket
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

from ..shutdown import cleanup

try:
    import fcntl
except ImportError:  # Windows, where age decides
    fcntl = None  # type: ignore[assignment]

STALE_S = 24 * 3600.0  # age at which a file whose lock says nothing counts as left behind
_NAME = re.compile(r"\.resync-(?P<machine>[0-9a-f]{12})-[0-9a-f]{16}(\.|$)")
_OLD_NAME = re.compile(r"\.resync-[0-9a-f]{8}-\d+-[0-9a-f]{8}\.")  # of versions up to 0.3, which held no lock

_cleared: set[Path] = set()


@contextmanager
def temporary_output(target: Path) -> Iterator[Path]:
    """A new, empty file beside `target` to write to; removed at the end unless it was renamed. Raises OSError.

    At the first use of a folder, files that killed processes left there are removed.
    """
    with _locked(target.parent, target.suffix, is_folder=False) as temporary, cleanup(lambda: temporary.unlink(missing_ok=True)):
        try:
            yield temporary
        finally:
            temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder(parent: Path | None = None) -> Iterator[Path]:
    """A new folder, by default where the system keeps temporary files; removed at the end with all that is in it. Raises OSError."""
    parent = parent or Path(tempfile.gettempdir())
    with _locked(parent, "", is_folder=True) as folder, cleanup(lambda: shutil.rmtree(folder, ignore_errors=True)):
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def clear_leftovers(folder: Path) -> None:
    """Remove the temporary files and folders in `folder` on which no process works any more."""
    with suppress(OSError):  # of a folder that cannot be listed
        now_s = folder.stat().st_mtime  # by the clock of the file system, which may be that of a server
        for entry in list(os.scandir(folder)):
            if entry.name.startswith(".resync-"):
                with suppress(OSError):  # already removed, or not permitted
                    _remove_abandoned(Path(entry.path), now_s)


@contextmanager
def _locked(parent: Path, suffix: str, is_folder: bool) -> Iterator[Path]:
    """A new file or folder, with its lock held. At the first use of `parent`, its leftovers are removed."""
    path, descriptor = _create(parent, suffix, is_folder)
    try:
        if parent not in _cleared:  # not again for each of the thousands of outputs of a batch
            _cleared.add(parent)
            clear_leftovers(parent)
        yield path
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _create(parent: Path, suffix: str, is_folder: bool) -> tuple[Path, int | None]:
    """A new file or folder, and the descriptor that holds its lock."""
    while True:
        path = parent / f".resync-{_machine()}-{secrets.token_hex(8)}{suffix}"
        if is_folder:
            path.mkdir(0o700)
        else:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        if fcntl is None:
            return path, None
        with suppress(FileNotFoundError):
            descriptor = _open(path)
            _lock(descriptor)
            if path.exists():
                return path, descriptor
            os.close(descriptor)
        # Another process took it for left behind before it was locked.


def _remove_abandoned(path: Path, now_s: float) -> None:
    """Remove a temporary file or folder, unless a process may still work on it. Raises OSError."""
    name = _NAME.match(path.name)
    if not name and not _OLD_NAME.match(path.name):
        return
    is_stale = now_s - path.lstat().st_mtime > STALE_S
    descriptor = None if fcntl is None else _open(path)
    try:
        is_free = None if descriptor is None else _lock(descriptor)
        of_this_machine = name is not None and name["machine"] == _machine()
        if is_free is not False and (is_stale or (is_free and of_this_machine)):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    finally:
        if descriptor is not None:
            os.close(descriptor)


@cache
def _machine() -> str:
    """This machine since it was started, as named in temporary files: all its processes, in whatever container, see their locks."""
    try:
        name = Path("/proc/sys/kernel/random/boot_id").read_text()
    except OSError:
        name = f"{socket.gethostname()} {uuid.getnode()}"
    return hashlib.sha256(name.encode()).hexdigest()[:12]


def _open(path: Path) -> int:
    """A descriptor for the lock of a file or folder: NFS locks only what is open for writing."""
    return os.open(path, (os.O_RDONLY if path.is_dir() else os.O_RDWR) | os.O_NOFOLLOW | os.O_NONBLOCK)


def _lock(descriptor: int) -> bool | None:
    """Lock an open file: True; False if another descriptor holds the lock; None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True
