"""The results cache of a batch: a file from which the next run continues.

One JSON line per file, appended as soon as its result is known: size and modification time of the input, a digest of
the settings, and the result as `--json` prints it. A run that is killed loses at most the line it was writing.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from ..errors import BatchError
from ..report.result import Outcome, Report
from .jobs import Job, file_stamp

_MAGIC = b'{"file": '


class ResultsCache:
    """Results kept in the file `path`, valid for one digest of settings. Raises BatchError where the file cannot be used."""

    def __init__(self, path: Path, settings: str):
        self._path, self._settings = path, settings
        self._rows: dict[str, dict] = {}
        self._stamps: dict[str, tuple[int, int]] = {}
        try:
            with open(path, "a+b") as file:
                file.seek(0)
                if file.read(len(_MAGIC)) not in (b"", _MAGIC):
                    raise BatchError(f"{path}: is not a results cache; name another file")
                file.seek(0)
                lines = file.read().split(b"\n")
                if lines[-1]:
                    file.write(b"\n")  # after the half line of a run that was killed
        except OSError as error:
            raise BatchError(f"{path}: cannot be used as a results cache ({error.strerror}); name another file") from error
        for line in lines:
            with suppress(ValueError, KeyError):
                row = json.loads(line)
                self._rows[row["file"]] = {name: row[name] for name in ("stamp", "settings", "result")}

    def find(self, job: Job) -> Outcome | None:
        """The outcome of an earlier run with the same settings, if the input is unchanged and its output still exists."""
        name = os.path.abspath(job.source)
        self._stamps[name] = file_stamp(job.source)  # before the work: a file that changes meanwhile is analysed again next time
        row = self._rows.get(name)
        if row is None or row["settings"] != self._settings or tuple(row["stamp"]) != self._stamps[name]:
            return None
        result = row["result"]
        written = result.get("written")
        if written and (job.target is None or os.path.abspath(job.target) != os.path.abspath(written["file"]) or not job.target.exists()):
            return None
        target = None if job.target is None else str(job.target)
        return Outcome(str(job.source), Report.from_dict(result | {"file": str(job.source)}), target, written)

    def add(self, job: Job, outcome: Outcome) -> None:
        """Keep an outcome; errors are not kept, so that they are tried again. Raises BatchError."""
        if outcome.report is None:
            return
        name = os.path.abspath(job.source)
        result = json.loads(outcome.to_json(with_curve=True))
        row = {"file": name, "stamp": self._stamps[name], "settings": self._settings, "result": result}
        try:
            with open(self._path, "a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise BatchError(
                f"{self._path}: the result cannot be saved ({error.strerror}); free some space or name another file"
            ) from error
