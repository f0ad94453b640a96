"""What a batch does with one file: analyse or fix it, and turn every error into an outcome."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from .. import __version__
from ..api import Analyzer, FixOptions
from ..config import Config
from ..errors import ResyncError
from ..remux.paths import Overwrite
from ..report.result import Outcome
from ..syncnet.checkpoint import default_weights_path, sha256_of, verify_checksum


class Job(NamedTuple):
    """One file. target: where its corrected copy goes, None to only check it; existed: whether the target existed before the batch."""

    source: Path
    target: Path | None = None
    overwrite: Overwrite = Overwrite.NEVER
    existed: bool = False

    def retry(self) -> Job:
        """For a second try: what the first one may have written before it died is not in the way."""
        return self if self.existed else self._replace(overwrite=Overwrite.ANY)

    def failed(self, why: str) -> Outcome:
        """The outcome of a job that did not finish."""
        return Outcome(str(self.source), target=None if self.target is None else str(self.target), error=f"{self.source}: {why}")


class JobRunner:
    """Runs the jobs of a batch: called with a job, it returns the Outcome and raises nothing.

    Every process has one, which loads the network once. audio: an external recording for every job.
    options: how to fix; for jobs without a target only its plot, overwrite and each_track count.
    """

    def __init__(self, config: Config, audio: Path | None = None, options: FixOptions = FixOptions()):
        self.analyzer, self.audio, self.options = Analyzer(config), audio, options

    def __call__(self, job: Job, on_progress: Callable[[Any], None] | None = None) -> Outcome:
        """See `Executor.work`."""
        try:
            return self._run(job, on_progress)
        except ResyncError as error:
            return replace(job.failed(""), error=str(error))
        except Exception as error:  # one strange file must not end a batch of thousands
            at = traceback.extract_tb(error.__traceback__)[-1]
            message = " ".join(f"{type(error).__name__} {error}".split())
            return job.failed(f"unexpected {message} (at {Path(at.filename).name}:{at.lineno}); please report this")

    def _run(self, job: Job, on_progress: Callable[[Any], None] | None) -> Outcome:
        if job.target is None:
            plot, overwrite = self.options.plot, self.options.overwrite
            report = self.analyzer.analyze(
                job.source, audio=self.audio, all_tracks=self.options.each_track, plot=plot, overwrite=overwrite, progress=on_progress
            )
            return Outcome(str(job.source), report)
        options = replace(self.options, overwrite=job.overwrite)
        report, written = self.analyzer.fix(job.source, job.target, options, audio=self.audio, progress=on_progress)
        return Outcome(str(job.source), report, str(job.target), None if written is None else written.to_dict())

    def with_threads(self, threads: int) -> JobRunner:
        """The same with another number of detector threads."""
        config = self.analyzer.config
        return JobRunner(replace(config, faces=replace(config.faces, threads=threads)), self.audio, self.options)

    def absolute(self) -> JobRunner:
        """The same with absolute paths, for machines that work in other folders."""
        config = self.analyzer.config
        weights = config.weights and str(Path(config.weights).absolute())
        export, plot = (path and Path(path).absolute() for path in (self.options.export, self.options.plot))
        options = replace(self.options, export=export, plot=plot)
        return JobRunner(replace(config, weights=weights), self.audio and self.audio.absolute(), options)

    def settings(self) -> str:
        """A digest of everything that the outcome for a given file depends on. Raises WeightsError."""
        config = self.analyzer.config
        path = Path(config.weights) if config.weights else default_weights_path()
        verify_checksum(path)
        audio = self.audio and (str(self.audio.absolute()), *file_stamp(self.audio))
        options = replace(self.options, overwrite=Overwrite.NEVER)
        return hashlib.sha256(repr((__version__, sha256_of(path), config, audio, options)).encode()).hexdigest()[:16]


def file_stamp(path: Path) -> tuple[int, int]:
    """Size and modification time (ns) of a file, by which a change is noticed; (0, 0) where there is none."""
    try:
        stat = path.stat()
    except OSError:
        return 0, 0
    return stat.st_size, stat.st_mtime_ns
