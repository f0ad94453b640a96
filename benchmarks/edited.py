"""Accuracy of `resync check` on edited videos with a known delay, built from a folder of clips of talking faces.

    python benchmarks/edited.py clips/ --work edited/                  5 videos of each kind
    python benchmarks/edited.py clips/ --work edited/ --kind dissolves --resync other/bin/resync

Cuts to other cameras, dialogues, two people in one frame, cutaways, music, dissolves, small, tilted and half hidden faces, all mixed; two
kinds without a right answer; a delay that jumps or drifts. Every video gets one of `edits.DELAYS_MS`. The clips' own delays,
measured by resync, are taken out before; clips without a certain answer are not used. A file name up to the second underscore
is a speaker. Videos stay in the work folder and are built once. Prints a table and appends it to benchmarks/edited.jsonl.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from statistics import median
from typing import NamedTuple

import click

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

import edits  # noqa: E402
from accuracy import commit, number  # noqa: E402
from edits import Clip  # noqa: E402
from kinds import KINDS, build  # noqa: E402

MIN_CERTAINTY, MAX_UNCERTAINTY_MS, MIN_SECONDS = 0.9, 40, 3.0  # of the clips that are used
RIGHT_MS, WRONG_MS, BOUNDARY_S = 40, 60, 0.5


class Result(NamedTuple):
    """Outcome of one video: right, off (by 40 to 60 ms), wrong, refused, failed; the error of the delay in ms."""

    outcome: str
    error_ms: float | None = None


def judge(truth: dict, report: dict) -> Result:
    """Compare a report with the truth."""
    if "error" in report:
        return Result("failed")
    verdict, pieces = report["verdict"], truth["pieces"]
    if not truth["answerable"]:
        answered = verdict in ("in_sync", "out_of_sync", "jump") or report["drift_ms_per_min"] is not None
        return Result("wrong" if answered else "right")
    if verdict == "undecided":
        return Result("refused")
    if len(pieces) > 1:
        return _judge_pieces(pieces, report.get("pieces") or [], verdict)
    middle = pieces[0]["audio_delay_ms"] + 500 * (truth["ratio"] - 1) * truth["seconds"]
    if verdict == "drift":
        per_min, drift = 60_000 * (truth["ratio"] - 1), report["drift_ms_per_min"]
        if drift is None:
            return Result("refused")
        return Result("right" if per_min and abs(drift / per_min - 1) < 0.2 else "wrong")
    if verdict == "jump":
        return Result("wrong")
    error = abs(report["audio_delay_ms"] - middle)
    return Result("right" if error <= RIGHT_MS else "wrong" if error > WRONG_MS else "off", error)


def _judge_pieces(pieces: list[dict], found: list[dict], verdict: str) -> Result:
    if verdict != "jump":
        return Result("refused" if verdict == "drift" else "wrong")
    if len(found) != len(pieces):
        return Result("wrong")
    error = max(abs(a["audio_delay_ms"] - b["audio_delay_ms"]) for a, b in zip(pieces, found))
    late = max(abs(a["start_s"] - b["start_s"]) for a, b in zip(pieces[1:], found[1:]))
    return Result("right" if error <= RIGHT_MS and late <= BOUNDARY_S else "wrong" if error > WRONG_MS else "off", error)


def own_clips(resync: str, folder: Path, work: Path) -> list[Clip]:
    """The clips whose own delay is certain, sorted by name. Measured once per work folder."""
    measured = work / "clips.jsonl"
    if not measured.exists():
        click.echo(f"measuring the clips of {folder} ...", err=True)
        measured.write_text(run(resync, "check", "--json", "-j", 2, folder))
    clips = []
    for line in measured.read_text().splitlines():
        r = json.loads(line)
        certain = r.get("audio_delay_ms") is not None and r["certainty"] >= MIN_CERTAINTY and r["uncertainty_ms"] <= MAX_UNCERTAINTY_MS
        if certain and r["duration_s"] >= MIN_SECONDS:
            clips.append(Clip(folder / Path(r["file"]).name, r["duration_s"], r["audio_delay_ms"] / 1000))
    return sorted(clips, key=lambda clip: clip.path.name)


def build_all(kinds: list[str], count: int, clips: list[Clip], folder: Path, jobs: int) -> list[Path]:
    """The videos, built where they are missing."""

    def one(job: tuple[str, int]) -> Path | None:
        target = folder / f"{job[0]}-{job[1]}.mp4"
        if not target.exists():
            try:
                edits.write(build(*job, clips), target)
            except StopIteration:
                click.echo(f"{target.name}: skipped, too few clips of this length", err=True)
                return None
        return target

    with ThreadPoolExecutor(jobs) as pool:
        return [path for path in pool.map(one, [(kind, i) for kind in kinds for i in range(count)]) if path]


def run(resync: str, *arguments: object) -> str:
    done = subprocess.run([resync, *map(str, arguments)], stdout=subprocess.PIPE, text=True, encoding="utf-8")
    if done.returncode not in (0, 3) and not done.stdout:
        raise click.ClickException(f"resync {arguments[0]}: exit code {done.returncode}; see the message above")
    return done.stdout


def table(rows: dict[str, list[tuple[Result, dict]]]) -> Iterator[str]:
    """Outcomes by kind, in Markdown."""
    yield "| kind | videos | answered | right (within 40 ms) | wrong (over 60 ms) | refused | median error | median certainty |"
    yield "|---|---|---|---|---|---|---|---|"
    for kind, results in rows.items():
        outcomes = [result.outcome for result, _ in results]
        answered = sum(report.get("verdict") not in (None, "undecided") for _, report in results)
        errors = [result.error_ms for result, _ in results if result.error_ms is not None]
        certainty = median(report.get("certainty") or 0 for _, report in results)
        cells = [len(results), answered, outcomes.count("right"), outcomes.count("wrong"), outcomes.count("refused")]
        yield f"| {kind} | {' | '.join(map(str, cells))} | {number(median(errors) if errors else None)} | {certainty:.2f} |"


@click.command()
@click.argument("clips_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--work", required=True, type=click.Path(file_okay=False, path_type=Path), help="Folder of the built videos.")
@click.option("--kind", "kinds", multiple=True, type=click.Choice(list(KINDS)), help="Only this kind (repeatable).")
@click.option("--count", default=5, show_default=True, type=click.IntRange(min=1), help="Videos of each kind.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(min=1), help="Process N files at a time.")
@click.option("--resync", help="Path of another resync command.")
@click.option("--option", "options", multiple=True, help="An argument for `resync check` (repeatable), such as --option=--range=3.")
@click.option("--details", is_flag=True, help="Print every video.")
def main(
    clips_dir: Path, work: Path, kinds: tuple[str, ...], count: int, jobs: int, resync: str | None, options: tuple[str, ...], details: bool
) -> None:
    """Measure `resync check` on edited videos made of the clips in CLIPS_DIR."""
    command = resync or shutil.which("resync")
    if command is None:
        raise click.ClickException("resync is not installed; run `pip install .` in the checkout")
    folder = work / "videos"
    folder.mkdir(parents=True, exist_ok=True)
    clips = own_clips(command, clips_dir, work)
    paths = build_all(list(kinds or KINDS), count, clips, folder, jobs)
    if not paths:
        raise click.ClickException(f"{clips_dir}: too few clips with a certain delay; check the path")
    reports = {Path(r["file"]).stem: r for r in map(json.loads, run(command, "check", "--json", "-j", jobs, *options, *paths).splitlines())}
    rows: dict[str, list[tuple[Result, dict]]] = defaultdict(list)
    for path in paths:
        truth, report = json.loads(path.with_suffix(".json").read_text()), reports[path.stem]
        rows[truth["kind"]].append((judge(truth, report), report))
        if details:
            click.echo(detail(path.stem, truth, *rows[truth["kind"]][-1]))
    version = run(command, "--version").split()[-1]
    figures = {kind: {"outcomes": [result.outcome for result, _ in results]} for kind, results in rows.items()}
    line = {
        "commit": None if resync else commit(),
        "version": version,
        "date": date.today().isoformat(),
        "options": options,
        "clips": len(clips),
    }
    with open(HERE / "edited.jsonl", "a") as history:
        history.write(json.dumps(line | {"kinds": figures}) + "\n")
    click.echo("\n".join(table(rows)))


def detail(name: str, truth: dict, result: Result, report: dict) -> str:
    """One line about one video."""
    true = ", ".join(f"{p['audio_delay_ms']:+d}" for p in truth["pieces"])
    reasons = "; ".join(report.get("reasons") or [report.get("error", "")])
    best, certainty, faces = number(report.get("best_delay_ms")), report.get("certainty"), report.get("faces")
    return f"{name}: {result.outcome}; true {true} ms, best {best} ms, certainty {certainty}, faces {faces}; {reasons}"


if __name__ == "__main__":
    main()
