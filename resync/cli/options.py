"""Options that several commands share, in the groups in which `--help` lists them."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import wraps
from pathlib import Path

import click

from ..config import Config, MediaConfig
from ..errors import ResyncError

FILE = click.Path(path_type=Path)
GROUPS = OUTPUT, ANALYSIS, BATCH, OTHER = "Output", "Analysis", "Batch", "Other"


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
            click.echo(f"resync: {error}", err=True)
            sys.exit(error.exit_code)


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


def _apply(options: list[Callable], command: Callable) -> Callable:
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

    @wraps(command)
    def collected(range_s, detector, audio_track, exhaustive, device, weights, **given):
        return command(config=make_config(range_s, detector, audio_track, exhaustive, device, weights), **given)

    options = [
        option("--audio", type=FILE, metavar="FILE", group=ANALYSIS, help="Analyse this recording instead of the video's own audio."),
        option("--audio-track", type=click.IntRange(1), default=MediaConfig.audio_track, show_default=True, metavar="N", group=ANALYSIS,
               help="Analyse the N-th audio track; `fix` shifts all of them."),
        option("--range", "range_s", type=click.FloatRange(0.1, 10), metavar="S", callback=finite, group=ANALYSIS,
               help="Test delays from -S to +S seconds.  [default: 1, 3 or 10, until the result is clear]"),
        option("--exhaustive", is_flag=True, group=ANALYSIS, help="Analyse all of a long video, instead of sampling until certain."),
        option("--detector", default="auto", show_default=True, metavar="NAME", group=ANALYSIS,
               help="Face detector: auto, centerface or insightface[:PACK_OR_FILE]."),
        option("--device", default="auto", show_default=True, metavar="NAME", group=ANALYSIS,
               help="Device of the network: auto, cpu, cuda or cuda:N."),
        option("--weights", type=FILE, metavar="FILE", group=ANALYSIS, help="Use other weights than the packaged ones."),
    ]  # fmt: skip
    return _apply(options, collected)


def make_config(range_s: float | None, detector: str, audio_track: int, exhaustive: bool, device: str, weights: Path | None) -> Config:
    """Settings of the library from the options of the command line."""
    base = Config()
    return replace(
        base,
        media=replace(base.media, audio_track=audio_track),
        curve=replace(base.curve, range_s=range_s),
        faces=replace(base.faces, detector=detector),
        sampling=replace(base.sampling, full_scan_s=math.inf) if exhaustive else base.sampling,
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
    return _apply(options, collected)


def plot_options(command: Callable) -> Callable:
    """The plot that goes along with an analysis."""
    return option("--plot", type=FILE, metavar="FILE", help="Also plot the result (.png, .svg or .pdf).")(command)


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
    return _apply(options, command)


def parse_shard(context: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """I/N -> (I, N)."""
    try:
        index, count = map(int, (value or "1/1").split("/"))
    except ValueError:
        index = count = 0
    if not 1 <= index <= count:
        raise click.BadParameter(f"{value}: give I/N with I from 1 to N, such as 3/8")
    return None if value is None else (index, count)


def batch_options(command: Callable) -> Callable:
    """How many files are handled and how results are printed; the command gets `batch` and `output`."""

    @wraps(command)
    def collected(recursive, jobs, shard, skip_done, dask, as_json, as_csv, quiet, **given):
        from ..batch.run import BatchOptions
        from .output import OutputOptions

        if as_json and as_csv:
            raise click.UsageError("give --json or --csv, not both")
        batch = BatchOptions(recursive, jobs, shard, skip_done, dask)
        return command(batch=batch, output=OutputOptions(as_json, as_csv, quiet), **given)

    options = [
        option("--json", "as_json", is_flag=True, help="Print one JSON object per line instead of text."),
        option("--csv", "as_csv", is_flag=True, help="Print CSV with a header line instead of text."),
        option("-q", "--quiet", is_flag=True, help="No progress, no messages."),
        option("-r", "--recursive", is_flag=True, group=BATCH, help="Include the subfolders of the given folders."),
        option("-j", "--jobs", type=click.IntRange(1), default=1, show_default=True, metavar="N", group=BATCH,
               help="Process N files at a time."),
        option("--skip-done", type=FILE, metavar="FILE", group=BATCH, help="Cache results in FILE and reuse those of unchanged files."),
        option("--shard", callback=parse_shard, metavar="I/N", group=BATCH, help="Process only shard I of N, for job arrays."),
        option("--dask", metavar="ADDRESS", group=BATCH, help="Run on a Dask cluster: its scheduler's address or file."),
    ]  # fmt: skip
    return _apply(options, collected)
