"""Fuzzing: mutated media files, each analysed as `resync check` does, in processes with a memory limit of 2 GiB and 60 s a file.

    python benchmarks/fuzz.py                    100,000 files
    python benchmarks/fuzz.py --count 5000 --seed 7
    python benchmarks/fuzz.py --case 1234        one of them again, with its traceback; its file stays in the work folder

Small files in all containers (fuzz_seeds.py), damaged without regard to their structure, by their elements (fuzz_elements.py), and muxed
from packets with something wrong (fuzz_packets.py). Everything is analysed but faces, which only one file in 50 is searched for; one
in 50 is also written with its audio shifted. A file must give a report or an error of one line that names it. The files of everything
else are kept: tracebacks, crashes of libav, hangs. Prints a table and appends it to benchmarks/fuzz.jsonl. Needs Linux.
"""

from __future__ import annotations

import ctypes
import os
import resource
import shutil
import signal
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from pathlib import Path

import av
import click

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # as in `resync.cli`

from fuzz_cases import KINDS, Answer, Case, Examiner, make_case  # noqa: E402
from fuzz_seeds import seed_files  # noqa: E402
from records import append_row, markdown_row  # noqa: E402

MEMORY_BYTES, TIME_LIMIT_S = 2 * 2**30, 60.0
START_S = 120.0  # for a process to load what it needs
KEPT_FILES = 5  # of one kind of problem
M_ARENA_MAX = -8  # of mallopt
QUICK_COUNT = 100


