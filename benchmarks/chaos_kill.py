"""Commands that are killed at random times: what they leave behind, and whether the next run goes on from there."""

from __future__ import annotations

import hashlib
import re
import shutil
import signal
import sqlite3
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from random import Random

from chaos_batch import END_S, fresh, once_each, unfinished
from clips import contents, make_clips
from processes import POLL_S, Run, preload, start

RUN_S = 1.5  # of the cached batch, before it is killed at the latest
SETTLE_EVERY = 20  # kills, after which a run is left alone, to clear what the others left
FORMS = (
    ("fix", "-y", "-q"),
    ("fix", "-y", "-q", "--reencode-audio"),
    ("fix", "-y", "-q", "--export-audio", "out/alone.wav"),
    ("shift", "-y", "-q", "--ms", "-120"),
)
EXEC_EVERY = 10  # runs, one is started as by a shell, the others from a process that has loaded the package


def kill_cached(work: Path, rng: Random, count: int, kills: int) -> tuple[dict, list[str]]:
    """`check --skip-done` killed at random, then continued: nothing finished is lost, nothing is analysed twice."""
    preload()
    clips, folder = make_clips(work / f"clips{count}", count, talking_every=50), fresh(work, "cache")
    figures, faults = {"clips": count, "killed": 0, "caches completed": 0, "analysed": 0}, []
    known: set[str] = set()
    is_last = False
    while not is_last:
        is_last, attempt = figures["killed"] >= kills, figures["killed"]
        cache, log = folder / "out" / "cache", folder / f"log{attempt}"
        log.unlink(missing_ok=True)
        parallel = attempt % EXEC_EVERY == EXEC_EVERY - 1
        options = ["--skip-done", cache, "--log-file", log, *(["-j", 2] if parallel else [])]
        run = start(["check", "--json", *options, clips[0].parent], folder, preloaded=not parallel)
        if not is_last:
            _kill_near_write(run, cache, rng, RUN_S * (3 if parallel else 1))
        run.wait(END_S)
        started, reported = _started(log), {report["file"] for report in run.reports()}
        faults += [*run.complaints(), *(f"analysed twice: {Path(file).name}" for file in sorted(started & known))]
        figures["analysed"] += len(started)
        if run.code == -signal.SIGKILL:
            figures["killed"] += 1
            faults += _integrity(cache)
        else:  # it came to its end
            faults += [*once_each(run, clips), *(f"lost: {Path(file).name}" for file in sorted(known - reported))]
            figures["caches completed"] += 1  # and a new one is begun
            for file in (folder / "out").iterdir():
                file.unlink()
            reported = known = set()
        known = known | reported
    return figures, faults


def _kill_near_write(run: Run, cache: Path, rng: Random, run_s: float) -> None:
    """Kill a run at a random time, half of the time right when it writes to its cache."""
    run.wait(rng.uniform(0.1, run_s))
    if rng.random() < 0.5:
        before = _state(cache)
        while run.poll() is None and _state(cache) == before:
            time.sleep(POLL_S)
        run.wait(rng.uniform(0, 0.004))
    if run.poll() is None:
        run.kill(signal.SIGKILL, group=rng.random() < 0.5)


def _state(cache: Path) -> list[tuple]:
    """Size and time of the cache and the files beside it."""
    found = []
    for path in cache.parent.glob(f"{cache.name}*"):
        with suppress(FileNotFoundError):
            found.append((path.name, path.stat().st_size, path.stat().st_mtime_ns))
    return sorted(found)


def _started(log: Path) -> set[str]:
    """The files whose analysis began, from a log."""
    return set(re.findall(r"resync\.\S+: (.*): started$", log.read_text(), re.MULTILINE)) if log.exists() else set()


def _integrity(cache: Path) -> Iterator[str]:
    """Faults of the file itself, if it is a database."""
    if cache.exists() and cache.read_bytes()[:6] == b"SQLite":
        copy = cache.with_name("copy")
        for path in cache.parent.glob(f"{cache.name}*"):
            shutil.copyfile(path, copy.with_name(path.name.replace(cache.name, copy.name, 1)))
        connection = sqlite3.connect(copy)
        try:
            answer = connection.execute("PRAGMA integrity_check").fetchone()[0]
        except sqlite3.Error as error:
            answer = str(error)
        connection.close()
        for path in cache.parent.glob(f"{copy.name}*"):
            path.unlink()
        if answer != "ok":
            yield f"damaged cache: {answer}"


