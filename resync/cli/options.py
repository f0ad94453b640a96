"""Options that several commands share, in the groups in which `--help` lists them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..config import Config, MediaConfig
from ..errors import ResyncError, os_error_line
from .console import ERROR, log

if TYPE_CHECKING:
    from ..report.limits import Limits

FILE = click.Path(path_type=Path)
GROUPS = OUTPUT, SELECTION, ANALYSIS, BATCH, OTHER = "Output", "Selection", "Analysis", "Batch", "Other"


class GroupedOption(click.Option):
    """An option that `GroupedCommand` lists under a heading of its own."""

    def __init__(self, *names, group: str = OUTPUT, **settings):
        super().__init__(*names, **settings)
        self.group = group


class OneLineErrors(click.Command):
    """A command that prints a ResyncError as one line on stderr and exits with its exit code."""

    def invoke(self, ctx: click.Context):
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ResyncError as error:
            log(f"resync: {error}")
            sys.exit(error.exit_code)
        except OSError as error:
            if error.filename is None:  # of a closed pipe, for click
                raise
            log(f"resync: {os_error_line(error)}")
            sys.exit(ERROR)


class GroupedCommand(OneLineErrors):
    """A command whose `--help` lists its options by group."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the options, one list for each group."""
        groups: dict[str, list[tuple[str, str]]] = {}
        for parameter in self.get_params(ctx):
            record = parameter.get_help_record(ctx) if isinstance(parameter, click.Option) else None
            if record:
                groups.setdefault(getattr(parameter, "group", OTHER), []).append(record)
        for group in sorted(groups, key=GROUPS.index):
            with formatter.section(f"{group} options"):
                formatter.write_dl(groups[group])


class OrderedGroup(click.Group):
    """A group that lists its commands in the order of their definition."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of all commands."""
        return list(self.commands)


def option(*names, group: str = OUTPUT, **settings) -> Callable:
    """`click.option`, with a group."""
    return click.option(*names, cls=GroupedOption, group=group, **settings)


def apply(options: list[Callable], command: Callable) -> Callable:
    """A command with these options, in their order."""
    for decorate in reversed(options):
        command = decorate(command)
    return command


def finite(context: click.Context, parameter: click.Parameter, value: float | None) -> float | None:
    """Refuse nan and infinities, which Python reads as numbers."""
    if value is not None and not math.isfinite(value):
        raise click.BadParameter(f"{value} is not a finite number")
    return value


def analysis_options(command: Callable) -> Callable:
    """How a file is analysed; the command gets them as one `config`, and `audio`."""
    words = "Analyse this recording instead of the video's own audio."
    return option("--audio", type=FILE, metavar="FILE", group=ANALYSIS, help=words)(config_options(command))


def config_options(command: Callable) -> Callable:
    """How a file with its own audio is analysed; the command gets them as one `config`."""

    @wraps(command)
    def collected(range_s, detector, audio_track, exhaustive, device, weights, **given):
        return command(config=make_config(range_s, detector, audio_track, exhaustive, device, weights), **given)

    options = [
        option("--audio-track", type=click.IntRange(1), default=MediaConfig.audio_track, show_default=True, metavar="N", group=ANALYSIS,
               help="Analyse the N-th audio track; `fix` shifts all of them."),
        option("--range", "range_s", type=click.FloatRange(0.1, 10), metavar="S", callback=finite, group=ANALYSIS,
               help="Test delays from -S to +S seconds.  [default: 1, wider until the result is clear]"),
        option("--exhaustive", is_flag=True, group=ANALYSIS, help="Analyse all of a long video, instead of sampling until certain."),
        option("--detector", default="auto", show_default=True, metavar="NAME", group=ANALYSIS,
               help="Face detector: auto, centerface or insightface[:PACK_OR_FILE]."),
        option("--device", default="auto", show_default=True, metavar="NAME", group=ANALYSIS,
               help="Device of the network: auto, cpu, cuda or cuda:N."),
        option("--weights", type=FILE, metavar="FILE", group=ANALYSIS, help="Use other weights than the packaged ones."),
    ]  # fmt: skip
    return apply(options, collected)


def analysing_all(config: Config) -> Config:
    """The settings, with all of a long video analysed instead of samples."""
    return replace(config, sampling=replace(config.sampling, full_scan_s=math.inf))


def make_config(range_s: float | None, detector: str, audio_track: int, exhaustive: bool, device: str, weights: Path | None) -> Config:
    """Settings of the library from the options of the command line."""
    base = analysing_all(Config()) if exhaustive else Config()
    return replace(
        base,
        media=replace(base.media, audio_track=audio_track),
        curve=replace(base.curve, range_s=range_s),
        faces=replace(base.faces, detector=detector),
        device=device,
        weights=str(weights) if weights else None,
    )


