"""Processes that do jobs, each behind a pipe of its own, so that one that dies or hangs harms no other."""

from __future__ import annotations

import logging
import math
import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from functools import partial
from multiprocessing import get_context, parent_process
from multiprocessing.connection import Connection, wait
from threading import Lock, Thread
from typing import Any, Generic, NamedTuple, TypeVar

from ..parallel import THREAD_VARIABLES
from ..shutdown import cleanup, end_on_signals

Job = TypeVar("Job")
GRACE_S = 0.7  # for a process of the pool to unwind; see `shutdown.GRACE_S`, which is longer
STOP_TIMEOUT_S = 0.9  # after that, a process that was asked to end is killed
START_TIMEOUT_S = 120.0  # for a new process to load what it needs; its first job gets so much more time
LOGGER = "resync"  # its messages in other processes are sent to this one, when it has a level


class Kind(Enum):
    """What a process has to say about its job."""

    STARTED = "started"
    PROGRESS = "progress"  # with whatever the work reports
    LOG = "log"  # with a log record
    RESULT = "result"
    DIED = "died"  # with how
    LATE = "late"  # the job took too long, and its process was ended


class Event(NamedTuple):
    """Something that happened to a job. trial: as given to `Pool.submit`."""

    job: Any
    trial: int
    kind: Kind
    value: Any = None


@dataclass
class _Running(Generic[Job]):
    """A job that a process works on. deadline_s: when it is given up, on the monotonic clock."""

    job: Job
    trial: int
    deadline_s: float


class Pool:
    """Processes that are started as needed and kept; `work(job, on_progress)` is sent to each of them once.

    threads: for the numeric libraries of each. timeout_s: a job that takes longer is given up.
    """

    def __init__(self, work, threads: int, timeout_s: float = math.inf):
        self._work, self._threads, self._timeout_s, self._context = work, threads, timeout_s, get_context("spawn")
        self._processes: dict[Connection, Any] = {}
        self._idle: list[Connection] = []
        self._running: dict[Connection, _Running] = {}
        self._waited_s = math.inf  # when `wait` returned last

    @property
    def jobs(self) -> list:
        """The jobs that are being worked on."""
        return [running.job for running in self._running.values()]

    def submit(self, job, trial: int = 1) -> None:
        """Send a job to an idle process, or to a new one."""
        deadline_s = time.monotonic() + self._timeout_s + (0 if self._idle else START_TIMEOUT_S)
        pipe = self._idle.pop() if self._idle else self._start()
        self._running[pipe] = _Running(job, trial, deadline_s)
        with suppress(OSError):  # died while idle: noticed when the pipe is read
            pipe.send(job)

    def wait(self) -> list[Event]:
        """What happened next, at least one event unless there was only a log message; there must be a job."""
        away_s = max(time.monotonic() - self._waited_s, 0.0)  # results may have waited so long for the caller: no job is to blame
        for running in self._running.values():
            running.deadline_s += away_s
        patience_s = min(running.deadline_s for running in self._running.values()) - time.monotonic()
        ready = wait(list(self._running), None if patience_s == math.inf else max(patience_s, 0.0))
        events = [self._read(pipe) if pipe in ready else self._judge(pipe) for pipe in list(self._running)]
        self._waited_s = time.monotonic()
        return [event for event in events if event]

    def close(self) -> None:
        """End all processes."""
        for pipe, process in self._processes.items():
            pipe.close()
            process.terminate()
        until_s = time.monotonic() + STOP_TIMEOUT_S
        for process in self._processes.values():
            _finish(process, until_s - time.monotonic())
        self._processes.clear()

    def terminate(self) -> None:
        """Ask all processes to end, and do not wait for that."""
        for process in self._processes.values():
            process.terminate()

    def kill(self) -> None:
        """End all processes now, where there is no time left to ask."""
        for process in self._processes.values():
            _kill(process)

    def _read(self, pipe: Connection) -> Event | None:
        """The next message of a process, or its death."""
        running = self._running[pipe]
        try:
            kind, value = pipe.recv()
        except (EOFError, OSError):
            return self._forget(pipe, Kind.DIED)
        if kind is Kind.LOG:
            logging.getLogger(value.name).handle(value)
            return None
        if kind is Kind.STARTED:
            running.deadline_s = time.monotonic() + self._timeout_s
        if kind is Kind.RESULT:
            del self._running[pipe]
            self._idle.append(pipe)
        return Event(running.job, running.trial, kind, value)

    def _judge(self, pipe: Connection) -> Event | None:
        """End a process that is silent and late."""
        if time.monotonic() < self._running[pipe].deadline_s:
            return None
        self._processes[pipe].terminate()
        return self._forget(pipe, Kind.LATE)

    def _forget(self, pipe: Connection, kind: Kind) -> Event:
        """Remove a process that died, and the programs that it ran."""
        running, process = self._running.pop(pipe), self._processes.pop(pipe)
        pipe.close()
        _finish(process, STOP_TIMEOUT_S)
        code = process.exitcode
        return Event(running.job, running.trial, kind, f"signal {-code}" if code is not None and code < 0 else f"exit code {code}")

    def _start(self) -> Connection:
        ours, theirs = self._context.Pipe()
        arguments = theirs, self._work, self._threads, logging.getLogger(LOGGER).level
        process = self._context.Process(target=_serve, args=arguments, daemon=True)
        with _blocked_interrupts():
            process.start()
        theirs.close()  # or the end of the process would go unnoticed
        self._processes[ours] = process
        return ours


