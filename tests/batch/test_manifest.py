"""The manifest: one schema in two formats, and nothing lost when a run is killed."""

import json

import pytest
from helpers import LATE, UNDECIDED

from resync.batch.manifest import COLUMNS, Manifest, Row
from resync.batch.selection import Figures
from resync.errors import BatchError

OUTPUT = {"output": "b/late.mp4", "written": "remuxed", "shift_ms": -120.0, "sha256": "f00"}
RESYNCED = Row("b/late.mp4", "resync", "audio is late", **OUTPUT, figures=Figures.from_report(LATE), size=9, mtime_ns=17, settings="s")
DROPPED = Row("a.mp4", "drop", "undecided: no face", figures=Figures.from_report(UNDECIDED), size=9, mtime_ns=2**62, settings="s")
FAILED = Row("ä c.mp4", "failed", "ä c.mp4: damaged", size=3, mtime_ns=4, settings="s")
ROWS = (RESYNCED, DROPPED, FAILED)


@pytest.fixture(params=[".jsonl", ".tsv"])
def path(request, tmp_path):
    return tmp_path / f"manifest{request.param}"


def write(path, *rows):
    manifest = Manifest(path)
    for row in rows:
        manifest.add(row)
    return manifest


def test_rows_are_read_as_they_were_written(path):
    write(path, *ROWS)
    assert list(Manifest(path).rows.values()) == list(ROWS)


def test_both_formats_have_the_documented_columns(path):
    write(path, RESYNCED, FAILED)
    first = path.read_text().splitlines()[0]
    names = list(json.loads(first)) if path.suffix == ".jsonl" else first.split("\t")
    assert tuple(names) == COLUMNS
    assert COLUMNS[:8] == ("schema", "path", "action", "reason", "output", "written", "shift_ms", "sha256")
    if path.suffix == ".jsonl":
        row = json.loads(path.read_text().splitlines()[1])
        assert row["path"] == "ä c.mp4" and row["verdict"] is None and row["output"] is None, "unknown is null"
        assert "ä" in path.read_text()
    else:
        assert path.read_text().splitlines()[2].startswith("1\tä c.mp4\tfailed\tä c.mp4: damaged\t\t\t\t\t\t")


def test_of_several_rows_the_last_counts_and_tidying_leaves_one(path):
    later = RESYNCED._replace(action="drop", output=None)
    write(path, RESYNCED, DROPPED, later)
    assert Manifest(path).rows[later.path] == later
    lines = len(path.read_text().splitlines())
    Manifest(path).tidy()
    assert len(path.read_text().splitlines()) == lines - 1
    assert list(Manifest(path).rows.values()) == [DROPPED, later], "sorted by path"


def test_rows_can_be_forgotten(path):
    manifest = write(path, *ROWS)
    manifest.forget(lambda row: row.output is None)
    manifest.tidy()
    assert list(Manifest(path).rows.values()) == [RESYNCED]


def test_what_a_killed_run_was_writing_is_ignored(path):
    write(path, RESYNCED, DROPPED)
    complete = path.read_bytes()
    for cut in range(0, len(complete), 7):
        path.write_bytes(complete[:cut])
        write(path, FAILED)
        lines = complete[:cut].count(b"\n") - (path.suffix == ".tsv")
        assert list(Manifest(path).rows.values()) == [*[RESYNCED, DROPPED][: max(0, lines)], FAILED]


@pytest.mark.parametrize("name", ["tab\there", "line\nend", "back\\slash\\t", "carriage\rreturn", "\udcff.mp4", "ü\u2028.mp4", '"quoted"'])
def test_any_file_name_survives(path, name):
    row = DROPPED._replace(path=name)
    write(path, row, RESYNCED)
    manifest = Manifest(path)
    assert list(manifest.rows.values()) == [row, RESYNCED]
    manifest.tidy()
    assert set(Manifest(path).rows.values()) == {row, RESYNCED}


def test_files_of_another_kind_are_never_written_to(path):
    for data in (b"\0\0\0 ftypisom", b'{"schema": 2, "path": "a.mp4"}\n', b'{"file": "a.mp4"}\n', b"path\taction\n"):
        path.write_bytes(data)
        with pytest.raises(BatchError, match=f"{path.name}: is not a manifest of `resync filter`"):
            Manifest(path)
        assert path.read_bytes() == data


def test_what_cannot_be_a_manifest_is_one_line(tmp_path):
    with pytest.raises(BatchError, match="end the name with .jsonl for JSON lines or .tsv"):
        Manifest(tmp_path / "manifest.csv")
    with pytest.raises(BatchError, match="cannot be used as a manifest"):
        Manifest(tmp_path / "no" / "manifest.jsonl")
    assert list(tmp_path.iterdir()) == []