def overwrite_options(command: Callable) -> Callable:
    """What may be replaced; the command gets both as one `overwrite`."""

    @wraps(command)
    def collected(overwrite: bool, overwrite_media: bool, **given):
        from ..remux.paths import Overwrite

        return command(overwrite=Overwrite.ANY if overwrite_media else Overwrite(overwrite), **given)

    options = [
        option("-y", "--overwrite", is_flag=True, help="Overwrite an existing output."),
        option("--overwrite-media", is_flag=True, help="Overwrite it even if it is a media file that resync did not write."),
    ]
    return apply(options, collected)


def plot_options(command: Callable) -> Callable:
    """The plot that goes along with an analysis."""
    return option("--plot", type=FILE, metavar="FILE", help="Also plot the result (.png, .svg or .pdf).")(command)


def parse_limits(context: click.Context, parameter: click.Parameter, values: tuple[str, ...]) -> tuple[Limits, ...]:
    """Each value as Limits, without repetitions."""
    if not values:
        return ()
    from ..report import limits

    try:
        return tuple(dict.fromkeys(map(limits.parse_limits, values)))
    except ValueError as error:
        raise click.BadParameter(str(error)) from error


def limits_option(command: Callable) -> Callable:
    """What the delay is judged by; the command gets `limits`."""

    def names(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
        from ..report.limits import STANDARDS

        return [name for name in STANDARDS if name.startswith(incomplete)]

    words = "Judge by r37, bt1359[-acceptability], atsc, film or EARLY:LATE ms; 4 if exceeded. Repeatable."
    metavar = "NAME|EARLY:LATE"
    return option("--limits", multiple=True, callback=parse_limits, shell_complete=names, metavar=metavar, help=words)(command)


def reencode_option(command: Callable) -> Callable:
    """For everything that writes a shifted file."""
    words = "Re-encode the audio with the offset applied, for players that ignore start times."
    return option("--reencode-audio", is_flag=True, help=words)(command)


def print_options(command: Callable) -> Callable:
    """How the result of one file is printed."""
    options = [
        option("--json", "as_json", is_flag=True, help="Print JSON instead of text."),
        option("-q", "--quiet", is_flag=True, help="No progress, no messages."),
    ]
    return apply(options, command)


def parse_shard(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """I/N -> (I, N)."""
    try:
        index, count = map(int, (value or "1/1").split("/"))
    except ValueError:
        index = count = 0
    if not 1 <= index <= count:
        raise click.BadParameter(f"{value}: give I/N with I from 1 to N, such as 3/8")
    return None if value is None else (index, count)


def run_options(command: Callable) -> Callable:
    """How many files are handled, and messages about them; the command gets `batch` and `output`."""

    @wraps(command)
    def collected(recursive, jobs, timeout_s, shard, dask, quiet, verbose, log_file, **given):
        from ..batch.run import BatchOptions
        from .output import OutputOptions

        if quiet and verbose:
            raise click.UsageError("give --quiet or --verbose, not both")
        batch = BatchOptions(recursive, jobs, shard, dask=dask, timeout_s=timeout_s or math.inf)
        return command(batch=batch, output=OutputOptions(quiet=quiet, verbose=verbose, log_file=log_file), **given)

    options = [
        option("-q", "--quiet", is_flag=True, help="No progress, no messages."),
        option("-v", "--verbose", is_flag=True, help="Log what is done on stderr: stages, samples, ffmpeg commands, times."),
        option("--log-file", type=FILE, metavar="FILE", help="Append that log to FILE."),
        option("-r", "--recursive", is_flag=True, group=BATCH, help="Include the subfolders of the given folders."),
        option("-j", "--jobs", type=click.IntRange(1), default=1, show_default=True, metavar="N", group=BATCH,
               help="Process N files at a time."),
        option("--timeout", "timeout_s", type=click.FloatRange(1, 1e7), callback=finite, metavar="S", group=BATCH,
               help="Give up a file after S seconds, and go on with the next.  [default: never]"),
        option("--shard", callback=parse_shard, metavar="I/N", group=BATCH, help="Process only shard I of N, for job arrays."),
        option("--dask", metavar="ADDRESS", group=BATCH, help="Run on a Dask cluster: its scheduler's address or file."),
    ]  # fmt: skip
    return apply(options, collected)


def batch_options(command: Callable) -> Callable:
    """The same, and how results are printed and cached."""

    @wraps(command)
    def collected(batch, output, skip_done, as_json, as_csv, timecode, **given):
        if as_json and as_csv:
            raise click.UsageError("give --json or --csv, not both")
        batch, output = replace(batch, results=skip_done), replace(output, as_json=as_json, as_csv=as_csv, timecode=timecode)
        return command(batch=batch, output=output, **given)

    cache = option("--skip-done", type=FILE, metavar="FILE", group=BATCH, help="Cache results in FILE and reuse those of unchanged files.")
    formats = [
        option("--json", "as_json", is_flag=True, help="Print one JSON object per line instead of text."),
        option("--csv", "as_csv", is_flag=True, help="Print CSV with a header line instead of text."),
        option("--timecode", is_flag=True, help="Print times as timecode of the source, in JSON beside the seconds."),
    ]
    return apply(formats, run_options(cache(collected)))
