"""What `resync check` costs, stage by stage and as a whole, against what cannot be done without: decoding, and copying packets.

    python benchmarks/run.py                         every film: some ten minutes, and 28 GB of films made first
    python benchmarks/run.py 1080p-10s 1080p-60s     these

Prints tables and appends one line for each film to benchmarks/history.jsonl. Films are made once, below --films.
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
from datetime import date
from pathlib import Path

import av
import click
from imageio_ffmpeg import get_ffmpeg_exe

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as `resync.cli` does, for the stages

from films import LENGTHS, SIZES, film  # noqa: E402
from stages import Stopwatch, stages  # noqa: E402

from resync.remux import shift_sound  # noqa: E402

LARGEST_COPY = 3e9  # bytes; larger films are not written, the disk would be all that is measured
LONGEST_DECODE_S = 120.0  # longer films are not decoded whole
# A process inherits the peak of the one that started it, so a small one has to.
LAUNCHER = """
import resource, subprocess, sys, time
began = time.perf_counter()
code = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL).returncode
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss)
sys.exit(code)
"""
NAMES = [f"{size}-{length}" for size in SIZES for length in LENGTHS]


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(NAMES))
@click.option("--films", "folder", type=click.Path(path_type=Path), default=HERE / "films", help="Where the films are, or are to be made.")
@click.option("--note", default="", help="Put into the history.")
def main(names: tuple[str, ...], folder: Path, note: str) -> None:
    """Measure `resync check` on films of these NAMES, by default on all."""
    results = []
    for name in names or NAMES:
        click.echo(f"{name} ...", err=True)
        results.append(measured(name, film(folder, *name.split("-"))))
        with open(HERE / "history.jsonl", "a") as history:
            where = {"commit": commit(), "date": date.today().isoformat(), "machine": machine(), "note": note}
            history.write(json.dumps({**where, **results[-1]}) + "\n")
    click.echo(f"{machine()}, commit {commit()}\n")
    for line in [*whole_table(results), "", *stage_table(results)]:
        click.echo(line)


def measured(name: str, path: Path) -> dict:
    """All figures of one film: seconds as [wall, processor], peak memory in MiB."""
    check = command("check", "--json", path)
    apart, report = stages(path)
    looked = [(s.start_s, s.end_s) for s in report.segments]
    large = path.stat().st_size > LARGEST_COPY
    return {
        "film": name,
        "check": check,
        "exhaustive": command("check", "--exhaustive", "--json", path) if report.duration_s <= LONGEST_DECODE_S else None,
        "decode": decoding(path, [(0.0, None)]) if report.duration_s <= LONGEST_DECODE_S else None,
        "decode_looked_at": decoding(path, looked),
        "looked_at_s": report.analysed_s,
        "stages": {stage: [round(x, 3) for x in seconds] for stage, seconds in apart.items()},
        "write": None if large else writing(path, lambda target: shift_sound(path, target, -120)),
        "copy": None if large else writing(path, lambda target: copied(path, target)),
        "audio_delay_ms": report.audio_delay_ms,
    }


def command(*arguments) -> dict:
    """A command of resync, in a process of its own."""
    run = [sys.executable, "-c", LAUNCHER, sys.executable, "-m", "resync", *map(str, arguments)]
    done = subprocess.run(run, cwd=HERE.parent, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise click.ClickException(f"resync ended with {done.returncode}")
    wall, processor, peak = map(float, done.stdout.split())
    unit = 2**20 if sys.platform == "darwin" else 2**10  # of ru_maxrss
    return {"seconds": [round(wall, 2), round(processor, 2)], "peak_mib": round(peak / unit)}


def decoding(path: Path, spans: list[tuple[float, float | None]]) -> list[float]:
    """Decoding pictures and nothing else: [wall, processor] s."""
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


def writing(path: Path, write) -> list[float]:
    """Writing a copy of a film, child processes included: [wall, processor] s."""
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        began, before = time.perf_counter(), _processor()
        write(Path(folder) / path.name)
        return [round(time.perf_counter() - began, 2), round(_processor() - before, 2)]


def _processor() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(u.ru_utime + u.ru_stime for u in used)


def copied(path: Path, target: Path) -> None:
    """The floor of writing: every packet copied by ffmpeg."""
    subprocess.run([get_ffmpeg_exe(), "-v", "error", "-i", path, "-map", "0", "-c", "copy", target], check=True)


def whole_table(results: list[dict]):
    """Wall s (processor s) of the command, against its floors."""
    heads = ["film", "check", "peak", "looked at", "decoding that", "ratio", "check --exhaustive", "decoding all", "ratio"]
    heads += ["write", "ffmpeg -c copy", "ratio"]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for r in results:
        full = r["exhaustive"] and r["exhaustive"]["seconds"]
        cells = [
            r["film"],
            _pair(r["check"]["seconds"]),
            f"{r['check']['peak_mib']} MiB",
            f"{r['looked_at_s']:.0f} s",
            _pair(r["decode_looked_at"]),
            _ratio(r["check"]["seconds"], r["decode_looked_at"]),
            _pair(full),
            _pair(r["decode"]),
            _ratio(full, r["decode"]),
            _pair(r["write"]),
            _pair(r["copy"]),
            _ratio(r["write"], r["copy"]),
        ]
        yield f"| {' | '.join(cells)} |"


def stage_table(results: list[dict]):
    """Wall s (processor s) of each stage by itself, without the start of Python."""
    names = list(dict.fromkeys(stage for r in results for stage in r["stages"]))
    yield f"| film | {' | '.join(names)} |"
    yield "|---" * (len(names) + 1) + "|"
    for r in results:
        yield f"| {r['film']} | {' | '.join(_pair(r['stages'].get(name)) for name in names)} |"


def _pair(seconds: list[float] | None) -> str:
    return "-" if seconds is None else f"{seconds[0]:.2f} ({seconds[1]:.2f})"


def _ratio(ours: list[float] | None, floor: list[float] | None) -> str:
    return "-" if not ours or not floor else f"{ours[0] / floor[0]:.2f}"


def commit() -> str:
    """The commit that is measured, with a + where files were changed since."""
    run = lambda *a: subprocess.run(["git", "-C", HERE, *a], capture_output=True, text=True).stdout.strip()  # noqa: E731
    changed = run("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)benchmarks/history.jsonl")
    return run("rev-parse", "--short", "HEAD") + ("+" if changed else "")


def machine() -> str:
    """Processor and cores, as far as the system tells."""
    name = platform.processor() or platform.machine()
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return f"{name}, {os.cpu_count()} cores, Python {platform.python_version()}"


if __name__ == "__main__":
    main()
