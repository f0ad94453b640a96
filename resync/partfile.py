"""Output files: which of them may be replaced, and temporary files beside their target until they are complete."""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from itertools import chain
from pathlib import Path

import av

from . import __version__

_NAME = re.compile(r"\.resync-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}\.")
MARKER = f"resync {__version__}"  # in the metadata of what resync writes
#: Where each container keeps the marker; the others drop unknown metadata.
_MARKER_KEYS = (
    dict.fromkeys((".mp4", ".m4v", ".mov"), "encoding_tool")
    | dict.fromkeys((".mkv", ".webm", ".flv", ".wmv", ".asf", ".nut", ".ogv", ".ogg"), "resync_version")
    | {".avi": "encoded_by", ".mxf": "product_name"}
)
_MEDIA_SUFFIXES = frozenset(".3g2 .3gp .asf .avi .flv .m2ts .m4v .mkv .mov .mp4 .mpeg .mpg .mts .mxf .nut .ogv .ts .vob .webm .wmv".split())
_STILL_IMAGES = frozenset({"image2", "gif", "apng", "webp"})
_FORGOTTEN_S = 24 * 3600.0  # after which a part of another machine's run counts as left behind


class Overwrite(IntEnum):
    """Which existing outputs may be replaced. False and True stand for NEVER and OWN."""

    NEVER = 0
    OWN = 1  # anything but a media file that resync did not write
    ANY = 2


def marker_options(suffix: str) -> list[str]:
    """ffmpeg's options that mark its output as written by resync; none where the container drops unknown metadata (MPEG-TS, 3GP ...)."""
    key = _MARKER_KEYS.get(suffix.lower())
    return [] if key is None else ["-metadata", f"{key}={MARKER}"]


def is_foreign_media(path: Path) -> bool:
    """Whether `path` holds audio or video and is not marked as written by resync. Still images and other files do not count."""
    try:
        with av.open(f"file:{path}", options={"protocol_whitelist": "file"}, metadata_errors="replace") as container:
            names = container.format.name
            if names in _STILL_IMAGES or names.endswith("_pipe") or not (container.streams.video or container.streams.audio):
                return False
            values = chain(container.metadata.values(), *(stream.metadata.values() for stream in container.streams))
            return not any(value.startswith("resync ") for value in values)
    except (av.FFmpegError, OSError):
        return path.suffix.lower() in _MEDIA_SUFFIXES and path.stat().st_size > 0  # damaged, but somebody's video all the same


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
