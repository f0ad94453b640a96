"""What can be watched: a stream by its URL, a growing file, or a pipe; and how each is opened."""

from __future__ import annotations

import os
import re
import select
import stat
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from threading import Event
from urllib.parse import urlsplit

import av

from ..errors import MediaError

_HTTP = "http,https,httpproxy,tcp,tls,crypto,data"
#: Protocols that a URL may use, by its scheme. A playlist from a server must not make libav read local files.
PROTOCOLS = {
    "http": _HTTP,
    "https": _HTTP,
    "rtmp": "rtmp,tcp",
    "rtmps": "rtmps,tcp,tls",
    "rtp": "rtp,udp",
    "rtsp": "rtsp,rtp,tcp,udp",
    "rtsps": "rtsps,rtp,srtp,tcp,tls,udp",
    "srt": "srt",
    "tcp": "tcp",
    "tls": "tcp,tls",
    "udp": "udp",
}
_PLAYLIST_PROTOCOLS = "file,crypto,data"  # of a playlist on this machine
#: For `udp`: room for seconds of video, and what does not fit is lost without ending the stream. The URL can say otherwise.
_OPTIONS = {"udp": {"fifo_size": "100000", "overrun_nonfatal": "1"}}
_OPEN_S = 15.0  # added to the stall time-out while a stream is opened: libav analyses up to 5 s of it
_POLL_S = 0.1


class Kind(Enum):
    """What an input is. A file ends when it stops growing and a pipe when it is closed; the others are opened again."""

    URL = "stream"
    FIFO = "named pipe"
    FILE = "file"
    PIPE = "pipe"
    PLAYLIST = "playlist"


@dataclass(frozen=True)
class LiveInput:
    """An input. location: as given; name: for messages, a URL without user, password and query."""

    location: str
    kind: Kind
    name: str

    @property
    def reconnects(self) -> bool:
        """Whether it is opened again when it ends."""
        return self.kind not in (Kind.FILE, Kind.PIPE)

    @property
    def is_pulled(self) -> bool:
        """Whether its data wait for the reader, and may come at intervals, as the segments of HLS do."""
        return self.kind in (Kind.FILE, Kind.PLAYLIST) or self.location.lower().startswith(("http:", "https:"))


def parse_input(location: str, name: str | None = None) -> LiveInput:
    """What `location` is: a URL, "-" for the standard input, or a path. Raises MediaError."""
    if location == "-":
        return LiveInput(location, Kind.PIPE, name or "standard input")
    if match := re.match(r"([a-zA-Z][a-zA-Z0-9+.-]*)://", location):
        if match[1].lower() not in PROTOCOLS:
            raise MediaError(f"{_without_secrets(location)}: cannot be watched; use {', '.join(PROTOCOLS)}, a file or -")
        return LiveInput(location, Kind.URL, name or _without_secrets(location))
    path = Path(location)
    if not path.exists():
        raise MediaError(f"{location}: does not exist; give a URL, a file or - for the standard input")
    if path.is_dir():
        raise MediaError(f"{location}: is a folder; give a URL, a file or - for the standard input")
    if path.is_fifo():
        return LiveInput(location, Kind.FIFO, name or location)
    return LiveInput(location, Kind.PLAYLIST if path.suffix.lower() == ".m3u8" else Kind.FILE, name or location)


def _without_secrets(url: str) -> str:
    """A URL without user, password and query, which may be secret."""
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()


class UnsupportedInput(MediaError):
    """It cannot be opened, now or later."""


