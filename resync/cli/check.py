"""The command check."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..config import Config
from .console import ERROR, OVER_LIMIT, UNDECIDED
from .edits import EditLists, edit_list_options, edit_list_targets
from .options import FILE, GroupedCommand, analysing_all, analysis_options, batch_options, finite, limits_option, option, plot_options

if TYPE_CHECKING:
    from ..batch.run import BatchOptions
    from ..report.limits import Limits
    from ..report.result import Outcome
    from .output import OutputOptions


@click.command(cls=GroupedCommand, short_help="Report the A/V offset of files.")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="IN...")
@analysis_options
@plot_options
@option("-y", "--overwrite", is_flag=True, help="Overwrite existing outputs.")
@option("--all-tracks", is_flag=True, help="Report the offset of every audio track.")
@option("--curve", "with_curve", is_flag=True, help="Include the probability curve in the JSON.")
@option("--fail-over-ms", type=click.FloatRange(0), callback=finite, metavar="N", help="Exit with 4 if the delay exceeds N ms.")
@limits_option
@edit_list_options
@option("--junit", type=FILE, metavar="FILE", help="With --limits: also write JUnit XML, one test case for each file.")
@option("--html", type=FILE, metavar="FILE", help="Also write an HTML report: a table, the evidence, a player with a shift slider.")
@option("--faces", type=FILE, metavar="FILE", help="Also write the face tracks, .jsonl or .parquet; implies --exhaustive.")
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
    limits: tuple[Limits, ...],
    junit: Path | None,
    edit_lists: dict[str, Path],
    html: Path | None,
    faces: Path | None,
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
    from ..report.face_table import face_table
    from ..report.html.page import html_report
    from ..report.junit import junit_report
    from .output import print_batch

    if junit and not limits:
        raise click.UsageError("--junit needs --limits")
    jobs = check_jobs(files, batch)
    if len(jobs) > 1 and plot:
        raise click.UsageError("--plot needs a single IN")
    config = analysing_all(config) if faces else config
    options = FixOptions(plot=plot, overwrite=Overwrite(overwrite), each_track=all_tracks)
    runner = JobRunner(config, audio, options, with_details=html is not None)
    output = replace(output, with_curve=with_curve, limits=limits)
    with ExitStack() as stack:
        edits = EditLists(edit_list_targets(edit_lists, files, jobs, batch), overwrite, output.quiet)
        collect: list[Callable[[Outcome], Iterable[str] | None]] = [edits]
        if junit:
            collect.append(stack.enter_context(junit_report(junit, [str(job.source) for job in jobs], overwrite)))
        if html:
            sources = [job.source for job in jobs]
            collect.append(stack.enter_context(html_report(html, sources, limits, overwrite, output.timecode)))
        if faces:
            collect.append(stack.enter_context(face_table(faces, [job.source for job in jobs], overwrite)))
        code = print_batch(jobs, runner, batch, output, partial(exit_code, fail_over_ms), collect)
    sys.exit(ERROR if edits.failed else code)


def exit_code(fail_over_ms: float | None, outcome: Outcome) -> int:
    """The exit code of one file. A delay that drifts or jumps is judged by limits; without any it counts as undecided."""
    if outcome.report is None:
        return ERROR
    verdicts = {result.verdict for result in outcome.limits}
    delay_ms = outcome.report.audio_delay_ms
    if "fail" in verdicts or (fail_over_ms is not None and delay_ms is not None and abs(delay_ms) > fail_over_ms):
        return OVER_LIMIT
    return 0 if outcome.settled or verdicts == {"pass"} else UNDECIDED
