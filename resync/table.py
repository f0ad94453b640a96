"""Many results at a glance: rows of a table, rows of CSV, and the line at the end."""

from __future__ import annotations

import csv
import io
from collections import Counter
from dataclasses import fields

import click

from .report import Outcome, Report, early_or_late

COLUMNS = [f.name for f in fields(Report) if f.name not in ("segments", "curve")] + ["written", "error"]
KINDS = {  # what can become of a file, in the order of the last line, and its colour
    "fixed": "green",
    "in sync": "green",
    "out of sync": "yellow",
    "forced": "yellow",
    "drifting": "magenta",
    "undecided": "magenta",
    "failed": "red",
}
HEADER = f"{'sound':<14} {'frames':>7} {'+-ms':>5} {'certainty':>9} {'offscreen':>9} {'length':>8}  file"


def kind(outcome: Outcome) -> str:
    """One of KINDS."""
    report = outcome.report
    if report is None:
        return "failed"
    if not outcome.settled:
        return "drifting" if report.verdict == "drift" else "undecided"
    if report.forced:
        return "forced"
    if report.verdict == "in_sync":
        return "in sync"
    return "fixed" if outcome.written else "out of sync"


def table_row(outcome: Outcome, colour: bool = False) -> str:
    """One line of the table, below it what is said against an answer; the file comes last, it may be of any length."""
    what, r = kind(outcome), outcome.report
    result = early_or_late(r.audio_delay_ms or 0) if r and r.verdict == "out_of_sync" else what
    told = click.style(f"{result:<14}", fg=KINDS[what]) if colour else f"{result:<14}"
    if r is None:
        return f"{told} {'':>42}  {shown(outcome.file)}"
    frames = number(r.audio_delay_frames and abs(r.audio_delay_frames), ".1f")
    spread = number(r.uncertainty_ms, ".0f")
    sure, offscreen = number(r.certainty, ".2f"), number(r.offscreen_ratio, ".2f")
    written = f" -> {shown(outcome.written['file'])}" if outcome.written else ""
    row = f"{told} {frames:>7} {spread:>5} {sure:>9} {offscreen:>9} {number(r.duration_s, '.1f'):>6} s  {shown(outcome.file)}{written}"
    return "\n".join([row, *(f"{'':<15}{reason}" for reason in r.reasons)])


def number(value: float | None, form: str) -> str:
    """A number formatted, nothing for None."""
    return "" if value is None else format(value, form)


def shown(name: str) -> str:
    """A file name without what would break a line or send commands to a terminal."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in name)


def csv_row(values: list) -> str:
    """One line of CSV, without its end."""
    out = io.StringIO()
    csv.writer(out, lineterminator="").writerow(values)
    return out.getvalue()


def csv_of(outcome: Outcome) -> str:
    """The line of CSV for an outcome: COLUMNS, unknown = empty, several reasons joined by " | "."""
    row = {} if outcome.report is None else outcome.report.to_dict()
    row |= {"file": outcome.file, "reasons": " | ".join(row.get("reasons", []))}
    row |= {"written": outcome.written and outcome.written["file"], "error": outcome.error}
    return csv_row([row.get(name) for name in COLUMNS])


def summary(kinds: Counter[str], before: int, elapsed_s: float) -> str:
    """The line at the end: how many of which kind, how many of them known from before."""
    told = ", ".join(f"{kinds[name]} {name}" for name in KINDS if kinds[name]) or "nothing to do"
    return f"{kinds.total()} files in {elapsed_s:.0f} s: {told}{f' ({before} known from before)' if before else ''}"
