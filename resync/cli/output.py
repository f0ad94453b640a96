"""Printing: results on stdout, messages on stderr, and exit codes."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from typing import NamedTuple

import click

from ..batch.jobs import Job, JobRunner
from ..batch.run import BatchOptions, run_batch
from ..report import table
from ..report.result import Outcome
from ..report.text import outcome_text
from .progress import ProgressBars

SEVERITY = (0, 4, 3, 1)  # in a batch, the worst code is the exit code
COLOURS = {
    "fixed": "green",
    "in sync": "green",
    "out of sync": "yellow",
    "forced": "yellow",
    "drifting": "magenta",
    "jumping": "magenta",
    "undecided": "magenta",
    "failed": "red",
}


@dataclass(frozen=True)
class OutputOptions:
    """How the results of a batch are printed."""

    as_json: bool = False
    as_csv: bool = False
    quiet: bool = False
    with_curve: bool = False


class Printer(NamedTuple):
    """header: printed first, if any; show: an Outcome as text, empty for nothing on stdout."""

    header: str
    show: Callable[[Outcome], str]


def print_batch(jobs: list[Job], runner: JobRunner, batch: BatchOptions, output: OutputOptions, code: Callable[[Outcome], int]) -> int:
    """Run all jobs, print every outcome as it comes, then a summary; returns the worst exit code."""
    began, worst, cached = time.monotonic(), 0, 0
    kinds, printer = Counter[str](), _printer(len(jobs), output)
    with ProgressBars(len(jobs), output.quiet) as bars:
        progress = lambda job, done: bars.update(job, job.source.name, done)  # noqa: E731
        with closing(run_batch(jobs, runner, batch, progress)) as finished:
            if printer.header:
                bars.echo(printer.header)
            for job, outcome, was_cached in finished:
                bars.done(job)
                if outcome.error:
                    bars.echo(f"resync: {outcome.error}", err=True)
                if text := printer.show(outcome):
                    bars.echo(text)
                kinds[table.outcome_kind(outcome)] += 1
                cached += was_cached
                worst = max(worst, code(outcome), key=SEVERITY.index)
    if len(jobs) != 1 and not output.quiet:
        click.echo(table.summary(kinds, cached, time.monotonic() - began), err=True)
    return worst


def _printer(count: int, output: OutputOptions) -> Printer:
    """JSON or CSV when asked for, the full report for a single file, else a table."""
    if output.as_json:
        return Printer("", lambda outcome: outcome.to_json(output.with_curve))
    if output.as_csv:
        return Printer(table.csv_row(table.COLUMNS), table.outcome_csv)
    if count == 1:
        return Printer("", lambda outcome: "" if outcome.error else outcome_text(outcome))
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        return Printer(table.HEADER, lambda outcome: table.table_row(outcome, lambda kind, text: click.style(text, fg=COLOURS[kind])))
    return Printer(table.HEADER, table.table_row)
