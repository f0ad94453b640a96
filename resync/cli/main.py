"""The commands: parse, call, print, exit code. Results go to stdout, messages to stderr."""

from __future__ import annotations

import os
import signal
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from .. import __version__
from ..config import Config, PreviewConfig
from .options import (
    FILE,
    GroupedCommand,
    OrderedGroup,
    analysis_options,
    batch_options,
    finite,
    option,
    overwrite_options,
    plot_options,
    print_options,
    reencode_option,
)
from .training import evaluate, prepare, train

if TYPE_CHECKING:
    from ..batch.run import BatchOptions
    from ..remux.paths import Overwrite
    from ..report.result import Outcome
    from .output import OutputOptions

# NumPy's products here are small, and OpenBLAS's threads would keep spinning for a tenth of a second after each.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

ERROR, UNDECIDED, OVER_LIMIT = 1, 3, 4


@click.group(cls=OrderedGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="resync")
def main() -> None:
    """Measure the A/V offset of talking-face videos and correct it.

    \b
    resync fix in.mp4 out.mp4       measure, shift the audio, write
    resync check in.mp4             only report the offset
    resync demo                     try it on a synthetic clip

    Signs: audio late = positive audio_delay_ms; shift_ms = shift applied to the audio, + = later.
    Exit codes: 0 done, 1 error, 2 usage, 3 undecided (nothing written), 4 --fail-over-ms exceeded.
    """
    # By default a terminated Python process leaves without cleaning up; like this it does.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text, and JSON stays JSON then


@main.command(cls=GroupedCommand, short_help="Report the A/V offset of files.")
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


@main.command(cls=GroupedCommand, short_help="Write a copy of a file with its audio in sync.")
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
        skipped = lambda path: click.echo(f"{path}: skipped, it is an output of resync", err=True)  # noqa: E731
        jobs = fix_jobs(files, output_dir, batch, overwrite, skipped)
    elif len(files) == 2:
        jobs = [fix_job(*files, batch, overwrite)]
    else:
        raise click.UsageError("give IN OUT, or several IN with -o DIR")
    if len(jobs) > 1 and (audio or export_audio or plot):
        raise click.UsageError("--audio, --export-audio and --plot need a single IN and OUT")
    options = FixOptions(force, fix_drift, fix_jumps, reencode_audio, each_track, overwrite, export_audio, plot)
    sys.exit(print_batch(jobs, JobRunner(config, audio, options), batch, output, code))


@main.command(cls=GroupedCommand, short_help="Shift the audio by a given offset.")
@click.argument("source", type=FILE, metavar="IN")
@click.argument("target", type=FILE, metavar="OUT")
@option(
    "--ms", "shift_ms", type=float, required=True, callback=finite, metavar="N", help="Shift the audio N ms later (earlier if negative)."
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
    log("\n".join([f"{written.path}: audio shifted {shift_ms:+g} ms", *written.notes]), quiet)


@main.command(cls=GroupedCommand, short_help="Plot the result for a file.")
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


@main.command(cls=GroupedCommand, short_help="Write a clip that shows before and after.")
@click.argument("source", type=FILE, metavar="IN")
@click.argument("target", type=FILE, metavar="OUT")
@option(
    "--start",
    "start_s",
    type=float,
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


@main.command(cls=GroupedCommand, short_help="Try resync on a synthetic clip.")
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
@option("--seed", type=int, default=1, show_default=True, metavar="N", help="Another seed is another voice.")
@option("--seconds", type=click.FloatRange(2, 60), default=6.0, show_default=True, callback=finite, metavar="S", help="Length of the clip.")
@option("-q", "--quiet", is_flag=True, help="No messages.")
def demo(folder: Path, delay_ms: float, seed: int, seconds: float, quiet: bool) -> None:
    """Make a synthetic talking clip in DIR, delay its audio, fix it and check the result.

    Example: resync demo
    """
    from ..demo.run import run

    sys.exit(run(folder, delay_ms, seed, seconds, click.echo, partial(log, quiet=quiet)))


def log(text: str, quiet: bool = False) -> None:
    """Print a message to stderr."""
    if not quiet:
        click.echo(text, err=True)


for command in (prepare, train, evaluate):
    main.add_command(command)
