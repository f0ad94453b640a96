"""The end of a process on a signal: with cleaning up, and soon even where code hangs.

A signal raises SystemExit in the main thread, which unwinds as for any error. Native code that does not return (a decoder that hangs)
would hold that up, or even the signal itself, so a thread that is woken by the signal ends the process after `GRACE_S` in any case;
what must not be left behind then, such as child processes and temporary files, is named with `cleanup` while it exists.
"""

from __future__ import annotations

import atexit
import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Container, Iterator
from contextlib import contextmanager, suppress

GRACE_S = 1.2  # for unwinding
SIGNALS = ("SIGINT", "SIGTERM", "SIGHUP")

_sockets: list[socket.socket] = []  # to which the system sends signals, kept open as long as it may do so
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
        _cleanups.pop(key, None)


def clean_up(threads: Container[int] | None = None) -> None:
    """Do what the running bodies of `cleanup` left to do, the latest first; only those in some threads, if given."""
    for thread, action in reversed(list(_cleanups.values())):
        if threads is None or thread in threads:
            with suppress(Exception):
                action()


def end_on_signals(names: tuple[str, ...] = SIGNALS, grace_s: float = GRACE_S) -> Callable[[], None]:
    """From now on these signals end this process with 128 + number as its exit code; returns a function that undoes this.

    A further signal changes nothing. One that is ignored already (`nohup`, a background job of a shell) stays ignored. Call it in
    the main thread.
    """
    numbers = [getattr(signal, name) for name in names if hasattr(signal, name)]  # Windows has no SIGHUP
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) is not signal.SIG_IGN}
    wakes, woken = socket.socketpair()
    wakes.setblocking(False)
    _sockets.append(wakes)
    arguments = woken, wakes, set(before), grace_s
    threading.Thread(target=_end_soon, args=arguments, name="resync-shutdown", daemon=True).start()
    wakeup_before = signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)

    def end(number: int, frame: object) -> None:
        for other in before:
            signal.signal(other, signal.SIG_IGN)
        before.clear()  # they stay ignored
        atexit.register(_leave, 128 + number)
        sys.exit(128 + number)

    def undo() -> None:
        for number, handler in before.items():
            signal.signal(number, handler)
        if before:
            signal.set_wakeup_fd(wakeup_before)
            _sockets.remove(wakes)
            wakes.close()

    for number in before:
        signal.signal(number, end)
    return undo


def _leave(code: int) -> None:
    """End without the rest of Python's own clean-up, which aborts where a thread is in the middle of native code."""
    for stream in (sys.stdout, sys.stderr):
        with suppress(Exception):  # closed, or nobody reads it
            stream.flush()
    os._exit(code)


def _end_soon(woken: socket.socket, wakes: socket.socket, numbers: Container[int], grace_s: float) -> None:
    """End this process grace_s after one of the signals, if it has not ended by then. Their numbers come from `wakes` to `woken`."""
    with woken:
        while number := woken.recv(1):
            if number[0] in numbers:
                time.sleep(grace_s)
                clean_up()
                os._exit(128 + number[0])
