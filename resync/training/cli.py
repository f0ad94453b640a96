"""Command lines for people with data of their own: prepare, train, evaluate."""

from __future__ import annotations

import json
import sys
from dataclasses import asdict, replace
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
@click.option("--repair", is_flag=True, help="Then estimate each training clip's own delay with the network, for `resync train`.")
@click.option("--weights", type=FOLDER, help="Other weights for --repair than the packaged ones.")
@click.option("--trust", multiple=True, metavar="SOURCE", help="A source that --repair leaves as the index says. May be given again.")
def prepare(
    clips: Path,
    cache: Path,
    index: Path | None,
    detector: str,
    jobs: int | None,
    repair: bool,
    weights: Path | None,
    trust: tuple[str, ...],
) -> None:
    """Turn the folder CLIPS into the training cache CACHE (mouth crops and mels only).

    Without --index every clip is for training, its folder names the speaker, and it counts as in sync.

    Clips already in the cache are kept, so that it can be repaired again with a better network.
    Repaired delays lie in the cache; no clip is changed, and what no delay explains is left out of training.

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
    if repair:
        _repair(cache, weights, trust)


@click.command(cls=OneLineErrors)
@click.argument("cache", type=FOLDER)
@click.argument("out", type=FOLDER)
@click.option("--minutes", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True, help="Length of the run.")
@click.option("--recipe", type=click.File(), help="JSON file with any field of training.train.Recipe, and `dimensions`.")
@click.option("--from", "start", type=FOLDER, help="Weights file to start from.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--compile/--no-compile", "compile_", default=False, help="torch.compile; faster, needs a C++ compiler on CPU.")
def train(cache: Path, out: Path, minutes: float, recipe, start: Path | None, device: str, seed: int, compile_: bool) -> None:
    """Train on CACHE; OUT gets log.jsonl, last.pt and best.safetensors. Run it again to go on after a stop.

    Example: resync train cache/ runs/first --minutes 90

    On several devices: torchrun --nproc-per-node 2 -m resync train cache/ runs/first --minutes 90
    """
    from ..dimensions import Dimensions
    from .dataset import Augment
    from .ranks import joined
    from .train import Recipe, Trainer

    base = {**asdict(Recipe(minutes=minutes, seed=seed, compile=compile_)), "dimensions": Dimensions().to_dict()}
    given = _merge(base, _read_json(recipe, "--recipe"), "--recipe")
    dimensions, augment = Dimensions.from_dict(given.pop("dimensions")), Augment(**given.pop("augment"))
    plan = Recipe(**{**given, "skip": tuple(given["skip"])}, augment=augment)
    with joined(device) as ranks:
        trainer = Trainer(cache, out, plan, dimensions=dimensions, ranks=ranks, start=start)
        best = trainer.run(lambda line: click.echo(line, err=True))
    if ranks.first:
        click.echo(f"{out / 'best.safetensors'}: {best:.4f}")


@click.command(cls=OneLineErrors)
@click.argument("source", type=FOLDER)
@click.option("--list", "listing", type=FOLDER, help="Text file that names clips below SOURCE, as the lists of LRS2 and LRS3 do.")
@click.option("--weights", type=FOLDER, help="Other weights than the packaged ones.")
@click.option("--split", default="val", show_default=True, help="Part of a cache.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--detector", default="auto", show_default=True, help="Face detector, as in `resync check`; for clips.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object, with a row for every clip, instead of tables.")
@click.option(
    "--calibrate", is_flag=True, help="Instead: how far P is to be believed, and a rule that tells sure answers from unsure ones."
)
@click.option("--write", type=FOLDER, metavar="FILE", help="With --calibrate: save the weights with scale and bias fitted to these clips.")
def evaluate(
    source: Path,
    listing: Path | None,
    weights: Path | None,
    split: str,
    device: str,
    detector: str,
    as_json: bool,
    calibrate: bool,
    write: Path | None,
) -> None:
    """Accuracy of windows of 5 to 15 frames, of clips and pieces of clips, by source; offsets of the set.

    SOURCE is a training cache, or a folder of clips. Figures "relative" are against each clip's own delay
    (the cache's, else the network's for the whole clip), "plain" ones take every clip to be in sync.

    Example: resync evaluate cache/

    LRS2 and LRS3: resync evaluate LRS2/ --list LRS2/test.txt; resync evaluate LRS3/test
    """
    from ..embed import pick_device
    from ..weights import load
    from .evaluate import clip_figures, set_figures
    from .evaluate import evaluate as run

    net = load(weights, pick_device(device))
    embedded = _embed_cache(net, source, split) if (source / "index.jsonl").is_file() else _embed_clips(net, source, listing, detector)
    if calibrate:
        _calibrate(net, embedded, write)
        return
    clips = [clip_figures(net, e) for e in embedded]
    result = {"relative": run(net, embedded), "plain": run(net, embedded, plain=True), "set": set_figures(clips)}
    if as_json:
        click.echo(json.dumps({**result, "clips": clips}))
        return
    for name in ("relative", "plain"):
        click.echo(f"{name}:")
        for line in table_lines(result[name]):
            click.echo(line)
    click.echo(", ".join(f"{name} {value}" for name, value in result["set"].items() if name != "offset_histogram"))
    click.echo("offset in frames: clips")
    for frames, count in result["set"]["offset_histogram"].items():
        click.echo(f"{frames:>4}: {count}")


def _embed_cache(net, cache: Path, split: str) -> list:
    from .evaluate import embed_track, read_tracks

    return [embed_track(net, track) for track in read_tracks(cache, split)]


def _embed_clips(net, folder: Path, listing: Path | None, detector: str) -> list:
    """Embed the clips of a folder; those that cannot be used are named on stderr. Raises DataError when none can."""
    from ..config import FaceConfig
    from ..errors import DataError
    from ..faces import make_detector
    from .clips import embed_clip, find_clips, read_clip

    faces, out = FaceConfig(detector=detector), []
    finder = make_detector(detector, faces)
    for path in find_clips(folder, listing):
        try:
            out.append(embed_clip(net, path, read_clip(path, finder, faces, net.dimensions.mel)))
        except ResyncError as e:
            click.echo(f"left out: {e}", err=True)
    if not out:
        raise DataError(f"{listing or folder}: no clip could be used")
    return out


def _repair(cache: Path, weights: Path | None, trusted: tuple[str, ...]) -> None:
    """Estimate the training clips' own delays, keep them in the cache and say what moved, by source."""
    from ..embed import pick_device
    from ..weights import load
    from .evaluate import embed_track, read_tracks, score
    from .repair import SECONDS, read_delays, repair, summary, write_delays

    net = load(weights, pick_device())
    tracks = [(t.entry, score(net, embed_track(net, t))) for t in read_tracks(cache, "train", SECONDS)]
    entries = [entry for entry, _ in tracks]
    before = read_delays(cache) or {e.name: e.delay_ms for e in entries}
    after = repair(tracks, trusted=trusted)
    write_delays(cache, after)
    for source, counts in sorted(summary(entries, before, after).items()):
        click.echo(f"{source}: " + ", ".join(f"{n} {kind}" for kind, n in sorted(counts.items())))


