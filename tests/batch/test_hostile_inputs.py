"""Names with .., links and forged manifests lead no output out of its folder."""

import json
import os
from pathlib import Path

import pytest

from resync import Config
from resync.batch.filter import FilterRunner, open_filter
from resync.batch.inputs import find_inputs
from resync.batch.jobs import JobRunner
from resync.batch.manifest import Row
from resync.batch.run import BatchOptions, check_jobs, fix_jobs
from resync.remux.paths import Overwrite

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX names and links")
EVERYTHING = BatchOptions(recursive=True)


@pytest.fixture
def tree(tmp_path, monkeypatch):
    """clips/ with two files, a folder with another, and links out of it; beside it, what they lead to."""
    (tmp_path / "clips" / "sub").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    for name in ("clips/a.mp4", "clips/-b\n.mp4", "clips/sub/c.mp4", "other/d.mp4"):
        (tmp_path / name).touch()
    (tmp_path / "clips" / "away").symlink_to(tmp_path / "other")
    (tmp_path / "clips" / "loop").symlink_to(tmp_path / "clips")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@posix
def test_linked_folders_are_not_searched(tree):
    assert {str(file.relative) for file in find_inputs([Path("clips")], recursive=True)} == {"a.mp4", "-b\n.mp4", "sub/c.mp4"}


@posix
@pytest.mark.parametrize(
    "given", ["clips", "clips/../clips", "other/../clips/../clips/sub/..", "../{}/clips", "clips/a.mp4", "clips/../other/d.mp4"]
)
def test_outputs_lie_in_their_folder(tree, given):
    jobs = fix_jobs([Path(given.format(tree.name))], Path("out"), EVERYTHING, Overwrite.NEVER)
    assert jobs
    for job in jobs:
        assert Path(os.path.normpath(job.target)).parts[0] == "out" and ".." not in job.target.parts
    assert sorted(os.listdir()) == ["clips", "other", "out"]


@posix
def test_names_with_a_leading_dash_come_with_their_folder(tree):
    assert all(str(job.source).startswith("clips/") for job in check_jobs([Path("clips")], EVERYTHING))


@posix
@pytest.mark.parametrize("forged", ["../../other/d.mp4", "/etc/passwd", "..", ""])
def test_a_forged_manifest_touches_nothing_but_itself(tree, forged):
    rows = [Row(forged, "keep", output=forged, written="copied", sha256="0" * 64), Row("a.mp4", "keep", output="../../other/d.mp4")]
    manifest = tree / "out" / "manifest.jsonl"
    manifest.parent.mkdir()
    manifest.write_text("".join(json.dumps(row.to_dict()) + "\n" for row in rows))
    before = {path: path.lstat() for path in tree.rglob("*") if "out" not in path.parts}
    found, jobs = open_filter(Path("clips"), Path("out"), None, FilterRunner(JobRunner(Config())), EVERYTHING, Overwrite.ANY)
    found.tidy()
    assert sorted(str(job.target) for job in jobs) == ["out/-b\n.mp4", "out/a.mp4", "out/sub/c.mp4"]
    assert {path: path.lstat() for path in before} == before
