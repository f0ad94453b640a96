"""Prefetching: the same items in the same order, a bounded buffer, no thread left behind. And the number of threads."""

import os
import threading
import time
from contextlib import closing

import pytest

from resync.parallel import available_cores, prefetch, raise_if_cancelled, threads_per_stage

TIMEOUT_S = 60.0  # only a failing test waits this long
GRACE_S = 0.2  # how long a test waits for what must not happen


class Source:
    """An iterable that counts the items it produced; it may fail after some of them."""

    def __init__(self, count, fails_after=None):
        self.count, self.fails_after = count, fails_after
        self.produced, self.changed = 0, threading.Condition()
        self.closed = threading.Event()

    def __iter__(self):
        try:
            for n in range(self.count):
                if n == self.fails_after:
                    raise KeyError("broken")
                with self.changed:
                    self.produced += 1
                    self.changed.notify_all()
                yield n
        finally:
            self.closed.set()

    def reaches(self, count, timeout_s=TIMEOUT_S):
        """Wait until `count` items are produced; False after the timeout."""
        with self.changed:
            return self.changed.wait_for(lambda: self.produced >= count, timeout_s)


def prefetch_threads():
    return [thread for thread in threading.enumerate() if thread.name == "resync-prefetch"]


@pytest.fixture(autouse=True)
def no_thread_left():
    assert prefetch_threads() == []
    yield
    assert prefetch_threads() == []


@pytest.mark.parametrize("max_ahead", [1, 3, 100])
@pytest.mark.parametrize("count", [0, 1, 50])
def test_all_items_in_order(count, max_ahead):
    assert list(prefetch(Source(count), max_ahead)) == list(range(count))
    assert list(prefetch(list(range(count)), max_ahead)) == list(range(count))  # any iterable
    assert list(prefetch([None] * count, max_ahead)) == [None] * count


def test_items_are_produced_in_another_thread():
    def producers():
        while True:
            yield threading.current_thread()

    with closing(prefetch(producers(), 1)) as items:
        assert next(items) is not threading.current_thread()


@pytest.mark.parametrize("max_ahead", [1, 2, 7])
def test_buffer_is_filled_and_bounded(max_ahead):
    source = Source(50)
    with closing(prefetch(source, max_ahead)) as items:
        assert source.produced == 0  # lazy: nothing before the first item is requested
        for consumed in range(1, 5):
            next(items)
            # one more than the buffer holds: the item that waits for room
            assert source.reaches(consumed + max_ahead + 1)
            assert source.produced == consumed + max_ahead + 1
        assert not source.reaches(consumed + max_ahead + 2, GRACE_S)


@pytest.mark.parametrize("fails_after", [0, 3, 9])
def test_error_is_raised_after_the_items_before_it(fails_after):
    source, items = Source(20, fails_after), []
    with pytest.raises(KeyError, match="broken"):
        for item in prefetch(source, 4):
            items.append(item)
    assert items == list(range(fails_after)) and source.closed.is_set()


def test_traceback_shows_where_the_error_was_raised():
    with pytest.raises(KeyError) as error:
        list(prefetch(Source(9, 2), 1))
    assert "__iter__" in [entry.name for entry in error.traceback]


def test_system_exit_reaches_the_consumer():
    def exits():
        yield 1
        raise SystemExit(3)

    items = prefetch(exits(), 1)
    assert next(items) == 1
    with pytest.raises(SystemExit):
        next(items)


@pytest.mark.parametrize("consumed", [1, 5])
def test_closing_ends_the_thread_and_closes_the_source(consumed):
    source = Source(10**9)
    iterator = iter(source)  # kept: a garbage-collected generator would be closed anyway
    items = prefetch(iterator, 2)
    for _ in range(consumed):
        next(items)
    assert len(prefetch_threads()) == 1
    items.close()
    assert prefetch_threads() == [] and source.closed.is_set()
    assert source.produced <= consumed + 4  # buffered, waiting, and one while the buffer is emptied


def test_closing_before_the_first_item_starts_nothing():
    source = Source(3)
    prefetch(source, 2).close()
    assert prefetch_threads() == [] and source.produced == 0


def test_error_in_the_consumer_ends_the_thread():
    source = Source(10**9)
    with pytest.raises(ZeroDivisionError), closing(prefetch(source, 2)) as items:
        for item in items:
            item / 0
    assert source.closed.is_set() and prefetch_threads() == []


def test_chained_stages_end_together():
    source = Source(10**9)

    def doubled():
        with closing(prefetch(source, 2)) as items:
            for item in items:
                yield 2 * item

    items = prefetch(doubled(), 2)
    assert [next(items) for _ in range(4)] == [0, 2, 4, 6]
    assert len(prefetch_threads()) == 2
    items.close()
    assert prefetch_threads() == [] and source.closed.is_set()


@pytest.fixture
def set_affinity(monkeypatch):
    """Set the cores the process may run on; None: a system that cannot report them. OMP_NUM_THREADS is unset."""
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)

    def set_cores(count):
        if count is None:
            monkeypatch.delattr(os, "sched_getaffinity", raising=False)
        else:
            monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(count)), raising=False)

    return set_cores


@pytest.mark.parametrize("value, cores", [(None, 6), ("1", 1), ("4", 4), ("6", 6), ("64", 6)])
def test_omp_num_threads_limits_the_cores(monkeypatch, set_affinity, value, cores):
    set_affinity(6)
    if value:
        monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert available_cores() == cores


@pytest.mark.parametrize("value", ["", " ", "0", "00", "-2", "many", "1.5", "2,2", "²", "1e3", "0x4"])
def test_invalid_omp_num_threads_is_ignored(monkeypatch, set_affinity, value):
    set_affinity(3)
    monkeypatch.setenv("OMP_NUM_THREADS", value)
    assert available_cores() == 3


@pytest.mark.parametrize("cpu_count, cores", [(None, 1), (5, 5)])
def test_without_affinity_all_cores_are_available(monkeypatch, set_affinity, cpu_count, cores):
    set_affinity(None)
    monkeypatch.setattr(os, "cpu_count", lambda: cpu_count)
    assert available_cores() == cores


@pytest.mark.parametrize("cores, threads", [(1, 1), (2, 1), (3, 1), (4, 2), (8, 4), (64, 4)])
def test_a_stage_gets_half_of_the_cores_up_to_four(set_affinity, cores, threads):
    set_affinity(cores)
    assert threads_per_stage() == threads


def test_a_stage_within_a_stage_ends_with_the_outer_one():
    """It does not finish the item of the outer stage, which nobody wants any more."""

    def slowly():
        for n in range(1000):
            time.sleep(0.02)
            yield n

    def gathered():
        yield 0
        with closing(prefetch(slowly(), 4)) as items:
            yield sum(items)

    outer = prefetch(gathered(), 1)
    assert next(outer) == 0
    began = time.monotonic()
    outer.close()
    assert time.monotonic() - began < 5
    assert not [thread for thread in threading.enumerate() if thread.name == "resync-prefetch"]


def test_a_loop_without_items_ends_with_its_consumer():
    def searching():
        yield 0
        until = time.monotonic() + 20
        while time.monotonic() < until:
            raise_if_cancelled()

    stage = prefetch(searching(), 1)
    assert next(stage) == 0
    began = time.monotonic()
    stage.close()
    assert time.monotonic() - began < 5
    raise_if_cancelled()  # in the consumer it has no effect