def kill_fix(work: Path, rng: Random, count: int, kills: int) -> tuple[dict, list[str]]:
    """`fix` and `shift` killed at random: inputs stay, no half output gets its name, leftovers go with the next run."""
    preload()
    clips, folder = make_clips(work / f"talking{count}", count, talking_every=1), fresh(work, "fix")
    before, whole = _digests(clips), _complete_outputs(clips, folder)
    figures, faults = {"killed": 0, "by SIGTERM": 0, "finished before": 0, "files left behind, later cleared": 0}, []
    while figures["killed"] < kills:
        number, form, clip = rng.choice((signal.SIGKILL, signal.SIGTERM)), rng.choice(FORMS), rng.choice(clips)
        left_before = _left(folder)
        old = rng.random() < 0.3  # an output of an earlier run, to be replaced
        for path in (folder / "out").iterdir():
            if not path.name.startswith(".") and not old:
                path.unlink()
        run = start([form[0], clip, f"out/{clip.name}", *form[1:]], folder, preloaded=rng.randrange(EXEC_EVERY) > 0)
        _kill_near_output(run, folder / "out", number, rng)
        killed = run.code in (-number, 128 + number)
        figures["killed" if killed else "finished before"] += 1
        figures["by SIGTERM"] += killed and number == signal.SIGTERM
        if not killed and run.code:
            faults.append(f"{form}: exit code {run.code}: {run.err.read_text()[:200]}")
        faults += [*run.complaints(), *_half_outputs(folder / "out", whole)]
        left = _left(folder)
        if number == signal.SIGTERM:
            faults += [f"after SIGTERM: {line}" for line in left - left_before]
        figures["files left behind, later cleared"] += len(left - left_before)
        if _digests(clips) != before:
            return figures, [*faults, f"an input was changed by {form} of {clip.name}"]
        if killed and figures["killed"] % SETTLE_EVERY == 0:
            faults += _settle(clips, folder)
    return figures, faults


def _kill_near_output(run: Run, out: Path, number: int, rng: Random) -> None:
    """Send a signal at a random time, half of the time while the output is being written."""
    known = {path.name for path in out.iterdir()}
    if rng.random() < 0.5:
        run.wait(rng.uniform(0, 1.0))
    else:
        while run.poll() is None and {path.name for path in out.iterdir()} <= known:
            time.sleep(POLL_S)
        run.wait(rng.uniform(0, 0.15))
    if run.poll() is None:
        run.kill(number, group=number == signal.SIGKILL and rng.random() < 0.5)


def _left(folder: Path) -> set[str]:
    """Temporary files that were not removed."""
    return {*unfinished(folder / "out"), *unfinished(folder / "tmp")}


def _digests(clips: list[Path]) -> list[bytes]:
    return [hashlib.sha256(clip.read_bytes()).digest() for clip in clips]


def _complete_outputs(clips: list[Path], folder: Path) -> dict[str, list]:
    """What each output may hold: the results of undisturbed runs, by name."""
    whole: dict[str, list] = {}
    for clip in clips:
        for form in FORMS:
            run = start([form[0], clip, f"out/{clip.name}", *form[1:]], folder, preloaded=True)
            if run.wait(END_S):
                raise RuntimeError(f"{form} of {clip}: {run.err.read_text()}")
            for path in (folder / "out").iterdir():
                whole.setdefault(path.name, []).append(contents(path))
    return whole


def _half_outputs(out: Path, whole: dict[str, list]) -> Iterator[str]:
    """Faults of files under their final names: each must be what an undisturbed run wrote."""
    for path in out.iterdir():
        if not path.name.startswith("."):
            try:
                found = contents(path)
            except Exception as error:
                yield f"half an output: {path.name}: {error}"
                continue
            if found not in whole[path.name]:
                yield f"half an output: {path.name}: {len(found[1])} packets"


def _settle(clips: list[Path], folder: Path) -> Iterator[str]:
    """Faults of a run that is left alone: it must succeed, and clear what the others left."""
    run = start(["fix", clips[0], f"out/{clips[0].name}", "-y", "-q"], folder)
    if run.wait(END_S):
        yield f"after kills: {run.err.read_text()[:300]}"
    yield from (f"not cleared: {line}" for line in _left(folder))
