"""Face tracks of a batch as JSON lines and Parquet: one schema, complete or not there at all."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from helpers import LATE, UNDECIDED

from resync import Analyzer
from resync.batch.settings import models
from resync.cli.main import main
from resync.errors import OutputError
from resync.report import face_table as module
from resync.report.face_table import face_rows, face_table
from resync.report.result import Outcome, Report

COLUMNS = (
    "schema file file_verdict file_delay_ms fps width height face start_s end_s audio_delay_ms uncertainty_ms certainty probability"
    " speech_share speaking box_times_s boxes"
).split()
SILENT = replace(LATE.faces[0], delay_s=None, probability=None, speech_share=None, speaking=(), certainty=None, uncertainty_s=None)
TWO = replace(LATE, file="b.mp4", faces=(LATE.faces[0], SILENT))


def write(target, *outcomes):
    with face_table(target) as add:
        for outcome in outcomes:
            add(outcome)


def read(path):
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text().splitlines()]
    return pytest.importorskip("pyarrow.parquet").read_table(path).to_pylist()


def test_rows_have_boxes_in_pixels_and_null_for_unknown():
    first, second = face_rows(TWO)
    assert list(first) == COLUMNS
    assert (first["file"], first["face"], second["face"], first["file_delay_ms"], first["width"]) == ("b.mp4", 1, 2, 120, 640)
    assert first["box_times_s"] == [0.0, 15.96] and first["boxes"] == [[192.0, 96.0, 448.0, 403.2], [204.8, 96.0, 435.2, 403.2]]
    assert (first["audio_delay_ms"], first["uncertainty_ms"], first["certainty"], first["speech_share"]) == (121.0, 19.0, 0.98, 0.75)
    assert {name for name, value in second.items() if value is None} == {
        "audio_delay_ms", "uncertainty_ms", "certainty", "probability", "speech_share",
    }  # fmt: skip


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_both_formats_have_the_same_rows(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    target = tmp_path / f"faces{suffix}"
    write(target, Outcome("b.mp4", TWO), Outcome("c.mp4", error="c.mp4: broken"), Outcome("d.mp4", UNDECIDED), Outcome("a.mp4", LATE))
    rows = read(target)
    assert [(row["file"], row["face"]) for row in rows] == [("b.mp4", 1), ("b.mp4", 2), ("a b.mp4", 1)]
    for row, expected in zip(rows, [*face_rows(TWO), *face_rows(LATE)]):
        assert list(row) == COLUMNS
        assert row | {"boxes": 0} == expected | {"boxes": 0}
        assert row["boxes"] == [pytest.approx(box) for box in expected["boxes"]]


def test_parquet_is_written_in_row_groups_of_a_bounded_size(tmp_path, monkeypatch):
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr(module, "ROW_GROUP_BOXES", 6)  # a row counts as one box more than it has
    write(tmp_path / "f.parquet", *[Outcome("a.mp4", LATE)] * 5)
    with parquet.ParquetFile(tmp_path / "f.parquet") as file:
        assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [2, 2, 1]
    write(tmp_path / "none.parquet")
    assert read(tmp_path / "none.parquet") == []


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet"])
def test_an_interrupted_batch_leaves_an_earlier_table_and_nothing_else(tmp_path, suffix):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    target = tmp_path / f"faces{suffix}"
    write(target, Outcome("a.mp4", LATE))
    before = target.read_bytes()
    with pytest.raises(KeyboardInterrupt), face_table(target, overwrite=True) as add:
        add(Outcome("b.mp4", TWO))
        raise KeyboardInterrupt
    assert target.read_bytes() == before and list(tmp_path.iterdir()) == [target]


def test_a_full_disk_is_one_line(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    with pytest.raises(OutputError, match="f.jsonl: cannot be written .No space left on device"), face_table(tmp_path / "f.jsonl") as add:
        monkeypatch.setattr(module._JsonLines, "add", full)
        add(Outcome("a.mp4", LATE))


def test_file_names_need_not_be_text(tmp_path):
    pytest.importorskip("pyarrow")
    odd = replace(LATE, file="odd\udcff.mp4")
    for suffix in (".jsonl", ".parquet"):
        write(tmp_path / f"f{suffix}", Outcome(odd.file, odd))
        assert read(tmp_path / f"f{suffix}")[0]["file"] == "odd\\udcff.mp4"


def test_what_cannot_be_written_is_refused_first(tmp_path, monkeypatch):
    source, old = tmp_path / "a.jsonl", tmp_path / "old.jsonl"
    for path in (source, old):
        path.write_text("kept")
    monkeypatch.setattr(module, "find_spec", lambda name: None)
    refused = {
        "f.csv": "end the name with .jsonl",
        "f.parquet": r"Parquet needs pyarrow; run: pip install 'resync\[parquet\]'",
        "no/f.jsonl": "create it first",
        "a.jsonl": "is the input itself",
        "old.jsonl": "already exists",
    }
    for target, words in refused.items():
        with pytest.raises(OutputError, match=words), face_table(tmp_path / target, [tmp_path / "b.mp4", source], target != "old.jsonl"):
            pytest.fail("it was to be refused")
    assert sorted(tmp_path.iterdir()) == [source, old] and source.read_text() == old.read_text() == "kept"


def test_a_result_without_boxes_is_a_warning(tmp_path):
    old = Report.from_dict(json.loads(LATE.to_json()))  # as version 0.3 cached it
    with face_table(tmp_path / "f.jsonl") as add:
        assert add(Outcome("a.mp4", LATE)) == add(Outcome("b.mp4", UNDECIDED)) == add(Outcome("c.mp4", error="damaged")) == []
        (warning,) = add(Outcome("d.mp4", old))
        assert warning.startswith("d.mp4: has no boxes") and "--skip-done" in warning


def test_check_analyses_everything_and_cached_results_keep_their_boxes(tmp_path, monkeypatch):
    configs = []

    def analyze(self, source, **options):
        configs.append(self.config)
        return replace(LATE, file=str(source), **models(self.config)._asdict())

    monkeypatch.setattr(Analyzer, "analyze", analyze)
    monkeypatch.chdir(tmp_path)
    for name in ("a.mp4", "b.mp4"):
        Path(name).touch()
    for table in ("first.jsonl", "second.jsonl"):
        done = CliRunner().invoke(main, ["check", "-q", "--skip-done", "cache", "--faces", table, "a.mp4", "b.mp4"])
        assert done.exit_code == 0, done.output
    assert [config.sampling.full_scan_s for config in configs] == [float("inf")] * 2, "the second time, both are cached"
    assert Path("first.jsonl").read_bytes() == Path("second.jsonl").read_bytes() and len(read(Path("first.jsonl"))) == 2
    assert read(Path("second.jsonl"))[0]["boxes"] == [[192.0, 96.0, 448.0, 403.2], [204.8, 96.0, 435.2, 403.2]]
