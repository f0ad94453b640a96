"""The end of a process on a signal: with cleaning up, and soon even where code hangs.

A signal raises SystemExit in the main thread, which unwinds as for any error. Code that does not return (a decoder that hangs, a thread
that is waited for) would hold that up, so the process ends after `GRACE_S` in any case; what must not be left behind then, such as
child processes and temporary files, is named with `cleanup` while it exists.
"""

from __future__ import annotations

import _thread
import atexit
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress

GRACE_S = 1.2  # for unwinding
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")

_cleanups: dict[object, tuple[int, Callable[[], object]]] = {}  # the thread that left each, and what to do
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_cleanups.clear)  # they belong to the parent


@contextmanager
def cleanup(action: Callable[[], object]) -> Iterator[None]:
    """While the body runs, `action` is what has to be done if this process ends at once."""
    key = object()
    _cleanups[key] = threading.get_ident(), action
    try:
        yield
    finally:
        del _cleanups[key]


def clean_up(threads: Container[int] | None = None) -> None:
    """Do what the running bodies of `cleanup` left to do, the latest first; only those in some threads, if given."""
    for thread, action in reversed(list(_cleanups.values())):
        if threads is None or thread in threads:
            with suppress(Exception):
                action()


def end_on_signals(names: tuple[str, ...] = SIGNALS) -> Callable[[], None]:
    """From now on these signals end this process with 128 + number as its exit code; returns a function that undoes this.

    A further signal changes nothing. One that is ignored already (`nohup`, a background job of a shell) stays ignored.
    """
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]  # Windows has no SIGHUP
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}

    def end(number: int, frame: object) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        before.clear()  # they stay ignored
        atexit.register(_leave, 128 + number)
        _thread.start_new_thread(_end_soon, (128 + number,))  # not threading.Thread: its locks may be held by the code interrupted
        sys.exit(128 + number)

    def undo() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)

    for number in before:
        signal.signal(number, end)
    return undo


def _leave(code: int) -> None:
    """End without the rest of Python's own clean-up, which aborts where a thread is in the middle of native code."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or nobody reads it
            stream.flush()
    os._exit(code)


def _end_soon(code: int) -> None:
    time.sleep(GRACE_S)
    clean_up()
    os._exit(code)
