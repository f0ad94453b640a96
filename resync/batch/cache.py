"""The results cache of a batch: an SQLite file from which the next run continues, shared by any number of processes.

One row for each file and settings: the result as `--json` prints it, and size and modification time of the input and the sizes of the
outputs, by which changes are noticed.
"""

from __future__ import annotations

import json
import os
import sqlite3
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

from ..config import ANALYSIS
from ..errors import BatchError
from ..report.result import Outcome, Report
from .cache_file import ADD, open_cache_file
from .jobs import Job, JobRunner
from .settings import Models, file_stamp

_FIND = "select size, mtime_ns, outputs, result from results where file = ? and settings = ? and task = ?"
_Value = TypeVar("_Value")


class ResultsCache:
    """Results kept in the file `path`. Raises BatchError where that cannot be used, and what `JobRunner.settings` raises."""

    def __init__(self, path: Path, runner: JobRunner):
        self._path, self._runner = path, runner
        self._settings, self._models = runner.settings(), runner.models()
        self._stamps: dict[bytes, tuple[int, int]] = {}
        self._unsaved: list[tuple] = []
        self._database = self._try(lambda: open_cache_file(path))

    def find(self, job: Job) -> Outcome | None:
        """The outcome of an earlier run with the same settings, if the input is unchanged and its outputs are still there."""
        name = _name(job.source)
        stamp = self._stamps[name] = file_stamp(job.source)  # before the work: a file that changes meanwhile is analysed again next time
        row = self._try(lambda: self._database.execute(_FIND, (name, self._settings, _task(job))).fetchone())
        return self._outcome(job, *map(json.loads, row[2:])) if row is not None and row[:2] == stamp else None

    def _outcome(self, job: Job, outputs: list[tuple[str, int | None]], result: dict) -> Outcome | None:
        """The outcome of a row of the table, if it still holds."""
        sizes, written = dict(outputs), result["written"]
        if any(_size(path) is None or _size(path) != sizes.get(os.path.abspath(path)) for path in self._runner.outputs(job, bool(written))):
            return None
        with suppress(KeyError, TypeError, ValueError):  # a report in the format of another version
            report = Report.from_dict(result | {"file": str(job.source)})
            if Models.of_report(report) == self._models:
                return Outcome(str(job.source), report, None if job.target is None else str(job.target), written)
        return None

    def add(self, job: Job, outcome: Outcome) -> None:
        """Keep an outcome. Not an error, so that it is tried again, nor a result of other models than those that the settings name.

        A result that cannot be saved now, because the disk is full for example, is saved with a later one, or by `close`.
        """
        if outcome.report is None or Models.of_report(outcome.report) != self._models:
            return
        name, paths = _name(job.source), self._runner.outputs(job, bool(outcome.written))
        outputs = [(os.path.abspath(path), _size(path)) for path in paths]
        result = outcome.report.to_dict(with_curve=True, with_boxes=True) | {"written": outcome.written}
        texts = json.dumps(outputs), json.dumps(result)
        self._unsaved.append((name, self._settings, _task(job), ANALYSIS, *self._stamps[name], *texts))
        with suppress(BatchError):
            self._save()

    def close(self) -> None:
        """Save what could not be saved before. Raises BatchError where that is still so."""
        try:
            self._save()
        finally:
            self._database.close()

    def _save(self) -> None:
        def save() -> None:
            with self._database:  # all or nothing
                for row in self._unsaved:
                    self._database.execute("delete from results where file = ? and analysis <> ?", (row[0], ANALYSIS))
                    self._database.execute(ADD, row)

        if self._unsaved:
            self._try(save)
            self._unsaved.clear()

    def _try(self, action: Callable[[], _Value]) -> _Value:
        try:
            return action()
        except (sqlite3.Error, OSError) as error:
            why = getattr(error, "strerror", None) or error
            raise BatchError(f"{self._path}: cannot be used as a results cache ({why}); free some space or name another file") from error


def _task(job: Job) -> str:
    """What was done with a file: a fixed file is not done because it was checked."""
    return "check" if job.target is None else "fix"


def _name(path: Path) -> bytes:
    """A file name as the system has it, which need not be text."""
    return os.fsencode(os.path.abspath(path))


def _size(path: Path) -> int | None:
    """The size of a file; None where there is none."""
    try:
        return path.stat().st_size
    except OSError:
        return None
