"""Printing: results on stdout, messages on stderr, and exit codes."""

from __future__ import annotations

import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import click

from ..batch.interfaces import EarlierOutcomes, JobT, OutcomeT, Runner
from ..batch.jobs import Job, JobRunner
from ..batch.run import BatchOptions, run_batch
from ..errors import printable
from ..report import table
from ..report.limits import Limits, judge
from ..report.result import Outcome
from ..report.text import outcome_text
from .logs import logged
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
    """How the results of a batch are printed. limits: what they are judged by; timecode: print times as timecode, too.

    verbose, log_file: where log messages go.
    """

    as_json: bool = False
    as_csv: bool = False
    quiet: bool = False
    with_curve: bool = False
    limits: tuple[Limits, ...] = ()
    timecode: bool = False
    verbose: bool = False
    log_file: Path | None = None


class Shown(NamedTuple):
    """What is printed of one outcome: messages and an error on stderr, text on stdout; its kind, for the summary; its exit code."""

    messages: Iterable[str]
    error: str | None
    text: str
    kind: str
    code: int


class Printer(NamedTuple):
    """header: printed first, if any; show: an Outcome as text, empty for nothing on stdout."""

    header: str
    show: Callable[[Outcome], str]


def print_batch(
    jobs: list[Job],
    runner: JobRunner,
    batch: BatchOptions,
    output: OutputOptions,
    code: Callable[[Outcome], int],
    collect: Iterable[Callable[[Outcome], Iterable[str] | None]] = (),
) -> int:
    """Run all jobs, print every outcome as it comes, then a summary; returns the worst exit code.

    code: the exit code of one outcome. collect: called with each outcome, too; may return messages.
    """
    printer = _printer(len(jobs), output)

    def show(outcome: Outcome) -> Shown:
        outcome = replace(outcome, limits=judge(outcome.report, output.limits))
        messages = [message for add in collect for message in add(outcome) or ()]
        return Shown(messages, outcome.error, printer.show(outcome), table.outcome_kind(outcome), code(outcome))

    return print_outcomes(jobs, runner, batch, output, show, printer.header)


def print_outcomes(
    jobs: list[JobT],
    runner: Runner[JobT, OutcomeT],
    batch: BatchOptions,
    output: OutputOptions,
    show: Callable[[OutcomeT], Shown],
    header: str = "",
    kinds: Iterable[str] = table.KINDS,
    earlier: EarlierOutcomes[JobT, OutcomeT] | None = None,
) -> int:
    """Run all jobs, print what `show` makes of each outcome, then a summary; returns the worst exit code.

    header: printed first, if any. kinds: all, in the order of the summary. earlier: see `run_batch`.
    """
    began, worst, cached, counts = time.monotonic(), 0, 0, Counter[str]()
    with ProgressBars(len(jobs), output.quiet) as bars, logged(output.verbose, output.log_file, bars.echo):
        progress = lambda job, done: bars.update(job, job.source.name, done)  # noqa: E731
        with closing(run_batch(jobs, runner, batch, progress, earlier)) as finished:
            if header:
                bars.echo(header)
            for job, outcome, was_cached in finished:
                bars.done(job)
                shown = show(outcome)
                for message in shown.messages:
                    bars.echo(printable(message), err=True)
                if shown.error:
                    bars.echo(printable(f"resync: {shown.error}"), err=True)
                if shown.text:
                    bars.echo(shown.text)
                counts[shown.kind] += 1
                cached += was_cached
                worst = max(worst, shown.code, key=SEVERITY.index)
    if len(jobs) != 1 and not output.quiet:
        click.echo(table.summary(counts, cached, time.monotonic() - began, kinds), err=True)
    return worst


def _printer(count: int, output: OutputOptions) -> Printer:
    """JSON or CSV when asked for, the full report for a single file, else a table."""
    if output.as_json:
        return Printer("", lambda outcome: outcome.to_json(output.with_curve, output.timecode))
    if output.as_csv:
        # A name is given as it is, except to a terminal, which it could control.
        show = (lambda outcome: printable(table.outcome_csv(outcome))) if sys.stdout.isatty() else table.outcome_csv
        return Printer(table.csv_row(table.COLUMNS), show)
    if count == 1:
        return Printer("", lambda outcome: "" if outcome.error else outcome_text(outcome, output.timecode))
    header = table.header(output.limits)
    if sys.stdout.isatty() and not os.environ.get("NO_COLOR"):
        style = lambda kind, text: click.style(text, fg=COLOURS[kind])  # noqa: E731
        return Printer(header, lambda outcome: table.table_row(outcome, style, with_timecode=output.timecode))
    return Printer(header, lambda outcome: table.table_row(outcome, with_timecode=output.timecode))
