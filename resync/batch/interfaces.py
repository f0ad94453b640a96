"""What a batch needs of its jobs, of what runs them, and of where earlier outcomes are kept.

`Job`, `JobRunner` and `ResultsCache` for check and fix, `ClipJob`, `FilterRunner` and `FilteredBefore` for filter.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar


class AnyJob(Protocol):
    """A file and what is to be done with it; hashable, and can be pickled."""

    def __hash__(self) -> int:
        """For dictionaries of jobs."""

    @property
    def source(self) -> Path:
        """The file."""

    def retry(self) -> Self:
        """The job for a second try."""

    def failed(self, why: str) -> Any:
        """Its outcome when it did not finish."""


JobT = TypeVar("JobT", bound=AnyJob)
OutcomeT = TypeVar("OutcomeT")
_JobIn = TypeVar("_JobIn", bound=AnyJob, contravariant=True)
_OutcomeOut = TypeVar("_OutcomeOut", covariant=True)


class Runner(Protocol[_JobIn, _OutcomeOut]):
    """Runs jobs; can be pickled, and every process has one."""

    def __call__(self, job: _JobIn, on_progress: Callable[[Any], None] | None = None, /) -> _OutcomeOut:
        """The outcome of a job; raises nothing."""

    def with_threads(self, threads: int) -> Self:
        """The same with another number of detector threads."""

    def absolute(self) -> Self:
        """The same with absolute paths, for machines that work in other folders."""

    def settings(self) -> str:
        """A digest of everything that the outcome for a given file depends on."""

    def clear(self, job: _JobIn, /) -> None:
        """Remove the temporary files of a job whose process was killed."""


class EarlierOutcomes(Protocol[_JobIn, OutcomeT]):
    """The outcomes of earlier runs."""

    def find(self, job: _JobIn, /) -> OutcomeT | None:
        """The outcome of a job that need not be run again."""

    def add(self, job: _JobIn, outcome: OutcomeT, /) -> None:
        """Keep an outcome."""