@contextmanager
def open_live(
    source: LiveInput, timeout_s: float, stop: Event, on_stall: Callable[[bool], None]
) -> Iterator[tuple[av.container.InputContainer, FollowedFile | None]]:
    """The opened input, and the file behind it, if it is one. Any libav error, also in the body, is raised as MediaError.

    So is a stream without data for timeout_s. A pipe is waited for: on_stall is called with True then, and with False when it goes on.
    """
    try:
        if source.kind in (Kind.URL, Kind.PLAYLIST):
            with _open_url(source, timeout_s) as container:
                yield container, None
        else:
            with FollowedFile(source, timeout_s, stop, on_stall) as file:
                # Without the option libav would look for the end of an MPEG-TS, which has none yet.
                options = {"protocol_whitelist": "", "skip_estimate_duration_from_pts": "1"}
                with av.open(file, "r", container_options=options, metadata_errors="replace") as container:
                    yield container, file if file.seekable() else None
    except av.ProtocolNotFoundError as error:
        way_out = "use `ffmpeg -i URL -c copy -f mpegts - | resync watch -`"
        raise UnsupportedInput(f"{source.name}: not a protocol of the installed PyAV; {way_out}") from error
    except av.ExitError as error:
        raise MediaError(f"{source.name}: no data for {timeout_s:g} s") from error
    except av.InvalidDataError as error:
        raise MediaError(f"{source.name}: not a media stream, or damaged{_hint(source)}") from error
    except av.FFmpegError as error:
        raise MediaError(f"{source.name}: cannot be read ({error.strerror})") from error
    except OSError as error:
        raise MediaError(f"{source.name}: cannot be read ({error.strerror})") from error


def _open_url(source: LiveInput, timeout_s: float) -> av.container.InputContainer:
    scheme = source.location.partition(":")[0].lower() if source.kind is Kind.URL else ""
    protocols = PROTOCOLS.get(scheme, _PLAYLIST_PROTOCOLS)
    options = {"protocol_whitelist": protocols, **_OPTIONS.get(scheme, {})}
    location = source.location if source.kind is Kind.URL else f"file:{source.location}"
    return av.open(location, container_options=options, timeout=(timeout_s + _OPEN_S, timeout_s), metadata_errors="replace")


def _hint(source: LiveInput) -> str:
    if source.kind is Kind.PIPE:
        return "; an MP4 or MOV can be piped only if it is fragmented: send MPEG-TS or MKV"
    if source.kind is Kind.FILE and Path(source.location).suffix.lower() in (".mp4", ".m4v", ".mov"):
        return "; an MP4 or MOV can be read only once it is complete: record to MKV, MPEG-TS or fragmented MP4"
    return ""


class FollowedFile:
    """A growing file or a pipe, for libav to read: waits for more data. `stop` ends every wait.

    A file ends when it has not grown for timeout_s, a pipe when its writer closes it; for the first writer of a named pipe it waits.
    """

    def __init__(self, source: LiveInput, timeout_s: float, stop: Event, on_stall: Callable[[bool], None]):
        self.name = source.name
        self._timeout_s, self._stop, self._on_stall = timeout_s, stop, on_stall
        if source.kind is Kind.PIPE:
            self._fd = os.dup(sys.stdin.fileno())
        else:
            # A named pipe would otherwise wait, not to be interrupted, until somebody writes to it.
            self._fd = os.open(source.location, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        self._is_regular = stat.S_ISREG(os.fstat(self._fd).st_mode)

    def __enter__(self) -> FollowedFile:
        return self

    def __exit__(self, *error) -> None:
        os.close(self._fd)

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""
        until, stalls = time.monotonic() + self._timeout_s, False
        while not self._stop.is_set():
            if self._is_regular or self._is_readable():
                data = os.read(self._fd, size)
                if data or not self._is_regular:
                    if stalls:
                        self._on_stall(False)
                    return data
                self._stop.wait(_POLL_S)
            if time.monotonic() > until and not stalls:
                if self._is_regular:
                    break
                stalls = True
                self._on_stall(True)
        return b""

    def _is_readable(self) -> bool:
        """Whether reading would not wait, which is not known on Windows."""
        return os.name == "nt" or bool(select.select([self._fd], [], [], _POLL_S)[0])

    def seekable(self) -> bool:
        """Whether it is a file."""
        return self._is_regular

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a place in the file."""
        return os.lseek(self._fd, offset, whence)

    def tell(self) -> int:
        """The place in the file."""
        return os.lseek(self._fd, 0, os.SEEK_CUR)

    @property
    def size(self) -> int:
        """Bytes in the file so far."""
        return os.fstat(self._fd).st_size
