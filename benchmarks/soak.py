"""A long batch: thousands of clips in one call, with memory, open files, threads and temporary files sampled on the way.

    python benchmarks/soak.py                             10,000 clips, `resync check -j 2`
    python benchmarks/soak.py --command fix --count 2000

The clips are small (clips.py): one in ten shows a talking face, the others go through everything but the network. Every clip must be
reported exactly once, and nothing may grow. Prints a table and appends it to benchmarks/soak.jsonl. Needs Linux and psutil.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click
import psutil

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from clips import make_clips  # noqa: E402
from processes import Run, start  # noqa: E402
from records import append_row, markdown_row  # noqa: E402

SHOWN = 8  # samples in the table
MAX_GROWTH, MIN_GROWTH = 0.1, 2  # from the first quarter to the last, relative and absolute
MIN_CLIPS = 500  # with fewer, growth cannot be told from loading
SETTLED = 0.1  # share of the clips after which all has been loaded


class Sample(NamedTuple):
    """The state of a batch. done: clips reported; MiB of the main process and of the largest worker; totals of all processes."""

    done: int
    main_mib: float
    worker_mib: float
    open_files: int
    threads: int
    temporary: int


def take_sample(run: Run, done: int, folders: Sequence[Path]) -> Sample | None:
    """The state now; None while there is no worker."""
    try:
        main, workers = psutil.Process(run.pid), run.workers()
        mib = [process.memory_info().rss / 2**20 for process in (main, *workers)]
        files, threads = (sum(values) for values in zip(*((p.num_fds(), p.num_threads()) for p in (main, *workers))))
    except psutil.Error:
        return None  # one ended just now
    temporary = sum(1 for folder in folders for name in os.listdir(folder) if name.startswith(".") or folder.name == "tmp")
    return Sample(done, mib[0], max(mib[1:]), files, threads, temporary) if workers else None


def watch(run: Run, folders: Sequence[Path], every_s: float) -> list[Sample]:
    """Samples until the end of a batch."""
    samples, done, read = [], 0, 0
    while run.poll() is None:
        time.sleep(every_s)
        with open(run.out, "rb") as out:
            out.seek(read)
            text = out.read()
            read, done = read + len(text), done + text.count(b"\n")
        if sample := take_sample(run, done, folders):
            samples.append(sample)
    return samples


def find_faults(run: Run, clips: Sequence[Path], samples: Sequence[Sample], folders: Sequence[Path]) -> Iterator[str]:
    """What is wrong, a line each."""
    yield from run.complaints()
    counts = Counter(Path(report["file"]).name for report in run.reports())
    wrong = [clip.name for clip in clips if counts[clip.name] != 1]
    if wrong or len(counts) != len(clips):
        yield f"{len(wrong)} clips not reported exactly once: {wrong[:5]}"
    left = [str(path) for folder in folders for path in folder.iterdir() if path.name.startswith(".") or folder.name == "tmp"]
    if left:
        yield f"{len(left)} temporary files left: {left[:5]}"
    settled = [sample for sample in samples if sample.done > SETTLED * len(clips)]
    if len(clips) < MIN_CLIPS:
        return
    quarter = len(settled) // 4
    for name in Sample._fields[1:5]:
        before, after = (median(getattr(s, name) for s in part) for part in (settled[:quarter], settled[-quarter:]))
        if after > before * (1 + MAX_GROWTH) and after > before + MIN_GROWTH:
            yield f"{name} grew from {before:.0f} to {after:.0f}"


def table(samples: Sequence[Sample]) -> Iterator[str]:
    """Some of the samples, in Markdown."""
    columns = ["clips done", "main process, MiB", "largest worker, MiB", "open files", "threads", "temporary files"]
    yield markdown_row(columns)
    yield "|---" * len(columns) + "|"
    for index in sorted({round(i * (len(samples) - 1) / (SHOWN - 1)) for i in range(SHOWN)}) if samples else []:
        yield markdown_row(f"{value:.0f}" for value in samples[index])


@click.command()
@click.option("--command", default="check", show_default=True, type=click.Choice(["check", "fix"]))
@click.option("--count", default=10_000, show_default=True, type=click.IntRange(min=1), help="Clips.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(min=2), help="-j of the command.")
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), default=HERE / "videos" / "soak", help="Folder of the clips.")
@click.option("--quick", is_flag=True, help="12 clips, in seconds; nothing is appended to the history.")
def main(command: str, count: int, jobs: int, work: Path, quick: bool) -> None:
    """Run one batch of many clips; exits with 1 if something grows or a clip is not reported exactly once."""
    count = 12 if quick else count
    clips, folder = make_clips(work / f"clips{count}", count), work / "run"
    shutil.rmtree(folder, ignore_errors=True)
    folders = [folder / "tmp", folder / "out"]
    for path in folders:
        path.mkdir(parents=True)
    began = time.monotonic()
    run = start([command, "--json", "-q", "-j", jobs, clips[0].parent, *(["-o", "out"] if command == "fix" else [])], folder)
    samples = watch(run, folders, 0.2 if quick else max(1.0, count / 1000))
    seconds = time.monotonic() - began
    faults = list(find_faults(run, clips, samples, folders))
    for line in (*table(samples), "", f"{count} clips in {seconds:.0f} s, exit code {run.code}", *(faults or ["no fault"])):
        click.echo(line)
    if not quick:
        row = {"command": command, "count": count, "jobs": jobs, "seconds": round(seconds), "exit_code": run.code, "faults": faults}
        append_row(
            "soak", row | {"fields": Sample._fields, "samples": [[round(x) for x in s] for s in samples[:: len(samples) // 100 + 1]]}
        )
    sys.exit(bool(faults))


if __name__ == "__main__":
    main()
