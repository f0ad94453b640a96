"""Many jobs, one result each, as they come: in this process, in several, or on a Dask cluster.

Nothing here knows what a job is. `work(job, on_progress)` is called for each and returns its result; it turns its own
errors into results. It can be pickled and is sent to every process once, so what it loads is loaded once.
A job whose process dies (killed, out of memory, a crash in a codec) is tried once more, in a new process, as
`retry(job)`; when that dies too, its result is `lost(job, why)`. So each job has exactly one result.
"""

from __future__ import annotations

import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection, wait
from typing import Any, Generic, TypeVar
from uuid import uuid4

from ..errors import BatchError
from ..parallel import THREAD_VARIABLES, available_cores

Job = TypeVar("Job")
Result = TypeVar("Result")
STOP_TIMEOUT_S = 5.0  # for a process that was asked to end


def _same(job):
    return job


def _ignore_progress(job, progress) -> None:
    pass


@dataclass(frozen=True)
class Executor(Generic[Job, Result]):
    """What is done for every job.

    on_progress(job, progress): called with None when the job starts, then with whatever `work` reports.
    """

    work: Callable[[Job, Callable[[Any], None] | None], Result]
    lost: Callable[[Job, str], Result]
    retry: Callable[[Job], Job] = _same
    on_progress: Callable[[Job, Any], None] = _ignore_progress

    def run_serial(self, jobs: Sequence[Job]) -> Generator[tuple[Job, Result], None, None]:
        """One after the other in this process."""
        for job in jobs:
            self.on_progress(job, None)
            yield job, self.work(job, partial(self.on_progress, job))

    def run_processes(self, jobs: Sequence[Job], count: int) -> Generator[tuple[Job, Result], None, None]:
        """In `count` processes that share the cores evenly. Close the generator, so that an early end leaves no process running."""
        pool = _Pool(self.work, max(1, available_cores() // count))
        waiting = deque((job, 1) for job in jobs)
        running: dict[Connection, tuple[Job, int]] = {}
        try:
            while waiting or running:
                while waiting and len(running) < count:
                    job, trial = waiting.popleft()
                    running[pool.submit(job)] = job, trial
                    self.on_progress(job, None)
                ready = wait(list(running))
                for pipe in [pipe for pipe in running if pipe in ready]:
                    job, trial = running[pipe]
                    try:
                        finished, value = pipe.recv()
                    except (EOFError, OSError):
                        del running[pipe]
                        end = pool.reap(pipe)
                        if trial > 1:
                            yield job, self.lost(job, f"its process died twice ({end}); if memory is short, try fewer --jobs")
                        else:
                            waiting.appendleft((self.retry(job), 2))
                        continue
                    if not finished:
                        self.on_progress(job, value)
                        continue
                    del running[pipe]
                    pool.idle.append(pipe)
                    yield job, value
        finally:
            pool.close()

    def run_dask(self, jobs: Sequence[Job], address: str) -> Generator[tuple[Job, Result], None, None]:
        """On the Dask cluster whose scheduler is at `address` (or in that scheduler file). Raises BatchError.

        Dask itself runs the jobs of a dead worker again, on another one, and gives up after a few such deaths.
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
        with client, _sent_to_workers(client, self.work, address) as name:
            futures = {client.submit(_work_here, name, self.retry(job), pure=False): job for job in jobs}
            doubtful = []
            for future in as_completed(list(futures)):
                job = futures.pop(future)
                if future.status == "finished":
                    yield job, future.result()
                else:
                    doubtful.append(job)
            # The death of a worker counts against all jobs that were on it; alone, each shows whether it is deadly.
            for job in doubtful:
                try:
                    yield job, client.submit(_work_here, name, self.retry(job), pure=False).result()
                except (Exception, CancelledError) as error:  # of Dask: `work` raises none
                    yield job, self.lost(job, f"the cluster gave it up ({type(error).__name__})")


@contextmanager
def _sent_to_workers(client, work, address: str) -> Iterator[str]:
    """Send `work` to every worker of the Dask cluster once, also to those that join later; gives the name to find it by.

    Raises BatchError.
    """
    from distributed import WorkerPlugin

    plugin, name = WorkerPlugin(), f"resync-{uuid4().hex}"
    vars(plugin)["work"] = work
    try:
        client.register_plugin(plugin, name=name)
    except Exception as error:  # whatever a worker raises that cannot load `work`
        why = " ".join(str(error).split()) or type(error).__name__
        raise BatchError(f"{address}: the workers cannot load resync ({why}); install the same version on each of them") from error
    try:
        yield name
    finally:
        with suppress(Exception):  # a cluster that is gone needs no cleaning up
            client.unregister_worker_plugin(name)


def _work_here(name: str, job):
    """Do a job on a Dask worker."""
    from distributed import get_worker

    plugin: Any = get_worker().plugins[name]
    return plugin.work(job, None)


class _Pool:
    """Processes that do jobs, each behind a pipe of its own, so that one that dies harms no other."""

    def __init__(self, work, threads: int):
        self._work, self._threads, self._context = work, threads, get_context("spawn")
        self._processes: dict[Connection, Any] = {}
        self.idle: list[Connection] = []

    def submit(self, job) -> Connection:
        """Send the job to a process; its answers come through the pipe: (False, progress) or (True, result)."""
        pipe = self.idle.pop() if self.idle else self._start()
        with suppress(OSError):  # died while idle: noticed when the pipe is read
            pipe.send(job)
        return pipe

    def reap(self, pipe: Connection) -> str:
        """Forget a process that died; returns how it died."""
        process = self._processes.pop(pipe)
        pipe.close()
        process.join(STOP_TIMEOUT_S)
        code = process.exitcode
        return f"signal {-code}" if code is not None and code < 0 else f"exit code {code}"

    def close(self) -> None:
        """End all processes."""
        for pipe, process in self._processes.items():
            pipe.close()
            process.terminate()
        for process in self._processes.values():
            process.join(STOP_TIMEOUT_S)
            if process.is_alive():
                process.kill()

    def _start(self) -> Connection:
        ours, theirs = self._context.Pipe()
        process = self._context.Process(target=_serve, args=(theirs, self._work, self._threads), daemon=True)
        process.start()
        theirs.close()  # or the end of the process would go unnoticed
        self._processes[ours] = process
        return ours


def _serve(pipe: Connection, work, threads: int) -> None:
    """What a process of the pool does until its pipe is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to all; the first process ends the others
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))  # with cleaning up
    for name in THREAD_VARIABLES:  # read when NumPy and torch are first imported, which is later
        os.environ.setdefault(name, str(threads))
    with suppress(EOFError, OSError):
        while True:
            job = pipe.recv()
            pipe.send((True, work(job, lambda progress: pipe.send((False, progress)))))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is ending already
