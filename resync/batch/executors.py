"""Many jobs, one result each, as they come: in this process, in several, or on a Dask cluster.

Nothing here knows what a job is. `work(job, on_progress)` is called for each and returns its result; it turns its own
errors into results. It can be pickled and is sent to every process once, so what it loads is loaded once.
A job whose process dies (killed, out of memory, a crash in a codec) is tried once more, in a new process, as
`retry(job)`; when that dies too, its result is `lost(job, why)`. So each job has exactly one result.
"""

from __future__ import annotations

import logging
import math
from collections import deque
from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Generic, TypeVar

from ..errors import BatchError
from ..parallel import available_cores
from .pool import Kind, Pool, open_pool

Job = TypeVar("Job")
Result = TypeVar("Result")

logger = logging.getLogger(__name__)


def _same(job):
    return job


def _ignore_progress(job, progress) -> None:
    pass


def _nothing(job) -> None:
    pass


@dataclass(frozen=True)
class Executor(Generic[Job, Result]):
    """What is done for every job.

    on_progress(job, progress): called with None when the job starts, then with whatever `work` reports. clear(job): removes what the
    process of a job that ended in the middle of it may have left behind.
    """

    work: Callable[[Job, Callable[[Any], None] | None], Result]
    lost: Callable[[Job, str], Result]
    retry: Callable[[Job], Job] = _same
    on_progress: Callable[[Job, Any], None] = _ignore_progress
    clear: Callable[[Job], None] = _nothing

    def for_workers(self) -> Executor[Job, Result]:
        """The same without `on_progress`, for machines where there is nobody to see it."""
        return replace(self, on_progress=_ignore_progress)

    def run_serial(self, jobs: Sequence[Job]) -> Generator[tuple[Job, Result], None, None]:
        """One after the other in this process."""
        for job in jobs:
            self.on_progress(job, None)
            yield job, self.work(job, partial(self.on_progress, job))

    def run_processes(self, jobs: Sequence[Job], count: int, timeout_s: float = math.inf) -> Generator[tuple[Job, Result], None, None]:
        """In `count` processes that share the cores evenly. Close the generator, so that an early end leaves no process running.

        timeout_s: a job that takes longer is given up: its process is ended, and its result is `lost`.
        """
        with open_pool(self.work, max(1, available_cores() // count), timeout_s) as pool:
            try:
                yield from self.run_in(pool, jobs, count, timeout_s)
            finally:
                unfinished = pool.jobs
                pool.close()
                for job in unfinished:
                    self.clear(job)

    def run_in(self, pool: Pool, jobs: Iterable[Job], count: int, timeout_s: float) -> Generator[tuple[Job, Result], None, None]:
        """In up to `count` processes of a pool that is kept; see `run_processes`."""
        waiting = deque((job, 1) for job in jobs)
        while waiting or pool.jobs:
            while waiting and len(pool.jobs) < count:
                pool.submit(*waiting.popleft())
            for job, trial, kind, value in pool.wait():
                if kind in (Kind.STARTED, Kind.PROGRESS):
                    self.on_progress(job, value)
                elif kind is Kind.RESULT:
                    yield job, value
                elif kind is Kind.DIED and trial == 1:
                    logger.info("a process died (%s), its file is tried again", value)
                    self.clear(job)
                    waiting.appendleft((self.retry(job), 2))
                else:
                    self.clear(job)
                    late = f"gave up after {timeout_s:g} s; if the file plays, allow a longer --timeout"
                    died = f"its process died twice ({value}); if memory is short, try fewer --jobs"
                    yield job, self.lost(job, late if kind is Kind.LATE else died)

    def run_dask(self, jobs: Sequence[Job], address: str, timeout_s: float = math.inf) -> Generator[tuple[Job, Result], None, None]:
        """On the Dask cluster whose scheduler is at `address` (or in that scheduler file). Raises BatchError."""
        try:
            from .cluster import run_on_cluster
        except ImportError as error:
            raise BatchError("dask: not installed; run: pip install distributed") from error
        yield from run_on_cluster(self, jobs, address, timeout_s)