def _calibrate(net, embedded: list, write: Path | None) -> None:
    """Print how far P is to be believed, and the rule that tells sure answers from unsure ones with its trade-off.

    Both once as fitted, and once by fits to other people than those asked (of five people or more).
    """
    from ..weights import save
    from . import calibrate as fits

    pairs = fits.collect_pairs(net, embedded)
    slope, shift = fits.fit_scale(pairs)
    enough = len(set(pairs.person)) >= fits.FOLDS
    others = replace(pairs, odds=fits.held_out(pairs, fits.fit_scale, fits.scaled)) if enough else None
    if write:
        net.rescale(slope, shift)
        pairs = fits.collect_pairs(net, embedded)
    error, bins = fits.reliability(pairs)
    click.echo(json.dumps({"expected_calibration_error": error, "best_slope": slope, "best_shift": shift}))
    if others:
        click.echo(json.dumps({"held_out": True, "expected_calibration_error": fits.reliability(others)[0]}))
    for row in bins:
        click.echo(json.dumps(row))
    for kind, ratios in fits.intervals(net, embedded).items():
        if len(ratios):
            told = {"answers": len(ratios), "covered": round(float((ratios <= 1).mean()), 4)}
            click.echo(json.dumps({f"uncertainty_of_{kind}": told}))
    if write:
        save(net, write)
    samples = fits.collect(net, embedded)
    rule = fits.fit_rule(samples)
    click.echo(json.dumps({"rule": rule}))
    for row in fits.trade_off(samples, fits.certainties(samples, rule)):
        click.echo(json.dumps(row))
    for row in fits.trade_off(samples, fits.held_out(samples, fits.fit_rule, fits.certainties)) if enough else ():
        click.echo(json.dumps({"held_out": True, **row}))


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
