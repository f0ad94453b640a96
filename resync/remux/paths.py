"""Output files: which may be replaced, and how they get their name once they are complete."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from enum import IntEnum
from itertools import chain
from pathlib import Path

from .. import __version__
from ..config import MEDIA_SUFFIXES
from ..errors import MediaError, OutputError
from ..media.container import open_container
from .containers import PLAYLISTS
from .temporary import temporary_output

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


def check_output(src: str | Path, dst: str | Path, overwrite: Overwrite | bool = Overwrite.NEVER) -> None:
    """Raise OutputError when `dst` cannot be written, exists and may not be overwritten, or is `src` itself.

    A media file that resync did not write is only overwritten with `Overwrite.ANY`.
    """
    src, dst = Path(src), Path(dst)
    if not dst.suffix and not dst.is_dir():
        raise OutputError(f"{dst}: no file type; end the name with {src.suffix or '.mp4'}")
    if dst.suffix.lower() in PLAYLISTS:
        raise OutputError(f"{dst}: is a playlist of many files; write an .mp4 or .mkv file")
    _check_target(dst, [src], overwrite)


def _check_target(dst: Path, inputs: Iterable[str | Path], overwrite: Overwrite | bool) -> None:
    """`check_output`, for any number of inputs and any name."""
    if dst.is_dir():
        raise OutputError(f"{dst}: is a folder; name a file in it")
    if not dst.parent.is_dir():
        raise OutputError(f"{dst}: the folder {dst.parent} does not exist; create it first")
    if not os.access(dst.parent, os.W_OK):
        raise OutputError(f"{dst}: the folder {dst.parent} is not writable; choose another")
    if not dst.exists():
        if dst.is_symlink():
            raise OutputError(f"{dst}: is a symbolic link to a file that does not exist; choose another name")
        return
    if any(os.path.exists(path) and os.path.samefile(path, dst) for path in inputs):
        raise OutputError(f"{dst}: is the input itself; choose another name")
    if not dst.is_file():
        raise OutputError(f"{dst}: is not a regular file; choose another name")
    if not overwrite:
        raise OutputError(f"{dst}: already exists; choose another name, or overwrite it with -y")
    check_ownership(dst, overwrite)


def check_ownership(dst: Path, overwrite: Overwrite | bool) -> None:
    """Raise OutputError when `dst` is a media file that resync did not write, unless `overwrite` is ANY."""
    if overwrite < Overwrite.ANY and is_foreign_media(dst):
        raise OutputError(f"{dst}: is a media file that resync did not write; choose another name, or replace it with --overwrite-media")


@contextmanager
def written_output(dst: str | Path, inputs: Iterable[str | Path] = (), overwrite: Overwrite | bool = Overwrite.NEVER) -> Iterator[Path]:
    """A temporary file beside `dst` to write to, which gets its name after the body; when the body raises, no file is left behind.

    What `check_output` says about `dst` and each of the inputs holds before the body and, since other programs write files, too, again
    at the end: with `Overwrite.NEVER` nothing that appeared meanwhile is replaced. Raises OutputError.
    """
    dst, inputs = Path(dst), list(inputs)
    _check_target(dst, inputs, overwrite)
    target = Path(os.path.realpath(dst))  # write through a symbolic link, like cp
    with ExitStack() as stack:
        with output_errors(dst):
            temporary = stack.enter_context(temporary_output(target))
        yield temporary
        with output_errors(dst):
            _publish(temporary, target, inputs, overwrite)


@contextmanager
def output_errors(dst: str | Path) -> Iterator[None]:
    """Turn the system's errors in the body, which writes `dst`, into an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{dst}: cannot be written ({error.strerror}); choose another place") from error


def _publish(temporary: Path, target: Path, inputs: Iterable[str | Path], overwrite: Overwrite | bool) -> None:
    """Give a complete file its name. Raises OutputError and OSError."""
    with open(temporary, "r+b") as file:
        os.fsync(file.fileno())  # a full or failing disk may show only now, and a power cut must not leave an empty file under the name
    if not overwrite:
        with suppress(OSError):  # not every file system has hard links
            try:
                os.link(temporary, target)  # unlike a renaming, never replaces anything
                return
            except FileExistsError:
                _check_target(target, inputs, overwrite)
    _check_target(target, inputs, overwrite)
    os.replace(temporary, target)


def restrict_mode(out: Path, src: Path) -> None:
    """Give an output, before anything is in it, no permission that its source does not give. Raises OSError."""
    out.chmod(out.stat().st_mode & (src.stat().st_mode | 0o600))


def check_report_output(sources: Iterable[str | Path], dst: Path, suffix: str, overwrite: Overwrite | bool = Overwrite.NEVER) -> None:
    """Raise OutputError when a report about many inputs cannot be written to `dst`, see `check_output`, or has not this suffix."""
    if dst.suffix.lower() != suffix:
        raise OutputError(f"{dst}: end the name with {suffix}")
    _check_target(dst, sources, overwrite)


def write_output(dst: Path, data: bytes, inputs: Iterable[str | Path] = (), overwrite: Overwrite | bool = Overwrite.OWN) -> None:
    """Write a small file that appears only when it is complete, see `written_output`. Raises OutputError."""
    with written_output(dst, inputs, overwrite) as temporary, output_errors(dst):
        temporary.write_bytes(data)
