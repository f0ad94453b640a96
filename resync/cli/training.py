"""The commands prepare, train and evaluate, for training on other data."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import click

from ..errors import ResyncError
from .options import OneLineErrors, finite

if TYPE_CHECKING:
    from ..syncnet.model import ICSyncNet
    from ..training.embed import Embedded
    from ..training.people import Half

PATH = click.Path(path_type=Path)


@click.command(cls=OneLineErrors, short_help="Extract training data from videos.")
@click.argument("clips", type=PATH)
@click.argument("cache", type=PATH)
@click.option("--index", type=PATH, metavar="FILE", help="TSV file of the clips and their speakers; see above.")
@click.option("--detector", default="centerface", show_default=True, metavar="NAME", help="Face detector.")
@click.option("--jobs", type=click.IntRange(1, 4096), metavar="N", help="Worker processes (default: one per core).")
@click.option("--repair", is_flag=True, help="Also measure the delay of each training clip, for train.")
@click.option("--weights", type=PATH, metavar="FILE", help="Weights for --repair (default: packaged).")
@click.option("--trust", multiple=True, metavar="SOURCE", help="With --repair: keep the delays of this source. Repeatable.")
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
    """Extract mouth crops and mel frames of the videos in CLIPS into the training cache CACHE.

    The index has the columns file, split, source, speaker and suspected_delay_ms.
    Without --index every clip is used for training, its folder names the speaker, and it counts as in sync.

    Clips already in the cache are skipped. --repair stores the delays in the cache, leaves the clips as they
    are, and excludes clips without a reliable delay from training. Repeat it with a better network.

    Example: resync prepare clips/ cache/ --index clips/index.tsv
    """
    from ..config import FPS, FaceConfig
    from ..training.prepare import prepare_cache

    def show_progress(done: int, total: int, complaint: str) -> None:
        if complaint:
            click.echo(f"skipped: {complaint}", err=True)
        if done % 100 == 0 or done == total:
            click.echo(f"{done} of {total} clips", err=True)

    faces = FaceConfig(detector=detector)
    entries = prepare_cache(clips, cache, index=index, faces=faces, jobs=jobs, progress=show_progress)
    click.echo(f"{cache}: {len(entries)} face tracks, {sum(e.frames for e in entries) / FPS:.0f} s")
    if repair:
        _repair(cache, weights, trust)


@click.command(cls=OneLineErrors, short_help="Train the network.")
@click.argument("cache", type=PATH)
@click.argument("out", type=PATH)
@click.option(
    "--minutes", type=click.FloatRange(min=0, min_open=True), default=60.0, show_default=True, callback=finite, help="Training time."
)
@click.option("--recipe", type=click.File(), metavar="FILE", help="JSON file with settings; see docs/training.md.")
@click.option("--from", "start", type=PATH, metavar="FILE", help="Weights to start from.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Random seed.")
@click.option("--compile/--no-compile", "compile_", default=False, help="Use torch.compile (on CPU: needs a C++ compiler).")
def train(
    cache: Path, out: Path, minutes: float, recipe: TextIO | None, start: Path | None, device: str, seed: int, compile_: bool
) -> None:
    """Train the network on CACHE; writes log.jsonl, last.pt and best.safetensors to OUT.

    Run the same command again to resume.

    Example: resync train cache/ runs/first --minutes 90

    On several devices: torchrun --nproc-per-node 2 -m resync train cache/ runs/first --minutes 90
    """
    from ..syncnet.dimensions import Dimensions
    from ..training.augment import Augment
    from ..training.ranks import join_run
    from ..training.train import Recipe, Trainer

    defaults = {**asdict(Recipe(minutes=minutes, seed=seed, compile=compile_)), "dimensions": Dimensions().to_dict()}
    settings = _merge(defaults, _read_json(recipe, "--recipe"), "--recipe")
    dimensions, augment = Dimensions.from_dict(settings.pop("dimensions")), Augment(**settings.pop("augment"))
    settings["skip"] = tuple(settings["skip"])
    with join_run(device) as rank:
        trainer = Trainer(cache, out, Recipe(**settings, augment=augment), dimensions=dimensions, rank=rank, start=start)
        best = trainer.run(lambda line: click.echo(line, err=True))
    if rank.is_main:
        click.echo(f"{out / 'best.safetensors'}: {best:.4f}")


@click.command(cls=OneLineErrors, short_help="Measure the accuracy of the network.")
@click.argument("source", type=PATH)
@click.option("--list", "listing", type=PATH, metavar="FILE", help="List of clips below SOURCE, as in LRS2 and LRS3.")
@click.option("--weights", type=PATH, metavar="FILE", help="Weights to evaluate (default: packaged).")
@click.option("--split", default="val", show_default=True, metavar="NAME", help="Split of a cache.")
@click.option("--half", type=click.Choice(["choose", "report"]), help="Half of the people of a cache; see docs/training.md.")
@click.option("--device", default="auto", show_default=True, help="auto, cpu, cuda or cuda:N.")
@click.option("--detector", default="auto", show_default=True, metavar="NAME", help="Face detector for clips.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object, with a row per clip.")
@click.option("--calibrate", is_flag=True, help="Instead, calibrate P and fit the decision rule.")
@click.option("--write", type=PATH, metavar="FILE", help="With --calibrate: write the calibrated weights and the rule.")
def evaluate(
    source: Path,
    listing: Path | None,
    weights: Path | None,
    split: str,
    half: Half | None,
    device: str,
    detector: str,
    as_json: bool,
    calibrate: bool,
    write: Path | None,
) -> None:
    """Print the accuracy of the network on SOURCE: windows of 5 to 15 frames, segments, whole clips; by source and condition.

    SOURCE is a training cache or a folder of clips. "relative" figures compare with each clip's own delay
    (from the index, else measured over the whole clip), "plain" figures assume that every clip is in sync.

    --calibrate prints figures as JSON, one object per line: it needs clips of several people the network was not
    trained on, and takes some minutes.

    Example: resync evaluate cache/

    LRS2 and LRS3: resync evaluate LRS2/ --list LRS2/test.txt; resync evaluate LRS3/test
    """
    from ..remux.paths import Overwrite, check_output
    from ..syncnet.checkpoint import load_model
    from ..syncnet.torch_backend import pick_device
    from ..training.accuracy import accuracy_table, clip_metrics, intervals, mean_metrics, tally_tracks
    from ..training.conditions import condition_groups

    if write:
        check_output(source, write, Overwrite.OWN)
    net = load_model(weights, pick_device(device))
    cached = (source / "index.jsonl").is_file()
    embedded = _embed_cache(net, source, split, half) if cached else _embed_clips(net, source, listing, detector)
    if calibrate:
        _calibrate(net, embedded, write)
        return
    clips, tallies = [clip_metrics(net, track) for track in embedded], tally_tracks(net, embedded)
    tables = {
        "relative": accuracy_table(tallies),
        "conditions": accuracy_table(tallies, condition_groups),
        "plain": accuracy_table(tally_tracks(net, embedded, plain=True)),
    }
    ranges, means = intervals(tallies), mean_metrics(clips)
    if as_json:
        click.echo(json.dumps({**tables, "intervals": ranges, "set": means, "clips": clips}))
    else:
        click.echo("\n".join(_figures_text(tables, ranges, means)))


def _figures_text(tables: dict[str, dict[str, dict]], ranges: dict[str, tuple[float, float]], means: dict) -> Iterator[str]:
    for name, table in tables.items():
        yield f"{name}:"
        yield from table_lines(table)
    yield "95 % intervals of the relative figures, by a bootstrap over people:"
    yield ", ".join(f"{name} {low:g} to {high:g}" for name, (low, high) in ranges.items())
    yield ", ".join(f"{name} {value}" for name, value in means.items() if name != "offset_histogram")
    yield "offset in frames: clips"
    yield from (f"{frames:>4}: {count}" for frames, count in means["offset_histogram"].items())


def _embed_cache(net: ICSyncNet, cache: Path, split: str, half: Half | None) -> list[Embedded]:
    from ..training.embed import embed_track, inference_backend, read_tracks

    backend = inference_backend(net)
    return [embed_track(backend, track) for track in read_tracks(cache, split, half=half)]


def _embed_clips(net: ICSyncNet, folder: Path, listing: Path | None, detector_name: str) -> list[Embedded]:
    """Embed the clips of a folder; unusable ones are named on stderr. Raises DataError if none is usable."""
    from ..config import FaceConfig
    from ..errors import DataError
    from ..faces.detect import make_detector
    from ..training.clips import embed_clip, find_clips, read_clip
    from ..training.embed import inference_backend

    faces, embedded = FaceConfig(detector=detector_name), []
    detector, backend = make_detector(detector_name, faces), inference_backend(net)
    for path in find_clips(folder, listing):
        try:
            embedded.append(embed_clip(backend, path, read_clip(path, detector, faces, net.dimensions.mel)))
        except ResyncError as e:
            click.echo(f"skipped: {e}", err=True)
    if not embedded:
        raise DataError(f"{listing or folder}: no clip could be used")
    return embedded


def _repair(cache: Path, weights: Path | None, trusted: tuple[str, ...]) -> None:
    """Measure the training clips' own delays, store them in the cache and print what changed, by source."""
    from ..syncnet.checkpoint import load_model
    from ..syncnet.torch_backend import pick_device
    from ..training.embed import embed_track, inference_backend, read_tracks, score_track
    from ..training.repair import SECONDS, count_changes, read_delays, repair_delays, write_delays

    net = load_model(weights, pick_device())
    backend = inference_backend(net)
    tracks = [(track.entry, score_track(net, embed_track(backend, track))) for track in read_tracks(cache, "train", SECONDS)]
    entries = [entry for entry, _ in tracks]
    before = read_delays(cache) or {entry.name: entry.delay_ms for entry in entries}
    after = repair_delays(tracks, net.rule, trusted=trusted)
    write_delays(cache, after)
    for source, counts in sorted(count_changes(entries, before, after).items()):
        click.echo(f"{source}: " + ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))


