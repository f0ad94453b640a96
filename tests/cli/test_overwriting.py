"""No form of a command replaces one of its inputs, whatever name it goes by, nor a media file that resync did not write."""

import hashlib
import os
import shutil

import pytest
from click.testing import CliRunner
from PIL import Image

from resync.cli.main import main
from resync.remux import distinct


@pytest.fixture(scope="module")
def media(delayed_clip, ffmpeg, tmp_path_factory):
    """A folder with a video, another one, and a recording, none of them written by resync, and an image."""
    folder = tmp_path_factory.mktemp("media")
    for name, seconds in (("in.mp4", 5), ("other.mp4", 4)):
        ffmpeg("-i", delayed_clip(200), "-t", seconds, "-c", "copy", folder / name)
    ffmpeg("-i", delayed_clip(200), "-vn", "-t", 4, folder / "mic.wav")
    Image.new("L", (8, 8)).save(folder / "still.png")
    return folder


@pytest.fixture
def folder(media, tmp_path, monkeypatch):
    """A copy of that folder to work in, with other names for its files; all of it has to stay as it is."""
    work = shutil.copytree(media, tmp_path / "work")
    monkeypatch.chdir(work)
    os.link("in.mp4", "hard.mp4")
    os.symlink("in.mp4", "soft.mp4")
    os.symlink("other.mp4", "to_other.mp4")
    os.symlink(work, "same")
    os.symlink("mic.wav", "soft.wav")
    os.symlink("nowhere.mp4", "dangling.mp4")
    os.mkdir("out")
    os.link("other.mp4", "out/in.resync.mp4")
    os.mkdir("links")
    os.symlink("../other.mp4", "links/in.resync.mp4")
    return work


def state(folder):
    """What is in a folder: names, links, inodes, contents."""
    return {
        path.relative_to(folder): (path.lstat().st_ino, path.is_file() and hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*")
    }


LINES = [
    # an input, under all its names
    *(f"{command} in.mp4 {name}" for name in ("in.mp4", "./in.mp4", "hard.mp4", "soft.mp4", "same/in.mp4", "out/../in.mp4")
      for command in ("fix --overwrite-media", "shift --ms 50 --overwrite-media", "preview --overwrite-media")),
    "fix --overwrite-media in.mp4 new.mp4 --audio mic.wav --export-audio soft.wav",
    "fix --overwrite-media in.mp4 mic.wav --audio mic.wav",
    "fix --overwrite-media other.mp4 in.mp4 -o out",  # out/in.resync.mp4 is other.mp4
    "fix --overwrite-media in.mp4 other.mp4 -o links",  # links/in.resync.mp4, too
    "check in.mp4 --skip-done in.mp4",
    "fix in.mp4 new.mp4 --skip-done in.mp4",
    "check in.mp4 --plot in.mp4 -y",
    "plot in.mp4 in.mp4 -y",
    # a media file that resync did not write, without the option that says so
    *(f"{command} in.mp4 {name}" for name in ("other.mp4", "to_other.mp4", "out/in.resync.mp4")
      for command in ("fix", "fix -y", "shift --ms 50", "shift --ms 50 -y", "preview", "preview -y")),
    "fix -y in.mp4 -o out",
    "fix -y in.mp4 new.mp4 --export-audio mic.wav",
    "fix in.mp4 new.mp4 --export-audio mic.wav",
    "check in.mp4 --skip-done other.mp4",
    "fix -y in.mp4 new.mp4 --plot still.png",
    "check -y in.mp4 --plot still.png",
    "plot -y in.mp4 still.png",
    "evaluate in.mp4 --calibrate --write other.mp4",
    # two outputs in one file, or one that leads nowhere
    "fix in.mp4 new.ogg --export-audio new.ogg",
    "fix in.mp4 new.ogg --export-audio same/new.ogg",
    "fix in.mp4 dangling.mp4 -y",
]  # fmt: skip


@pytest.mark.skipif(os.name == "nt", reason="POSIX links")
@pytest.mark.parametrize("line", LINES)
def test_nothing_is_replaced(folder, line):
    before = state(folder)
    done = CliRunner().invoke(main, line.split())
    assert done.exit_code == 1 and done.stderr.count("\n") == 1 and done.stderr.startswith("resync: "), (done.output, done.exception)
    assert state(folder) == before


@pytest.mark.skipif(os.name == "nt", reason="POSIX links")
def test_a_link_to_an_own_output_stays_a_link(folder):
    """As with `cp`; another hard link keeps the old content."""
    assert CliRunner().invoke(main, ["shift", "--ms", "50", "in.mp4", "own.mp4"]).exit_code == 0
    os.symlink("own.mp4", "link.mp4")
    os.link("own.mp4", "kept.mp4")
    before = (folder / "kept.mp4").read_bytes()
    assert CliRunner().invoke(main, ["shift", "--ms", "60", "-y", "in.mp4", "link.mp4"]).exit_code == 0
    assert (folder / "link.mp4").is_symlink() and (folder / "own.mp4").read_bytes() != before == (folder / "kept.mp4").read_bytes()


def test_an_empty_input_is_not_taken_for_a_new_cache(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.mp4").touch()
    done = CliRunner().invoke(main, ["check", "empty.mp4", "--skip-done", "empty.mp4"])
    assert done.exit_code == 1 and done.stderr.count("\n") == 1 and (tmp_path / "empty.mp4").stat().st_size == 0


def test_names_that_differ_in_case_on_a_file_system_that_ignores_it(folder, monkeypatch):
    """The second output would replace the first."""
    os.makedirs("a")
    os.makedirs("b")
    shutil.copy("in.mp4", "a/clip.mp4")
    shutil.copy("in.mp4", "b/CLIP.mp4")
    monkeypatch.setattr(distinct, "_is_one_name", lambda folder, a, b: True)
    before = state(folder)
    done = CliRunner().invoke(main, ["fix", "a/clip.mp4", "b/CLIP.mp4", "-o", "new"])
    assert done.exit_code == 1 and "a/clip.mp4" in done.stderr and "b/CLIP.mp4" in done.stderr and state(folder) == before
