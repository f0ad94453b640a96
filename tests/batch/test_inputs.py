"""Folders are searched, outputs named, and shards cover every file once."""

from pathlib import Path

import pytest

from resync.batch.inputs import Input, find_inputs, output_paths
from resync.errors import MediaError, OutputError


@pytest.fixture
def tree(tmp_path):
    """A folder of empty files: media, hidden ones, outputs of resync, others."""
    names = "b.mp4 a.MKV notes.txt .hidden.mp4 c.resync.mp4 sub/a.mkv sub/deep/d.mov .git/e.mp4"
    for name in names.split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def relative_names(inputs):
    return [file.relative.as_posix() for file in inputs]


def test_folder_stands_for_its_own_media_files(tree):
    assert relative_names(find_inputs([tree])) == ["a.MKV", "b.mp4"]


def test_recursive_includes_subfolders(tree):
    inputs = find_inputs([tree], recursive=True)
    assert relative_names(inputs) == ["a.MKV", "b.mp4", "sub/a.mkv", "sub/deep/d.mov"]
    assert all(file.path == tree / file.relative for file in inputs)


def test_named_files_are_taken_whatever_they_are_and_once(tree):
    given = [tree / "notes.txt", tree / "b.mp4", tree / "c.resync.mp4", tree / "gone.mp4", tree]
    assert relative_names(find_inputs(given)) == ["notes.txt", "b.mp4", "c.resync.mp4", "gone.mp4", "a.MKV"]


def test_folder_without_media_is_an_error_that_names_it(tree):
    (tree / "empty" / "x").mkdir(parents=True)
    with pytest.raises(MediaError, match="empty: no media file in this folder; include its subfolders with --recursive$"):
        find_inputs([tree, tree / "empty"])
    with pytest.raises(MediaError, match="no media file in this folder$"):
        find_inputs([tree / "empty"], recursive=True)


def test_outputs_have_the_layout_of_the_inputs(tree):
    pairs = output_paths(find_inputs([tree], recursive=True), Path("out"))
    assert [target.as_posix() for _, target in pairs] == [
        "out/a.resync.MKV",
        "out/b.resync.mp4",
        "out/sub/a.resync.mkv",
        "out/sub/deep/d.resync.mov",
    ]


def test_two_inputs_with_one_output_are_refused(tree):
    other = tree / "other"
    other.mkdir()
    (other / "b.mp4").touch()
    with pytest.raises(OutputError) as error:
        output_paths(find_inputs([tree, other]), Path("out"))
    assert str(tree / "b.mp4") in str(error.value) and str(other / "b.mp4") in str(error.value)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_shards_cover_every_file_once(count):
    inputs = [Input(Path(f"/x/{n}.mp4"), Path(f"{n % 7}/{n}.mp4")) for n in range(800)]
    shards = [[file for file in inputs if file.in_shard(index, count)] for index in range(1, count + 1)]
    assert sorted(file for shard in shards for file in shard) == sorted(inputs)
    assert all(0.7 < len(shard) * count / 800 < 1.3 for shard in shards)


def test_file_stays_in_its_shard_on_every_machine():
    here, there = Input(Path("/a/s/1.mp4"), Path("s/1.mp4")), Input(Path("/mnt/b/s/1.mp4"), Path("s/1.mp4"))
    assert [here.in_shard(i, 5) for i in range(1, 6)] == [there.in_shard(i, 5) for i in range(1, 6)]
