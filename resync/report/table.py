"""Many results at a glance: rows of a table, rows of CSV, and the summary line."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import fields

from ..errors import printable
from .limits import Limits
from .result import Outcome, Report
from .text import clock_of, delay_text, headline

COLUMNS = [f.name for f in fields(Report) if f.name not in ("segments", "curve", "jumps")] + ["limits", "written", "error"]
COUNTED = ("pieces", "faces", "tracks")  # lists, of which CSV gives the number
#: Every kind of outcome, in the order of the summary line.
KINDS = ("fixed", "in sync", "out of sync", "forced", "drifting", "jumping", "undecided", "failed")
HEADER = f"{'result':<14} {'frames':>7} {'+-ms':>5} {'certainty':>9} {'off-screen':>10} {'length':>8}  file"
MARKS = {"pass": "pass", "fail": "FAIL", "unknown": "-"}  # of a limit; with "?" where it is borderline


def outcome_kind(outcome: Outcome) -> str:
    """One of KINDS."""
    report = outcome.report
    if report is None:
        return "failed"
    if not outcome.settled:
        return {"drift": "drifting", "jump": "jumping"}.get(report.verdict, "undecided")
    if report.forced:
        return "forced"
    if report.verdict == "in_sync":
        return "in sync"
    return "fixed" if outcome.written else "out of sync"


def header(limits: Iterable[Limits] = ()) -> str:
    """The first row of the table, with a column for each limit before the file."""
    return f"{HEADER.removesuffix('file')}{_limit_columns((own, own.name) for own in limits)}file"


def table_row(outcome: Outcome, style: Callable[[str, str], str] = lambda kind, text: text, with_timecode: bool = False) -> str:
    """One row of the table; the file comes last because its name may be of any length. Reasons, or how the delay changes, follow below.

    style(kind, text): the text of the first column, coloured by kind of outcome. with_timecode: print times as timecode.
    """
    kind, r = outcome_kind(outcome), outcome.report
    result = delay_text(r.audio_delay_ms or 0) if r and r.verdict == "out_of_sync" else kind
    first = style(kind, f"{result:<14}")
    limits = _limit_columns((own.limits, MARKS[own.verdict] + "?" * bool(own.borderline)) for own in outcome.limits)
    if r is None:
        return f"{first} {'':>43}  {limits}{printable(outcome.file)}"
    frames = number(None if r.audio_delay_frames is None else abs(r.audio_delay_frames), ".1f")
    interval = number(r.uncertainty_ms, ".0f")
    certainty, offscreen = number(r.certainty, ".2f"), number(r.offscreen_ratio, ".2f")
    written = f" -> {printable(outcome.written['file'])}" if outcome.written else ""
    columns = f"{frames:>7} {interval:>5} {certainty:>9} {offscreen:>10} {number(r.duration_s, '.1f'):>6} s"
    below = [headline(r, clock_of(r, with_timecode))] if kind in ("drifting", "jumping") else r.reasons
    return "\n".join([f"{first} {columns}  {limits}{printable(outcome.file)}{written}", *(f"{'':<15}{line}" for line in below)])


def _limit_columns(cells: Iterable[tuple[Limits, str]]) -> str:
    return "".join(f"{text:<{max(5, len(limits.name))}}  " for limits, text in cells)


def number(value: float | None, form: str) -> str:
    """A number formatted, nothing for None."""
    return "" if value is None else format(value, form)


def csv_row(values: list) -> str:
    """One line of CSV, without its line end."""
    out = io.StringIO()
    csv.writer(out, lineterminator="\r\n").writerow(values)  # which it quotes within values
    return out.getvalue().removesuffix("\r\n")


def outcome_csv(outcome: Outcome) -> str:
    """The CSV line of an outcome: COLUMNS, unknown = empty, reasons and limits joined by " | ", of pieces, faces and tracks the number."""
    row = {} if outcome.report is None else outcome.report.to_dict()
    row |= {"file": outcome.file, "reasons": " | ".join(row.get("reasons", []))}
    row |= {name: len(row[name]) for name in COUNTED if name in row}
    row |= {"drift_interval_ms_per_min": " ".join(map(str, row.get("drift_interval_ms_per_min") or ()))}
    row |= {"limits": " | ".join(f"{own.limits.name} {own.verdict}" for own in outcome.limits)}
    row |= {"written": outcome.written and outcome.written["file"], "error": outcome.error}
    return csv_row([row.get(name) for name in COLUMNS])


def summary(counts: Counter[str], cached: int, elapsed_s: float, kinds: Iterable[str] = KINDS) -> str:
    """The summary line: how many files of each kind, and how many results came from the cache."""
    words = ", ".join(f"{counts[kind]} {kind}" for kind in kinds if counts[kind]) or "nothing to do"
    return f"{counts.total()} files in {elapsed_s:.0f} s: {words}{f' ({cached} cached)' if cached else ''}"
