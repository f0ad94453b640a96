"""Exit codes, and messages on stderr."""

from __future__ import annotations

import click

ERROR, UNDECIDED, OVER_LIMIT = 1, 3, 4


def log(text: str, quiet: bool = False) -> None:
    """Print a message to stderr."""
    if not quiet:
        click.echo(text, err=True)
