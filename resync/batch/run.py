"""From the files of a batch to their outcomes, as they come: one file or thousands."""

from __future__ import annotations

import logging
import math
import os
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, cast

from ..errors import OutputError
from ..parallel import available_cores
from ..remux.distinct import require_distinct
from ..remux.paths import Overwrite
from .cache import ResultsCache
from .executors import Executor
from .inputs import Input, find_inputs, output_paths
from .interfaces import EarlierOutcomes, JobT, OutcomeT, Runner
from .jobs import Job, JobRunner

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class BatchOptions:
    """How a batch is run. jobs: processes; shard: (I, N), shard I of N; results: path of the results cache; dask: its scheduler.

    timeout_s: a file that takes longer is given up.
    """

    recursive: bool = False
    jobs: int = 1
    shard: tuple[int, int] | None = None
    results: Path | None = None
    dask: str | None = None
    timeout_s: float = math.inf


class Finished(NamedTuple, Generic[JobT, OutcomeT]):
    """A job and its outcome; cached: known from an earlier run."""

    job: JobT
    outcome: OutcomeT
    cached: bool


def check_jobs(files: Iterable[Path], options: BatchOptions) -> list[Job]:
    """A job for every file of this shard. Raises MediaError."""
    return [_placed(Job(file.path), options) for file in find_inputs(files, options.recursive) if in_shard(file, options)]


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
    mine = {file.path for file in own if in_shard(file, options)}
    pairs = [pair for pair in output_paths(own, folder) if pair[0] in mine]  # a clash with another shard counts, too
    require_distinct((target for _, target in pairs), (file.path for file in inputs))
    create_folders({target.parent for _, target in pairs})
    return [fix_job(source, target, options, overwrite) for source, target in pairs]


def report_targets(files: Iterable[Path], folder: Path, suffix: str, options: BatchOptions) -> list[tuple[str, Path]]:
    """(file, path) for every file of this shard: where something about it goes, NAME.EXT and `suffix` in `folder`, which is created.

    The files are named as in the outcomes of `check_jobs`. Raises OutputError.
    """
    inputs = find_inputs(files, options.recursive)
    mine = {file.path for file in inputs if in_shard(file, options)}
    pairs = [pair for pair in output_paths(inputs, folder, lambda path: path.name + suffix) if pair[0] in mine]
    create_folders({target.parent for _, target in pairs})
    return [(str(_placed(Job(source), options).source), target) for source, target in pairs]


def fix_job(source: Path, target: Path, options: BatchOptions, overwrite: Overwrite) -> Job:
    """The job of one file with a given output."""
    return _placed(Job(source, target, overwrite, os.path.exists(target)), options)


def run_batch(
    jobs: list[JobT],
    runner: Runner[JobT, OutcomeT],
    options: BatchOptions = BatchOptions(),
    on_progress: Callable[[JobT, Any], None] = lambda job, progress: None,
    earlier: EarlierOutcomes[JobT, OutcomeT] | None = None,
) -> Generator[Finished[JobT, OutcomeT], None, None]:
    """Run all jobs and yield each outcome as it comes; cached ones first. A failed job does not stop the others.

    on_progress(job, progress): see `Executor`. earlier: by default, the results cache of the options, which is for a Job.
    Close the generator, so that an early end leaves no process running. Raises BatchError.
    """
    with ExitStack() as stack:
        cache, waiting = earlier, []
        if cache is None and options.results:
            require_distinct([options.results], (path for job in cast(list[Job], jobs) for path in (job.source, job.target) if path))
            opened = stack.enter_context(closing(ResultsCache(options.results, cast(JobRunner, runner))))
            cache = cast(EarlierOutcomes, opened)
        for job in jobs:
            if cache and (outcome := cache.find(job)):
                logger.info("%s: cached result", job.source)
                yield Finished(job, outcome, True)
            else:
                waiting.append(job)
        for job, outcome in stack.enter_context(closing(_outcomes(waiting, runner, options, on_progress))):
            if cache:
                cache.add(job, outcome)
            yield Finished(job, outcome, False)


def _outcomes(
    jobs: list[JobT], runner: Runner[JobT, OutcomeT], options: BatchOptions, on_progress: Callable[[JobT, Any], None]
) -> Generator[tuple[JobT, OutcomeT], None, None]:
    """The outcome of each job: from a cluster, from processes, or from this process."""
    count, timeout_s = max(min(options.jobs, len(jobs)), 1), options.timeout_s
    if options.dask:
        runner = runner.absolute()
    elif count > 1:
        runner = runner.with_threads(max(1, available_cores() // count))  # of the detector; the executor limits the others
    executor = Executor(runner, lambda job, why: job.failed(why), lambda job: job.retry(), on_progress, runner.clear)
    if options.dask:
        return executor.run_dask(jobs, options.dask, timeout_s)
    if count > 1 or timeout_s < math.inf:  # a file that hangs can only be given up with its process
        return executor.run_processes(jobs, count, timeout_s)
    return executor.run_serial(jobs)


def in_shard(file: Input, options: BatchOptions) -> bool:
    """Whether this run is to process a file."""
    return options.shard is None or file.in_shard(*options.shard)


def _placed(job: Job, options: BatchOptions) -> Job:
    """Absolute paths for the machines of a cluster, which work in other folders."""
    return job._replace(source=job.source.absolute(), target=job.target and job.target.absolute()) if options.dask else job


def create_folders(folders: set[Path]) -> None:
    """Create these folders, and those above them. Raises OutputError."""
    for folder in sorted(folders):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as e:
            raise OutputError(f"{folder}: the folder cannot be created ({e.strerror}); name another one") from e
