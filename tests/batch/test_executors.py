"""Every job has exactly one result: in this process, in several, on a cluster, and when processes die."""

import multiprocessing
import os
import time
from contextlib import suppress

import pytest
from toy_jobs import (
    KILLED,
    CountedDouble,
    NotInstalled,
    ToyJob,
    double,
    exit_slowly,
    half_a_second,
    hang_in_the_second,
    lost,
    sleep_after_the_first,
)

from resync.batch.executors import Executor
from resync.batch.pool import Kind, Pool
from resync.errors import BatchError
from resync.parallel import available_cores


@pytest.fixture
def toys(tmp_path):
    """A function that returns `count` jobs; n3=1: one process that runs job 3 dies."""
    return lambda count, **deaths: [ToyJob(n, tmp_path, deaths.get(f"n{n}", 0)) for n in range(count)]


@pytest.fixture
def events():
    """A list of (number, progress), and the callback that fills it."""
    noted = []
    return noted, lambda job, progress: noted.append((job.number, progress))


def by_number(results):
    """{number: result}; fails for a job with two results."""
    out = {}
    for job, result in results:
        assert job.number not in out
        out[job.number] = result
    return out


def test_serial_runs_in_order_and_reports_progress(toys, events):
    noted, on_progress = events
    results = list(Executor(double, lost, on_progress=on_progress).run_serial(toys(3)))
    assert [(job.number, answer.value, answer.pid) for job, answer in results] == [(n, 2 * n, os.getpid()) for n in range(3)]
    assert noted == [(0, None), (0, 0), (1, None), (1, 1), (2, None), (2, 2)]


