"""The ffmpeg program: where it is, how it is run, and its errors in one line."""

from __future__ import annotations

import logging
import re
import shlex
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from ..errors import RemuxError
from ..media.safety import CONTAINER_OPTIONS, MAX_PIXELS
from ..shutdown import cleanup
from .containers import suffix_of

LOG_BYTES = 100_000  # read of what the program prints: of a damaged file it can be gigabytes

logger = logging.getLogger(__name__)


def ffmpeg_exe() -> str:
    """Path of the ffmpeg program packaged with imageio-ffmpeg. Raises RemuxError when there is none."""
    try:
        import imageio_ffmpeg

        return imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        raise RemuxError("no ffmpeg program found; run `pip install imageio-ffmpeg` or set IMAGEIO_FFMPEG_EXE to one") from error


def input_options(path: Path) -> list[str]:
    """Options that make ffmpeg read this file and no other one, whatever its name and content: see `media.safety`."""
    limits = [*CONTAINER_OPTIONS.items(), ("max_pixels", str(MAX_PIXELS))]
    return [word for name, value in limits for word in (f"-{name}", value)] + ["-i", f"file:{path}"]


#: Writes what ffmpeg is to read from its standard input.
Feed = Callable[[IO[bytes]], None]


def run_ffmpeg(command: Sequence[str], src: Path, dst: Path, feed: Feed | None = None) -> None:
    """Run an ffmpeg command whose last argument is the output file.

    Raises RemuxError that names `src`, and `dst` in place of the output file; and what `feed` raises.
    """
    began = time.monotonic()
    logger.info("%s: %s", src, shlex.join(command))
    try:
        done = _run(command, feed)
    except OSError as error:
        raise RemuxError(f"{command[0]}: cannot be run ({error.strerror}); set IMAGEIO_FFMPEG_EXE to an ffmpeg program") from error
    logger.info("%s: ffmpeg ended with exit code %d after %.2f s", src, done.returncode, time.monotonic() - began)
    if done.returncode == 0:
        return
    if done.returncode == -getattr(signal, "SIGXFSZ", 0):
        raise RemuxError(f"{dst}: exceeds the file size limit; raise the limit (ulimit -f), or choose another place")
    if done.returncode < 0:  # some builds of ffmpeg 7.0 crash on every MPEG-TS
        raise RemuxError(f"{src}: ffmpeg crashed on this file; upgrade imageio-ffmpeg or set IMAGEIO_FFMPEG_EXE to another build")
    log = done.stderr.decode(errors="replace")
    reason = _first_error(log).replace(command[-1], str(dst))
    if not re.search("write header|choose an output format", log):
        way_out = "check that the input plays and that the disk has room"
    elif suffix_of(dst) == ".mkv":
        way_out = f"keep the input's own file type, {src.suffix}"
    else:
        way_out = "write an .mkv file, which takes almost any stream"
    raise RemuxError(f"{src}: ffmpeg could not write {dst.name} ({reason}); {way_out}")


@contextmanager
def program(command: Sequence[str], **streams: Any) -> Iterator[subprocess.Popen[bytes]]:
    """A program while it runs; waits for its end. It is killed where the body raises and where this process ends. Raises OSError."""
    with subprocess.Popen(command, **streams) as process, cleanup(process.kill):
        try:
            yield process
            process.wait()
        except BaseException:
            process.kill()
            raise


def _run(command: Sequence[str], feed: Feed | None) -> subprocess.CompletedProcess[bytes]:
    """Run a program while `feed` writes to its standard input; ends the program when that raises."""
    with tempfile.TemporaryFile() as log:
        with program(command, stdin=subprocess.PIPE if feed else subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=log) as process:
            if feed and process.stdin:
                # A closed pipe is a program that ended early, which its own error explains.
                with suppress(BrokenPipeError):
                    feed(process.stdin)
                with suppress(BrokenPipeError):
                    process.stdin.close()
        log.seek(0)
        return subprocess.CompletedProcess(command, process.returncode, stderr=log.read(LOG_BYTES))


def _first_error(log: str) -> str:
    """ffmpeg's first error, which is the cause of the others, without its "[muxer @ address]" prefix."""
    lines = (re.sub(r"^(\[[^\]]*\]\s*)+", "", line).strip(" .") for line in log.splitlines())
    return next(filter(None, lines), "no reason given")[:300]
