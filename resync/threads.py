"""Stages of work that go on side by side, each in a thread of its own, and how many threads a stage may take.

Decoding, ONNX Runtime, NumPy and Pillow let go of Python's lock while they work, so threads are enough.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TypeVar

Item = TypeVar("Item")
THREAD_SETTINGS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_MOST_THREADS = 4  # of one small network; more wait for each other
_LOOK_UP_S = 0.1  # how often a thread that waits looks whether it is still wanted


def cores() -> int:
    """Processor cores that this process may use: those it may run on, or as many as OMP_NUM_THREADS says if that is fewer."""
    here = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    told = os.environ.get(THREAD_SETTINGS[0], "")
    return min(here, int(told)) if told.isdecimal() and int(told) else here


def stage_threads() -> int:
    """Threads for each of the networks, of which two work at a time beside the decoder."""
    return max(1, min(cores() // 2, _MOST_THREADS))


def ahead(items: Iterable[Item], most: int) -> Generator[Item, None, None]:
    """The same items in the same order, made by a thread that is at most `most` of them ahead of whoever takes them.

    An exception of `items` is raised here, after the items before it. To be closed when not used up, which ends the thread.
    """
    made: Queue[tuple[Item | None, BaseException | None, bool]] = Queue(most)
    unwanted = Event()

    def put(*message) -> bool:
        while not unwanted.is_set():
            try:
                made.put(message, timeout=_LOOK_UP_S)
                return True
            except Full:
                continue
        return False

    def make() -> None:
        source: Iterator[Item] = iter(items)
        try:
            for item in source:
                if not put(item, None, False):
                    return
            put(None, None, True)
        except BaseException as error:  # whatever it is, it belongs to whoever takes the items
            put(None, error, True)
        finally:
            if isinstance(source, Generator):
                source.close()

    thread = Thread(target=make, name="resync-ahead", daemon=True)
    thread.start()
    try:
        while True:
            item, error, last = made.get()
            if error is not None:
                raise error
            if last:
                return
            yield item  # type: ignore[misc]  # only the last has none
    finally:
        unwanted.set()
        while thread.is_alive():  # it may be waiting to put one more
            try:
                made.get_nowait()
            except Empty:
                thread.join(_LOOK_UP_S)
