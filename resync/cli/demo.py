"""The command demo."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path

import click

from .console import log
from .options import FILE, GroupedCommand, finite, option


@click.command(cls=GroupedCommand, short_help="Try resync on a synthetic clip.")
@click.argument("folder", type=FILE, default=Path("resync-demo"), metavar="[DIR]")
@option(
    "--delay-ms",
    type=click.FloatRange(-500, 500),
    default=200.0,
    show_default=True,
    callback=finite,
    metavar="N",
    help="Audio delay of the clip.",
)
@option("--seed", type=click.IntRange(0, 2**32 - 1), default=1, show_default=True, metavar="N", help="Another seed is another voice.")
@option("--seconds", type=click.FloatRange(2, 60), default=6.0, show_default=True, callback=finite, metavar="S", help="Length of the clip.")
@option("-q", "--quiet", is_flag=True, help="No messages.")
def demo(folder: Path, delay_ms: float, seed: int, seconds: float, quiet: bool) -> None:
    """Make a synthetic talking clip in DIR, delay its audio, fix it and check the result.

    Example: resync demo
    """
    from ..demo.run import run

    sys.exit(run(folder, delay_ms, seed, seconds, click.echo, partial(log, quiet=quiet)))
