"""The command line: parse, call, print, exit code. Results go to stdout, talk to stderr."""

from __future__ import annotations

import math
import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING

import click

from . import __version__
from .config import Config, CurveConfig, MediaConfig, PreviewConfig
from .errors import ResyncError

if TYPE_CHECKING:
    from .many import Many
    from .partfile import Overwrite
    from .report import Outcome

# NumPy's products here are small, and OpenBLAS's threads would go on spinning for a tenth of a second after each.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

UNDECIDED, OVER = 3, 4
MANY = ("recursive", "jobs", "skip_done", "shard", "dask", "as_json", "as_csv", "quiet")  # options; the fields of many.Many

FILE = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name="resync")
def main() -> None:
    """Find how far the sound of a talking-face video is off, and fix it.

    \b
    resync fix in.mp4 out.mp4       check, move the sound, write
    resync check in.mp4             report only
    resync demo                     see it work on a clip it makes itself

    Signs: audio is late = positive audio_delay_ms; shift_ms = what is done to the sound, + = later.
    Exit codes: 0 done, 1 error, 2 usage, 3 undecided (nothing written), 4 --fail-over-ms exceeded.
    """
    # By default a terminated Python leaves without cleaning up; like this it does.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")  # file names need not be text, and JSON still is JSON then


