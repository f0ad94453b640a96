"""Stages side by side: the same items in the same order, not too many, and nothing left running."""

import os
import threading
import time
from contextlib import closing

import pytest

from resync import threads
from resync.threads import ahead

SOON_S = 5.0  # much longer than a thread needs to end


class Source:
    """Counts what was asked of it; may fail after some items."""

    def __init__(self, count, fails_after=None):
        self.count, self.fails_after = count, fails_after
        self.made, self.closed = 0, threading.Event()

    def __iter__(self):
        try:
            for n in range(self.count):
                if n == self.fails_after:
                    raise KeyError("broken")
                self.made += 1
                yield n
        finally:
            self.closed.set()


def stages():
    return [t for t in threading.enumerate() if t.name == "resync-ahead"]


def settled(source, least):
    """How many items it has made, when it has made so many and some time to make more."""
    until = time.monotonic() + SOON_S
    while source.made < least and time.monotonic() < until:
        time.sleep(0.01)
    time.sleep(0.15)
    return source.made


@pytest.fixture(autouse=True)
def none_left():
    assert stages() == []
    yield
    assert stages() == []


@pytest.mark.parametrize("most", [1, 3, 100])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_all_items_in_order(count, most):
    assert list(ahead(Source(count), most)) == list(range(count))
    assert list(ahead(list(range(count)), most)) == list(range(count))  # any iterable will do
    assert list(ahead([None] * count, most)) == [None] * count


def test_they_are_made_in_another_thread():
    def makers():
        while True:
            yield threading.current_thread()

    items = ahead(makers(), 1)
    assert next(items) is not threading.current_thread()
    items.close()


@pytest.mark.parametrize("most", [1, 2, 7])
def test_it_is_ahead_but_not_by_more(most):
    source = Source(50)
    items = ahead(source, most)
    assert source.made == 0  # nothing before the first is asked for
    for taken in range(1, 5):
        next(items)
        # those that wait, and the one that is to be put as soon as there is room
        assert taken + most <= settled(source, taken + most) <= taken + most + 1
    items.close()


@pytest.mark.parametrize("fails_after", [0, 3, 9])
def test_an_exception_comes_after_the_items_before_it(fails_after):
    source, got = Source(20, fails_after), []
    with pytest.raises(KeyError, match="broken"):
        for item in ahead(source, 4):
            got.append(item)
    assert got == list(range(fails_after)) and source.closed.is_set()


def test_an_exception_tells_where_it_was_raised():
    with pytest.raises(KeyError) as error:
        list(ahead(Source(9, 2), 1))
    assert "__iter__" in [entry.name for entry in error.traceback]


def test_even_an_exit_is_raised_here():
    def leaves():
        yield 1
        raise SystemExit(3)

    items = ahead(leaves(), 1)
    assert next(items) == 1
    with pytest.raises(SystemExit):
        next(items)


@pytest.mark.parametrize("taken", [1, 5])
def test_closed_early_it_ends_its_thread_and_closes_the_source(taken):
    source = Source(10**9)
    held = iter(source)  # or it would be closed when it is forgotten
    items = ahead(held, 2)
    for _ in range(taken):
        next(items)
    assert len(stages()) == 1
    began = time.monotonic()
    items.close()
    assert stages() == [] and source.closed.is_set() and time.monotonic() - began < SOON_S
    assert source.made <= taken + 4  # it was not used up


def test_closed_before_the_first_it_starts_nothing():
    source = Source(3)
    ahead(source, 2).close()
    assert stages() == [] and source.made == 0


def test_whoever_takes_the_items_may_fail():
    source = Source(10**9)
    with pytest.raises(ZeroDivisionError), closing(ahead(source, 2)) as items:
        for item in items:
            item / 0
    assert source.closed.is_set() and stages() == []


def test_one_behind_the_other_both_end():
    source = Source(10**9)

    def doubled():
        inner = ahead(source, 2)
        try:
            for item in inner:
                yield 2 * item
        finally:
            inner.close()

    items = ahead(doubled(), 2)
    assert [next(items) for _ in range(4)] == [0, 2, 4, 6]
    assert len(stages()) == 2
    items.close()
    assert stages() == [] and source.closed.is_set()


def test_cores_heed_the_setting(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(6)), raising=False)
    for told, cores in (("1", 1), ("4", 4), ("6", 6), ("64", 6)):
        monkeypatch.setenv("OMP_NUM_THREADS", told)
        assert threads.cores() == cores
    monkeypatch.delenv("OMP_NUM_THREADS")
    assert threads.cores() == 6


@pytest.mark.parametrize("nonsense", ["", " ", "0", "00", "-2", "many", "1.5", "2,2", "²", "1e3", "0x4"])
def test_cores_do_not_heed_nonsense(monkeypatch, nonsense):
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {0, 1, 2}, raising=False)
    monkeypatch.setenv("OMP_NUM_THREADS", nonsense)
    assert threads.cores() == 3


@pytest.mark.parametrize("count, cores", [(None, 1), (5, 5)])
def test_cores_where_nothing_tells_which_may_be_used(monkeypatch, count, cores):
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: count)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert threads.cores() == cores


@pytest.mark.parametrize("cores, expected", [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4), (64, 4)])
def test_threads_of_a_stage(monkeypatch, cores, expected):
    monkeypatch.setattr(threads, "cores", lambda: cores)
    assert threads.stage_threads() == expected
