"""Progress bars on a terminal: one for the batch, one for each file in progress."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from typing import Any

import click

from ..errors import printable


class ProgressBars:
    """Shown on stderr while entered, only on a terminal, and not when `quiet`."""

    def __init__(self, total: int, quiet: bool = False):
        self._total, self._progress = total, None
        self._tasks: dict[Hashable, Any] = {}
        if not quiet and sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

            columns = (
                TextColumn("{task.description}", markup=False),
                BarColumn(),
                TextColumn("{task.fields[count]}"),
                TimeRemainingColumn(),
            )
            # What is printed meanwhile goes through `echo`: a redirected stdout would lose click's colours.
            console = Console(stderr=True)
            self._progress = Progress(*columns, console=console, transient=True, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> ProgressBars:
        if self._progress:
            self._progress.start()
            if self._total > 1:
                self._tasks[None] = self._progress.add_task("all files", total=self._total, count=f"0/{self._total}")
        return self

    def __exit__(self, *error) -> None:
        if self._progress:
            self._progress.stop()

    def update(self, key: Hashable, name: str, progress=None) -> None:
        """A file was started, or has got this far (`sync.measure.Progress`)."""
        if not self._progress:
            return
        if key not in self._tasks:
            self._tasks[key] = self._progress.add_task(printable(name[:40]), total=None, count="")
        if progress:
            self._progress.update(self._tasks[key], total=max(progress.planned_s, progress.done_s), completed=progress.done_s)

    def done(self, key: Hashable) -> None:
        """A file is finished."""
        if not self._progress:
            return
        if key in self._tasks:
            self._progress.remove_task(self._tasks.pop(key))
        if None in self._tasks:
            self._progress.advance(self._tasks[None])
            self._progress.update(self._tasks[None], count=f"{self._progress.tasks[0].completed:.0f}/{self._total}")

    def echo(self, text: str, err: bool = False) -> None:
        """Print, above the bars where both are on one terminal."""
        if self._progress and (err or sys.stdout.isatty()):
            from rich.text import Text

            self._progress.console.print(Text.from_ansi(text), soft_wrap=True)
        else:
            # What goes to stdout is coloured only for a terminal; else click would take sequences out of names.
            click.echo(text, err=err, color=None if err else True)
