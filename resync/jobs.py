"""What a batch does with one file: look at it or fix it, and tell what became of it."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from . import __version__
from .config import Config
from .errors import ResyncError
from .partfile import Overwrite
from .report import Outcome


class Job(NamedTuple):
    """One file. target: where its fixed copy goes, None to only look; was_there: the target existed before the batch began."""

    source: Path
    target: Path | None = None
    overwrite: Overwrite = Overwrite.NEVER
    was_there: bool = False

    def again(self) -> Job:
        """For a second try: what the first one may have written before it died does not stand in the way."""
        return self if self.was_there else self._replace(overwrite=Overwrite.ANY)

    def failed(self, why: str) -> Outcome:
        """The outcome of a job that did not come to an end."""
        return Outcome(str(self.source), target=None if self.target is None else str(self.target), error=f"{self.source}: {why}")


@dataclass(frozen=True)
class Work:
    """The work of a batch, the same for every job: called, it gives the job's Outcome and raises nothing.

    options: further arguments of `pipeline.fix`, or of `pipeline.analyze` for jobs without a target.
    """

    config: Config
    audio: Path | None = None
    options: dict[str, Any] = field(default_factory=dict)

    def __call__(self, job: Job, tell: Callable[[Any], None] | None = None) -> Outcome:
        """See `Batch.work`."""
        try:
            return self._do(job, tell)
        except ResyncError as error:
            return replace(job.failed(""), error=str(error))
        except Exception as error:  # one strange file must not end a batch of thousands
            at = traceback.extract_tb(error.__traceback__)[-1]
            said = " ".join(f"{type(error).__name__} {error}".split())
            return job.failed(f"unexpected {said} (at {Path(at.filename).name}:{at.lineno}); please report this")

    def _do(self, job: Job, tell: Callable[[Any], None] | None) -> Outcome:
        from .pipeline import analyze, fix

        if job.target is None:
            return Outcome(str(job.source), analyze(job.source, self.config, tell, audio=self.audio, **self.options))
        report, written = fix(job.source, job.target, self.config, audio=self.audio, overwrite=job.overwrite, progress=tell, **self.options)
        return Outcome(str(job.source), report, str(job.target), None if written is None else written.to_dict())

    def absolute(self) -> Work:
        """With whole paths, for machines that work in other folders."""
        weights = self.config.weights and str(Path(self.config.weights).absolute())
        return replace(self, audio=self.audio and self.audio.absolute(), config=replace(self.config, weights=weights))

    def settings(self) -> str:
        """A digest of all that the result for a given file depends on. Raises WeightsError."""
        from . import weights

        path = Path(self.config.weights) if self.config.weights else weights.default_path()
        weights.verify(path)
        network = weights.digest(path)
        sound = self.audio and (str(self.audio.absolute()), *stamp(self.audio))
        told = (__version__, network, self.config, sound, sorted(self.options.items()))
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def stamp(path: Path) -> tuple[int, int]:
    """Size and time of change (ns) of a file, by which a changed one is told; (0, 0) where there is none."""
    try:
        found = path.stat()
    except OSError:
        return 0, 0
    return found.st_size, found.st_mtime_ns
