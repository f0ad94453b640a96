"""The face tracks of a batch as a table for datasets: one row for each face of each file, as JSON lines or Parquet."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

import numpy as np

from ..errors import OutputError
from ..remux.paths import Overwrite, output_errors, written_output
from .result import Outcome, Report

FACE_SCHEMA = 1
SUFFIXES = JSON_LINES, PARQUET = ".jsonl", ".parquet"
ROW_GROUP_BOXES = 100_000  # boxes that wait for the next row group of a Parquet file: a few MB


def face_rows(report: Report) -> Iterator[dict[str, Any]]:
    """The rows of one file, a face each, in order of time; their keys are the columns of the table."""
    to_px = np.tile((report.width, report.height), 2)
    for number, (face, shown) in enumerate(zip(report.faces, report.to_dict()["faces"]), 1):
        times_s, edges = face.boxes
        yield {
            "schema": FACE_SCHEMA,
            "file": report.file.encode(errors="backslashreplace").decode(),  # file names need not be text, table cells do
            "file_verdict": report.verdict,
            "file_delay_ms": report.audio_delay_ms,
            "fps": report.fps,
            "width": report.width,
            "height": report.height,
            "face": number,
            **{name: shown[name] for name in ("start_s", "end_s", "audio_delay_ms", "uncertainty_ms", "certainty", "probability")},
            **{name: shown[name] for name in ("speech_share", "speaking")},
            "box_times_s": times_s.round(3).tolist(),
            "boxes": (edges.astype(float) * to_px).round(1).tolist(),
        }


@contextmanager
def face_table(
    target: Path, sources: Sequence[Path] = (), overwrite: Overwrite | bool = Overwrite.NEVER
) -> Iterator[Callable[[Outcome], list[str]]]:
    """A function to call with each outcome, which returns warnings. Raises OutputError.

    `target` appears, complete, when the body ends without an error. sources: all files of the batch, none of which is replaced.
    """
    _require_format(target)
    make = _Parquet if target.suffix.lower() == PARQUET else _JsonLines
    with written_output(target, sources, overwrite) as temporary, ExitStack() as stack:
        with output_errors(target):
            writer = stack.enter_context(closing(make(temporary)))

        def add(outcome: Outcome) -> list[str]:
            rows = list(face_rows(outcome.report)) if outcome.report else []
            with output_errors(target):
                for row in rows:
                    writer.add(row)
            if all(row["boxes"] for row in rows):
                return []
            return [f"{outcome.file}: has no boxes, its result was cached by an earlier version; use another --skip-done file"]

        yield add
        with output_errors(target):
            writer.close()


def _require_format(target: Path) -> None:
    suffix = target.suffix.lower()
    if suffix not in SUFFIXES:
        raise OutputError(f"{target}: end the name with {JSON_LINES} for JSON lines or {PARQUET} for Parquet")
    if suffix == PARQUET and not find_spec("pyarrow"):
        raise OutputError(f"{target}: Parquet needs pyarrow; run: pip install 'resync[parquet]', or end the name with {JSON_LINES}")


class _JsonLines:
    """One JSON object a line."""

    def __init__(self, path: Path):
        self._file: IO[str] = open(path, "w", encoding="utf-8")

    def add(self, row: dict) -> None:
        self._file.write(json.dumps(row, ensure_ascii=False, allow_nan=False) + "\n")

    def close(self) -> None:
        self._file.close()


class _Parquet:
    """Row groups of a bounded size."""

    def __init__(self, path: Path):
        from pyarrow.parquet import ParquetWriter

        self._rows: list[dict] = []
        self._boxes = 0
        self._writer = ParquetWriter(path, _arrow_schema(), compression="zstd")

    def add(self, row: dict) -> None:
        self._rows.append(row)
        self._boxes += 1 + len(row["boxes"])
        if self._boxes >= ROW_GROUP_BOXES:
            self._flush()

    def close(self) -> None:
        self._flush()
        self._writer.close()

    def _flush(self) -> None:
        from pyarrow import Table

        if self._rows:
            self._writer.write_table(Table.from_pylist(self._rows, self._writer.schema))
        self._rows, self._boxes = [], 0


def _arrow_schema():
    import pyarrow as pa

    text, count, number = pa.string(), pa.int32(), pa.float64()
    columns = {"schema": count, "file": text, "file_verdict": text, "file_delay_ms": number, "fps": number, "width": count, "height": count}
    columns |= {"face": count, "start_s": number, "end_s": number, "audio_delay_ms": number, "uncertainty_ms": number}
    columns |= {"certainty": number, "probability": number, "speech_share": number, "speaking": pa.list_(pa.list_(number, 2))}
    columns |= {"box_times_s": pa.list_(number), "boxes": pa.list_(pa.list_(pa.float32(), 4))}
    return pa.schema(columns.items())
