"""Command lines for people with data of their own: prepare, train, evaluate."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict
from pathlib import Path

import click

from ..errors import ResyncError

FOLDER = click.Path(path_type=Path)


class OneLineErrors(click.Command):
    """A command whose ResyncErrors end in one line on stderr and exit code 1."""

    def invoke(self, ctx: click.Context):
        """Run the command."""
        try:
            return super().invoke(ctx)
        except ResyncError as e:
            click.echo(f"resync: {e}", err=True)
            sys.exit(e.exit_code)


@click.command(cls=OneLineErrors)
@click.argument("clips", type=FOLDER)
@click.argument("cache", type=FOLDER)
@click.option("--index", type=FOLDER, help="Tab-separated: file, split, source, speaker, suspected_delay_ms.")
@click.option("--detector", default="centerface", show_default=True, help="Face detector, as in `resync check`.")
@click.option("--jobs", type=click.IntRange(1), help="Processes; default: one a core.")
def prepare(clips: Path, cache: Path, index: Path | None, detector: str, jobs: int | None) -> None:
    """Turn the folder CLIPS into the training cache CACHE (mouth crops and mels only).

    Without --index every clip is for training, its folder names the speaker, and it counts as in sync.

    Example: resync prepare clips/ cache/ --index clips/index.tsv
    """
    from ..config import FaceConfig
    from .prepare import prepare as run

    def tell(done: int, total: int, complaint: str) -> None:
        if complaint:
            click.echo(f"left out: {complaint}", err=True)
        if done % 100 == 0 or done == total:
            click.echo(f"{done} of {total} clips", err=True)

    entries = run(clips, cache, index=index, faces=FaceConfig(detector=detector), jobs=jobs, progress=tell)
    click.echo(f"{len(entries)} face tracks, {sum(e.frames for e in entries) / 25:.0f} s, in {cache}")


@click.command(cls=OneLineErrors)
@click.argument("cache", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True, help="Length of the run.")
@click.option("--recipe", type=click.File(), help="JSON file with any field of training.train.Recipe, and `dimensions`.")
@click.option("--start", type=FOLDER, help="Weights file to start from.")
@click.option("--delays", type=click.File(), help="JSON {track: delay in ms or null} of `resync evaluate --repair`.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--compile/--no-compile", "compile_", default=False, help="torch.compile; faster, needs a C++ compiler on CPU.")
def train(cache: Path, out: Path, minutes: float, recipe, start: Path | None, delays, device: str, seed: int, compile_: bool) -> None:
    """Train on CACHE; OUT gets log.jsonl, last.pt and best.safetensors. Run it again to go on after a stop.

    Example: resync train cache/ runs/first --minutes 90

    On several devices: torchrun --nproc-per-node 2 -m resync train cache/ runs/first --minutes 90
    """
    from ..model import Dimensions
    from .dataset import Augment
    from .ranks import joined
    from .train import Recipe, Trainer

    base = {**asdict(Recipe(minutes=minutes, seed=seed, compile=compile_)), "dimensions": Dimensions().to_dict()}
    given = _merge(base, _read_json(recipe, "--recipe"), "--recipe")
    dimensions, augment = Dimensions.from_dict(given.pop("dimensions")), Augment(**given.pop("augment"))
    plan = Recipe(**{**given, "skip": tuple(given["skip"])}, augment=augment)
    repaired = _read_json(delays, "--delays") if delays else None
    with joined(device) as ranks:
        trainer = Trainer(cache, out, plan, dimensions=dimensions, ranks=ranks, start=start, delays=repaired)
        best = trainer.run(lambda line: click.echo(line, err=True))
    if ranks.first:
        click.echo(f"{out / 'best.safetensors'}: {best:.4f}")


@click.command(cls=OneLineErrors)
@click.argument("cache", type=FOLDER)
@click.option("--weights", type=FOLDER, help="Other weights than the packaged ones.")
@click.option("--split", default="val", show_default=True)
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object instead of the table.")
@click.option("--repair", type=FOLDER, metavar="FILE", help="Write every track's own delay by the network there, for `train --delays`.")
@click.option(
    "--calibrate",
    is_flag=True,
    help="Fit the rule that tells sure answers from unsure ones; print its trade-off and how far P is to be believed.",
)
def evaluate(cache: Path, weights: Path | None, split: str, device: str, as_json: bool, repair: Path | None, calibrate: bool) -> None:
    """Accuracy of 5-frame windows, clips and pieces of clips, by source.

    Example: resync evaluate cache/
    """
    from ..embed import pick_device
    from ..weights import load
    from .calibrate import collect, fit_rule, reliability, trade_off
    from .evaluate import evaluate as run
    from .evaluate import read_tracks
    from .evaluate import repair as estimate_delays

    net = load(weights, pick_device(device))
    if repair:
        delays = estimate_delays(net, read_tracks(cache, split))
        repair.write_text(json.dumps(delays, indent=0))
        click.echo(f"{repair}: {sum(d is not None for d in delays.values())} of {len(delays)} tracks have a delay")
        return
    if calibrate:
        samples = collect(net, read_tracks(cache, split))
        rule = fit_rule(samples)
        click.echo(json.dumps({"rule": rule}))
        for row in trade_off(samples, rule):
            click.echo(json.dumps(row))
        error, bins = reliability(net, read_tracks(cache, split))
        click.echo(json.dumps({"expected_calibration_error": error}))
        for row in bins:
            click.echo(json.dumps(row))
        return
    table = run(net, read_tracks(cache, split))
    if as_json:
        click.echo(json.dumps(table))
        return
    for line in table_lines(table):
        click.echo(line)


def table_lines(table: dict[str, dict]) -> list[str]:
    """A table of figures by source as aligned text."""
    columns = [k for k in table["all"]]
    rows = [["source", *columns]] + [
        [name, *("-" if row.get(c) is None else f"{row[c]:g}" for c in columns)] for name, row in table.items()
    ]
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.rjust(w) for cell, w in zip(r, widths)) for r in rows]


def _merge(base: dict, given: dict, option: str) -> dict:
    """`base` with the values of `given` put in, in nested dicts too. Raises click.BadParameter on foreign names."""
    if odd := set(given) - set(base):
        names = ", ".join(sorted(base))
        raise click.BadParameter(f"no such settings: {', '.join(sorted(odd))}; there are {names}", param_hint=option)
    return {**base, **{k: _merge(base[k], v, option) if isinstance(v, dict) else v for k, v in given.items()}}


def _read_json(file, option: str) -> dict:
    """A JSON object, {} without a file. Raises click.BadParameter."""
    try:
        given = json.load(file) if file else {}
    except ValueError as e:
        raise click.BadParameter(f"not JSON: {e}", param_hint=option) from e
    if not isinstance(given, dict):
        raise click.BadParameter("not a JSON object", param_hint=option)
    return given
