"""Rows of the histories beside the scripts, and of the tables that they print."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import date
from pathlib import Path

from accuracy import commit
from run import machine

HERE = Path(__file__).resolve().parent


def append_row(name: str, row: dict) -> None:
    """Append a row to the history of a script, with commit, date and machine. Histories are never rewritten."""
    with open(HERE / f"{name}.jsonl", "a") as history:
        history.write(json.dumps({"commit": commit(), "date": date.today().isoformat(), "machine": machine()} | row) + "\n")


def markdown_row(cells: Iterable[object]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(map(str, cells))} |"
