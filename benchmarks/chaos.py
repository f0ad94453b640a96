"""Chaos: resync while processes are killed, the disk fills up and files change; nothing may be lost, damaged or reported twice.

    python benchmarks/chaos.py workers            workers of a batch killed at random
    python benchmarks/chaos.py disk               a small disk that fills up and empties (tmpfs where permitted, else a limit on files)
    python benchmarks/chaos.py changes            inputs truncated, replaced, deleted while they are read
    python benchmarks/chaos.py cache              the batch that writes the results cache killed 200 times
    python benchmarks/chaos.py dask               workers of a local Dask cluster of four processes killed
    python benchmarks/chaos.py fix                `fix` and `shift` killed 500 times, by SIGKILL and SIGTERM
    python benchmarks/chaos.py all

Clips are small (clips.py). In `cache` and `fix`, nine of ten commands are forked from a process that has loaded the package. Prints a
table and appends a row for each to benchmarks/chaos.jsonl; exits with 1 if there is a fault. Needs Linux, psutil, and Dask for `dask`.
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import NamedTuple

import click

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in `resync.cli`

from chaos_batch import change_files, fill_disk, kill_dask_workers, kill_workers  # noqa: E402
from chaos_kill import kill_cached, kill_fix  # noqa: E402
from records import append_row, markdown_row  # noqa: E402

MAX_SHOWN = 20  # faults


class Mode(NamedTuple):
    """run(work folder, random numbers, clips, disturbances) -> (figures, faults); how many of both, and how many for --quick."""

    run: Callable[[Path, Random, int, int], tuple[dict, list[str]]]
    clips: int
    disturbances: int
    quick: tuple[int, int] | None


MODES = {
    "workers": Mode(kill_workers, 400, 60, None),
    "disk": Mode(fill_disk, 150, 60, None),
    "changes": Mode(change_files, 300, 3000, None),
    "cache": Mode(kill_cached, 200, 200, (10, 2)),
    "dask": Mode(kill_dask_workers, 400, 30, None),
    "fix": Mode(kill_fix, 5, 500, (1, 3)),
}


@click.command()
@click.argument("names", nargs=-1, required=True, type=click.Choice([*MODES, "all"]), metavar="MODE...")
@click.option("--clips", type=click.IntRange(min=1), help="Number of clips instead of the default.")
@click.option("--count", type=click.IntRange(min=1), help="Number of kills, fills or changes instead of the default.")
@click.option("--seed", default=1, show_default=True, help="Of all random choices.")
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), default=HERE / "videos" / "chaos", help="Folder of all files.")
@click.option("--quick", is_flag=True, help="Only the modes that take seconds; nothing is appended to the history.")
def main(names: tuple[str, ...], clips: int | None, count: int | None, seed: int, work: Path, quick: bool) -> None:
    """Disturb resync in these ways: workers, disk, changes, cache, dask, fix, or all."""
    faulty = False
    click.echo(markdown_row(["mode", "figures", "seconds", "faults"]) + "\n|---|---|---|---|")
    for name in MODES if "all" in names else names:
        mode = MODES[name]
        sizes = (mode.quick if quick else None) or (clips or mode.clips, count or mode.disturbances)
        if quick and not mode.quick:
            continue
        began = time.monotonic()
        figures, faults = mode.run(work.resolve(), Random(f"{seed}/{name}"), *sizes)
        seconds = round(time.monotonic() - began)
        click.echo(markdown_row([name, ", ".join(f"{key}: {value}" for key, value in figures.items()), seconds, len(faults)]))
        for fault in faults[:MAX_SHOWN]:
            click.echo(fault, err=True)
        if not quick:
            append_row("chaos", {"mode": name, "seed": seed, "seconds": seconds, "figures": figures, "faults": faults[:MAX_SHOWN]})
        faulty = faulty or bool(faults)
    sys.exit(faulty)


if __name__ == "__main__":
    main()
