"""Benchmark of `resync check`: as a whole and by stage, compared with its lower bounds, decoding and stream copy.

    python benchmarks/run.py                         all videos: about ten minutes, after generating 28 GB of videos
    python benchmarks/run.py 1080p-10s 1080p-60s     only these

Prints tables and appends one line per video to benchmarks/history.jsonl. Videos are generated once, in --videos.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from pathlib import Path

import av
import click
from imageio_ffmpeg import get_ffmpeg_exe

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in `resync.cli`, for the stages

from stages import Stopwatch, time_stages  # noqa: E402
from videos import DURATIONS_S, EDITED, RESOLUTIONS, make_video  # noqa: E402

from resync.remux.apply import shift_audio  # noqa: E402
from resync.remux.correction import Correction  # noqa: E402

MAX_COPY_BYTES = 3e9  # larger videos are not written: that would only measure the disk
MAX_DECODE_S = 400.0  # longer videos are not decoded completely
# A process inherits the peak memory of its parent, so a small one has to start the command.
LAUNCHER = """
import resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""
NAMES = [*(f"{resolution}-{duration}" for resolution in RESOLUTIONS for duration in DURATIONS_S), EDITED]


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--videos", type=click.Path(path_type=Path), default=HERE / "videos", help="Folder of the generated videos.")
@click.option("--note", default="", help="Note for the history.")
def main(names: tuple[str, ...], videos: Path, note: str) -> None:
    """Benchmark `resync check` on the videos NAMES, by default on all."""
    results = []
    for name in names or NAMES:
        click.echo(f"{name} ...", err=True)
        results.append(benchmark(name, make_video(videos, *name.split("-"))))
        with open(HERE / "history.jsonl", "a") as history:
            run = {"commit": commit(), "date": date.today().isoformat(), "machine": machine(), "note": note}
            history.write(json.dumps({**run, **results[-1]}) + "\n")
    click.echo(f"{machine()}, commit {commit()}\n")
    for line in [*command_table(results), "", *stage_table(results)]:
        click.echo(line)


def benchmark(name: str, path: Path) -> dict:
    """All figures of one video: seconds as [wall, processor], peak memory in MiB. The keys are those of the whole history."""
    check = run_command("check", "--json", path)
    stages, report = time_stages(path)
    analysed = [(s.start_s, s.end_s) for s in report.segments]
    short, small = report.duration_s <= MAX_DECODE_S, path.stat().st_size <= MAX_COPY_BYTES
    return {
        "film": name,
        "check": check,
        "exhaustive": run_command("check", "--exhaustive", "--json", path) if short else None,
        "decode": time_decoding(path, [(0.0, None)]) if short else None,
        "decode_looked_at": time_decoding(path, analysed),
        "looked_at_s": report.analysed_s,
        "stages": {stage: [round(x, 3) for x in seconds] for stage, seconds in stages.items()},
        "write": time_writing(path, lambda target: shift_audio(path, target, Correction(-120.0))) if small else None,
        "copy": time_writing(path, lambda target: copy_streams(path, target)) if small else None,
        "audio_delay_ms": report.audio_delay_ms,
    }


def run_command(*arguments) -> dict:
    """Time and peak memory of a resync command in its own process."""
    command = [sys.executable, "-c", LAUNCHER, sys.executable, "-m", "resync", *map(str, arguments)]
    done = subprocess.run(command, cwd=HERE.parent, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise click.ClickException(f"resync {' '.join(map(str, arguments))}: exit code {done.returncode}")
    wall, processor, peak = map(float, done.stdout.split())
    unit = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss
    return {"seconds": [round(wall, 2), round(processor, 2)], "peak_mib": round(peak / unit)}


def time_decoding(path: Path, spans: Sequence[tuple[float, float | None]]) -> list[float]:
    """Time to decode the frames of these spans and nothing else: [wall, processor] s."""
    watch = Stopwatch()
    with watch.measured("decode"), av.open(str(path)) as container:
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        for start, end in spans:
            container.seek(int(start * av.time_base))
            for frame in container.decode(stream):
                if end is not None and frame.time is not None and frame.time >= end:
                    break
    return [round(x, 2) for x in watch.seconds["decode"]]


def time_writing(path: Path, write: Callable[[Path], object]) -> list[float]:
    """Time to write a copy of a video, child processes included: [wall, processor] s."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        wall, processor = time.perf_counter(), _processor_seconds()
        write(Path(folder) / path.name)
        return [round(time.perf_counter() - wall, 2), round(_processor_seconds() - processor, 2)]


def _processor_seconds() -> float:
    usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in usage)


def copy_streams(path: Path, target: Path) -> None:
    """The lower bound of writing: a stream copy by ffmpeg."""
    subprocess.run([get_ffmpeg_exe(), "-v", "error", "-i", path, "-map", "0", "-c", "copy", target], check=True)


def command_table(results: list[dict]) -> Iterator[str]:
    """Wall s (processor s) of the command, compared with its lower bounds."""
    columns = ["video", "check", "peak memory", "analysed", "decoding that", "ratio", "check --exhaustive", "decoding all", "ratio"]
    columns += ["write", "ffmpeg -c copy", "ratio"]
    yield _row(columns)
    yield "|---" * len(columns) + "|"
    for r in results:
        exhaustive = r["exhaustive"] and r["exhaustive"]["seconds"]
        yield _row(
            [
                r["film"],
                _seconds(r["check"]["seconds"]),
                f"{r['check']['peak_mib']} MiB",
                f"{r['looked_at_s']:.0f} s",
                _seconds(r["decode_looked_at"]),
                _ratio(r["check"]["seconds"], r["decode_looked_at"]),
                _seconds(exhaustive),
                _seconds(r["decode"]),
                _ratio(exhaustive, r["decode"]),
                _seconds(r["write"]),
                _seconds(r["copy"]),
                _ratio(r["write"], r["copy"]),
            ]
        )


def stage_table(results: list[dict]) -> Iterator[str]:
    """Wall s (processor s) of each stage by itself, without the start-up of Python."""
    names = list(dict.fromkeys(stage for r in results for stage in r["stages"]))
    yield _row(["video", *names])
    yield "|---" * (len(names) + 1) + "|"
    for r in results:
        yield _row([r["film"], *(_seconds(r["stages"].get(name)) for name in names)])


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _seconds(pair: list[float] | None) -> str:
    return "-" if pair is None else f"{pair[0]:.2f} ({pair[1]:.2f})"


def _ratio(ours: list[float] | None, bound: list[float] | None) -> str:
    return "-" if not ours or not bound else f"{ours[0] / bound[0]:.2f}"


def commit() -> str:
    """The commit under test, with a + if files have changed since."""
    git = lambda *arguments: subprocess.run(["git", "-C", HERE, *arguments], capture_output=True, text=True).stdout.strip()  # noqa: E731
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)benchmarks/history.jsonl")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def machine() -> str:
    """Processor, cores and Python version."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