def analysis_options(command: Callable) -> Callable:
    """Options shared by everything that analyses."""
    options = [
        click.option("--audio", type=FILE, metavar="FILE", help="Listen to this recording instead of the film's own sound."),
        click.option(
            "--range",
            "range_s",
            type=click.FloatRange(0.1, 10),
            default=CurveConfig.range_s,
            show_default=True,
            metavar="S",
            help="Try delays from -S to +S seconds.",
        ),
        click.option(
            "--detector", default="auto", show_default=True, metavar="NAME", help="auto, centerface or insightface[:PACK_OR_FILE]."
        ),
        click.option(
            "--audio-track",
            type=click.IntRange(1),
            default=MediaConfig.audio_track,
            show_default=True,
            metavar="N",
            help="Listen to the N-th sound track; `fix` moves all of them.",
        ),
        click.option("--exhaustive", is_flag=True, help="Look at all of a long film, not only until the answer is sure."),
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
        click.option("--weights", type=FILE, help="Other weights than the packaged ones."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def parse_shard(context: click.Context, option: click.Parameter, value: str | None) -> tuple[int, int] | None:
    """I/N -> (I, N)."""
    try:
        index, count = map(int, (value or "1/1").split("/"))
    except ValueError:
        index = count = 0
    if not 1 <= index <= count:
        raise click.BadParameter(f"{value}: give I/N with I from 1 to N, as 3/8")
    return None if value is None else (index, count)


def many_options(command: Callable) -> Callable:
    """Options that say how results are told and how many files are done; the command gets them as one `many`."""
    options = [
        click.option("-r", "--recursive", is_flag=True, help="Look below the folders given, not only right in them."),
        click.option("-j", "--jobs", type=click.IntRange(1), default=1, show_default=True, metavar="N", help="Work on N files at a time."),
        click.option("--skip-done", type=FILE, metavar="FILE", help="Keep results in FILE; take those of unchanged files from it."),
        click.option("--shard", callback=parse_shard, metavar="I/N", help="Only share I of N, for job arrays."),
        click.option("--dask", metavar="ADDRESS", help="Have a Dask cluster do it: address or file of its scheduler."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of text."),
        click.option("--csv", "as_csv", is_flag=True, help="Lines of CSV under a header instead of text."),
        click.option("-q", "--quiet", is_flag=True, help="No progress, no talk."),
    ]

    @wraps(command)
    def collected(**given):
        from .many import Many

        return command(many=Many(**{name: given.pop(name) for name in MANY}), **given)

    for option in reversed(options):
        collected = option(collected)
    return collected


def plot_option(command: Callable) -> Callable:
    """The picture that goes along with an analysis."""
    words = "Draw what was found too: curve, heat map over time, speech, mouths (.png, .svg or .pdf)."
    return click.option("--plot", type=FILE, metavar="FILE", help=words)(command)


def talk_options(command: Callable) -> Callable:
    """How the result of one file is told."""
    for option in (
        click.option("-q", "--quiet", is_flag=True, help="No progress, no talk."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of text."),
    ):
        command = option(command)
    return command


def overwrite_options(command: Callable) -> Callable:
    """What may be replaced; the command gets both options as one `overwrite`."""

    @wraps(command)
    def collected(overwrite: bool, overwrite_media: bool, **given):
        from .partfile import Overwrite

        return command(overwrite=Overwrite.ANY if overwrite_media else Overwrite(overwrite), **given)

    for option in (
        click.option("--overwrite-media", is_flag=True, help="Overwrite an output even if it is a media file that resync did not write."),
        click.option("-y", "--overwrite", is_flag=True, help="Overwrite an output that exists."),
    ):
        collected = option(collected)
    return collected


def write_options(command: Callable) -> Callable:
    """Options shared by everything that writes a video."""
    words = "Bake the move into the samples, for players and editors that ignore start times."
    return overwrite_options(click.option("--reencode-audio", is_flag=True, help=words)(command))


@main.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="IN...")
@analysis_options
@plot_option
@click.option("-y", "--overwrite", is_flag=True, help="Overwrite a plot that exists.")
@click.option("--curve", "with_curve", is_flag=True, help="Put the probability curve into the JSON.")
@click.option("--fail-over-ms", type=click.FloatRange(0), metavar="N", help="Exit 4 when the delay is over N ms.")
@many_options
def check(
    files: tuple[Path, ...],
    audio: Path | None,
    plot: Path | None,
    overwrite: bool,
    with_curve: bool,
    fail_over_ms: float | None,
    many: Many,
    **analysis,
) -> None:
    """Report the offset of each file; nothing is written. A folder stands for the media files in it.

    Example: resync check --json *.mp4
    """

    def code(outcome: Outcome) -> int:
        if not outcome.settled:
            return 1 if outcome.error else UNDECIDED
        assert outcome.report and outcome.report.audio_delay_ms is not None
        return OVER if fail_over_ms is not None and abs(outcome.report.audio_delay_ms) > fail_over_ms else 0

    def run() -> int:
        from .jobs import Work
        from .many import carry_out, to_check

        jobs, options = to_check(files, many), {"plot": plot, "overwrite": overwrite} if plot else {}
        if len(jobs) > 1 and plot:
            raise click.UsageError("--plot goes with one IN")
        return carry_out(jobs, Work(make_config(**analysis), audio, options), many, code, with_curve)

    sys.exit(in_one_line(run))


@main.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="IN OUT | IN... -o DIR")
@click.option("-o", "--output-dir", type=FILE, metavar="DIR", help="Write {name}.resync{ext} of every IN into DIR.")
@click.option("--fix-drift", is_flag=True, help="Resample a sound that drifts steadily, instead of refusing it.")
@click.option("--force", is_flag=True, help="Where the answer is not sure, take the best guess, if there is one.")
@click.option(
    "--export-audio", type=FILE, metavar="FILE", help="Write the sound alone too, in sync and as long as the film (wav, flac, ...)."
)
@analysis_options
@plot_option
@write_options
@many_options
def fix(
    files: tuple[Path, ...],
    output_dir: Path | None,
    fix_drift: bool,
    force: bool,
    export_audio: Path | None,
    audio: Path | None,
    plot: Path | None,
    overwrite: Overwrite,
    reencode_audio: bool,
    many: Many,
    **analysis,
) -> None:
    """Check IN, move its sound into place and write OUT; when not sure, write nothing and exit 3.

    Example: resync fix in.mp4 out.mp4

    With -o, folders stand for the media files in them, and DIR is laid out as they are.
    """

    def code(outcome: Outcome) -> int:
        return 0 if outcome.settled else 1 if outcome.error else UNDECIDED

    def run() -> int:
        from .jobs import Work
        from .many import carry_out, to_fix

        jobs = to_fix(files, output_dir, many, overwrite)
        if len(jobs) > 1 and (audio or export_audio or plot):
            raise click.UsageError("--audio, --export-audio and --plot go with one IN and OUT")
        options = {"reencode": reencode_audio, "fix_drift": fix_drift, "export": export_audio, "plot": plot, "force": force}
        return carry_out(jobs, Work(make_config(**analysis), audio, options), many, code)

    sys.exit(in_one_line(run))


@main.command()
@click.argument("source", type=FILE, metavar="IN")
@click.argument("target", type=FILE, metavar="OUT")
@click.option("--ms", "shift_ms", type=float, required=True, metavar="N", help="Play the sound N ms later (earlier if negative).")
@click.option("-q", "--quiet", is_flag=True, help="No talk.")
@write_options
def shift(source: Path, target: Path, shift_ms: float, quiet: bool, overwrite: Overwrite, reencode_audio: bool) -> None:
    """Move the sound by hand, with no analysis.

    Example: resync shift in.mp4 out.mp4 --ms -120
    """

    def run() -> int:
        from .remux import shift_sound

        written = shift_sound(source, target, shift_ms, reencode=reencode_audio, overwrite=overwrite)
        say("\n".join([f"{written.path}: sound moved {shift_ms:+g} ms", *written.notes]), quiet)
        return 0

    sys.exit(in_one_line(run))


@main.command()
@click.argument("folder", type=FILE, default=Path("resync-demo"), metavar="[DIR]")
@click.option("--delay-ms", type=click.FloatRange(-500, 500), default=200.0, show_default=True, help="How far to break the sync.")
@click.option("--seed", type=int, default=1, show_default=True, help="Another seed is another voice.")
@click.option("--seconds", type=click.FloatRange(2, 60), default=6.0, show_default=True, help="Length of the clip.")
@click.option("-q", "--quiet", is_flag=True, help="No progress, no talk.")
def demo(folder: Path, delay_ms: float, seed: int, seconds: float, quiet: bool) -> None:
    """Make a talking clip in DIR, break its sync, fix it and check the result.

    Example: resync demo
    """

    def run() -> int:
        from .demo import run as show

        return show(folder, delay_ms, seed, seconds, lambda text: click.echo(text), lambda text: say(text, quiet))

    sys.exit(in_one_line(run))


@main.command()
@click.argument("source", type=FILE, metavar="IN")
@click.argument("target", type=FILE, metavar="OUT")
@analysis_options
@talk_options
@click.option("-y", "--overwrite", is_flag=True, help="Overwrite an output that exists.")
def plot(source: Path, target: Path, audio: Path | None, as_json: bool, quiet: bool, overwrite: bool, **analysis) -> None:
    """Check IN and draw OUT (.png, .svg or .pdf): the curve, a heat map over time, who spoke and was seen, the mouths.

    It is drawn whatever the verdict; exit code 3 when undecided.

    Example: resync plot in.mp4 out.png
    """

    def run() -> int:
        from .bars import Bars
        from .pipeline import analyze

        with Bars(1, quiet) as bars:
            tell = partial(bars.tell, source, source.name)
            report = analyze(source, make_config(**analysis), tell, audio=audio, plot=target, overwrite=overwrite)
        click.echo(report.to_json() if as_json else report.to_text())
        say(f"{target}: drawn", quiet)
        return 0 if report.decided else UNDECIDED

    sys.exit(in_one_line(run))


@main.command()
@click.argument("source", type=FILE, metavar="IN")
@click.argument("target", type=FILE, metavar="OUT")
@click.option("--start", "start_s", type=float, metavar="S", help="Begin S seconds into the film; default: where the speech tells most.")
@click.option("--seconds", type=click.FloatRange(0.5, 120), default=PreviewConfig.seconds, show_default=True, help="Length of each half.")
@analysis_options
@talk_options
@overwrite_options
def preview(
    source: Path,
    target: Path,
    start_s: float | None,
    seconds: float,
    audio: Path | None,
    as_json: bool,
    quiet: bool,
    overwrite: Overwrite,
    **analysis,
) -> None:
    """Write some seconds of IN twice to OUT: as they are, then with the sound moved, with the curve drawn in.

    When not sure, nothing is written and the exit code is 3.

    Example: resync preview in.mp4 before_after.mp4
    """

    def run() -> int:
        from .bars import Bars
        from .preview import preview as render

        config = make_config(**analysis)
        with Bars(1, quiet) as bars:
            tell = partial(bars.tell, source, source.name)
            report, written = render(
                source, target, config, start_s=start_s, seconds=seconds, audio=audio, overwrite=overwrite, progress=tell
            )
        click.echo(report.to_json() if as_json else report.to_text())
        if written is None:
            say(f"{source}: not sure, nothing written", quiet)
            return UNDECIDED
        say(f"{target}: {written.seconds:.1f} s from {written.start_s:.1f} s on, twice: as they are, and with the sound moved", quiet)
        return 0

    sys.exit(in_one_line(run))


def make_config(range_s: float, detector: str, audio_track: int, exhaustive: bool, device: str, weights: Path | None) -> Config:
    """Settings of the library from the options of the command line."""
    base = Config()
    return replace(
        base,
        media=replace(base.media, audio_track=audio_track),
        curve=replace(base.curve, range_s=range_s),
        faces=replace(base.faces, detector=detector),
        plan=replace(base.plan, whole_s=math.inf) if exhaustive else base.plan,
        device=device,
        weights=str(weights) if weights else None,
    )


def in_one_line(run: Callable[[], int]) -> int:
    """The exit code of `run`; an error that ends it is told in one line."""
    try:
        return run()
    except ResyncError as e:
        say(f"resync: {e}")
        return e.exit_code


def say(text: str, quiet: bool = False) -> None:
    """Talk, on stderr."""
    if not quiet:
        click.echo(text, err=True)


from .training.cli import evaluate, prepare, train  # noqa: E402

for command in (prepare, train, evaluate):
    main.add_command(command)