def limit_this_process(folder: Path) -> None:
    """The limits under which files are analysed; what C code prints goes to a file in the folder above."""
    # Each thread that allocates memory would reserve 64 MiB of address space, which is what the limit counts, without using it.
    ctypes.CDLL(None).mallopt(M_ARENA_MAX, 2)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    log = os.open(folder.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(log, 2)
    av.logging.set_level(None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def serve(pipe: Connection, files: dict[str, Path], folder: Path, seed: int, numbers: range) -> None:
    """Analyse the files with these numbers; sends (number, case without its data) before each, and (number, answer) after it."""
    limit_this_process(folder)
    examine = Examiner(files, folder)
    for number in range(2):  # loads everything
        examine(Case(number, "mp4", "bytes", (), ".mp4", files["mp4"].read_bytes()))
    for number in numbers:
        pipe.send((number, None))
        case = make_case(files, seed, number)
        pipe.send((number, case._replace(data=b"")))
        pipe.send((number, examine(case)))


@dataclass
class Child:
    """A process that analyses files. case: the one at work, None while it is made; since_s: when that began; rss_mib: after each."""

    folder: Path
    step: int
    process: object = None
    pipe: Connection | None = None
    number: int = -1
    case: Case | None = None
    since_s: float = 0.0
    rss_mib: list[float] = field(default_factory=list)


@dataclass
class Tally:
    """The results so far. problems: signature -> numbers of the files; growth: (files, MiB after a tenth, MiB at the end) of processes."""

    outcomes: dict[str, Counter] = field(default_factory=lambda: defaultdict(Counter))
    mutations: Counter = field(default_factory=Counter)
    problems: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    not_made: int = 0
    slowest: tuple[float, int] = (0.0, -1)
    growth: list[tuple[int, int, int]] = field(default_factory=list)
    peak_mib: float = 0.0


class Fuzzer:
    """Runs the children and counts. count: files in all."""

    def __init__(self, files: dict[str, Path], work: Path, seed: int, count: int, jobs: int):
        self.files, self.work, self.seed, self.count = files, work, seed, count
        self.tally, self.context = Tally(), get_context("fork")
        self.children = [Child(work / f"child{number}", jobs, number=number - jobs) for number in range(jobs)]

    def run(self, until_s: float) -> None:
        """All files, or as many as are done at this time."""
        for child in self.children:
            self._start(child)
        with click.progressbar(length=self.count, label="fuzzing", file=sys.stderr) as bar:
            while running := {child.pipe: child for child in self.children if child.pipe}:
                for pipe in wait(list(running), 1.0):
                    bar.update(self._read(running[pipe]))
                for child in running.values():
                    if child.pipe and time.monotonic() - child.since_s > (TIME_LIMIT_S if child.case else START_S):
                        child.process.kill()
                        self._died(child, f"hang: over {TIME_LIMIT_S:g} s")
                if time.monotonic() > until_s:
                    for child in running.values():
                        child.process.kill()
                        self._finish(child)
                    return

    def _start(self, child: Child) -> None:
        """A new process for the numbers after the child's last one."""
        shutil.rmtree(child.folder, ignore_errors=True)
        child.folder.mkdir(parents=True)
        child.rss_mib, child.case, child.since_s = [], None, time.monotonic()
        numbers = range(child.number + child.step, self.count, child.step)
        if not numbers:
            child.pipe = None
            return
        child.pipe, theirs = self.context.Pipe(duplex=False)
        arguments = theirs, self.files, child.folder, self.seed, numbers
        child.process = self.context.Process(target=serve, args=arguments, daemon=True)
        child.process.start()
        theirs.close()

    def _read(self, child: Child) -> int:
        """The next message of a child; returns how many files that finishes."""
        try:
            child.number, value = child.pipe.recv()
        except (EOFError, OSError):
            child.process.join()
            if child.process.exitcode == 0:
                self._finish(child)
                return 0
            self._died(child, f"{signal.Signals(-child.process.exitcode).name}" if child.process.exitcode < 0 else "exit")
            return 1
        if not isinstance(value, Answer):
            child.case, child.since_s = value, time.monotonic()
            return 0
        self._count(child, value)
        child.case = None
        return 1

    def _count(self, child: Child, answer: Answer) -> None:
        tally, case = self.tally, child.case
        tally.outcomes[case.kind][answer.outcome] += 1
        tally.mutations.update(case.mutations)
        tally.slowest = max(tally.slowest, (round(answer.seconds, 2), case.number))
        tally.peak_mib = max(tally.peak_mib, answer.rss_mib)
        child.rss_mib.append(answer.rss_mib)
        if answer.problem:
            self._keep(case, answer.problem)

    def _died(self, child: Child, how: str) -> None:
        """Note the file that ended a process, and start another one."""
        self._finish(child)
        if child.case is None:
            self.tally.not_made += 1  # muxers have bugs, too, but are not what is tested
        else:
            said = child.folder.with_suffix(".log").read_text(errors="replace").strip().splitlines()[-1:]
            self.tally.outcomes[child.case.kind]["problem"] += 1
            self._keep(child.case, f"{how} {' '.join(said)[:200]}")
        self._start(child)

    def _finish(self, child: Child) -> None:
        child.process.join()
        child.pipe.close()
        child.pipe = None
        if len(child.rss_mib) >= 10:
            tenth = round(child.rss_mib[len(child.rss_mib) // 10])
            self.tally.growth.append((len(child.rss_mib), tenth, round(child.rss_mib[-1])))

    def _keep(self, case: Case, problem: str) -> None:
        """Count a problem by its last two lines, and keep some of the files."""
        lines = [line.strip() for line in problem.strip().splitlines()]
        signature = " | ".join(line for line in lines[-3:] if not set(line) <= set("^~ "))[-300:]
        numbers = self.tally.problems[signature]
        numbers.append(case.number)
        if len(numbers) <= KEPT_FILES:
            kept = self.work / "kept"
            kept.mkdir(exist_ok=True)
            file = kept / f"{self.seed}-{case.number}{case.suffix}"
            file.write_bytes(make_case(self.files, self.seed, case.number).data)
            file.with_suffix(".txt").write_text(f"{case._replace(data=b'')}\n{problem}\n")


def table(tally: Tally) -> Iterator[str]:
    """The results in Markdown."""
    yield markdown_row(["files damaged by", "files", "analysed", "refused in one line", "problems"])
    yield "|---" * 5 + "|"
    for kind in KINDS:
        counts = tally.outcomes[kind]
        yield markdown_row([kind, counts.total(), counts["analysed"], counts["refused"], counts["problem"]])
    yield ""
    yield f"slowest: {tally.slowest[0]} s (file {tally.slowest[1]}); peak memory {tally.peak_mib:.0f} MiB; not made: {tally.not_made}"
    for files, before, after in tally.growth:
        yield f"memory of a process after a tenth of its {files} files: {before} MiB, at the end: {after} MiB"
    for problem, numbers in sorted(tally.problems.items(), key=lambda item: -len(item[1])):
        yield f"{len(numbers)} x {problem} (files {', '.join(map(str, numbers[:KEPT_FILES]))})"


def rerun(files: dict[str, Path], work: Path, seed: int, number: int) -> None:
    """One file again, in this process."""
    case, folder = make_case(files, seed, number), work / "rerun"
    folder.mkdir(exist_ok=True)
    file = work / f"{seed}-{number}{case.suffix}"
    file.write_bytes(case.data)
    click.echo(f"{file}: {case._replace(data=b'')}")
    answer = Examiner(files, folder)(case)
    click.echo(f"{answer.outcome} in {answer.seconds:.2f} s\n{answer.problem}")


@click.command()
@click.option("--count", default=100_000, show_default=True, type=click.IntRange(min=1), help="Files.")
@click.option("--seed", default=1, show_default=True, help="Of the mutations.")
@click.option("--jobs", default=2, show_default=True, type=click.IntRange(min=1), help="Processes.")
@click.option("--minutes", default=float("inf"), help="Stop after this time.")
@click.option("--work", type=click.Path(file_okay=False, path_type=Path), default=HERE / "videos" / "fuzz", help="Folder of all files.")
@click.option("--case", "number", type=int, help="Only this file, in this process.")
@click.option("--quick", is_flag=True, help="A hundred files, in seconds; nothing is appended to the history.")
def main(count: int, seed: int, jobs: int, minutes: float, work: Path, number: int | None, quick: bool) -> None:
    """Analyse damaged files; exits with 1 if one gives anything but a report or an error of one line."""
    files, began = seed_files(work / "seeds"), time.monotonic()
    if number is not None:
        return rerun(files, work, seed, number)
    fuzzer = Fuzzer(files, work, seed, QUICK_COUNT if quick else count, 1 if quick else jobs)
    fuzzer.run(began + 60 * minutes)
    tally = fuzzer.tally
    for line in table(tally):
        click.echo(line)
    if not quick:
        row = {"seed": seed, "seconds": round(time.monotonic() - began), "outcomes": tally.outcomes, "mutations": tally.mutations}
        row |= {"problems": {name: [len(numbers), *numbers[:KEPT_FILES]] for name, numbers in tally.problems.items()}}
        row |= {"slowest": tally.slowest, "peak_mib": round(tally.peak_mib), "not_made": tally.not_made, "growth": tally.growth}
        append_row("fuzz", row)
    sys.exit(bool(tally.problems))


if __name__ == "__main__":
    main()
