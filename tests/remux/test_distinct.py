"""Two names of one file are recognised before anything is written."""

import os
import subprocess

import pytest

from resync.errors import OutputError
from resync.remux import distinct
from resync.remux.distinct import OutputNames, require_distinct

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX links")


def same(*paths):
    """Whether the last of some names is the same file as one before it."""
    names = OutputNames()
    return [names.add(path) for path in paths][-1] is not None


def test_files_and_folders_with_several_names(tmp_path):
    (tmp_path / "x").mkdir()
    (tmp_path / "x" / "old").touch()
    os.symlink(tmp_path / "x", tmp_path / "y")
    os.symlink(tmp_path / "x" / "old", tmp_path / "link")
    os.link(tmp_path / "x" / "old", tmp_path / "hard")
    for name in ("y/old", "link", "hard", "x/../x/old"):
        assert same(tmp_path / "x" / "old", tmp_path / name), name
    assert same(tmp_path / "x" / "new", tmp_path / "y" / "new")
    assert same(tmp_path / "x" / "no" / "new", tmp_path / "y" / "no" / "new")
    assert not same(tmp_path / "x" / "new", tmp_path / "new")
    assert not same(tmp_path / "x" / "old", tmp_path / "x" / "new")


@pytest.mark.parametrize(("a", "b"), [("clip.mp4", "CLIP.mp4"), ("caf\u00e9", "cafe\u0301"), ("stra\u00dfe", "STRASSE"), ("d/a", "D/a")])
def test_case_and_accents_count_where_the_file_system_sees_them(tmp_path, monkeypatch, a, b):
    assert not same(tmp_path / a, tmp_path / b) and not list(tmp_path.iterdir())
    monkeypatch.setattr(distinct, "_is_one_name", lambda folder, a, b: True)
    assert same(tmp_path / a, tmp_path / b)


@pytest.fixture
def case_ignored(tmp_path):
    """A folder on a file system that ignores case; skipped where none can be made."""
    image, folder = tmp_path / "image", tmp_path / "mount"
    folder.mkdir()
    image.write_bytes(bytes(2**20))
    for command in (["mkfs.vfat", image], ["mount", "-o", "loop", image, folder]):
        try:
            subprocess.run(command, capture_output=True, check=True)
        except (OSError, subprocess.CalledProcessError):
            pytest.skip("no permission to make a file system that ignores case")
    yield folder
    subprocess.run(["umount", folder], check=True)


def test_a_file_system_that_ignores_case(case_ignored):
    assert same(case_ignored / "clip.mp4", case_ignored / "CLIP.mp4")
    assert not same(case_ignored / "clip.mp4", case_ignored / "klip.mp4")


def test_outputs_are_no_inputs(tmp_path):
    (tmp_path / "in").touch()
    os.link(tmp_path / "in", tmp_path / "hard")
    with pytest.raises(OutputError, match="hard: is the input .*in; choose another name"):
        require_distinct([tmp_path / "out", tmp_path / "hard"], [tmp_path / "in"])
    with pytest.raises(OutputError, match="is the same file as the output"):
        require_distinct([tmp_path / "out", tmp_path / "." / "out"], [tmp_path / "in"])
    require_distinct([tmp_path / "out", tmp_path / "new"], [tmp_path / "in", tmp_path / "gone"])
