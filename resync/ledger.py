"""What is done already: the results of a batch in a file, for the next run to go on from.

One JSON line a file, added as soon as its result is there: size and time of change of the input, a digest of
the settings, and the result as `--json` gives it. A run that is killed loses at most the line it was writing.
"""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path

from .errors import BatchError
from .jobs import Job, stamp
from .report import Outcome, Report

_BEGIN = b'{"file": '


class Ledger:
    """Results kept in `path`, valid for one digest of settings. Raises BatchError where the file cannot be used."""

    def __init__(self, path: Path, settings: str):
        self._path, self._settings = path, settings
        self._known: dict[str, dict] = {}
        self._stamps: dict[str, tuple[int, int]] = {}
        try:
            with open(path, "a+b") as file:
                file.seek(0)
                if file.read(len(_BEGIN)) not in (b"", _BEGIN):
                    raise BatchError(f"{path}: holds something else than results of a batch; name another file")
                file.seek(0)
                lines = file.read().split(b"\n")
                if lines[-1]:
                    file.write(b"\n")  # behind the half line of a run that was killed
        except OSError as error:
            raise BatchError(f"{path}: cannot be used to keep results in ({error.strerror}); name another file") from error
        for line in lines:
            with suppress(ValueError, KeyError):
                row = json.loads(line)
                self._known[row["file"]] = {name: row[name] for name in ("stamp", "settings", "result")}

    def find(self, job: Job) -> Outcome | None:
        """The result of an earlier run with the same settings, where the file is the same and what was written is there."""
        name = os.path.abspath(job.source)
        self._stamps[name] = stamp(job.source)  # before the work: a file that changes meanwhile is looked at again next time
        kept = self._known.get(name)
        if kept is None or kept["settings"] != self._settings or tuple(kept["stamp"]) != self._stamps[name]:
            return None
        row = kept["result"]
        written = row.get("written")
        if written and (job.target is None or os.path.abspath(job.target) != os.path.abspath(written["file"]) or not job.target.exists()):
            return None
        target = None if job.target is None else str(job.target)
        return Outcome(str(job.source), Report.from_dict(row | {"file": str(job.source)}), target, written)

    def add(self, job: Job, outcome: Outcome) -> None:
        """Keep a result; errors are not kept, so that they are tried again. Raises BatchError."""
        if outcome.report is None:
            return
        name = os.path.abspath(job.source)
        result = json.loads(outcome.to_json(with_curve=True))
        row = {"file": name, "stamp": self._stamps[name], "settings": self._settings, "result": result}
        try:
            with open(self._path, "a") as file:
                file.write(json.dumps(row) + "\n")
        except OSError as error:
            raise BatchError(f"{self._path}: the result cannot be kept ({error.strerror}); make room or name another file") from error
