"""Output files: which may be replaced, and temporary files beside them until they are complete."""

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

from .. import __version__
from ..config import MEDIA_SUFFIXES
from ..errors import MediaError, OutputError
from ..media.container import open_container

_TEMPORARY_NAME = re.compile(r"\.resync-(?P<host>[0-9a-f]{8})-(?P<pid>\d+)-[0-9a-f]{8}\.")
_MARKER_PREFIX = "resync "
MARKER = f"{_MARKER_PREFIX}{__version__}"  # in the metadata of files that resync writes
#: The metadata key that keeps the marker in each container; the others drop unknown metadata.
_MARKER_KEYS = (
    dict.fromkeys((".mp4", ".m4v", ".mov"), "encoding_tool")
    | dict.fromkeys((".mkv", ".webm", ".flv", ".wmv", ".asf", ".nut", ".ogv", ".ogg"), "resync_version")
    | {".avi": "encoded_by", ".mxf": "product_name"}
)
_AUDIO_SUFFIXES = frozenset(
    ".aac .ac3 .aif .aifc .aiff .amr .ape .au .caf .eac3 .flac .m4a .m4b .mka .mp2 .mp3 .oga .ogg .opus .rf64 .w64 .wav .wma .wv".split()
)
_IMAGE_FORMATS = frozenset({"image2", "gif", "apng", "webp"})  # and those that end in _pipe
_STALE_S = 24 * 3600.0  # age at which a temporary file of another host counts as left behind


class Overwrite(IntEnum):
    """Which existing outputs may be replaced. False and True mean NEVER and OWN."""

    NEVER = 0
    OWN = 1  # all but media files that resync did not write
    ANY = 2


def marker_options(suffix: str) -> list[str]:
    """ffmpeg options that mark its output as written by resync; empty for containers that drop unknown metadata (MPEG-TS, 3GP ...)."""
    key = _MARKER_KEYS.get(suffix.lower())
    return [] if key is None else ["-metadata", f"{key}={MARKER}"]


def is_foreign_media(path: Path) -> bool:
    """Whether `path` holds audio or video and is not marked as written by resync. Still images do not count.

    A damaged file that cannot be opened counts when its suffix is that of a media file. An empty file does not count.
    """
    if path.stat().st_size == 0:
        return False
    try:
        with open_container(path) as container:
            name = container.format.name
            if name in _IMAGE_FORMATS or name.endswith("_pipe") or not (container.streams.video or container.streams.audio):
                return False
            values = chain(container.metadata.values(), *(stream.metadata.values() for stream in container.streams))
            return not any(value.startswith(_MARKER_PREFIX) for value in values)
    except (MediaError, OSError):
        return path.suffix.lower() in MEDIA_SUFFIXES | _AUDIO_SUFFIXES


@contextmanager
def temporary_output(target: Path) -> Iterator[Path]:
    """A path beside `target` to write to; removed at the end unless it was renamed.

    First removes the temporary files that killed processes left in the same folder.
    """
    clear_leftovers(target.parent)
    temporary = target.with_name(f".resync-{_host()}-{os.getpid()}-{secrets.token_hex(4)}{target.suffix}")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def clear_leftovers(folder: Path) -> None:
    """Remove temporary files in `folder` whose process on this host has ended, and any older than a day."""
    for path in folder.glob(".resync-*"):
        name = _TEMPORARY_NAME.match(path.name)
        try:
            if name and (_has_ended(name["host"], int(name["pid"])) or time.time() - path.stat().st_mtime > _STALE_S):
                path.unlink()
        except OSError:
            pass  # already removed, or not permitted


def _host() -> str:
    """This host, as named in temporary files: 8 hexadecimal digits."""
    return f"{zlib.crc32(socket.gethostname().encode()):08x}"


def _has_ended(host: str, pid: int) -> bool:
    """Whether the process is known to have ended: only on this host, and not on Windows, which has no signal 0."""
    if host != _host() or os.name == "nt":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        return False
    return False


def check_output(src: str | Path, dst: str | Path, overwrite: Overwrite | bool = Overwrite.NEVER) -> None:
    """Raise OutputError when `dst` cannot be written, exists and may not be overwritten, or is `src` itself.

    A media file that resync did not write is only overwritten with `Overwrite.ANY`.
    """
    src, dst = Path(src), Path(dst)
    if dst.is_dir():
        raise OutputError(f"{dst}: is a folder; name a file in it")
    if not dst.parent.is_dir():
        raise OutputError(f"{dst}: the folder {dst.parent} does not exist; create it first")
    if not os.access(dst.parent, os.W_OK):
        raise OutputError(f"{dst}: the folder {dst.parent} is not writable; choose another")
    if not dst.suffix:
        raise OutputError(f"{dst}: no file type; end the name with {src.suffix or '.mp4'}")
    if not dst.exists():
        return
    if src.exists() and os.path.samefile(src, dst):
        raise OutputError(f"{dst}: is the input itself; choose another name")
    if not dst.is_file():
        raise OutputError(f"{dst}: is not a regular file; choose another name")
    if not overwrite:
        raise OutputError(f"{dst}: already exists; choose another name, or overwrite it with -y")
    if overwrite < Overwrite.ANY and is_foreign_media(dst):
        raise OutputError(f"{dst}: is a media file that resync did not write; choose another name, or replace it with --overwrite-media")
