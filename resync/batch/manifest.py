"""The manifest of a filtered folder: one row for each clip, as JSON lines or as tab-separated values.

Rows are appended as soon as they are known, so that a run that is killed loses at most the line it was writing; of several rows
about one clip the last one counts. A run that ends leaves one row for each clip, sorted by path.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import BatchError
from ..remux.paths import write_output
from .selection import Figures

MANIFEST_SCHEMA = 1
SUFFIXES = JSON_LINES, TSV = ".jsonl", ".tsv"
_ESCAPES = {"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"}  # in TSV, as in PostgreSQL's text format
_PLAIN = {escape: plain for plain, escape in _ESCAPES.items()}


class Row(NamedTuple):
    """One clip.

    path, output: relative to the input and the output folder, with slashes; output is None where there is none.
    action, reason: see `Choice`, or "failed" and an error. written: how `output` was made, one of `place.WAYS`; shift_ms: of its
    audio, later = positive; sha256: None if not asked for. figures: None if it was not analysed. size, mtime_ns: of the input, by
    which a change is noticed; settings: a digest of what else the figures depend on. output_mtime_ns: of the output when it was written.
    """

    path: str
    action: str = ""
    reason: str = ""
    output: str | None = None
    written: str | None = None
    shift_ms: float | None = None
    sha256: str | None = None
    figures: Figures | None = None
    size: int = 0
    mtime_ns: int = 0
    settings: str = ""
    output_mtime_ns: int | None = None

    def without_output(self) -> Row:
        """The row of a clip that has no output."""
        return self._replace(output=None, written=None, shift_ms=None, sha256=None, output_mtime_ns=None)

    def to_dict(self) -> dict[str, Any]:
        """All columns, in order; unknown is None."""
        figures = dict.fromkeys(Figures._fields) if self.figures is None else self.figures._asdict()
        head, tail = ({name: getattr(self, name) for name in names} for names in (Row._fields[:7], Row._fields[8:]))
        return {"schema": MANIFEST_SCHEMA, **head, **figures, **tail}

    @staticmethod
    def from_dict(row: dict[str, Any]) -> Row:
        """Inverse of `to_dict`. Raises KeyError where a column is missing, and ValueError for another schema."""
        if row["schema"] != MANIFEST_SCHEMA:
            raise ValueError(f"schema {row['schema']}")
        row.setdefault("output_mtime_ns", None)  # added within schema 1
        figures = Figures(*(row[name] for name in Figures._fields)) if row["verdict"] else None
        return Row(**{name: row[name] for name in Row._fields if name != "figures"}, figures=figures)


COLUMNS = tuple(Row("").to_dict())
_TEXT = frozenset(("path", "action", "reason", "output", "written", "sha256", "verdict", "why", "settings"))  # the rest are numbers


class Manifest:
    """The rows in the file `path`, by `Row.path`. Raises BatchError where the file cannot be used."""

    def __init__(self, path: Path):
        self._path, self._is_tsv = path, path.suffix.lower() == TSV
        if path.suffix.lower() not in SUFFIXES:
            raise BatchError(f"{path}: end the name with {JSON_LINES} for JSON lines or {TSV} for tab-separated values")
        self._start = "\t".join(COLUMNS) + "\n" if self._is_tsv else ""
        self.rows: dict[str, Row] = {}
        for line in self._read().split("\n"):
            with suppress(ValueError, KeyError, TypeError, RecursionError):
                row = Row.from_dict(self._parsed(line))
                self.rows[row.path] = row

    def add(self, row: Row) -> None:
        """Append a row, which replaces an earlier one about its clip. Raises BatchError."""
        self.rows[row.path] = row
        try:
            with open(self._path, "a", encoding="utf-8", errors=self._errors, newline="\n") as file:
                file.write(self._line(row))
        except OSError as error:
            raise BatchError(f"{self._path}: a row cannot be saved ({error.strerror}); free some space or name another file") from error

    def forget(self, is_obsolete: Callable[[Row], bool]) -> None:
        """Leave these rows out when the file is next written anew."""
        self.rows = {path: row for path, row in self.rows.items() if not is_obsolete(row)}

    def tidy(self) -> None:
        """Write the file anew: one row for each clip, sorted by path. Raises OutputError."""
        text = self._start + "".join(self._line(self.rows[path]) for path in sorted(self.rows))
        write_output(self._path, text.encode("utf-8", self._errors))

    @property
    def _errors(self) -> str:
        """How names that are not text are stored: in JSON as an escape, so that the file stays text."""
        return "surrogateescape" if self._is_tsv else "backslashreplace"

    def _read(self) -> str:
        """The complete lines of the file, which is created; half a line, of a run that was killed, is removed."""
        start = (self._start or f'{{"schema": {MANIFEST_SCHEMA}, "path": ').encode()
        try:
            with open(self._path, "a+b") as file:
                file.seek(0)
                data = file.read()
                if not data.startswith(start) and not start.startswith(data):
                    raise BatchError(f"{self._path}: is not a manifest of `resync filter`, or one of another version; name another file")
                lines = data[: data.rfind(b"\n") + 1]
                file.truncate(len(lines))
                if not lines:
                    file.write(self._start.encode())
        except OSError as error:
            raise BatchError(f"{self._path}: cannot be used as a manifest ({error.strerror}); name another file") from error
        return lines.decode("utf-8", "surrogateescape")

    def _line(self, row: Row) -> str:
        values = row.to_dict()
        if not self._is_tsv:
            return json.dumps(values, ensure_ascii=False, allow_nan=False) + "\n"
        return "\t".join("" if value is None else _escaped(str(value)) for value in values.values()) + "\n"

    def _parsed(self, line: str) -> dict[str, Any]:
        if not self._is_tsv:
            return json.loads(line)
        cells = zip(COLUMNS, line.split("\t"), strict=True)
        return {name: (_unescaped(cell) or None) if name in _TEXT else json.loads(cell or "null") for name, cell in cells}


def _escaped(text: str) -> str:
    for plain, escape in _ESCAPES.items():
        text = text.replace(plain, escape)
    return text


def _unescaped(text: str) -> str:
    return re.sub(r"\\.", lambda found: _PLAIN.get(found[0], found[0]), text)
