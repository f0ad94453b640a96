"""Filtering a folder of clips: each is analysed, then copied, linked or written with its audio shifted, or left out."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import OutputError
from ..remux.paths import Overwrite
from .inputs import Input, find_inputs, output_paths
from .jobs import Job, JobRunner, error_line
from .manifest import Manifest, Row
from .place import REENCODED, Link, keep_clip, mtime_of_output, remove_output, sha256_of_output, shift_clip
from .run import BatchOptions, create_folders, in_shard
from .selection import FAILED, Choice, Figures, Selection, choose
from .settings import file_stamp


class ClipJob(NamedTuple):
    """One clip. target: where it goes, None to only select; row: what is known of it; overwrite: see `_job`."""

    source: Path
    target: Path | None
    row: Row
    overwrite: Overwrite = Overwrite.NEVER

    def retry(self) -> ClipJob:
        """See Job. What a first try may have written is not in the way."""
        return self

    def failed(self, why: str) -> Row:
        """The row of a clip that was not finished."""
        return self.row._replace(action=FAILED, reason=f"{self.source}: {why}")


@dataclass(frozen=True)
class FilterOptions:
    """How clips are written.

    link: instead of copying those that are kept. reencode: re-encode the audio of those that are re-synced, see FixOptions.
    sha256: put that of every output into the manifest.
    """

    link: Link | None = None
    reencode: bool = False
    sha256: bool = False


class FilterRunner:
    """Runs the jobs of a filter: called with a job, it returns the Row of its clip and raises nothing."""

    def __init__(self, checker: JobRunner, selection: Selection = Selection(), options: FilterOptions = FilterOptions()):
        self.checker, self.selection, self.options = checker, selection, options

    def __call__(self, job: ClipJob, on_progress: Callable[[Any], None] | None = None) -> Row:
        """See `Executor.work`."""
        figures = job.row.figures
        if figures is None:
            outcome = self.checker(Job(job.source), on_progress)
            if outcome.report is None:
                return job.row._replace(action=FAILED, reason=outcome.error or "")
            figures = Figures.from_report(outcome.report)
        row, choice = self._judged(job.row._replace(figures=figures), figures)
        try:
            return self._finished(job, row, choice) or self._place(job, row, choice)
        except Exception as error:  # as in JobRunner
            return row._replace(action=FAILED, reason=error_line(job.source, error))

    def settled(self, job: ClipJob) -> Row | None:
        """The row of a clip with which nothing is left to do; None if there is something. Raises OutputError."""
        return job.row.figures and self._finished(job, *self._judged(job.row, job.row.figures))

    def _judged(self, row: Row, figures: Figures) -> tuple[Row, Choice]:
        choice = choose(figures, self.selection)
        return row._replace(action=choice.action, reason=choice.reason), choice

    def _finished(self, job: ClipJob, row: Row, choice: Choice) -> Row | None:
        """The row, if the output is what was chosen. Raises OutputError."""
        if job.target is None or (row.output is None and choice.shift_ms is None):
            return row
        if row.output is None or row.shift_ms is None or row.shift_ms != choice.shift_ms:
            return None
        if row.shift_ms and self.options.reencode and row.written != REENCODED:
            return None
        return row._replace(sha256=sha256_of_output(job.target)) if self.options.sha256 and row.sha256 is None else row

    def _place(self, job: ClipJob, row: Row, choice: Choice) -> Row:
        """Make the output what was chosen; returns its row. Raises ResyncError."""
        assert job.target is not None
        overwrite = job.overwrite
        if overwrite and row.output and row.output_mtime_ns == mtime_of_output(job.target):
            overwrite = Overwrite.ANY  # copies have no marker of resync
        if choice.shift_ms is None:
            remove_output(job.target, overwrite)
            return row.without_output()
        if choice.shift_ms:
            written = shift_clip(job.source, job.target, choice.shift_ms, overwrite, self.options.reencode)
        else:
            written = keep_clip(job.source, job.target, overwrite, self.options.link)
        digest = sha256_of_output(job.target) if self.options.sha256 else None
        stamp = mtime_of_output(job.target)
        return row._replace(output=row.path, written=written, shift_ms=choice.shift_ms, sha256=digest, output_mtime_ns=stamp)

    def settings(self) -> str:
        """A digest of everything that the figures of a clip depend on besides. Raises what `JobRunner.settings` raises."""
        return self.checker.settings()

    def clear(self, job: ClipJob) -> None:
        """See JobRunner."""
        self.checker.clear(Job(job.source, job.target))

    def with_threads(self, threads: int) -> FilterRunner:
        """See JobRunner."""
        return FilterRunner(self.checker.with_threads(threads), self.selection, self.options)

    def absolute(self) -> FilterRunner:
        """See JobRunner."""
        return FilterRunner(self.checker.absolute(), self.selection, self.options)


@dataclass(frozen=True)
class FilteredBefore:
    """The clips of a manifest with which nothing is left to do; see `EarlierOutcomes`."""

    manifest: Manifest
    runner: FilterRunner

    def find(self, job: ClipJob) -> Row | None:
        """Its row, if nothing is left to do. Raises OutputError."""
        row = self.runner.settled(job)
        if row is not None:
            self.manifest.rows[row.path] = row
        return row

    def add(self, job: ClipJob, row: Row) -> None:
        """Append a row to the manifest. Raises BatchError."""
        self.manifest.add(row)


def open_filter(
    folder: Path,
    target: Path | None,
    manifest: Path | None,
    runner: FilterRunner,
    options: BatchOptions = BatchOptions(),
    overwrite: Overwrite = Overwrite.NEVER,
    dry_run: bool = False,
) -> tuple[Manifest, list[ClipJob]]:
    """The manifest, by default one in `target`, and a job for every clip of this shard, with its output at the same place in `target`.

    What lies in `target` is no input; it is created. dry_run: the jobs have no outputs, and `target` may be None if there is a
    manifest. Raises MediaError, BatchError, OutputError for folders that cannot be used, and what `settings` raises.
    """
    if not folder.is_dir():
        raise OutputError(f"{folder}: is not a folder; name one with clips in it")
    if target is not None and _is_inside(folder, target):
        raise OutputError(f"{target}: is the input folder, or contains it; name another one")
    inputs = find_inputs([folder], options.recursive)
    mine = [file for file in inputs if in_shard(file, options) and not (target and _is_inside(file.path.parent, target))]
    settings = runner.settings()
    if manifest is None:
        assert target is not None
        create_folders({target})
        manifest = target / ("manifest-{}-of-{}.jsonl".format(*options.shard) if options.shard else "manifest.jsonl")
    rows = Manifest(manifest)
    rows.forget(lambda row: row.output is None and not (folder / row.path).exists())
    known = [_known_row(file.path, file.relative.as_posix(), rows, settings) for file in mine]
    if target is None or dry_run:
        jobs = [ClipJob(file.path, None, row) for file, row in zip(mine, known)]
    else:
        jobs = [_job(*pair, row, overwrite) for pair, row in zip(_outputs(mine, folder, target), known)]
    if options.dask:
        jobs = [job._replace(source=job.source.absolute(), target=job.target and job.target.absolute()) for job in jobs]
    return rows, jobs


def _outputs(files: list[Input], inputs: Path, outputs: Path) -> list[tuple[Path, Path]]:
    """(input, output) for each file; the folders of the outputs are created."""
    pairs = output_paths(files, outputs, lambda path: path.name)
    folders = {path.parent for _, path in pairs}
    create_folders(folders)
    for folder in folders:
        if _is_inside(folder, inputs) and not _is_inside(folder, outputs):
            raise OutputError(f"{folder}: is a link into the input folder; name another output folder")
    return pairs


def _known_row(source: Path, relative: str, manifest: Manifest, settings: str) -> Row:
    """What the manifest says about a clip, without what may be out of date."""
    row, (size, mtime_ns) = manifest.rows.get(relative, Row(relative)), file_stamp(source)
    if (row.size, row.mtime_ns) != (size, mtime_ns):
        known = Row(relative, size=size, mtime_ns=mtime_ns, settings=settings)
        return known._replace(output=row.output, output_mtime_ns=row.output_mtime_ns)
    return row if row.settings == settings else row._replace(figures=None, settings=settings)


def _job(source: Path, target: Path, row: Row, overwrite: Overwrite) -> ClipJob:
    """The job of a clip with an output.

    An output that the manifest knows is only replaced if that is asked for. Another one that resync wrote is replaced: it was written
    by a run that was killed before it could add the row.
    """
    if not (row.output and os.path.lexists(target)):
        return ClipJob(source, target, row.without_output(), max(overwrite, Overwrite.OWN))
    return ClipJob(source, target, row, overwrite)


def _is_inside(path: Path, folder: Path) -> bool:
    """Whether a path is this folder, or lies in it, wherever links lead."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))
