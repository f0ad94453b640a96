"""Exit codes, and messages on stderr."""

from __future__ import annotations

import click

from ..errors import printable

ERROR, UNDECIDED, OVER_LIMIT = 1, 3, 4


def log(text: str, quiet: bool = False) -> None:
    """Print a message of one line to stderr."""
    if not quiet:
        click.echo(printable(text), err=True)
