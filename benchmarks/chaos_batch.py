"""Batches with something going wrong around them: workers killed, the disk full, files changing, workers of a Dask cluster killed."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from random import Random

import psutil
from clips import contents, make_clips
from processes import ROOT, Run, start

from resync.errors import ResyncError
from resync.media.probe import probe

SIGNALS = (signal.SIGKILL, signal.SIGKILL, signal.SIGKILL, signal.SIGSEGV)  # as when memory is short, and as by a crash in a codec
LIMIT_BYTES = 4096  # of files, where no small disk can be mounted
UNSAVED = "cannot be used as a results cache"
TWICE = "its process died twice"
END_S = 600.0


def meddle(run: Run, rng: Random, mean_s: float, act: Callable[[], bool], count: int) -> int:
    """Call `act` at random times until it has returned True `count` times or the command has ended; returns how often it did.

    The first time comes after the first report.
    """
    done = 0
    while run.poll() is None and not run.out.stat().st_size:
        run.wait(0.05)
    while done < count and run.poll() is None:
        run.wait(rng.expovariate(1 / mean_s))
        done += run.code is None and act()
    run.wait(END_S)
    return done


def once_each(run: Run, clips: Sequence[Path]) -> Iterator[str]:
    """Faults of any batch: a clip not reported exactly once, a traceback, an end that is not that of a batch."""
    yield from run.complaints()
    if run.code not in (0, 1, 3):
        yield f"exit code {run.code}"
    counts = Counter(Path(report["file"]).name for report in run.reports())
    if wrong := [clip.name for clip in clips if counts[clip.name] != 1]:
        yield f"{len(wrong)} clips not reported exactly once: {[(name, counts[name]) for name in wrong[:5]]}"


def unfinished(folder: Path) -> list[str]:
    """Temporary files in a folder."""
    return [f"left behind: {path.name}" for path in folder.iterdir() if path.name.startswith(".resync-")]


def fresh(work: Path, name: str) -> Path:
    """An empty folder with a subfolder `out`."""
    folder = work / name
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "out").mkdir(parents=True)
    return folder


def errors_of(run: Run) -> list[str]:
    """The errors that a batch reported."""
    return [report["error"] for report in run.reports() if "error" in report]


def kill_workers(work: Path, rng: Random, count: int, kills: int) -> tuple[dict, list[str]]:
    """`check -j 2` whose workers are killed at random."""
    clips, folder = make_clips(work / f"clips{count}", count), fresh(work, "workers")
    run = start(["check", "--json", "-j", 2, clips[0].parent], folder)

    def kill() -> bool:
        with suppress(IndexError, psutil.NoSuchProcess):
            rng.choice(run.workers()).send_signal(rng.choice(SIGNALS))
            return True
        return False

    killed = meddle(run, rng, 0.8, kill, kills)
    errors = errors_of(run)
    faults = [*once_each(run, clips), *(f"unexpected: {error}" for error in errors if TWICE not in error), *unfinished(folder / "tmp")]
    return {"clips": count, "killed": killed, "killed twice, reported as failed": len(errors)}, faults


@contextmanager
def small_disk(folder: Path, mib: int) -> Iterator[bool]:
    """`folder` as a file system of its own, if that is permitted."""
    mounted = not subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={mib}m", "none", folder], capture_output=True).returncode
    try:
        yield mounted
    finally:
        if mounted:
            subprocess.run(["umount", "-l", folder], check=True)


def fill_disk(work: Path, rng: Random, count: int, fills: int) -> tuple[dict, list[str]]:
    """`fix -j 2 --skip-done` onto a disk that fills up and empties again; then once more with room, for what failed."""
    clips, folder = make_clips(work / f"talking{count}", count, talking_every=1), fresh(work, "disk")
    arguments = ["fix", "--json", "-j", 2, "-y", "--skip-done", "cache", clips[0].parent, "-o", "out"]
    mib = 2 + count // 10  # enough for all outputs
    with small_disk(folder, mib) as mounted:
        (folder / "out").mkdir(exist_ok=True)
        run = start(arguments, folder)
        full = meddle(run, rng, 0.5, lambda: _fill(run, folder, mounted, rng), fills)
        failed, faults = len(errors_of(run)), [*once_each(run, clips), *_outputs(folder / "out", clips)]
        again = start(arguments, folder)
        again.wait(END_S)
        faults += [*once_each(again, clips), *(f"with room: {error}" for error in errors_of(again))]
        # Where there is no room even at the end, the last results are lost, which is said.
        if UNSAVED not in run.err.read_text() and f"{count - failed} cached" not in again.err.read_text():
            faults.append(f"{failed} of {count} failed, but then: {again.err.read_text()[-100:]}")
        faults += [*_outputs(folder / "out", clips, complete=True), *unfinished(folder / "out"), *unfinished(folder / "tmp")]
    how = f"tmpfs of {mib} MiB" if mounted else f"limit of {LIMIT_BYTES} bytes a file"
    return {"clips": count, "disk": how, "full": full, "failed for want of space": failed}, faults


def _fill(run: Run, folder: Path, mounted: bool, rng: Random) -> bool:
    """No room for a moment."""
    if not mounted:
        processes = [run.pid, *(process.pid for process in run.family())]
        for limit in (LIMIT_BYTES, resource.RLIM_INFINITY):
            for pid in processes:
                with suppress(OSError):
                    resource.prlimit(pid, resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            run.wait(rng.uniform(0, 1))
        return True
    filler = folder / "filler"
    with open(filler, "wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    run.wait(rng.uniform(0, 1))
    filler.unlink()
    return True


def _outputs(out: Path, clips: Sequence[Path], complete: bool = False) -> Iterator[str]:
    """Faults of outputs: each must hold the streams and packets of its input."""
    for clip in clips:
        target = out / f"{clip.stem}.resync{clip.suffix}"
        if target.exists():
            if (problem := _difference(clip, target)) is not None:
                yield f"{target.name}: {problem}"
        elif complete:
            yield f"{target.name}: missing"


def _difference(clip: Path, target: Path) -> str | None:
    """What is missing in an output: its video is a copy, its audio may be encoded anew."""
    try:
        (codecs, packets), (written_codecs, written) = contents(clip), contents(target)
    except Exception as error:
        return f"cannot be read ({error})"
    video, written_video = ([packet[3] for packet in every if packet[0] == 0] for every in (packets, written))
    counts = len(packets) - len(video), len(written) - len(written_video)
    if codecs != written_codecs or video != written_video or counts[1] < 0.8 * counts[0]:
        return f"incomplete: {written_codecs}, {len(written_video)} of {len(video)} video and {counts[1]} of {counts[0]} audio packets"
    return None


def change_files(work: Path, rng: Random, count: int, changes: int) -> tuple[dict, list[str]]:
    """`fix -j 2` of files that are truncated, replaced, overwritten, extended, deleted and written again meanwhile."""
    folder = fresh(work, "changes")
    clips, other = make_clips(folder / "clips", count, talking_every=2), make_clips(work / "others", 20, talking_every=2)
    run = start(["fix", "--json", "-j", 2, *clips, "-o", "out"], folder)

    def change() -> bool:
        clip, content = rng.choice(clips), rng.choice(other).read_bytes()
        way = rng.randrange(6)
        if way == 0:
            clip.unlink(missing_ok=True)
        elif way == 1:
            (folder / "new").write_bytes(content)
            os.replace(folder / "new", clip)
        elif way == 2:
            with open(clip, "ab") as file:
                file.write(content)
        elif way == 3 and clip.exists():
            os.truncate(clip, rng.randrange(clip.stat().st_size + 1))
        else:
            clip.write_bytes(content[: None if way == 4 else rng.randrange(len(content))])
        return True

    changed, faults = meddle(run, rng, 0.02, change, changes), list(once_each(run, clips))
    for target in (folder / "out").iterdir():
        try:
            info = probe(target)
            if not info.video or not info.audio:
                faults.append(f"{target.name}: lacks a stream")
        except ResyncError as error:
            faults.append(f"half an output: {error}")
    faults += [*unfinished(folder / "out"), *unfinished(folder / "tmp")]
    written = len(list((folder / "out").iterdir()))
    return {"clips": count, "changes": changed, "refused in one line": len(errors_of(run)), "written": written}, faults


@contextmanager
def dask_cluster(folder: Path, count: int) -> Iterator[tuple[Path, list[psutil.Process]]]:
    """A cluster on this machine: the file of its scheduler, and the processes that keep its workers alive."""
    file, environment = folder / "cluster.json", {**os.environ, "PYTHONPATH": str(ROOT)}
    with open(folder / "cluster.log", "wb") as log, suppress(psutil.Error):
        settings = {"stdout": log, "stderr": log, "env": environment, "cwd": folder, "start_new_session": True}
        command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--no-dashboard", "--port", "0", "--scheduler-file", file]
        scheduler = psutil.Popen(command, **settings)
        while not file.exists():
            time.sleep(0.1)
        command = [sys.executable, "-m", "distributed.cli.dask_worker", "--no-dashboard", "--nthreads", "1", "--scheduler-file", file]
        nannies = [psutil.Popen(command, **settings) for _ in range(count)]
        try:
            yield file, nannies
        finally:
            for process in (*nannies, scheduler):
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()


def kill_dask_workers(work: Path, rng: Random, count: int, kills: int) -> tuple[dict, list[str]]:
    """`check` on a Dask cluster of four processes, of which workers are killed."""
    clips, folder = make_clips(work / f"clips{count}", count), fresh(work, "dask")
    with dask_cluster(folder, 4) as (file, nannies):
        run = start(["check", "--json", "--dask", file, clips[0].parent], folder)

        def kill() -> bool:
            workers = [child for nanny in nannies for child in nanny.children() if "spawn_main" in " ".join(child.cmdline())]
            if not workers:
                return False
            rng.choice(workers).send_signal(rng.choice(SIGNALS))
            return True

        killed = meddle(run, rng, 1.5, kill, kills)
    errors = errors_of(run)
    faults = [*once_each(run, clips), *(f"unexpected: {error}" for error in errors if "the cluster gave it up" not in error)]
    return {"clips": count, "workers": 4, "killed": killed, "given up": len(errors)}, faults