@contextmanager
def open_pool(work, threads: int, timeout_s: float = math.inf) -> Iterator[Pool]:
    """A pool, whose processes end with the body, or with this process."""
    pool = Pool(work, threads, timeout_s)
    try:
        with cleanup(pool.kill):
            yield pool
    finally:
        pool.close()


@contextmanager
def _blocked_interrupts() -> Iterator[None]:
    """No Ctrl-C in the body, nor in the processes that it starts, which would print a traceback; it comes after the body."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT])
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _finish(process, timeout_s: float) -> None:
    """Wait for a process to end, then end it, and with it the programs that it ran, which are its process group."""
    wait([process.sentinel], max(timeout_s, 0.0))  # unlike `join`, keeps its number from being given to another process
    _kill(process)
    process.join()


def _kill(process) -> None:
    with suppress(OSError, AttributeError):  # there is no such group, or on Windows none at all
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()


def _serve(pipe: Connection, work, threads: int, log_level: int) -> None:
    """What a process of the pool does until its pipe is closed. log_level: of the messages that it sends, 0 for none."""
    sending = Lock()

    def send(kind: Kind, value=None) -> None:
        with sending:  # log messages come from any thread
            pipe.send((kind, value))

    if hasattr(os, "setpgid"):
        os.setpgid(0, 0)  # Ctrl-C goes to the first process only, which ends the others
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    end_on_signals(("SIGTERM",), GRACE_S)
    Thread(target=_end_with_parent, daemon=True).start()
    for name in THREAD_VARIABLES:  # read when NumPy and torch are first imported, which is later
        os.environ.setdefault(name, str(threads))
    if log_level:
        _send_log(partial(send, Kind.LOG), log_level)
    with suppress(EOFError, OSError):
        while True:
            job = pipe.recv()
            send(Kind.STARTED)
            send(Kind.RESULT, work(job, partial(send, Kind.PROGRESS)))
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # it is ending already


def _end_with_parent() -> None:
    """End this process when the one that started it is gone, also in the middle of a job."""
    parent = parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)


def _send_log(send: Callable[[logging.LogRecord], None], level: int) -> None:
    """Call `send` with the log messages of this process from `level` on, in a form that can be pickled."""
    from logging.handlers import QueueHandler

    class Sender(QueueHandler):
        def enqueue(self, record: logging.LogRecord) -> None:
            with suppress(OSError):  # nobody listens any more
                send(record)

    logging.getLogger(LOGGER).setLevel(level)
    logging.getLogger(LOGGER).addHandler(Sender(None))  # type: ignore[arg-type]  # it has no queue
