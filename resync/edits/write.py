"""Writing edit lists: one file for each clip, or one of a folder for each clip of a batch."""

from __future__ import annotations

from pathlib import Path

from ..errors import OutputError
from ..remux.paths import Overwrite, check_output, write_output
from ..report.result import Report
from .edl import edl_notes, edl_text
from .fcpxml import fcpxml
from .timeline import EditTimeline, corrected_timeline

SUFFIXES = (".edl", ".otio", ".fcpxml")


def check_edit_list(source: Path, target: Path, overwrite: Overwrite | bool = Overwrite.NEVER) -> None:
    """Raise OutputError when no edit list can be written to `target`: see `check_output`, of another type, or OpenTimelineIO is missing."""
    check_output(source, target, overwrite)
    if target.suffix.lower() not in SUFFIXES:
        raise OutputError(f"{target}: not an edit list; end the name with {', '.join(SUFFIXES)}")
    if target.suffix.lower() == ".otio":
        try:
            import opentimelineio  # noqa: F401
        except ImportError as error:
            raise OutputError(f"{target}: OpenTimelineIO is not installed; pip install 'resync[edl]'") from error


def write_edit_lists(report: Report, targets: list[Path], overwrite: Overwrite | bool = Overwrite.NEVER) -> list[str]:
    """Write the corrected timeline of a report to each of `targets`, in the format of its suffix.

    Nothing is written for an undecided file. Returns notes for the user, one line each. Raises MediaError and OutputError.
    """
    timeline = corrected_timeline(report)
    if timeline is None:
        return [f"{report.file}: undecided, no edit list was written"]
    notes = [f"{report.file}: {note}" for note in timeline.notes]
    for target in targets:
        write_output(target, _content(timeline, target.suffix.lower()), [report.file], overwrite)
        notes += [f"{target}: {note}" for note in (edl_notes(timeline) if target.suffix.lower() == ".edl" else ())]
    return notes


def _content(timeline: EditTimeline, suffix: str) -> bytes:
    if suffix == ".otio":
        from .otio import otio_text

        return otio_text(timeline).encode()
    return fcpxml(timeline) if suffix == ".fcpxml" else edl_text(timeline).encode()
