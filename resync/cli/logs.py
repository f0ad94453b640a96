"""Log messages of the library: on the terminal for --verbose, in a file for --log-file."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ..batch.pool import LOGGER
from ..errors import OutputError, printable

SHORT, LONG = "%(asctime)s.%(msecs)03d %(message)s", "%(asctime)s.%(msecs)03d %(name)s: %(message)s"
_LINE = re.compile(rb"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} resync")  # how LONG begins


@contextmanager
def logged(verbose: bool, file: Path | None, echo: Callable[..., None]) -> Iterator[None]:
    """Log while the body runs: through `echo(text, err=True)` if verbose, and appended to `file` if given. Raises OutputError."""
    handlers: list[logging.Handler] = []
    if verbose:
        handlers.append(_with_format(_EchoHandler(echo), SHORT, "%H:%M:%S"))
    if file:
        handlers.append(_with_format(_file_handler(file), LONG, "%Y-%m-%d %H:%M:%S"))
    logger = logging.getLogger(LOGGER)
    before = logger.level
    if handlers:
        logger.setLevel(logging.INFO)
    for handler in handlers:
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(before)
        for handler in handlers:
            logger.removeHandler(handler)
            with suppress(OSError):  # of a full disk
                handler.close()


class _Handler(logging.Handler):
    def handleError(self, record: logging.LogRecord) -> None:
        """A log that cannot be written (disk full, pipe closed) neither ends the batch nor prints tracebacks."""


class _EchoHandler(_Handler):
    def __init__(self, echo: Callable[..., None]):
        super().__init__()
        self._echo = echo

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._echo(self.format(record), err=True)
        except OSError:
            self.handleError(record)


class _FileHandler(_Handler, logging.FileHandler):
    pass


class _Formatter(logging.Formatter):
    """File names may hold anything; a traceback keeps its lines."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))

    def formatException(self, error) -> str:
        return "\n".join(map(printable, super().formatException(error).split("\n")))


def _with_format(handler: logging.Handler, text: str, time_format: str) -> logging.Handler:
    handler.setFormatter(_Formatter(text, time_format))
    return handler


def _file_handler(file: Path) -> logging.Handler:
    """Appends to a file, but only to a log that resync wrote: `--log-file *.mp4` must not touch a video. Raises OutputError."""
    try:
        with open(file, "a+b") as existing:
            existing.seek(0)
            start = existing.read(64)
        if start and not _LINE.match(start):
            raise OutputError(f"{file}: is not a log of resync; name another file")
        return _FileHandler(file, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{file}: cannot be written ({error.strerror}); name another file") from error
