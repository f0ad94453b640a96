"""Accuracy of `resync check` and `resync fix` on a folder of talking-face clips, measured with known audio shifts.

    python benchmarks/accuracy.py clips/                 all clips of 3 s or more
    python benchmarks/accuracy.py clips/ --limit 8       8 of them, a quick test

Every clip is re-encoded twice, to H.264 and AAC in MP4: unshifted, and with its audio shifted by one of
`copies.OFFSETS_MS`. An error is the difference of the two measurements minus that shift. Controls have no right answer
and must be refused. Up to 6 shifted copies are fixed and verified. resync runs as a command, nothing of it is imported.
Prints a Markdown table and appends the figures to benchmarks/accuracy.jsonl.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from statistics import median

import av
import click
import numpy as np

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE)]

from copies import RATE, Clip, control_jobs, copy_job, encode_all, list_clips, spread  # noqa: E402

FIXED_FILES = 6
FIX_TOLERANCE_MS = 0.1


@click.command()
@click.argument("clips_dir", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(min=1), help="Process N files at a time.")
@click.option("--min-seconds", default=3.0, show_default=True, help="Skip shorter clips.")
@click.option("--limit", type=click.IntRange(min=1), help="Use only N clips, evenly spread over the sorted names.")
def main(clips_dir: Path, jobs: int, min_seconds: float, limit: int | None) -> None:
    """Measure the accuracy of the installed `resync` on the clips in CLIPS_DIR."""
    version = run_resync("--version").split()[-1]
    clips = spread(list_clips(clips_dir, min_seconds), limit)
    if not clips:
        raise click.ClickException(f"{clips_dir}: no clip of {min_seconds:g} s or more with video and audio; check the path")
    with tempfile.TemporaryDirectory(prefix="resync-accuracy-") as folder:
        figures = measure(clips, Path(folder), jobs)
    run = {"commit": commit(), "version": version, "date": date.today().isoformat(), "min_seconds": min_seconds, "limit": limit}
    with open(HERE / "accuracy.jsonl", "a") as history:
        history.write(json.dumps(run | figures) + "\n")
    click.echo(f"resync {version}, commit {run['commit']}, weights {figures['weights']}\n")
    click.echo("\n".join(table(figures)))


def measure(clips: list[Clip], folder: Path, jobs: int) -> dict:
    """All figures, from three calls of resync: check of all copies, check of the controls, fix."""
    click.echo(f"{len(clips)} clips: re-encoding ...", err=True)
    unshifted, shifted, controls, fixed = (folder / name for name in ("unshifted", "shifted", "controls", "fixed"))
    encode_all([job for clip in clips for job in (copy_job(clip, unshifted, 0), copy_job(clip, shifted, clip.shift_ms))], jobs)
    copies = reports("check", "--json", "-j", jobs, unshifted, shifted)
    delays = {key: r["audio_delay_ms"] for key, r in copies.items() if is_answered(r)}
    # A control made from a clip that is undecided anyway would prove nothing.
    answered = [clip for clip in clips if ("unshifted", clip.name) in delays]
    encode_all(control_jobs(answered, controls), jobs)
    control_reports = reports("check", "--json", "-j", jobs, controls) if answered else {}
    out_of_sync = [name for (kind, name), r in copies.items() if kind == "shifted" and r["verdict"] == "out_of_sync"]
    to_fix = spread([shifted / f"{name}.mp4" for name in sorted(out_of_sync)], FIXED_FILES)
    fix_reports = reports("fix", "--json", "-j", jobs, *to_fix, "-o", fixed) if to_fix else {}
    every_report = [*copies.values(), *control_reports.values(), *fix_reports.values()]
    return {
        "clips": len(clips),
        "speakers": len({clip.speaker for clip in clips}),
        "seconds": round(sum(clip.seconds for clip in clips)),
        "weights": next((r["weights"] for r in every_report if r.get("weights")), None),
        "failed": sum("error" in r for r in every_report),
        **shift_figures(clips, delays),
        **control_figures(control_reports),
        **fix_figures(to_fix, fix_reports),
    }


def shift_figures(clips: list[Clip], delays: dict[tuple[str, str], float]) -> dict:
    """Answers and errors. A share is [count, of]."""
    zeros = [delays[key] for clip in clips if (key := ("unshifted", clip.name)) in delays]
    pairs = [(delays.get(("unshifted", clip.name)), delays.get(("shifted", clip.name)), clip.shift_ms) for clip in clips]
    errors = [abs(after - before - shift) for before, after, shift in pairs if before is not None and after is not None]
    return {
        "answered": [sum(after is not None for _, after, _ in pairs), len(clips)],
        "answered_unshifted": [len(zeros), len(clips)],
        **{f"over_{limit}_ms": [sum(error > limit for error in errors), len(errors)] for limit in (40, 60)},
        "median_ms": round(median(errors), 2) if errors else None,
        "largest_ms": round(max(errors), 2) if errors else None,
        **{f"published_within_{limit}_ms": [sum(abs(zero) <= limit for zero in zeros), len(clips)] for limit in (40, 80)},
    }


def control_figures(checked: dict[tuple[str, str], dict]) -> dict:
    """Controls refused, [count, of]: swapped voices, and the others."""
    refused = {name: r["verdict"] in ("undecided", "drift") for (_, name), r in checked.items()}
    swapped = [is_refused for name, is_refused in refused.items() if name.startswith("swapped")]
    others = [is_refused for name, is_refused in refused.items() if not name.startswith("swapped")]
    return {"swapped_refused": [sum(swapped), len(swapped)], "others_refused": [sum(others), len(others)]}


def fix_figures(sources: list[Path], fixed: dict[tuple[str, str], dict]) -> dict:
    """Files shifted as reported, and files whose video packets are identical, [count, of]; the largest difference in ms."""
    errors, identical = [], 0
    for source in sources:
        report = fixed.get((source.parent.name, source.stem), {})
        if report.get("written"):
            output = Path(report["written"]["file"])
            errors.append(abs(shift_between_ms(source, output) - report["shift_ms"]))
            identical += video_md5(source) == video_md5(output)
    shifted = sum(error <= FIX_TOLERANCE_MS for error in errors)
    largest = round(max(errors), 3) if errors else None
    return {"fix_shifted": [shifted, len(sources)], "fix_video_identical": [identical, len(sources)], "fix_largest_ms": largest}


def is_answered(report: dict) -> bool:
    return report["verdict"] in ("in_sync", "out_of_sync")


def reports(*arguments: object) -> dict[tuple[str, str], dict]:
    """The reports of one call of resync, by folder and name of the file, without suffix."""
    lines = map(json.loads, run_resync(*arguments).splitlines())
    return {(Path(report["file"]).parent.name, Path(report["file"]).stem): report for report in lines}


def run_resync(*arguments: object) -> str:
    """The standard output of the installed command, that of this Python first."""
    command = shutil.which("resync", path=os.pathsep.join([sysconfig.get_path("scripts"), os.environ.get("PATH", "")]))
    if command is None:
        raise click.ClickException("resync is not installed; run `pip install .` in the checkout")
    done = subprocess.run([command, *map(str, arguments)], stdout=subprocess.PIPE, text=True, encoding="utf-8")
    if done.returncode not in (0, 3) and not done.stdout:
        raise click.ClickException(f"resync {arguments[0]}: exit code {done.returncode}; see the message above")
    return done.stdout


def shift_between_ms(before: Path, after: Path) -> float:
    """How much later the audio of `after` plays, relative to its video, than that of `before`, by cross-correlation."""
    (a, a_start_s), (b, b_start_s) = decode_audio(before), decode_audio(after)
    n = 1 << (len(a) + len(b)).bit_length()
    lag = int(np.argmax(np.fft.irfft(np.fft.rfft(b, n) * np.conj(np.fft.rfft(a, n)), n)))
    return 1000 * ((lag - n if lag > n // 2 else lag) / RATE + b_start_s - a_start_s)


def decode_audio(path: Path) -> tuple[np.ndarray, float]:
    """The mono samples, and when the first one plays, in s after the middle of the video.

    Not after its start: `fix` may show the first frame earlier, so that the file starts at zero.
    """
    with av.open(str(path)) as container:
        middle_s = median(float(packet.pts * packet.time_base) for packet in container.demux(video=0) if packet.pts is not None)
    with av.open(str(path)) as container:
        frames = list(container.decode(audio=0))
    return np.concatenate([frame.to_ndarray().mean(axis=0) for frame in frames]), float(frames[0].time or 0.0) - middle_s


def video_md5(path: Path) -> str:
    """Digest of all video packets."""
    with av.open(str(path)) as container:
        return hashlib.md5(b"".join(bytes(packet) for packet in container.demux(video=0) if packet.size)).hexdigest()


def table(f: dict) -> Iterator[str]:
    """The figures in Markdown."""
    yield "| | result | share | 95 % interval |"
    yield "|---|---|---|---|"
    yield f"| clips (speakers), duration | {f['clips']} ({f['speakers']}), {f['seconds'] / 60:.0f} min | | |"
    yield share_row("shifted copies answered", f["answered"])
    for limit in (40, 60):
        yield share_row(f"of those answered with and without shift: wrong by over {limit} ms", f[f"over_{limit}_ms"])
    yield f"| median error, largest error | {number(f['median_ms'])} ms, {number(f['largest_ms'])} ms | | |"
    yield share_row("unshifted copies answered", f["answered_unshifted"])
    for limit in (40, 80):
        yield share_row(f"unshifted copies within {limit} ms of zero, if all are in sync as published", f[f"published_within_{limit}_ms"])
    yield share_row("controls refused: voice of another speaker", f["swapped_refused"])
    yield share_row("controls refused: still image, silent track, test pattern", f["others_refused"])
    yield share_row(f"`resync fix`: shifted as reported within {FIX_TOLERANCE_MS} ms", f["fix_shifted"])
    yield share_row("`resync fix`: video packets identical", f["fix_video_identical"])
    yield f"| `resync fix`: largest difference | {number(f['fix_largest_ms'], 3)} ms | | |"
    yield f"| reports with an error | {f['failed']} | | |"


def share_row(label: str, share: list[int]) -> str:
    count, n = share
    if not n:
        return f"| {label} | none tested | | |"
    low, high = wilson(count, n)
    return f"| {label} | {count} of {n} | {100 * count / n:.1f} % | {100 * low:.1f} to {100 * high:.1f} % |"


def wilson(count: int, n: int, z: float = 1.96) -> tuple[float, float]:
    """Wilson's score interval of a share; z = 1.96 is 95 %."""
    centre, half = count / n + z * z / (2 * n), z * math.sqrt(count * (n - count) / n**3 + z * z / (4 * n * n))
    return max(0.0, (centre - half) / (1 + z * z / n)), min(1.0, (centre + half) / (1 + z * z / n))


def number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:.{digits}f}"


def commit() -> str:
    """The commit of this checkout, with a + if tracked files have changed since."""
    git = lambda *arguments: subprocess.run(["git", "-C", HERE, *arguments], capture_output=True, text=True).stdout.strip()  # noqa: E731
    changed = git("status", "--porcelain", "--untracked-files=no", "--", ":/", ":(top,exclude)benchmarks/*.jsonl")
    return git("rev-parse", "--short", "HEAD") + ("+" if changed else "")


if __name__ == "__main__":
    main()
