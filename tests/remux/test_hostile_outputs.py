"""What is written goes where it was asked for and nowhere else: names that ffmpeg expands, planted links, readable temporary files."""

import os
import subprocess
from pathlib import Path

import pytest

from resync.errors import OutputError
from resync.media.probe import probe
from resync.remux import apply, temporary
from resync.remux.apply import add_recording, shift_audio
from resync.remux.correction import Correction, PieceShift
from resync.remux.export import exported_audio
from resync.remux.paths import Overwrite
from resync.remux.temporary import temporary_folder, temporary_output

posix = pytest.mark.skipif(os.name == "nt", reason="POSIX names, permissions and links")
NAMES = ["-y.mp4", "concat:a|b.mp4", "http:x.mp4", "file:x.mp4", "out%03d.mp4", "gl*b?[x].mp4"]
NAMES += ["\x1b[31m\n.mp4", "latin\udce9.mp4", "'; x.mp4"]
PIECES = Correction.from_pieces([PieceShift(0.0, 0.7, 40.0, 1.0), PieceShift(0.7, float("inf"), -40.0, 1.0)])


@posix
@pytest.mark.parametrize("name", NAMES)
def test_every_way_of_writing_takes_names_as_they_are(media, tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    os.mkdir("out")
    Path(name).write_bytes(before := media("aac.mp4").read_bytes())
    target = f"out/{name}"
    shift_audio(name, target, Correction(-40))
    shift_audio(name, target, Correction(40), reencode=True, overwrite=True)
    shift_audio(name, target, PIECES, overwrite=True)
    add_recording(name, name, target, Correction(40), overwrite=True)
    with exported_audio(name, 0, f"{target}.wav", Correction(40), length_s=1.0):
        pass
    assert len(probe(target).audio) == 2 and Path(name).read_bytes() == before
    assert sorted(os.listdir("out")) == sorted([name, f"{name}.wav"]) and sorted(os.listdir()) == sorted([name, "out"])


@pytest.mark.parametrize("name", ["out.m3u8", "out.mpd", "OUT.M3U8"])
def test_playlists_are_not_written(media, output_folder, name):
    other = output_folder / "chunk-stream0-00001.m4s"  # which ffmpeg would overwrite
    other.write_text("mine")
    for overwrite in Overwrite:
        with pytest.raises(OutputError, match="is a playlist"):
            shift_audio(media("aac.mp4"), output_folder / name, Correction(40), overwrite=overwrite)
    assert other.read_text() == "mine" and os.listdir(output_folder) == [other.name]


@posix
def test_a_link_planted_under_the_name_of_a_temporary_file_is_not_followed(tmp_path, monkeypatch):
    monkeypatch.setattr(temporary.secrets, "token_hex", lambda size: "0" * 2 * size)
    victim = tmp_path / "victim"
    victim.write_text("mine")
    with temporary_output(tmp_path / "a.mp4") as path:
        pass
    path.symlink_to(victim)
    with pytest.raises(FileExistsError), temporary_output(tmp_path / "a.mp4"):
        pass
    assert victim.read_text() == "mine" and path.is_symlink()


@posix
def test_temporary_files_are_as_private_as_the_umask_and_the_source_say(media, tmp_path, monkeypatch):
    before = os.umask(0o027)
    try:
        with temporary_output(tmp_path / "a.mp4") as path, temporary_folder() as folder:
            assert path.stat().st_mode & 0o777 == 0o640 and folder.stat().st_mode & 0o777 == 0o700
    finally:
        os.umask(before)
    (source := tmp_path / "private.mp4").write_bytes(media("aac.mp4").read_bytes())
    source.chmod(0o600)
    modes = []

    def run(command, *args):
        modes.append(Path(command[-1].removeprefix("file:")).stat().st_mode & 0o777)
        subprocess.run(command, check=True)

    monkeypatch.setattr(apply, "run_ffmpeg", run)
    shift_audio(source, tmp_path / "out.mp4", Correction(40))
    assert modes == [0o600]
    with exported_audio(source, 0, tmp_path / "out.wav", Correction(40), length_s=1.0):
        pass
    assert (tmp_path / "out.wav").stat().st_mode & 0o777 == 0o600


@posix
def test_links_in_the_output_folder(media, tmp_path):
    victim, elsewhere = tmp_path / "victim.txt", tmp_path / "elsewhere"
    victim.write_text("mine")
    elsewhere.mkdir()
    (tmp_path / "link").symlink_to(elsewhere)
    (tmp_path / "link" / "planted.mp4").symlink_to(victim)
    with pytest.raises(OutputError, match="already exists"):
        shift_audio(media("aac.mp4"), tmp_path / "link" / "planted.mp4", Correction(40))
    shift_audio(media("aac.mp4"), tmp_path / "link" / "out.mp4", Correction(40))
    assert victim.read_text() == "mine" and sorted(os.listdir(elsewhere)) == ["out.mp4", "planted.mp4"]
