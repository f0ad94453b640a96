"""The file of a results cache: made, recognised, and opened as its file system allows."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..errors import BatchError
from ..remux.temporary import temporary_output

APPLICATION_ID = 0x7273796E  # in the header of the file: that it is such a cache, and nobody else's database
ADD = "insert or replace into results values (?, ?, ?, ?, ?, ?, ?, ?)"
_MAGIC = b"SQLite format 3\0"
_OLD_MAGIC = b'{"file": '  # at the start of a cache of version 0.3, whose results another analysis and other weights gave
_ID_AT = 68  # place of the application ID in the header, bytes
_PATIENCE_S = 60.0  # for other processes that write
_LOCAL = frozenset("bcachefs btrfs ext2 ext3 ext4 f2fs jfs overlay ramfs reiserfs tmpfs xfs zfs".split())
_TABLE = """create table if not exists results (
    file blob not null, settings text not null, task text not null, analysis integer not null,
    size integer not null, mtime_ns integer not null, outputs text not null, result text not null,
    primary key (file, settings, task)
)"""


def open_cache_file(path: Path) -> sqlite3.Connection:
    """Open a results cache, which is made if there is none. Raises BatchError for a file of another kind, sqlite3.Error and OSError."""
    start = _start(path)
    if start.startswith(_OLD_MAGIC):
        _replace_old(path)
    elif start and not _is_cache(start):
        raise BatchError(f"{path}: is not a results cache; name another file")
    database = _connect(path)
    # A log of changes beside the file lets others read while one writes. It needs memory that all processes share, so not over a network.
    with suppress(sqlite3.OperationalError):  # another process is about to do the same
        mode = "wal" if is_local(path) else "delete"
        found = database.execute(f"pragma journal_mode = {mode}").fetchone()[0]
        database.execute(f"pragma synchronous = {'normal' if found == 'wal' else 'full'}")
    return database


def is_local(path: Path) -> bool:
    """Whether a file is known to be on a disk or in the memory of this machine: on Linux, by the type of its file system."""
    try:
        mounts = [line.split() for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    except OSError:
        return False
    types = {fields[4]: fields[fields.index("-") + 1] for fields in mounts}
    folder = Path(os.path.realpath(path.parent))
    return next((types[str(parent)] for parent in (folder, *folder.parents) if str(parent) in types), "") in _LOCAL


def _start(path: Path) -> bytes:
    """The first bytes of a file; none where there is no file. Raises OSError."""
    try:
        with open(path, "rb") as file:
            return file.read(100)
    except FileNotFoundError:
        return b""


def _is_cache(start: bytes) -> bool:
    return start.startswith(_MAGIC) and start[_ID_AT : _ID_AT + 4] == APPLICATION_ID.to_bytes(4, "big")


def _connect(path: Path) -> sqlite3.Connection:
    """A connection to the database, with its table."""
    database = sqlite3.connect(path, timeout=_PATIENCE_S)
    # Asked of SQLite, which first takes back what a process that was killed while it made the file left half done.
    if database.execute("pragma application_id").fetchone()[0] != APPLICATION_ID:
        with database:
            database.execute("begin exclusive")  # another process is to see all of it or nothing
            database.execute(f"pragma application_id = {APPLICATION_ID}")
            database.execute(_TABLE)
    return database


def _replace_old(path: Path) -> None:
    """Replace the results cache of version 0.3, lines of JSON, by an empty database."""
    with _alone_with(path), temporary_output(path) as temporary:
        if not _start(path).startswith(_OLD_MAGIC):
            return  # another process was faster
        _connect(temporary).close()
        os.replace(temporary, path)


@contextmanager
def _alone_with(path: Path) -> Iterator[None]:
    """The body has the file for itself, among processes that do this."""
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    with open(path, "r+b") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
