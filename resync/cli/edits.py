"""The options --edl, --otio and --fcpxml of check: an edit list for each file, written as its outcome comes."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .options import FILE, option

if TYPE_CHECKING:
    from ..batch.jobs import Job
    from ..batch.run import BatchOptions
    from ..report.result import Outcome

FORMATS = {"edl": "a CMX 3600 EDL", "otio": "OpenTimelineIO", "fcpxml": "Final Cut Pro XML"}


def edit_list_options(command: Callable) -> Callable:
    """The edit lists that go along with a report; the command gets them as `edit_lists`: suffix to path."""

    @wraps(command)
    def collected(**given):
        paths = {f".{name}": given.pop(name) for name in FORMATS}
        return command(edit_lists={suffix: path for suffix, path in paths.items() if path}, **given)

    for name, words in reversed(FORMATS.items()):
        text = f"Also write the corrected timeline as {words}."
        collected = option(f"--{name}", type=FILE, metavar="FILE|DIR", help=text)(collected)
    return collected


class EditLists:
    """Writes the edit lists of a batch. Called with an outcome, it yields messages; what cannot be written sets `failed`."""

    def __init__(self, targets: Iterable[tuple[str, Path]], overwrite: bool, quiet: bool):
        """targets: (file, edit list). Raises OutputError where one cannot be written."""
        from ..edits.write import check_edit_list

        self.failed, self._overwrite, self._quiet = False, overwrite, quiet
        self._targets = defaultdict[str, list[Path]](list)
        for source, target in targets:
            check_edit_list(Path(source), target, overwrite)
            self._targets[source].append(target)

    def __call__(self, outcome: Outcome) -> Iterator[str]:
        from ..batch.jobs import error_line
        from ..edits.write import write_edit_lists

        if outcome.report is None or outcome.file not in self._targets:
            return
        try:
            notes = write_edit_lists(outcome.report, self._targets[outcome.file], self._overwrite)
        except Exception as error:  # one strange file must not end a batch of thousands
            self.failed = True
            yield f"resync: {error_line(Path(outcome.file), error)}"
        else:
            yield from () if self._quiet else notes


def edit_list_targets(paths: dict[str, Path], files: Iterable[Path], jobs: list[Job], options: BatchOptions) -> Iterator[tuple[str, Path]]:
    """(file, edit list) for each job and format: the path itself if it has the suffix, else a file in that folder, which is created.

    Raises OutputError, and UsageError for several jobs and one file.
    """
    from ..batch.run import report_targets

    for suffix, path in paths.items():
        if path.suffix.lower() != suffix:
            yield from report_targets(files, path, suffix, options)
        elif len(jobs) == 1:
            yield str(jobs[0].source), path
        else:
            raise click.UsageError(f"--{suffix[1:]} {path}: several IN need a folder, a name without {suffix}")
