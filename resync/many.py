"""From the files named on the command line to results on stdout: one file or thousands."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import click

from . import table
from .bars import Bars
from .batch import Batch, cores
from .errors import OutputError
from .inputs import find, targets
from .jobs import Job, Work
from .ledger import Ledger
from .partfile import Overwrite
from .report import Outcome

SEVERITY = (0, 4, 3, 1)  # of many files, the worst code is the exit code


@dataclass(frozen=True)
class Many:
    """What the command line says of more than one file. shard: (I, N), share I of N; dask: where its scheduler is."""

    recursive: bool = False
    jobs: int = 1
    shard: tuple[int, int] | None = None
    skip_done: Path | None = None
    dask: str | None = None
    as_csv: bool = False
    as_json: bool = False
    quiet: bool = False


class Printer(NamedTuple):
    """header: printed first, if any; show: an Outcome as text, empty for nothing on stdout."""

    header: str
    show: Callable[[Outcome], str]


def to_check(files: tuple[Path, ...], many: Many) -> list[Job]:
    """A job for every file of this share. Raises MediaError."""
    return _placed([Job(one.path) for one in find(files, many.recursive) if many.shard is None or one.in_share(*many.shard)], many)


def to_fix(files: tuple[Path, ...], folder: Path | None, many: Many, overwrite: Overwrite) -> list[Job]:
    """A job for IN OUT, or for every IN of this share with its output in `folder`, which is made.

    Raises click.UsageError, MediaError, and OutputError where two inputs would write one output.
    """
    if folder is None:
        if len(files) != 2:
            raise click.UsageError("give IN OUT, or several IN with -o DIR")
        pairs = [(files[0], files[1])]
    else:
        inputs = find(files, many.recursive)
        for own in (one for one in inputs if one.is_own):
            click.echo(f"{own.path}: skipped, it is an output of resync", err=True)
        every = [one for one in inputs if not one.is_own]
        mine = {one.path for one in every if many.shard is None or one.in_share(*many.shard)}
        pairs = [pair for pair in targets(every, folder) if pair[0] in mine]  # a clash with another share is one, too
        _make_folders({target.parent for _, target in pairs})
    return _placed([Job(source, target, overwrite, target.exists()) for source, target in pairs], many)


def carry_out(jobs: list[Job], work: Work, many: Many, code: Callable[[Outcome], int], with_curve: bool = False) -> int:
    """Do all jobs, tell every result as it comes and keep it, go on after a failure; returns the worst exit code."""
    began, worst, kinds, show = time.monotonic(), 0, Counter[str](), _printer(len(jobs), many, with_curve)
    ledger = Ledger(many.skip_done, work.settings()) if many.skip_done else None
    before = {job: kept for job in jobs if ledger and (kept := ledger.find(job))}
    left = [job for job in jobs if job not in before]
    with Bars(len(jobs), many.quiet) as bars, closing(_results(left, work, many, bars)) as found:
        if show.header:
            bars.echo(show.header)
        for job, outcome in chain(before.items(), found):
            bars.done(job)
            if outcome.error:
                bars.echo(f"resync: {outcome.error}", err=True)
            if text := show.show(outcome):
                bars.echo(text)
            if ledger and job not in before:
                ledger.add(job, outcome)
            kinds[table.kind(outcome)] += 1
            worst = max(worst, code(outcome), key=SEVERITY.index)
    if len(jobs) != 1 and not many.quiet:
        click.echo(table.summary(kinds, len(before), time.monotonic() - began), err=True)
    return worst


def _printer(count: int, many: Many, with_curve: bool) -> Printer:
    """How results are told: JSON or CSV when asked for, in full for one file, else a table."""
    if many.as_json and many.as_csv:
        raise click.UsageError("--json or --csv, not both")
    if many.as_json:
        return Printer("", lambda outcome: outcome.to_json(with_curve))
    if many.as_csv:
        return Printer(table.csv_row(table.COLUMNS), table.csv_of)
    if count == 1:
        return Printer("", lambda outcome: "" if outcome.error else outcome.to_text())
    colour = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    return Printer(table.HEADER, lambda outcome: table.table_row(outcome, colour))


def _results(jobs: list[Job], work: Work, many: Many, bars: Bars) -> Generator[tuple[Job, Outcome], None, None]:
    """What came of each job, as it comes: from a cluster, from processes of their own, or from right here."""
    count = min(many.jobs, len(jobs))
    if count > 1 and not many.dask:
        threads = max(1, cores() // count)  # of the detector; Batch sees to the others
        work = replace(work, config=replace(work.config, faces=replace(work.config.faces, threads=threads)))
    batch = Batch(work, Job.failed, Job.again, lambda job, progress: bars.tell(job, job.source.name, progress))
    if many.dask:
        return replace(batch, work=work.absolute()).on_dask(jobs, many.dask)
    return batch.in_processes(jobs, count) if count > 1 else batch.here(jobs)


def _placed(jobs: list[Job], many: Many) -> list[Job]:
    """Whole paths for the machines of a cluster, which work in other folders."""
    return [job._replace(source=job.source.absolute(), target=job.target and job.target.absolute()) for job in jobs] if many.dask else jobs


def _make_folders(folders: set[Path]) -> None:
    for folder in sorted(folders):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise OutputError(f"{folder}: the folder cannot be made ({e.strerror}); name another one") from e