def _calibrate(net: ICSyncNet, embedded: list[Embedded], write: Path | None) -> None:
    """Calibrate the network, print the figures one JSON object a line, and write it if asked to."""
    from ..syncnet.checkpoint import save_model
    from ..training.calibrate import calibrate

    for row in calibrate(net, embedded):
        click.echo(json.dumps(row))
    if write:
        save_model(net, write)


def table_lines(table: dict[str, dict]) -> list[str]:
    """Aligned text of a table of figures by source."""
    columns = list(table["all"])
    rows = [["source", *columns]]
    for source, figures in table.items():
        rows.append([source, *("-" if figures.get(c) is None else f"{figures[c]:g}" for c in columns)])
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]


def _merge(defaults: dict, given: dict, option: str) -> dict:
    """`defaults` updated with `given`, nested dicts too. Raises click.BadParameter for unknown names."""
    if unknown := set(given) - set(defaults):
        known = ", ".join(sorted(defaults))
        raise click.BadParameter(f"unknown settings: {', '.join(sorted(unknown))}; known are {known}", param_hint=option)
    return {**defaults, **{k: _merge(defaults[k], v, option) if isinstance(v, dict) else v for k, v in given.items()}}


def _read_json(file: TextIO | None, option: str) -> dict:
    """The JSON object in a file, {} without a file. Raises click.BadParameter."""
    try:
        value = json.load(file) if file else {}
    except (ValueError, RecursionError) as e:
        raise click.BadParameter(f"not JSON: {e}", param_hint=option) from e
    if not isinstance(value, dict):
        raise click.BadParameter("not a JSON object", param_hint=option)
    return value
