"""Every job has one result: in this process, in several, on a cluster, and when processes die."""

import atexit
import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import NamedTuple

import pytest

from resync.batch import Batch, _Pool
from resync.errors import BatchError
from resync.threads import cores


class Toy(NamedTuple):
    """A job. deaths: how often it kills the process that does it; each is noted in `folder`."""

    number: int
    folder: Path
    deaths: int = 0
    trial: int = 1

    def again(self):
        return self._replace(trial=2)


def double(job, tell):
    note = job.folder / f"{job.number}.{os.getpid()}"
    if len(list(job.folder.glob(f"{job.number}.*"))) < job.deaths:
        note.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    if tell:
        tell(job.number)
    return 2 * job.number, job.trial, os.getpid(), os.environ.get("OMP_NUM_THREADS")


def slow(job, tell):
    time.sleep(600)


def ends_slowly(job, tell):
    """As a process does that has much imported."""

    def end():
        (job.folder / "ending").touch()
        time.sleep(0.5)

    atexit.register(end)


def lost(job, why):
    return why


@pytest.fixture
def toys(tmp_path):
    return lambda count, **deaths: [Toy(n, tmp_path, deaths.get(f"n{n}", 0)) for n in range(count)]


def by_number(results):
    """{number: result}; no job twice."""
    out = {}
    for job, result in results:
        assert job.number not in out
        out[job.number] = result
    return out


def test_here_in_order_and_told(toys):
    told = []
    found = list(Batch(double, lost, told=lambda job, progress: told.append((job.number, progress))).here(toys(3)))
    assert [(job.number, result[0]) for job, result in found] == [(0, 0), (1, 2), (2, 4)]
    assert told == [(0, None), (0, 0), (1, None), (1, 1), (2, None), (2, 2)]


def test_processes_do_each_job_once_and_share_the_cores(toys, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    told = []
    batch = Batch(double, lost, told=lambda job, progress: told.append((job.number, progress)))
    found = by_number(batch.in_processes(toys(20), 2))
    assert {n: r[0] for n, r in found.items()} == {n: 2 * n for n in range(20)}
    assert os.getpid() not in {r[2] for r in found.values()} and 1 <= len({r[2] for r in found.values()}) <= 2
    assert {r[3] for r in found.values()} == {str(max(1, cores() // 2))}
    assert sorted(told, key=str) == sorted([(n, p) for n in range(20) for p in (None, n)], key=str)
    assert not multiprocessing.active_children()


def test_a_job_whose_process_dies_is_tried_once_more(toys):
    found = by_number(Batch(double, lost, again=Toy.again).in_processes(toys(8, n3=1, n5=2), 2))
    assert sorted(found) == list(range(8))
    assert found[3][:2] == (6, 2)  # the second trial
    assert "signal 9" in found[5] and "--jobs" in found[5]
    assert all(found[n][:2] == (2 * n, 1) for n in (0, 1, 2, 4, 6, 7))


def test_an_end_before_time_leaves_no_process(toys):
    began = []
    results = Batch(slow, lost, told=lambda job, progress: began.append(job)).in_processes(toys(4), 2)
    monitor = multiprocessing.active_children
    signal.signal(signal.SIGALRM, lambda *_: (_ for _ in ()).throw(TimeoutError))
    signal.setitimer(signal.ITIMER_REAL, 3)
    with pytest.raises(TimeoutError):
        next(results)
    assert len(began) == 2 and not monitor()


def test_a_process_that_is_told_to_end_while_it_ends_is_silent(toys, capfd):
    (job,) = toys(1)
    pool = _Pool(ends_slowly, 1)
    pipe = pool.give(job)
    assert pipe.recv() == (True, None)
    (process,) = pool._processes.values()
    pipe.close()  # from now on it ends by itself
    until = time.monotonic() + 30
    while not (job.folder / "ending").exists() and time.monotonic() < until:
        time.sleep(0.01)
    pool.close()
    assert process.exitcode == 0 and capfd.readouterr().err == ""


def test_dask_loses_and_doubles_nothing_when_workers_die(toys):
    distributed = pytest.importorskip("distributed")
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),  # jobs that lay on a dead worker fail with it
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        batch = Batch(double, lost, again=Toy.again)
        found = by_number(batch.on_dask(toys(12, n4=1, n6=99), cluster.scheduler_address))
    assert sorted(found) == list(range(12))
    assert "KilledWorker" in found.pop(6)
    assert all(result[0] == 2 * n for n, result in found.items())


def test_no_cluster_is_one_line(toys):
    pytest.importorskip("distributed")
    with pytest.raises(BatchError, match="tcp://127.0.0.1:9: no Dask scheduler"):
        import dask

        with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
            list(Batch(double, lost).on_dask(toys(1), "tcp://127.0.0.1:9"))
