"""The command filter, which cleans a folder of clips for a dataset."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..config import Config, DecideConfig
from .console import ERROR, log
from .options import (
    FILE,
    SELECTION,
    GroupedCommand,
    apply,
    config_options,
    finite,
    option,
    overwrite_options,
    reencode_option,
    run_options,
)

if TYPE_CHECKING:
    from ..batch.filter import FilterOptions
    from ..batch.manifest import Row
    from ..batch.run import BatchOptions
    from ..batch.selection import Selection
    from ..remux.paths import Overwrite
    from .output import OutputOptions, Shown

KINDS = {"keep": "kept", "resync": "re-synced", "drop": "dropped", "failed": "failed"}  # of each action, in the summary
LIMITS = ("min_certainty", "max_uncertainty_ms", "min_probability", "max_offscreen", "min_seconds")
SHARE = click.FloatRange(0, 1)


def selection_options(command: Callable) -> Callable:
    """What is kept, re-synced and dropped; the command gets `selection`."""

    @wraps(command)
    def collected(keep_within_ms, max_offset_ms, no_resync, undecided, **given):
        from ..batch.selection import Selection

        if max_offset_ms is not None and max_offset_ms < keep_within_ms:
            raise click.UsageError(f"--max-offset-ms {max_offset_ms:g} is less than --keep-within-ms {keep_within_ms:g}")
        limits = {name: given.pop(name) for name in LIMITS}
        selection = Selection(keep_within_ms, max_offset_ms, not no_resync, keep_undecided=undecided == "keep", **limits)
        return command(selection=selection, **given)

    def limit(name: str, kind: click.ParamType, metavar: str, words: str, **settings) -> Callable:
        return option(name, type=kind, metavar=metavar, callback=finite, group=SELECTION, help=words, **settings)

    default_ms = 1000 * DecideConfig.in_sync_s
    options = [
        limit("--keep-within-ms", click.FloatRange(0), "N", "Keep clips with an offset of up to N ms as they are, re-sync others.",
              default=default_ms, show_default=True),
        limit("--max-offset-ms", click.FloatRange(0), "N", "Drop clips with an offset of more than N ms."),
        option("--no-resync", is_flag=True, group=SELECTION, help="Drop clips instead of re-syncing them."),
        limit("--min-certainty", SHARE, "P", "Drop clips with a lower certainty."),
        limit("--max-uncertainty-ms", click.FloatRange(0), "N", "Drop clips whose offset is known less exactly than +-N ms."),
        limit("--min-probability", SHARE, "P", "Drop clips with a lower probability in sync at the offset."),
        limit("--max-offscreen", SHARE, "P", "Drop clips with more of their speech off screen."),
        limit("--min-seconds", click.FloatRange(0), "S", "Drop clips shorter than S seconds."),
        option("--undecided", type=click.Choice(["drop", "keep"]), default="drop", show_default=True, group=SELECTION,
               help="What becomes of undecided clips."),
    ]  # fmt: skip
    return apply(options, collected)


def output_options(command: Callable) -> Callable:
    """How clips are written; the command gets `options`."""

    @wraps(command)
    def collected(link, sha256, reencode_audio, **given):
        from ..batch.filter import FilterOptions

        return command(options=FilterOptions(link, reencode_audio, sha256), **given)

    options = [
        option("--link", type=click.Choice(["hard", "symbolic"]), help="Link clips that are kept instead of copying them."),
        reencode_option,
        option("--sha256", is_flag=True, help="Put the SHA-256 of every output into the manifest."),
    ]
    return apply(options, collected)


@click.command("filter", cls=GroupedCommand, short_help="Keep, re-sync or drop the clips of a folder, for datasets.")
@click.argument("folder", type=FILE, metavar="IN_FOLDER")
@option("-o", "--output-dir", type=FILE, metavar="DIR", help="Write the clips into DIR, with the layout of IN_FOLDER.")
@option("--manifest", type=FILE, metavar="FILE", help="Manifest, .jsonl or .tsv.  [default: DIR/manifest.jsonl]")
@option("--dry-run", is_flag=True, help="Write the manifest only.")
@output_options
@overwrite_options
@selection_options
@config_options
@run_options
def filter_clips(
    folder: Path,
    output_dir: Path | None,
    manifest: Path | None,
    dry_run: bool,
    options: FilterOptions,
    overwrite: Overwrite,
    selection: Selection,
    config: Config,
    batch: BatchOptions,
    output: OutputOptions,
) -> None:
    """Write the clips of IN_FOLDER that are in sync, or can be re-synced, into another folder, and a manifest of all.

    Example: resync filter -r clips/ -o clean/ --min-certainty 0.9 --max-offscreen 0.3

    A run that was stopped goes on where it was. With other limits, clips in the manifest are not analysed again.
    """
    from ..batch.filter import FilteredBefore, FilterRunner, open_filter
    from ..batch.jobs import JobRunner
    from ..batch.place import REMUXED
    from .output import print_outcomes

    if output_dir is None and not (dry_run and manifest):
        raise click.UsageError("give -o DIR, or --dry-run and --manifest FILE")
    runner = FilterRunner(JobRunner(config), selection, options)
    rows, jobs = open_filter(folder, output_dir, manifest, runner, batch, overwrite, dry_run)
    code = print_outcomes(jobs, runner, batch, output, show, kinds=KINDS.values(), earlier=FilteredBefore(rows, runner))
    rows.tidy()
    if not dry_run and any(row.written == REMUXED for row in rows.rows.values()):
        log("re-synced by timestamps; for programs that ignore them, such as many data loaders, use --reencode-audio", output.quiet)
    sys.exit(code)


def show(row: Row) -> Shown:
    """One line for a clip; the error of one that failed goes to stderr."""
    from ..report.table import printable
    from .output import Shown

    failed = row.action == "failed"
    text = f"{row.action:<6}  {printable(row.path)}" + ("" if failed else f": {row.reason}")
    return Shown((), row.reason if failed else None, text, KINDS[row.action], ERROR if failed else 0)