def test_processes_run_each_job_once_and_share_the_cores(toys, events, monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    noted, on_progress = events
    answers = by_number(Executor(double, lost, on_progress=on_progress).run_processes(toys(20), 2))
    assert {n: answer.value for n, answer in answers.items()} == {n: 2 * n for n in range(20)}
    pids = {answer.pid for answer in answers.values()}
    assert os.getpid() not in pids and 1 <= len(pids) <= 2
    assert {answer.threads for answer in answers.values()} == {str(max(1, available_cores() // 2))}
    assert sorted(noted, key=str) == sorted([(n, p) for n in range(20) for p in (None, n)], key=str)
    assert not multiprocessing.active_children()


def test_job_whose_process_dies_is_retried_once(toys):
    answers = by_number(Executor(double, lost, retry=ToyJob.retry).run_processes(toys(8, n3=1, n5=2), 2))
    assert sorted(answers) == list(range(8))
    assert answers[3][:2] == (6, 2)
    assert KILLED in answers[5] and "--jobs" in answers[5]
    assert all(answers[n][:2] == (2 * n, 1) for n in (0, 1, 2, 4, 6, 7))


def test_work_is_sent_to_each_process_once(toys, tmp_path):
    by_number(Executor(CountedDouble(tmp_path), lost).run_processes(toys(8), 2))
    pids = [path.name.split(".")[1] for path in tmp_path.glob("unpickled.*")]
    assert 1 <= len(pids) == len(set(pids)) <= 2


def test_early_end_leaves_no_process(toys):
    results = Executor(sleep_after_the_first, lost).run_processes(toys(4), 2)
    assert next(results)[1] == 0
    assert multiprocessing.active_children()
    results.close()
    assert not multiprocessing.active_children()


def test_interrupt_leaves_no_process(toys):
    """Ctrl-C while the jobs run."""

    def interrupt(job, progress):
        if job.number == 2:  # job 1 is running
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        by_number(Executor(sleep_after_the_first, lost, on_progress=interrupt).run_processes(toys(4), 2))
    assert not multiprocessing.active_children()


posix_only = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@posix_only
def test_job_that_hangs_is_given_up_and_the_others_go_on(toys, tmp_path):
    """Its process ends, with the programs that it started, and what it left behind is cleared away."""
    cleared = []
    executor = Executor(hang_in_the_second, lost, clear=lambda job: cleared.append(job.number))
    results = by_number(executor.run_processes(toys(4), 1, timeout_s=2.0))
    assert results.pop(1).startswith("gave up after 2 s") and results == {0: 0, 2: 2, 3: 3}
    assert cleared == [1] and not multiprocessing.active_children()
    assert_ended(int((tmp_path / "program").read_text()))


def assert_ended(pid):
    """A process that is no child of this one ends, or is a zombie that nobody has asked about."""
    until = time.monotonic() + 30
    while os.path.exists(f"/proc/{pid}"):
        with suppress(OSError), open(f"/proc/{pid}/stat") as stat:
            if stat.read().rsplit(")", 1)[1].split()[0] == "Z":
                return
        assert time.monotonic() < until
        time.sleep(0.05)


def test_time_that_results_wait_to_be_read_is_no_fault_of_a_job(toys):
    results = {}
    for job, result in Executor(half_a_second, lost).run_processes(toys(6), 2, timeout_s=2.0):
        results[job.number] = result
        time.sleep(2.5 if job.number == 0 else 0)
    assert results == {n: n for n in range(6)}


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM")
def test_process_that_is_terminated_while_it_ends_is_silent(toys, capfd):
    (job,) = toys(1)
    pool = Pool(exit_slowly, 1)
    pool.submit(job)
    while not any(event.kind is Kind.RESULT for event in pool.wait()):
        pass
    (process,) = multiprocessing.active_children()
    for pipe in pool._processes:
        pipe.close()  # it ends of its own accord now
    until = time.monotonic() + 30
    while not (job.folder / "ending").exists() and time.monotonic() < until:
        time.sleep(0.01)
    pool.close()
    assert process.exitcode == 0 and capfd.readouterr().err == ""


@pytest.mark.parametrize("workers", [1, 2])
def test_dask_survives_the_death_of_workers(toys, tmp_path, workers, recwarn):
    """With one worker, all that follows a death runs on the worker that was restarted."""
    distributed = pytest.importorskip("distributed")
    import dask

    with (
        dask.config.set({"distributed.scheduler.allowed-failures": 0}),  # jobs queued on a dead worker fail with it
        distributed.LocalCluster(n_workers=workers, threads_per_worker=1, dashboard_address=None) as cluster,
    ):
        plugins = set(cluster.scheduler.worker_plugins)
        executor = Executor(CountedDouble(tmp_path), lost, retry=ToyJob.retry)
        answers = by_number(executor.run_dask(toys(12, n4=1, n6=99), cluster.scheduler_address))
        assert set(cluster.scheduler.worker_plugins) == plugins, "the work was left on the cluster"
    assert sorted(answers) == list(range(12))
    assert "KilledWorker" in answers.pop(6)
    assert all(answer.value == 2 * n for n, answer in answers.items())
    pids = [path.name.split(".")[1] for path in tmp_path.glob("unpickled.*") if path.name.split(".")[1] != str(os.getpid())]
    assert len(pids) == len(set(pids)), "a worker got the work twice"
    assert {str(answer.pid) for answer in answers.values()} <= set(pids)
    assert not [w for w in recwarn if issubclass(w.category, (DeprecationWarning, FutureWarning)) and "plugin" in str(w.message)]


@posix_only
def test_dask_gives_up_a_job_that_hangs(toys, tmp_path):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, threads_per_worker=2, dashboard_address=None) as cluster:
        results = by_number(Executor(hang_in_the_second, lost).run_dask(toys(4), cluster.scheduler_address, timeout_s=2.0))
    assert results.pop(1).startswith("gave up after 2 s") and results == {0: 0, 2: 2, 3: 3}
    assert_ended(int((tmp_path / "program").read_text()))


@pytest.mark.parametrize(("content", "why"), [(None, "No such file"), ("", "names no scheduler"), ("[]", "names"), ('{"address": 3}', "3")])
def test_scheduler_file_without_a_scheduler_is_one_line(toys, tmp_path, content, why):
    """Dask itself would wait for it without end."""
    pytest.importorskip("distributed")
    path = tmp_path / "cluster.json"
    if content is not None:
        path.write_text(content)
    with pytest.raises(BatchError, match=f"^[^\n]*{why}[^\n]*; start one with `dask scheduler`$"):
        list(Executor(double, lost).run_dask(toys(1), str(path)))


def test_dask_workers_that_cannot_load_the_work_are_one_line(toys):
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=1, processes=False, dashboard_address=None) as cluster:
        with pytest.raises(BatchError, match="^inproc:[^\n]* cannot load resync [^\n]*not_installed[^\n]*; install[^\n]*$"):
            list(Executor(NotInstalled(), lost).run_dask(toys(1), cluster.scheduler_address))


def test_missing_dask_scheduler_is_one_line(toys):
    pytest.importorskip("distributed")
    import dask

    with pytest.raises(BatchError, match="^tcp://127.0.0.1:9: no Dask scheduler answers there[^\n]*$"):
        with dask.config.set({"distributed.comm.timeouts.connect": "1s"}):
            list(Executor(double, lost).run_dask(toys(1), "tcp://127.0.0.1:9"))
