"""The command check."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..config import Config
from .console import ERROR, OVER_LIMIT, UNDECIDED
from .options import FILE, GroupedCommand, analysis_options, batch_options, finite, option, plot_options

if TYPE_CHECKING:
    from ..batch.run import BatchOptions
    from ..report.result import Outcome
    from .output import OutputOptions


@click.command(cls=GroupedCommand, short_help="Report the A/V offset of files.")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="IN...")
@analysis_options
@plot_options
@option("-y", "--overwrite", is_flag=True, help="Overwrite an existing plot.")
@option("--all-tracks", is_flag=True, help="Report the offset of every audio track.")
@option("--curve", "with_curve", is_flag=True, help="Include the probability curve in the JSON.")
@option("--fail-over-ms", type=click.FloatRange(0), callback=finite, metavar="N", help="Exit with 4 if the delay exceeds N ms.")
@batch_options
def check(
    files: tuple[Path, ...],
    config: Config,
    audio: Path | None,
    plot: Path | None,
    overwrite: bool,
    all_tracks: bool,
    with_curve: bool,
    fail_over_ms: float | None,
    batch: BatchOptions,
    output: OutputOptions,
) -> None:
    """Report the A/V offset of each file, without writing video. A folder stands for the media files in it.

    Example: resync check --json *.mp4
    """
    from ..api import FixOptions
    from ..batch.jobs import JobRunner
    from ..batch.run import check_jobs
    from ..remux.paths import Overwrite
    from .output import print_batch

    def code(outcome: Outcome) -> int:
        if not outcome.settled:
            return ERROR if outcome.error else UNDECIDED
        assert outcome.report and outcome.report.audio_delay_ms is not None
        return OVER_LIMIT if fail_over_ms is not None and abs(outcome.report.audio_delay_ms) > fail_over_ms else 0

    jobs = check_jobs(files, batch)
    if len(jobs) > 1 and plot:
        raise click.UsageError("--plot needs a single IN")
    runner = JobRunner(config, audio, FixOptions(plot=plot, overwrite=Overwrite(overwrite), each_track=all_tracks))
    sys.exit(print_batch(jobs, runner, batch, replace(output, with_curve=with_curve), code))
