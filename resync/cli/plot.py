"""The commands plot and preview, which show the result for one file."""

from __future__ import annotations

import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..config import Config, PreviewConfig
from .console import UNDECIDED, log
from .options import FILE, GroupedCommand, analysis_options, finite, option, overwrite_options, print_options

if TYPE_CHECKING:
    from ..remux.paths import Overwrite


@click.command(cls=GroupedCommand, short_help="Plot the result for a file.")
@click.argument("source", type=FILE, metavar="IN")
@click.argument("target", type=FILE, metavar="OUT")
@option("-y", "--overwrite", is_flag=True, help="Overwrite an existing plot.")
@print_options
@analysis_options
def plot(source: Path, target: Path, overwrite: bool, as_json: bool, quiet: bool, config: Config, audio: Path | None) -> None:
    """Measure IN and plot the result to OUT (.png, .svg or .pdf): curve, heat map over time, speech, mouths.

    It is plotted whatever the verdict; the exit code is 3 when undecided.

    Example: resync plot in.mp4 out.png
    """
    from ..api import Analyzer
    from ..report.text import report_text
    from .progress import ProgressBars

    with ProgressBars(1, quiet) as bars:
        progress = partial(bars.update, source, source.name)
        report = Analyzer(config).analyze(source, audio=audio, plot=target, overwrite=overwrite, progress=progress)
    click.echo(report.to_json() if as_json else report_text(report))
    log(f"{target}: plot written", quiet)
    sys.exit(0 if report.decided else UNDECIDED)


@click.command(cls=GroupedCommand, short_help="Write a clip that shows before and after.")
@click.argument("source", type=FILE, metavar="IN")
@click.argument("target", type=FILE, metavar="OUT")
@option(
    "--start",
    "start_s",
    type=click.FloatRange(0, 1e7),
    callback=finite,
    metavar="S",
    help="Start S seconds into the video; default: where the evidence is strongest.",
)
@option("--seconds", type=click.FloatRange(0.5, 120), default=PreviewConfig.seconds, show_default=True, callback=finite, metavar="S",
        help="Length of each half.")  # fmt: skip
@overwrite_options
@print_options
@analysis_options
def preview(
    source: Path,
    target: Path,
    start_s: float | None,
    seconds: float,
    overwrite: Overwrite,
    as_json: bool,
    quiet: bool,
    config: Config,
    audio: Path | None,
) -> None:
    """Write some seconds of IN twice to OUT: as they are, and with the audio in sync, with the curve beside them.

    If undecided, nothing is written and the exit code is 3.

    Example: resync preview in.mp4 before_after.mp4
    """
    from ..api import Analyzer
    from ..report.text import report_text
    from .progress import ProgressBars

    with ProgressBars(1, quiet) as bars:
        progress = partial(bars.update, source, source.name)
        report, written = Analyzer(config).preview(
            source, target, start_s=start_s, seconds=seconds, audio=audio, overwrite=overwrite, progress=progress
        )
    click.echo(report.to_json() if as_json else report_text(report))
    if written is None:
        log(f"{source}: confidence too low; nothing was written", quiet)
        sys.exit(UNDECIDED)
    log(f"{target}: {written.seconds:.1f} s from {written.start_s:.1f} s on, as they are and then in sync", quiet)
