"""Jobs and work for the tests of the executors, in a module that the processes of a pool or a cluster can import."""

import atexit
import os
import signal
import subprocess
import time
from importlib import import_module
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

KILLED = "signal 9" if hasattr(signal, "SIGKILL") else "exit code 9"


class ToyJob(NamedTuple):
    """A job. deaths: how many of the processes that run it die; each leaves a file in `folder`."""

    number: int
    folder: Path
    deaths: int = 0
    trial: int = 1

    def retry(self):
        return self._replace(trial=2)


class Answer(NamedTuple):
    value: int
    trial: int
    pid: int
    threads: str | None


def die():
    """End this process as the kernel does when memory is short."""
    if hasattr(signal, "SIGKILL"):
        os.kill(os.getpid(), signal.SIGKILL)
    os._exit(9)


def double(job, on_progress):
    if len(list(job.folder.glob(f"death{job.number}.*"))) < job.deaths:
        (job.folder / f"death{job.number}.{os.getpid()}").touch()
        die()
    if on_progress:
        on_progress(job.number)
    return Answer(2 * job.number, job.trial, os.getpid(), os.environ.get("OMP_NUM_THREADS"))


class CountedDouble:
    """`double`, which leaves a file in `folder` each time that it is unpickled."""

    def __init__(self, folder):
        self.folder = folder

    def __setstate__(self, state):
        self.__dict__ = state
        (self.folder / f"unpickled.{os.getpid()}.{uuid4().hex}").touch()

    def __call__(self, job, on_progress):
        return double(job, on_progress)


class NotInstalled:
    """Work that no worker can unpickle."""

    def __reduce__(self):
        return import_module, ("not_installed",)


def sleep_after_the_first(job, on_progress):
    if job.number:
        time.sleep(600)
    return job.number


def hang_in_the_second(job, on_progress):
    """Job 1 hangs in native code, deaf to signals but for SIGKILL, with a program that it started."""
    if job.number == 1:
        program = subprocess.Popen(["sleep", "600"])
        (job.folder / "program").write_text(str(program.pid))
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        time.sleep(600)
    return job.number


def half_a_second(job, on_progress):
    time.sleep(0.5)
    return job.number


def exit_slowly(job, on_progress):
    """Returns at once, but its process takes a while to end, like one with many modules loaded."""

    def end():
        (job.folder / "ending").touch()
        time.sleep(0.5)

    atexit.register(end)


def lost(job, why):
    return why
