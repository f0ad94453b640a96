"""Many jobs, one result each, as they come: in this process, in several, or on a Dask cluster.

Nothing here knows what a job is. `work(job, tell)` is called for each and returns its result; it turns its own
errors into results. It can be pickled and is sent to every process once, so what it loads is loaded once.
A job whose process dies (killed, out of memory, a crash in a codec) is tried once more, in a new process, as
`again(job)`; when that dies too, its result is `lost(job, why)`. So each job has exactly one result.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar

from .errors import BatchError
from .threads import THREAD_SETTINGS, cores

Job = TypeVar("Job")
Result = TypeVar("Result")
PATIENCE_S = 5.0  # for a process that was asked to end


def _same(job):
    return job


def _untold(job, progress) -> None:
    pass


@dataclass(frozen=True)
class Batch(Generic[Job, Result]):
    """What is to be done for every job. told(job, progress): gets the job when it begins, with None, and what `tell` was told."""

    work: Callable[[Job, Callable[[Any], None] | None], Result]
    lost: Callable[[Job, str], Result]
    again: Callable[[Job], Job] = _same
    told: Callable[[Job, Any], None] = _untold

    def here(self, jobs: Sequence[Job]) -> Generator[tuple[Job, Result], None, None]:
        """One after the other in this process."""
        for job in jobs:
            self.told(job, None)
            yield job, self.work(job, partial(self.told, job))

    def in_processes(self, jobs: Sequence[Job], count: int) -> Generator[tuple[Job, Result], None, None]:
        """In `count` processes that share the cores evenly. To be closed, so that an end before time leaves none running."""
        pool = _Pool(self.work, max(1, cores() // count))
        waiting = deque((job, 1) for job in jobs)
        busy: dict[Connection, tuple[Job, int]] = {}
        try:
            while waiting or busy:
                while waiting and len(busy) < count:
                    job, trial = waiting.popleft()
                    busy[pool.give(job)] = job, trial
                    self.told(job, None)
                ready = wait(list(busy))
                for pipe in [pipe for pipe in busy if pipe in ready]:
                    job, trial = busy[pipe]
                    try:
                        done, value = pipe.recv()
                    except (EOFError, OSError):
                        del busy[pipe]
                        end = pool.bury(pipe)
                        if trial > 1:
                            yield job, self.lost(job, f"its process died twice ({end}); if memory is short, try fewer --jobs")
                        else:
                            waiting.appendleft((self.again(job), 2))
                        continue
                    if not done:
                        self.told(job, value)
                        continue
                    del busy[pipe]
                    pool.idle.append(pipe)
                    yield job, value
        finally:
            pool.close()

    def on_dask(self, jobs: Sequence[Job], address: str) -> Generator[tuple[Job, Result], None, None]:
        """On the Dask cluster whose scheduler is at `address` (or in that scheduler file). Raises BatchError.

        Dask itself runs the jobs of a dead worker again, on another one, and gives up after some such deaths.
        """
        try:
            from distributed import Client, as_completed
            from distributed.client import CancelledError
        except ImportError as error:
            raise BatchError("dask: not installed; run: pip install distributed") from error
        where = {"scheduler_file": address} if address.endswith(".json") else {"address": address}
        try:
            client = Client(**where)
        except (OSError, ValueError) as error:
            raise BatchError(f"{address}: no Dask scheduler answers there; start one with `dask scheduler`") from error
        with client:
            futures = {client.submit(_call, self.work, self.again(job), pure=False): job for job in jobs}
            doubtful = []
            for future in as_completed(list(futures)):
                job = futures.pop(future)
                if future.status == "finished":
                    yield job, future.result()
                else:
                    doubtful.append(job)
            # The death of a worker counts against all jobs that lay on it; alone each shows whether it is deadly.
            for job in doubtful:
                try:
                    yield job, client.submit(_call, self.work, self.again(job), pure=False).result()
                except (Exception, CancelledError) as error:  # of Dask: `work` raises none
                    yield job, self.lost(job, f"the cluster gave it up ({type(error).__name__})")


def _call(work, job):
    return work(job, None)


class _Pool:
    """Processes that do jobs, each behind a pipe of its own, so that one that dies harms no other."""

    def __init__(self, work, threads: int):
        self._work, self._threads, self._context = work, threads, get_context("spawn")
        self._processes: dict[Connection, Any] = {}
        self.idle: list[Connection] = []

    def give(self, job) -> Connection:
        """Have a process do the job; its answers come through the pipe: (False, progress) or (True, result)."""
        pipe = self.idle.pop() if self.idle else self._start()
        with suppress(OSError):  # died while idle: seen when the pipe is read
            pipe.send(job)
        return pipe

    def bury(self, pipe: Connection) -> str:
        """Forget a process that died; returns how it died."""
        process = self._processes.pop(pipe)
        pipe.close()
        process.join(PATIENCE_S)
        code = process.exitcode
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"

    def close(self) -> None:
        """End all processes."""
        for pipe, process in self._processes.items():
            pipe.close()
            process.terminate()
        for process in self._processes.values():
            process.join(PATIENCE_S)
            if process.is_alive():
                process.kill()

    def _start(self) -> Connection:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._work, self._threads), daemon=True)
        process.start()
        theirs.close()  # or the end of the process would not be seen
        self._processes[ours] = process
        return ours


def _serve(pipe: Connection, work, threads: int) -> None:
    """What a process of the pool does until its pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the first process ends the others
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # with cleaning up
    for name in THREAD_SETTINGS:  # read when NumPy and torch are first imported, which is later
        os.environ.setdefault(name, str(threads))
    with suppress(EOFError, OSError):
        while True:
            job = pipe.recv()
            pipe.send((True, work(job, lambda progress: pipe.send((False, progress)))))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is ending already
