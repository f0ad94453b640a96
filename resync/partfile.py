"""Files that are being written: beside their target under a name of their own, until they are whole."""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_NAME = re.compile(r"\.resync-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}\.")
_FORGOTTEN_S = 24 * 3600.0  # after which a part of another machine's run counts as left behind


@contextmanager
def part_file(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to; what is still there at the end is removed.

    Parts that killed runs left in the same folder are removed first.
    """
    clear_leftovers(target.parent)
    part = target.with_name(f".resync-{_host()}-{os.getpid()}-{secrets.token_hex(4)}{target.suffix}")
    try:
        yield part
    finally:
        part.unlink(missing_ok=True)


def clear_leftovers(folder: Path) -> None:
    """Remove parts in `folder` whose process on this machine is gone, and those forgotten for a day."""
    for path in folder.glob(".resync-*"):
        found = _NAME.match(path.name)
        try:
            if found and (_is_dead(found) or time.time() - path.stat().st_mtime > _FORGOTTEN_S):
                path.unlink()
        except OSError:
            pass  # gone already, or not ours to remove


def _host() -> str:
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _is_dead(found: re.Match) -> bool:
    """Is this the part of a process on this machine that no longer runs?"""
    if found["host"] != _host() or os.name == "nt":  # Windows has no signal that only asks
        return False
    try:
        os.kill(int(found["pid"]), 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False
