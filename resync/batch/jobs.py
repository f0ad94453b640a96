"""What a batch does with one file: analyse or fix it, and turn every error into an outcome."""

from __future__ import annotations

import logging
import tempfile
import time
import traceback
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from ..api import Analyzer, FixOptions
from ..config import Config
from ..errors import ResyncError, os_error_line
from ..remux.paths import Overwrite
from ..remux.temporary import clear_leftovers
from ..report.html.details import evidence_details
from ..report.result import Outcome
from .settings import Models, models, settings_digest

logger = logging.getLogger(__name__)


class Job(NamedTuple):
    """One file. target: where its corrected copy goes, None to only check it; existed: whether the target existed before the batch."""

    source: Path
    target: Path | None = None
    overwrite: Overwrite = Overwrite.NEVER
    existed: bool = False

    def retry(self) -> Job:
        """For a second try: what the first one may have written before it died is not in the way, but any other media file is."""
        return self if self.existed else self._replace(overwrite=max(self.overwrite, Overwrite.OWN))

    def failed(self, why: str) -> Outcome:
        """The outcome of a job that did not finish."""
        return Outcome(str(self.source), target=None if self.target is None else str(self.target), error=f"{self.source}: {why}")


class JobRunner:
    """Runs the jobs of a batch: called with a job, it returns the Outcome and raises nothing.

    Every process has one, which loads the network once. audio: an external recording for every job.
    options: how to fix; for jobs without a target only its plot, overwrite and each_track count.
    with_details: give the outcomes of those jobs the details for an HTML report.
    """

    def __init__(self, config: Config, audio: Path | None = None, options: FixOptions = FixOptions(), with_details: bool = False):
        self.analyzer, self.audio, self.options, self.with_details = Analyzer(config), audio, options, with_details

    def __call__(self, job: Job, on_progress: Callable[[Any], None] | None = None) -> Outcome:
        """See `Executor.work`."""
        began = time.monotonic()
        logger.info("%s: started", job.source)
        outcome = self._outcome(job, on_progress)
        answer = outcome.report.verdict if outcome.report else outcome.error
        logger.info("%s: finished in %.2f s: %s", job.source, time.monotonic() - began, answer)
        return outcome

    def _outcome(self, job: Job, on_progress: Callable[[Any], None] | None) -> Outcome:
        try:
            return self._run(job, on_progress)
        except Exception as error:  # one strange file must not end a batch of thousands
            return replace(job.failed(""), error=error_line(job.source, error))

    def _run(self, job: Job, on_progress: Callable[[Any], None] | None) -> Outcome:
        if job.target is None:
            options, analyzer = self.options, self.analyzer
            given: dict[str, Any] = {"audio": self.audio, "all_tracks": options.each_track, "progress": on_progress}
            given |= {"plot": options.plot, "overwrite": options.overwrite}
            if not self.with_details:
                return Outcome(str(job.source), analyzer.analyze(job.source, **given))
            analysis = analyzer.examine(job.source, **given)
            return Outcome(str(job.source), analysis.report, details=evidence_details(analysis))
        report, written = self.analyzer.fix(
            job.source, job.target, self.options, audio=self.audio, overwrite=job.overwrite, progress=on_progress
        )
        return Outcome(str(job.source), report, str(job.target), None if written is None else written.to_dict())

    def clear(self, job: Job) -> None:
        """Remove the temporary files of a job whose process was killed."""
        outputs = [path for path in (job.target, self.options.plot, self.options.export) if path is not None]
        for folder in {Path(path).resolve().parent for path in outputs} | {Path(tempfile.gettempdir())}:
            clear_leftovers(folder)

    def with_threads(self, threads: int) -> JobRunner:
        """The same with another number of detector threads."""
        config = self.analyzer.config
        return JobRunner(replace(config, faces=replace(config.faces, threads=threads)), self.audio, self.options, self.with_details)

    def absolute(self) -> JobRunner:
        """The same with absolute paths, for machines that work in other folders."""
        config = self.analyzer.config
        weights = config.weights and str(Path(config.weights).absolute())
        export, plot = (path and Path(path).absolute() for path in (self.options.export, self.options.plot))
        options = replace(self.options, export=export, plot=plot)
        return JobRunner(replace(config, weights=weights), self.audio and self.audio.absolute(), options, self.with_details)

    def settings(self) -> str:
        """A digest of everything that the outcome for a given file depends on. Raises WeightsError, DetectorError, DeviceError."""
        return settings_digest(self.analyzer.config, self.audio, self.options)

    def models(self) -> Models:
        """What analyses the files, as their reports will say. Raises what `settings` raises."""
        return models(self.analyzer.config)

    def outputs(self, job: Job, written: bool) -> list[Path]:
        """The files that a finished job leaves, with a corrected file `written` or without one."""
        paths = [self.options.plot, *([job.target, self.options.export] if written else [])]
        return [Path(path) for path in paths if path is not None]


def error_line(source: Path, error: Exception) -> str:
    """What is reported of an error in a job: one line that names the file. Call it where the error is handled."""
    if isinstance(error, ResyncError):
        return str(error)
    logger.info("%s: unexpected error", source, exc_info=True)
    if isinstance(error, OSError) and error.filename is not None:
        return os_error_line(error)
    if isinstance(error, MemoryError):
        return f"{source}: takes more memory than there is; if the file plays, try fewer --jobs"
    at = traceback.extract_tb(error.__traceback__)[-1]
    message = " ".join(f"{type(error).__name__} {error}".split())
    return f"{source}: unexpected {message} (at {Path(at.filename).name}:{at.lineno}); please report this"
