"""Which video files a folder or a list contains."""

import pytest

from resync.errors import DataError
from resync.training.clips import find_clips


@pytest.fixture
def touch(tmp_path):
    """Create empty files below tmp_path; returns the last one."""

    def create(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return path

    return create


def test_folder(tmp_path, touch):
    touch("b/two.mp4", "a/one.MKV", "a/notes.txt")
    assert find_clips(tmp_path) == [tmp_path / "a/one.MKV", tmp_path / "b/two.mp4"]


def test_lrs2_list(tmp_path, touch):
    touch("mvlrs_v1/main/a/one.mp4", "mvlrs_v1/main/b/two.mp4")
    (tmp_path / "test.txt").write_text("b/two NF\na/one MV\n\n")
    assert [str(p.relative_to(tmp_path)) for p in find_clips(tmp_path, tmp_path / "test.txt")] == [
        "mvlrs_v1/main/b/two.mp4",
        "mvlrs_v1/main/a/one.mp4",
    ]


def test_lrs3_list_with_and_without_folder_and_suffix(tmp_path, touch):
    clip = touch("test/x/00001.mp4")
    (tmp_path / "list").write_text("x/00001\ntest/x/00001.mp4\n")
    assert find_clips(tmp_path, tmp_path / "list") == [clip] * 2


def test_the_folder_named_like_the_list_comes_first(tmp_path, touch):
    clip = touch("test/x/00001.mp4", "pretrain/x/00001.mp4")
    (tmp_path / "pretrain.txt").write_text("x/00001\n")
    assert find_clips(tmp_path, tmp_path / "pretrain.txt") == [clip]


def test_missing_clips_and_lists(tmp_path, touch):
    touch("b/two.mp4")
    (tmp_path / "broken.txt").write_text("b/two NF\nz/none NF\n")
    (tmp_path / "empty.txt").write_text("\n")
    (tmp_path / "sub").mkdir()
    for listing, complaint in (("broken.txt", "z/none"), ("missing.txt", "missing.txt"), ("empty.txt", "empty.txt")):
        with pytest.raises(DataError, match=complaint):
            find_clips(tmp_path, tmp_path / listing)
    with pytest.raises(DataError, match="no video files"):
        find_clips(tmp_path / "sub")
