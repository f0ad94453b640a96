"""The HTML report of a batch: one self-contained file, written clip by clip."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64encode
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import datetime
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import IO
from urllib.parse import quote

from ... import __version__
from ...config import DecideConfig
from ...remux.paths import Overwrite, check_report_output, output_errors, written_output
from ..faces import face_groups
from ..heat_map import result_lines
from ..limits import Limits, extreme_delays_ms
from ..result import Outcome, Report
from ..table import outcome_kind, printable
from ..text import clock_of, headline, labelled_texts

SUFFIX = ".html"
BEYOND_LIMITS = "beyond limits"
#: Kinds of clips that need attention, in this order; without limits those that are out of sync come first, else after them.
ATTENTION = (BEYOND_LIMITS, "undecided", "drifting", "jumping", "failed")
SCRIPTS = ("base.js", "player.js", "charts.js", "clip.js", "table.js")
CLIPS = "<!-- clips -->"  # where the template continues after the data of the clips


@contextmanager
def html_report(
    target: Path,
    sources: Sequence[Path],
    limits: Sequence[Limits] = (),
    overwrite: Overwrite | bool = Overwrite.NEVER,
    with_timecode: bool = False,
) -> Iterator[Callable[[Outcome], None]]:
    """A function to call with each outcome. `target` appears, complete, when the body ends without an error.

    Each clip goes to the file as soon as its outcome is known; only a row of the table is kept. sources: the files that the report is
    about, none of which is overwritten. Raises OutputError.
    """
    check_report_output(sources, target, SUFFIX, overwrite)
    with written_output(target, sources, overwrite) as temporary:
        with output_errors(target):
            file = open(temporary, "w", encoding="utf-8", newline="\n")
        with closing(file):
            with output_errors(target):
                page = _Page(file, target.parent, limits, with_timecode)

            def add(outcome: Outcome) -> None:
                with output_errors(target):
                    page.add(outcome)

            yield add
            with output_errors(target):
                page.finish()
                file.close()


class _Page:
    """The file in progress: first the page without its data, then the data of each clip, at the end the table."""

    def __init__(self, file: IO[str], folder: Path, limits: Sequence[Limits], with_timecode: bool):
        self._file, self._folder, self._limits, self._with_timecode = file, folder, limits, with_timecode
        self._rows: list[dict] = []
        read = lambda name: files(__package__).joinpath(name).read_text("utf-8")  # noqa: E731
        style, self._script = read("style.css"), "\n".join(map(read, SCRIPTS))
        start, self._end = read("template.html").split(CLIPS)
        file.write(Template(start).substitute(policy=content_policy(style, self._script), version=__version__, style=style))

    def add(self, outcome: Outcome) -> None:
        """Write the data of one clip."""
        clip = json_for_script(clip_data(outcome, self._folder, self._with_timecode))
        self._file.write(f'<script type="application/json" id="clip-{len(self._rows)}">{clip}</script>\n')
        self._rows.append(table_data(outcome, self._with_timecode))

    def finish(self) -> None:
        """Write the table and the end of the page."""
        report = {
            "version": __version__,
            "created": datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %z"),
            "limits": [vars(own) for own in self._limits],
            "in_sync_ms": 1000 * DecideConfig.in_sync_s,
            "kinds": attention_order(self._limits),
            "clips": self._rows,
        }
        self._file.write(Template(self._end).substitute(report=json_for_script(report), script=self._script))


def content_policy(style: str, script: str) -> str:
    """The Content-Security-Policy of the page: no network, nothing but its own style and script, its own images and media files."""
    digests = (b64encode(hashlib.sha256(text.encode()).digest()).decode() for text in (style, script))
    style_source, script_source = (f"'sha256-{digest}'" for digest in digests)
    return (
        f"default-src 'none'; script-src {script_source}; style-src {style_source}; "
        "img-src data:; media-src 'self' file:; base-uri 'none'; form-action 'none'"
    )


def json_for_script(value: object) -> str:
    """JSON that cannot end the script element it stands in, whatever file names and messages hold. ASCII only."""
    return json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")


def table_data(outcome: Outcome, with_timecode: bool = False) -> dict:
    """What the table shows of one clip. delays_ms: the lowest and the highest delay, where there is an answer."""
    report, path = outcome.report, Path(outcome.file)
    row = {"name": printable(path.name), "folder": printable(str(path.parent)), "kind": attention_kind(outcome)}
    if report is None:
        return row | {"note": printable((outcome.error or "").removeprefix(f"{outcome.file}: "))}
    delays_ms = [delay_ms for delay_ms, _ in extreme_delays_ms(report)]
    return row | {
        "note": _note(report, with_timecode),
        "delay_ms": report.audio_delay_ms,
        "delays_ms": [min(delays_ms), max(delays_ms)] if delays_ms else None,
        "frames": report.audio_delay_frames,
        "uncertainty_ms": report.uncertainty_ms,
        "certainty": report.certainty,
        "offscreen_ratio": report.offscreen_ratio,
        "duration_s": report.duration_s,
        "limits": [[own.verdict, own.borderline] for own in outcome.limits],
    }


def _note(report: Report, with_timecode: bool) -> str:
    """Why there is no delay, or how it changes; empty for a single delay."""
    if report.verdict == "undecided":
        return " ".join(report.reasons)
    return "" if report.decided else headline(report, clock_of(report, with_timecode))


def attention_order(limits: Sequence[Limits]) -> list[str]:
    """Kinds of clips, those that need attention most first."""
    return [*ATTENTION, "out of sync", "in sync"] if limits else ["out of sync", *ATTENTION, "in sync"]


def attention_kind(outcome: Outcome) -> str:
    """The kind of clip: that of the summary line, or BEYOND_LIMITS whatever else it is."""
    return BEYOND_LIMITS if any(own.verdict == "fail" for own in outcome.limits) else outcome_kind(outcome)


def clip_data(outcome: Outcome, folder: Path, with_timecode: bool = False) -> dict:
    """What is shown of a clip when it is opened; report: its `--json --curve` line. folder: that of the page, for links to the media."""
    shown = {"report": json.loads(outcome.to_json(with_curve=True, with_timecode=with_timecode))}
    report = outcome.report
    if report is None:
        return shown
    return shown | {
        "headline": headline(report, clock_of(report, with_timecode)),
        "texts": labelled_texts(outcome, with_timecode),
        "lines": [[*span, *shifts_ms] for span, shifts_ms in result_lines(report)],
        "faces": [
            {"name": group.name, "visible": [(face.start_s, face.end_s) for face in group.faces],
             "speaking": [span for face in group.faces for span in face.speaking]}
            for group in face_groups(report.faces)
        ],
        "video": media_url(report.file, folder),
        "audio": media_url(report.audio, folder) if report.audio else None,
        "details": outcome.details,
    }  # fmt: skip


def media_url(path: str, folder: Path) -> str:
    """The address of a file for a page in `folder`: relative, or absolute where it is on another drive."""
    try:
        relative = os.path.relpath(path, folder)
    except ValueError:
        return Path(path).absolute().as_uri()
    return quote(os.fsencode(Path(relative).as_posix()))
