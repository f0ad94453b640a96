"""Folders looked through, outputs named, shares that cover everything once."""

from pathlib import Path

import pytest

from resync.errors import MediaError, OutputError
from resync.inputs import Input, find, targets


@pytest.fixture
def tree(tmp_path):
    names = "b.mp4 a.MKV notes.txt .hidden.mp4 c.resync.mp4 sub/a.mkv sub/deep/d.mov .git/e.mp4"
    for name in names.split():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    return tmp_path


def names(inputs):
    return [one.below.as_posix() for one in inputs]


def test_a_folder_stands_for_the_media_files_right_in_it(tree):
    assert names(find([tree])) == ["a.MKV", "b.mp4"]


def test_recursive_looks_below(tree):
    found = find([tree], recursive=True)
    assert names(found) == ["a.MKV", "b.mp4", "sub/a.mkv", "sub/deep/d.mov"]
    assert all(one.path == tree / one.below for one in found)


def test_named_files_come_as_they_are_and_once(tree):
    given = [tree / "notes.txt", tree / "b.mp4", tree / "c.resync.mp4", tree / "gone.mp4", tree]
    assert names(find(given)) == ["notes.txt", "b.mp4", "c.resync.mp4", "gone.mp4", "a.MKV"]


def test_a_folder_without_media_is_named(tree):
    (tree / "empty" / "x").mkdir(parents=True)
    with pytest.raises(MediaError, match="empty: no media file in this folder; look below it with --recursive"):
        find([tree, tree / "empty"])
    with pytest.raises(MediaError, match="no media file in this folder$"):
        find([tree / "empty"], recursive=True)


def test_outputs_lie_as_the_inputs_do(tree):
    pairs = targets(find([tree], recursive=True), Path("out"))
    assert [target.as_posix() for _, target in pairs] == [
        "out/a.resync.MKV",
        "out/b.resync.mp4",
        "out/sub/a.resync.mkv",
        "out/sub/deep/d.resync.mov",
    ]


def test_two_inputs_for_one_output_are_refused(tree):
    other = tree / "other"
    other.mkdir()
    (other / "b.mp4").touch()
    with pytest.raises(OutputError) as error:
        targets(find([tree, other]), Path("out"))
    assert str(tree / "b.mp4") in str(error.value) and str(other / "b.mp4") in str(error.value)


@pytest.mark.parametrize("count", [1, 2, 3, 8])
def test_shares_cover_every_file_once(count):
    inputs = [Input(Path(f"/x/{n}.mp4"), Path(f"{n % 7}/{n}.mp4")) for n in range(800)]
    shares = [[one for one in inputs if one.in_share(i, count)] for i in range(1, count + 1)]
    assert sorted(one for share in shares for one in share) == sorted(inputs)
    assert all(0.7 < len(share) * count / 800 < 1.3 for share in shares)


def test_a_file_stays_in_its_share_wherever_it_is_mounted():
    here, there = Input(Path("/a/s/1.mp4"), Path("s/1.mp4")), Input(Path("/mnt/b/s/1.mp4"), Path("s/1.mp4"))
    assert [here.in_share(i, 5) for i in range(1, 6)] == [there.in_share(i, 5) for i in range(1, 6)]
