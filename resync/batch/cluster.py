"""Jobs on a Dask cluster. Needs the package `distributed`."""

from __future__ import annotations

import json
import logging
import math
import multiprocessing
import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from uuid import uuid4

from distributed import Client, WorkerPlugin, as_completed, get_worker
from distributed.client import CancelledError

from ..errors import BatchError
from ..parallel import Cancelled, cancelled_by
from ..shutdown import clean_up
from .pool import LOGGER, Pool

if TYPE_CHECKING:
    from .executors import Executor

Job = TypeVar("Job")
Result = TypeVar("Result")

logger = logging.getLogger(__name__)


def run_on_cluster(
    executor: Executor[Job, Result], jobs: Sequence[Job], address: str, timeout_s: float
) -> Generator[tuple[Job, Result], None, None]:
    """Run the jobs of `executor` on the cluster whose scheduler is at `address` (or in that scheduler file). Raises BatchError.

    Dask itself runs the jobs of a dead worker again, on another one, and gives up after a few such deaths.
    """
    client = _connect(address)
    with client, _forwarded_log(client), _sent_to_workers(client, _Work(executor, timeout_s), address) as name:
        if not client.scheduler_info()["workers"]:
            logger.warning("%s: the cluster has no workers yet; start some with `dask worker`", address)
        futures = {client.submit(_work_here, name, executor.retry(job), pure=False): job for job in jobs}
        doubtful = []
        try:
            for future in as_completed(list(futures)):
                job = futures.pop(future)
                if future.status == "finished":
                    yield job, future.result()
                else:
                    doubtful.append(job)
            # The death of a worker counts against all jobs that were on it; alone, each shows whether it is deadly.
            for job in doubtful:
                try:
                    yield job, client.submit(_work_here, name, executor.retry(job), pure=False).result()
                except (Exception, CancelledError) as error:  # of Dask: `work` raises none
                    yield job, executor.lost(job, f"the cluster gave it up ({type(error).__name__})")
        finally:
            with suppress(Exception):  # a cluster that is gone needs no cleaning up
                client.cancel(list(futures))


def _connect(address: str) -> Client:
    """A client of the scheduler. Raises BatchError: Dask itself would wait without end for a scheduler file that does not exist."""
    if address.endswith(".json"):
        try:
            address = str(json.loads(Path(address).read_text())["address"])
        except (OSError, ValueError, TypeError, LookupError) as error:
            why = getattr(error, "strerror", None) or "it names no scheduler"
            raise BatchError(f"{address}: not the file of a Dask scheduler ({why}); start one with `dask scheduler`") from error
    try:
        return Client(address=address)
    except (OSError, ValueError, ImportError) as error:
        raise BatchError(f"{address}: no Dask scheduler answers there; start one with `dask scheduler`") from error


@contextmanager
def _forwarded_log(client: Client) -> Iterator[None]:
    """Send the log messages of all workers of the Dask cluster to this process, if anybody listens here."""
    level = logging.getLogger(LOGGER).level
    if level:
        client.forward_logging(LOGGER, level)
    try:
        yield
    finally:
        if level:
            with suppress(Exception):  # a cluster that is gone needs no cleaning up
                client.unforward_logging(LOGGER)


@contextmanager
def _sent_to_workers(client: Client, work: _Work, address: str) -> Iterator[str]:
    """Send `work` to every worker of the Dask cluster once, also to those that join later; gives the name to find it by.

    Raises BatchError.
    """
    name = f"resync-{uuid4().hex}"
    try:
        client.register_plugin(work, name=name)
    except Exception as error:  # whatever a worker raises that cannot load `work`
        why = " ".join(str(error).split()) or type(error).__name__
        raise BatchError(f"{address}: the workers cannot load resync ({why}); install the same version on each of them") from error
    try:
        yield name
    finally:
        with suppress(Exception):  # a cluster that is gone needs no cleaning up
            client.unregister_worker_plugin(name)


class _Work(WorkerPlugin):
    """What a worker needs to do jobs; with a time limit, each thread of the worker has a process for them."""

    def __init__(self, executor: Executor, timeout_s: float):
        self._executor, self._timeout_s, self._log_level = executor.for_workers(), timeout_s, logging.getLogger(LOGGER).level

    def setup(self, worker) -> None:
        """Called by Dask on every worker."""
        self._executor = replace(self._executor, on_progress=self._go_on)
        self._stopped = threading.Event()
        self._threads: set[int] = set()  # in which jobs run
        self._pools: dict[int, Pool] = {}  # by thread
        if self._log_level:
            logging.getLogger(LOGGER).setLevel(self._log_level)

    def teardown(self, worker) -> None:
        """Called by Dask when the client has no more jobs, or was interrupted: what still runs is ended."""
        self._stopped.set()
        clean_up(self._threads)
        for pool in self._pools.values():
            pool.terminate()

    def do(self, job):
        """Do a job, in a thread of the worker."""
        thread = threading.get_ident()
        self._threads.add(thread)
        try:
            if self._timeout_s == math.inf:
                with cancelled_by(self._stopped):
                    return self._executor.work(job, None)
            if thread not in self._pools:
                # Dask's workers are daemons of their nannies, which may not start processes; these end with the worker all the same.
                multiprocessing.current_process().daemon = False
                self._pools[thread] = Pool(self._executor.work, 1, self._timeout_s)
            ((_, result),) = self._executor.run_in(self._pools[thread], [job], 1, self._timeout_s)
            return result
        finally:
            self._threads.discard(thread)

    def _go_on(self, job, progress) -> None:
        if self._stopped.is_set():
            raise Cancelled


def _work_here(name: str, job):
    """Do a job on a Dask worker."""
    plugin: Any = get_worker().plugins[name]
    return plugin.do(job)
