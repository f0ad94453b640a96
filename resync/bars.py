"""Bars on a terminal: one for the batch, one for each file that is being looked at."""

from __future__ import annotations

import sys
from collections.abc import Hashable
from typing import Any

import click


class Bars:
    """Shown on stderr while it is entered, only on a terminal, and not when `quiet`."""

    def __init__(self, total: int, quiet: bool = False):
        self._total, self._bars = total, None
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
            self._bars = Progress(*columns, console=Console(stderr=True), transient=True, redirect_stdout=False, redirect_stderr=False)

    def __enter__(self) -> Bars:
        if self._bars:
            self._bars.start()
            if self._total > 1:
                self._tasks[None] = self._bars.add_task("all files", total=self._total, count=f"0/{self._total}")
        return self

    def __exit__(self, *error) -> None:
        if self._bars:
            self._bars.stop()

    def tell(self, key: Hashable, name: str, progress=None) -> None:
        """A file is begun, or has come so far (`pipeline.Progress`)."""
        if not self._bars:
            return
        if key not in self._tasks:
            self._tasks[key] = self._bars.add_task(name[:40], total=None, count="")
        if progress:
            self._bars.update(self._tasks[key], total=max(progress.planned_s, progress.done_s), completed=progress.done_s)

    def done(self, key: Hashable) -> None:
        """A file is finished."""
        if not self._bars:
            return
        if key in self._tasks:
            self._bars.remove_task(self._tasks.pop(key))
        if None in self._tasks:
            self._bars.advance(self._tasks[None])
            self._bars.update(self._tasks[None], count=f"{self._bars.tasks[0].completed:.0f}/{self._total}")

    def echo(self, text: str, err: bool = False) -> None:
        """Print, above the bars where both are on one terminal."""
        if self._bars and (err or sys.stdout.isatty()):
            from rich.text import Text

            self._bars.console.print(Text.from_ansi(text), soft_wrap=True)
        else:
            click.echo(text, err=err)
