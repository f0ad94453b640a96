"""The commands fix and shift, which write corrected files."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..config import Config
from .console import ERROR, UNDECIDED, log
from .options import FILE, GroupedCommand, analysis_options, batch_options, finite, option, overwrite_options, plot_options, reencode_option

if TYPE_CHECKING:
    from ..batch.run import BatchOptions
    from ..remux.paths import Overwrite
    from ..report.result import Outcome
    from .output import OutputOptions


DAY_MS = 86_400_000  # no shift is larger


@click.command(cls=GroupedCommand, short_help="Write a copy of a file with its audio in sync.")
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="IN OUT | IN... -o DIR")
@option("-o", "--output-dir", type=FILE, metavar="DIR", help="Write {name}.resync{ext} of every IN into DIR.")
@overwrite_options
@option("--force", is_flag=True, help="Apply the best guess even below the certainty threshold.")
@option("--fix-drift", is_flag=True, help="Resample audio that drifts steadily instead of refusing it.")
@option("--fix-jumps", is_flag=True, help="Cut audio whose delay jumps, and place each piece by its own delay.")
@option("--each-track", is_flag=True, help="Measure every audio track and shift it by its own offset.")
@reencode_option
@option("--export-audio", type=FILE, metavar="FILE", help="Also write the corrected audio alone (wav, flac, ...).")
@plot_options
@analysis_options
@batch_options
def fix(
    files: tuple[Path, ...],
    output_dir: Path | None,
    overwrite: Overwrite,
    force: bool,
    fix_drift: bool,
    fix_jumps: bool,
    each_track: bool,
    reencode_audio: bool,
    export_audio: Path | None,
    plot: Path | None,
    config: Config,
    audio: Path | None,
    batch: BatchOptions,
    output: OutputOptions,
) -> None:
    """Measure IN and write OUT with its audio in sync. If undecided, write nothing and exit with 3.

    Example: resync fix in.mp4 out.mp4

    With -o, folders stand for the media files in them, and DIR gets the same layout.
    """
    from ..api import FixOptions
    from ..batch.jobs import JobRunner
    from ..batch.run import fix_job, fix_jobs
    from .output import print_batch

    def code(outcome: Outcome) -> int:
        return 0 if outcome.settled else ERROR if outcome.error else UNDECIDED

    if output_dir is not None:
        skipped = lambda path: log(f"{path}: skipped, it is an output of resync")  # noqa: E731
        jobs = fix_jobs(files, output_dir, batch, overwrite, skipped)
    elif len(files) == 2:
        jobs = [fix_job(*files, batch, overwrite)]
    else:
        raise click.UsageError("give IN OUT, or several IN with -o DIR")
    if len(jobs) > 1 and (audio or export_audio or plot):
        raise click.UsageError("--audio, --export-audio and --plot need a single IN and OUT")
    options = FixOptions(force, fix_drift, fix_jumps, reencode_audio, each_track, overwrite, export_audio, plot)
    sys.exit(print_batch(jobs, JobRunner(config, audio, options), batch, output, code))


@click.command(cls=GroupedCommand, short_help="Shift the audio by a given offset.")
@click.argument("source", type=FILE, metavar="IN")
@click.argument("target", type=FILE, metavar="OUT")
@option(
    "--ms",
    "shift_ms",
    type=click.FloatRange(-DAY_MS, DAY_MS),
    required=True,
    callback=finite,
    metavar="N",
    help="Shift the audio N ms later (earlier if negative).",
)
@overwrite_options
@reencode_option
@option("-q", "--quiet", is_flag=True, help="No messages.")
def shift(source: Path, target: Path, shift_ms: float, overwrite: Overwrite, reencode_audio: bool, quiet: bool) -> None:
    """Shift the audio by a given offset, without analysis.

    Example: resync shift in.mp4 out.mp4 --ms -120
    """
    from ..remux.apply import shift_audio
    from ..remux.correction import Correction

    written = shift_audio(source, target, Correction(shift_ms), reencode=reencode_audio, overwrite=overwrite)
    for line in (f"{written.path}: audio shifted {shift_ms:+g} ms", *written.notes):
        log(line, quiet)
