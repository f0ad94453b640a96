"""Pipeline stages that run concurrently, each in its own thread, and the number of threads a stage may use.

Threads are enough: decoding, ONNX Runtime, NumPy and Pillow release the global interpreter lock while they work.
"""

from __future__ import annotations

import os
from collections.abc import Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from queue import Empty, Full, Queue
from threading import Event, Thread, local
from typing import Any, TypeAlias, TypeVar

Item = TypeVar("Item")
_Entry: TypeAlias = tuple[Any, BaseException | None, bool]  # item, error, whether it is the end
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")
_MAX_THREADS = 4  # per network; these are small and do not scale further
_POLL_S = 0.1  # how often a blocked stage checks whether it was cancelled

_stage = local()  # cancelled: in the thread of a stage, the event that ends it


class Cancelled(BaseException):
    """Ends the work of a stage whose consumer has ended."""


@contextmanager
def cancelled_by(event: Event) -> Iterator[None]:
    """Make the body, in this thread, a stage that ends with Cancelled soon after the event is set."""
    outer, _stage.cancelled = getattr(_stage, "cancelled", None), event
    try:
        yield
    finally:
        _stage.cancelled = outer


def raise_if_cancelled() -> None:
    """Raise Cancelled in a stage whose consumer has ended, for loops that may run long without an item; no effect elsewhere."""
    cancelled: Event | None = getattr(_stage, "cancelled", None)
    if cancelled is not None and cancelled.is_set():
        raise Cancelled


def available_cores() -> int:
    """Return the number of CPU cores this process may use: its CPU affinity, limited by OMP_NUM_THREADS."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = os.environ.get(THREAD_VARIABLES[0], "")
    return min(cores, int(limit)) if limit.isdecimal() and int(limit) else cores


def threads_per_stage() -> int:
    """Return the number of threads for each network; two networks run concurrently, next to the decoder."""
    return max(1, min(available_cores() // 2, _MAX_THREADS))


def prefetch(items: Iterable[Item], max_ahead: int) -> Generator[Item, None, None]:
    """Yield `items` in order, produced by a thread that buffers up to `max_ahead` of them.

    An exception raised by `items` is raised here, after the items before it. Close the generator if you do not
    exhaust it: that ends the thread and closes `items` if it is a generator. A stage within a stage ends with the outer one.
    """
    buffer: Queue[_Entry] = Queue(max_ahead)
    cancelled = Event()

    def put(item: Item | None, error: BaseException | None, end: bool) -> bool:
        """Add to the buffer when there is room. Returns False if cancelled."""
        while not cancelled.is_set():
            try:
                buffer.put((item, error, end), timeout=_POLL_S)
                return True
            except Full:
                continue
        return False

    def produce() -> None:
        source: Iterator[Item] = iter(items)
        try:
            with cancelled_by(cancelled):
                for item in source:
                    if not put(item, None, False):
                        return
                put(None, None, True)
        except BaseException as error:  # SystemExit, too, belongs to the consumer
            put(None, error, True)
        finally:
            if isinstance(source, Generator):
                source.close()

    thread = Thread(target=produce, name="resync-prefetch", daemon=True)
    thread.start()
    try:
        while True:
            item, error, end = _next(buffer)
            if error is not None:
                raise error
            if end:
                return
            yield item
    finally:
        cancelled.set()
        while thread.is_alive():
            try:
                buffer.get_nowait()  # the producer may be waiting for room
            except Empty:
                thread.join(_POLL_S)


def _next(buffer: Queue[_Entry]) -> _Entry:
    """The next entry of a buffer, once there is one. Raises Cancelled if the stage that waits for it is not needed any more."""
    while getattr(_stage, "cancelled", None) is not None:
        raise_if_cancelled()
        with suppress(Empty):
            return buffer.get(timeout=_POLL_S)
    return buffer.get()
