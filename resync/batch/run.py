"""From the files of a batch to their outcomes, as they come: one file or thousands."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import OutputError
from ..parallel import available_cores
from ..remux.paths import Overwrite
from ..report.result import Outcome
from .cache import ResultsCache
from .executors import Executor
from .inputs import Input, find_inputs, output_paths
from .jobs import Job, JobRunner


@dataclass(frozen=True)
class BatchOptions:
    """How a batch is run. jobs: processes; shard: (I, N), shard I of N; results: path of the results cache; dask: its scheduler."""

    recursive: bool = False
    jobs: int = 1
    shard: tuple[int, int] | None = None
    results: Path | None = None
    dask: str | None = None


class Finished(NamedTuple):
    """A job and its outcome; cached: known from an earlier run."""

    job: Job
    outcome: Outcome
    cached: bool


def check_jobs(files: Iterable[Path], options: BatchOptions) -> list[Job]:
    """A job for every file of this shard. Raises MediaError."""
    return [_placed(Job(file.path), options) for file in find_inputs(files, options.recursive) if _in_shard(file, options)]


def fix_jobs(
    files: Iterable[Path], folder: Path, options: BatchOptions, overwrite: Overwrite, on_skip: Callable[[Path], None] = lambda path: None
) -> list[Job]:
    """A job for every file of this shard, with its output in `folder`, which is created.

    on_skip: called with files that are outputs of resync themselves. Raises MediaError, and OutputError where two inputs
    would be written to one output.
    """
    inputs = find_inputs(files, options.recursive)
    for file in inputs:
        if file.is_own:
            on_skip(file.path)
    own = [file for file in inputs if not file.is_own]
    mine = {file.path for file in own if _in_shard(file, options)}
    pairs = [pair for pair in output_paths(own, folder) if pair[0] in mine]  # a clash with another shard counts, too
    _create_folders({target.parent for _, target in pairs})
    return [fix_job(source, target, options, overwrite) for source, target in pairs]


def fix_job(source: Path, target: Path, options: BatchOptions, overwrite: Overwrite) -> Job:
    """The job of one file with a given output."""
    return _placed(Job(source, target, overwrite, target.exists()), options)


def run_batch(
    jobs: list[Job],
    runner: JobRunner,
    options: BatchOptions = BatchOptions(),
    on_progress: Callable[[Job, Any], None] = lambda job, progress: None,
) -> Generator[Finished, None, None]:
    """Run all jobs and yield each outcome as it comes; cached ones first. A failed job does not stop the others.

    on_progress(job, progress): see `Executor`. Close the generator, so that an early end leaves no process running. Raises BatchError.
    """
    cache = ResultsCache(options.results, runner.settings()) if options.results else None
    cached = {job: outcome for job in jobs if cache and (outcome := cache.find(job))}
    for job, outcome in cached.items():
        yield Finished(job, outcome, True)
    with closing(_outcomes([job for job in jobs if job not in cached], runner, options, on_progress)) as outcomes:
        for job, outcome in outcomes:
            if cache:
                cache.add(job, outcome)
            yield Finished(job, outcome, False)


def _outcomes(
    jobs: list[Job], runner: JobRunner, options: BatchOptions, on_progress: Callable[[Job, Any], None]
) -> Generator[tuple[Job, Outcome], None, None]:
    """The outcome of each job: from a cluster, from processes, or from this process."""
    count = min(options.jobs, len(jobs))
    if options.dask:
        return Executor(runner.absolute(), Job.failed, Job.retry, on_progress).run_dask(jobs, options.dask)
    if count > 1:
        shared = runner.with_threads(max(1, available_cores() // count))  # of the detector; the executor limits the others
        return Executor(shared, Job.failed, Job.retry, on_progress).run_processes(jobs, count)
    return Executor(runner, Job.failed, Job.retry, on_progress).run_serial(jobs)


def _in_shard(file: Input, options: BatchOptions) -> bool:
    return options.shard is None or file.in_shard(*options.shard)


def _placed(job: Job, options: BatchOptions) -> Job:
    """Absolute paths for the machines of a cluster, which work in other folders."""
    return job._replace(source=job.source.absolute(), target=job.target and job.target.absolute()) if options.dask else job


def _create_folders(folders: set[Path]) -> None:
    for folder in sorted(folders):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise OutputError(f"{folder}: the folder cannot be created ({e.strerror}); name another one") from e
