"""The command line: parse, call, print, exit code. Results go to stdout, talk to stderr."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import click

from . import __version__
from .config import Config, CurveConfig, MediaConfig, PreviewConfig
from .errors import ResyncError

UNDECIDED, OVER = 3, 4
SEVERITY = (0, OVER, UNDECIDED, 1)  # of many files, the worst code is the exit code
OWN_SUFFIX = ".resync"  # in the names of outputs written with -o; such files are not taken as input

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
        click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N."),
        click.option("--weights", type=FILE, help="Other weights than the packaged ones."),
        click.option("--json", "as_json", is_flag=True, help="One JSON object a line instead of text."),
        click.option("-q", "--quiet", is_flag=True, help="No progress, no talk."),
    ]
    for option in reversed(options):
        command = option(command)
    return command


def plot_option(command: Callable) -> Callable:
    """The picture that goes along with an analysis."""
    words = "Draw what was found too: curve, heat map over time, speech, mouths (.png, .svg or .pdf)."
    return click.option("--plot", type=FILE, metavar="FILE", help=words)(command)


def write_options(command: Callable) -> Callable:
    """Options shared by everything that writes a video."""
    for option in (
        click.option("-y", "--overwrite", is_flag=True, help="Overwrite outputs that exist."),
        click.option(
            "--reencode-audio", is_flag=True, help="Bake the move into the samples, for players and editors that ignore start times."
        ),
    ):
        command = option(command)
    return command


@main.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="IN...")
@analysis_options
@plot_option
@click.option("-y", "--overwrite", is_flag=True, help="Overwrite a plot that exists.")
@click.option("--curve", "with_curve", is_flag=True, help="Put the probability curve into the JSON.")
@click.option("--fail-over-ms", type=click.FloatRange(0), metavar="N", help="Exit 4 when the delay is over N ms.")
def check(
    files: tuple[Path, ...],
    audio: Path | None,
    plot: Path | None,
    overwrite: bool,
    as_json: bool,
    quiet: bool,
    with_curve: bool,
    fail_over_ms: float | None,
    **analysis,
) -> None:
    """Report the offset of each file; nothing is written.

    Example: resync check --json *.mp4
    """
    config = make_config(**analysis)
    if len(files) > 1 and plot:
        raise click.UsageError("--plot goes with one IN")

    def one(file: Path) -> int:
        from .pipeline import analyze

        with progress_bar(file, quiet) as progress:
            report = analyze(file, config, progress, audio=audio, plot=plot, overwrite=overwrite)
        click.echo(report.to_json(with_curve) if as_json else report.to_text())
        if not report.decided:
            return UNDECIDED
        return OVER if fail_over_ms is not None and abs(report.audio_delay_ms) > fail_over_ms else 0

    sys.exit(for_each(files, one, as_json))


@main.command()
@click.argument("files", nargs=-1, required=True, type=FILE, metavar="IN OUT | IN... -o DIR")
@click.option("-o", "--output-dir", type=FILE, metavar="DIR", help="Write {name}.resync{ext} of every IN into DIR.")
@click.option("--fix-drift", is_flag=True, help="Resample a sound that drifts steadily, instead of refusing it.")
@click.option(
    "--export-audio", type=FILE, metavar="FILE", help="Write the sound alone too, in sync and as long as the film (wav, flac, ...)."
)
@analysis_options
@plot_option
@write_options
def fix(
    files: tuple[Path, ...],
    output_dir: Path | None,
    fix_drift: bool,
    export_audio: Path | None,
    audio: Path | None,
    plot: Path | None,
    as_json: bool,
    quiet: bool,
    overwrite: bool,
    reencode_audio: bool,
    **analysis,
) -> None:
    """Check IN, move its sound into place and write OUT; when not sure, write nothing and exit 3.

    Example: resync fix in.mp4 out.mp4
    """
    config = make_config(**analysis)
    pairs = dict(targets(files, output_dir))
    if len(pairs) > 1 and (audio or export_audio or plot):
        raise click.UsageError("--audio, --export-audio and --plot go with one IN and OUT")

    def one(file: Path) -> int:
        from .pipeline import fix as run

        with progress_bar(file, quiet) as progress:
            options = {"reencode": reencode_audio, "fix_drift": fix_drift, "audio": audio, "export": export_audio, "overwrite": overwrite}
            report, written = run(file, pairs[file], config, **options, plot=plot, progress=progress)
        click.echo(report.to_json(written=written and written.to_dict()) if as_json else report.to_text())
        if written is None:
            say(f"{file}: not sure, nothing written", quiet)
            return UNDECIDED
        say("\n".join([f"{written.path}: {what_was_done(report)}", *written.notes]), quiet)
        return 0

    sys.exit(for_each(tuple(pairs), one, as_json))


@main.command()
@click.argument("source", type=FILE, metavar="IN")
@click.argument("target", type=FILE, metavar="OUT")
@click.option("--ms", "shift_ms", type=float, required=True, metavar="N", help="Play the sound N ms later (earlier if negative).")
@click.option("-q", "--quiet", is_flag=True, help="No talk.")
@write_options
def shift(source: Path, target: Path, shift_ms: float, quiet: bool, overwrite: bool, reencode_audio: bool) -> None:
    """Move the sound by hand, with no analysis.

    Example: resync shift in.mp4 out.mp4 --ms -120
    """

    def one(file: Path) -> int:
        from .remux import shift_sound

        written = shift_sound(file, target, shift_ms, reencode=reencode_audio, overwrite=overwrite)
        say("\n".join([f"{written.path}: sound moved {shift_ms:+g} ms", *written.notes]), quiet)
        return 0

    sys.exit(for_each((source,), one))


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

    def one(_: Path) -> int:
        from .demo import run

        return run(folder, delay_ms, seed, seconds, lambda text: click.echo(text), lambda text: say(text, quiet))

    sys.exit(for_each((folder,), one))


@main.command()
@click.argument("source", type=FILE, metavar="IN")
@click.argument("target", type=FILE, metavar="OUT")
@analysis_options
@click.option("-y", "--overwrite", is_flag=True, help="Overwrite an output that exists.")
def plot(source: Path, target: Path, audio: Path | None, as_json: bool, quiet: bool, overwrite: bool, **analysis) -> None:
    """Check IN and draw OUT (.png, .svg or .pdf): the curve, a heat map over time, who spoke and was seen, the mouths.

    It is drawn whatever the verdict; exit code 3 when undecided.

    Example: resync plot in.mp4 out.png
    """

    def one(file: Path) -> int:
        from .pipeline import analyze

        with progress_bar(file, quiet) as progress:
            report = analyze(file, make_config(**analysis), progress, audio=audio, plot=target, overwrite=overwrite)
        click.echo(report.to_json() if as_json else report.to_text())
        say(f"{target}: drawn", quiet)
        return 0 if report.decided else UNDECIDED

    sys.exit(for_each((source,), one, as_json))


@main.command()
@click.argument("source", type=FILE, metavar="IN")
@click.argument("target", type=FILE, metavar="OUT")
@click.option("--start", "start_s", type=float, metavar="S", help="Begin S seconds into the film; default: where the speech tells most.")
@click.option("--seconds", type=click.FloatRange(0.5, 120), default=PreviewConfig.seconds, show_default=True, help="Length of each half.")
@analysis_options
@click.option("-y", "--overwrite", is_flag=True, help="Overwrite an output that exists.")
def preview(
    source: Path,
    target: Path,
    start_s: float | None,
    seconds: float,
    audio: Path | None,
    as_json: bool,
    quiet: bool,
    overwrite: bool,
    **analysis,
) -> None:
    """Write some seconds of IN twice to OUT: as they are, then with the sound moved, with the curve drawn in.

    When not sure, nothing is written and the exit code is 3.

    Example: resync preview in.mp4 before_after.mp4
    """

    def one(file: Path) -> int:
        from .preview import preview as run

        config = make_config(**analysis)
        with progress_bar(file, quiet) as progress:
            report, written = run(
                file, target, config, start_s=start_s, seconds=seconds, audio=audio, overwrite=overwrite, progress=progress
            )
        click.echo(report.to_json() if as_json else report.to_text())
        if written is None:
            say(f"{file}: not sure, nothing written", quiet)
            return UNDECIDED
        say(f"{target}: {written.seconds:.1f} s from {written.start_s:.1f} s on, before and after; {what_was_done(report)}", quiet)
        return 0

    sys.exit(for_each((source,), one, as_json))


def what_was_done(report) -> str:
    """What `fix` did to the sound, in words."""
    if report.verdict == "drift":
        return f"sound resampled by {-report.drift_ms_per_min:+.1f} ms a minute and moved {-report.drift_start_ms:+.0f} ms at the start"
    return f"sound moved {report.shift_ms:+.0f} ms" if report.shift_ms else "already in sync, copied as it is"


def make_config(range_s: float, detector: str, audio_track: int, device: str, weights: Path | None) -> Config:
    """Settings of the library from the options of the command line."""
    base = Config()
    return replace(
        base,
        media=replace(base.media, audio_track=audio_track),
        curve=replace(base.curve, range_s=range_s),
        faces=replace(base.faces, detector=detector),
        device=device,
        weights=str(weights) if weights else None,
    )


def targets(files: tuple[Path, ...], output_dir: Path | None) -> Iterator[tuple[Path, Path]]:
    """(input, output) pairs of `fix`; raises UsageError."""
    if output_dir is None:
        if len(files) != 2:
            raise click.UsageError("give IN OUT, or several IN with -o DIR")
        yield files[0], files[1]
        return
    for file in files:
        if file.stem.endswith(OWN_SUFFIX):
            say(f"{file}: skipped, it is an output of resync")
        else:
            yield file, output_dir / f"{file.stem}{OWN_SUFFIX}{file.suffix}"


def for_each(files: tuple[Path, ...], work: Callable[[Path], int], as_json: bool = False) -> int:
    """Do `work` on every file, going on after a failure; returns the worst exit code."""
    from .report import error_json

    worst = 0
    for file in files:
        try:
            code = work(file)
        except ResyncError as e:
            click.echo(f"resync: {e}", err=True)
            if as_json:
                click.echo(error_json(file, str(e)))
            code = e.exit_code
        worst = max(worst, code, key=SEVERITY.index)
    return worst


def say(text: str, quiet: bool = False) -> None:
    """Talk, on stderr."""
    if not quiet:
        click.echo(text, err=True)


@contextmanager
def progress_bar(file: Path, quiet: bool) -> Iterator[Callable | None]:
    """A bar on stderr, only on a terminal; yields the progress callback."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    with click.progressbar(length=1000, label=file.name[:40], file=sys.stderr) as bar:
        yield lambda p: bar.update(max(0, int(1000 * p.done_s / max(p.planned_s, p.done_s)) - bar.pos))


from .training.cli import evaluate, prepare, train  # noqa: E402

for command in (prepare, train, evaluate):
    main.add_command(command)
