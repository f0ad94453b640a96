"""Clips to a cache: index, names, resuming, errors."""

import json
import multiprocessing
import shutil
from dataclasses import asdict

import pytest
from training_helpers import FACES

from resync.errors import DataError
from resync.training.cache import read_crops, read_index
from resync.training.prepare import cache_names, prepare_cache


def prepare(clips, cache, **kw):
    return prepare_cache(clips, cache, faces=FACES, jobs=1, **kw)


def test_entries_have_the_fields_of_the_index(cache):
    assert [(e.name, e.split, e.source, e.speaker, e.delay_ms) for e in read_index(cache)] == [
        ("a__one.0", "train", "synth", "ann", 0),
        ("b__two.0", "train", "synth", "bob", 80),
        ("c__three.0", "val", "synth", "cid", 0),
    ]


def test_entries_have_the_conditions_of_the_recording(cache):
    for entry in read_index(cache):
        assert 60 < entry.face_px < 224 and entry.yaw < 0.15 and entry.background_db > 10 and entry.fps == 25 and entry.language is None


def test_resume_skips_cached_clips_and_reports_progress(clips, cache, tmp_path):
    class Interrupted(Exception):
        pass

    def interrupt(done, total, complaint):
        raise Interrupted

    index = clips / "index.tsv"
    with pytest.raises(Interrupted):
        prepare(clips, tmp_path, index=index, progress=interrupt)
    assert [e.file for e in read_index(tmp_path)] == ["a/one.mp4"]
    first = tmp_path / "crops" / "a__one.0.mkv"
    written = first.stat().st_mtime_ns
    calls = []
    entries = prepare(clips, tmp_path, index=index, progress=lambda *call: calls.append(call))
    assert entries == read_index(tmp_path) == read_index(cache) and first.stat().st_mtime_ns == written
    assert [call[:2] for call in calls] == [(1, 3), (2, 3), (3, 3)]
    assert [bool(complaint) for _, _, complaint in calls] == [False, False, True] and "broken.mp4" in calls[2][2]


def test_without_an_index_same_names_with_other_suffixes(clips, ffmpeg, tmp_path):
    folder = tmp_path / "clips"
    (folder / "ann").mkdir(parents=True)
    shutil.copy(clips / "a/one.mp4", folder / "ann/x.mp4")
    ffmpeg("-i", clips / "b/two.mp4", "-c", "copy", "-t", "2", folder / "ann/x.mkv")
    cache = tmp_path / "cache"
    entries = prepare(folder, cache)
    assert [(e.name, e.file) for e in entries] == [("ann__x.0", "ann/x.mkv"), ("ann__x.mp4.0", "ann/x.mp4")]
    assert {(e.split, e.source, e.speaker, e.delay_ms) for e in entries} == {("train", "clips", "ann", 0.0)}
    assert entries[0].frames < entries[1].frames and [len(read_crops(cache, e)) for e in entries] == [e.frames for e in entries]


def test_clips_that_an_older_version_overwrote_are_prepared_again(clips, cache, tmp_path):
    folder, old = tmp_path / "clips", shutil.copytree(cache, tmp_path / "cache")
    shutil.copytree(clips / "a", folder / "a")
    shutil.copy(folder / "a/one.mp4", folder / "a/one.mkv")
    lines = [asdict(read_index(old)[0]), asdict(read_index(old)[0]) | {"file": "a/one.mkv"}, asdict(read_index(old)[1])]
    (old / "index.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    entries = prepare(folder, old)
    assert {(e.name, e.file) for e in entries} == {("b__two.0", "b/two.mp4"), ("a__one.0", "a/one.mkv"), ("a__one.mp4.0", "a/one.mp4")}


def test_cache_names():
    assert cache_names(["a/x.mp4", "b/x.mp4"], {}) == {"a/x.mp4": "a__x", "b/x.mp4": "b__x"}
    files = ["x.mp4", "x.mkv", "a/y.mp4", "a__y.mp4", "./x.mp4", "././x.mp4", "x.mp4"]
    names = cache_names(files, {"x.avi": "x"})
    assert names["x.mp4"] == "x.mp4" and names["x.mkv"] == "x.mkv" and names["a/y.mp4"] == "a__y" and names["a__y.mp4"] == "a__y.mp4"
    assert len(set(names.values()) | {"x"}) == 7, "one name each, and not that of a cached clip"


def test_nothing_to_prepare(tmp_path):
    for index in (None, tmp_path / "missing.tsv"):
        with pytest.raises(DataError) as error:
            prepare(tmp_path, tmp_path / "out", index=index)
        assert str(index or tmp_path) in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    "content, complaint",
    [
        ("file\tsplit\na/one.mp4\ttrain\n", "no column source, speaker"),
        ("file\tsplit\tsource\tspeaker\n", "no clips"),
        ("file\tsplit\tsource\tspeaker\na/one.mp4\ttrain\n", "line 2"),
        ("file\tsplit\tsource\tspeaker\tsuspected_delay_ms\na/one.mp4\ttrain\ts\tann\tlate\n", "line 2"),
        ("file\xff", "tab-separated"),
    ],
)
def test_unusable_indexes(clips, tmp_path, content, complaint):
    (tmp_path / "index.tsv").write_bytes(content.encode("latin-1"))
    with pytest.raises(DataError, match=complaint) as error:
        prepare(clips, tmp_path / "out", index=tmp_path / "index.tsv")
    assert "index.tsv" in str(error.value) and "\n" not in str(error.value)


def test_a_killed_worker_is_one_line_and_the_run_can_be_resumed(clips, tmp_path):
    others = set(multiprocessing.active_children())

    def kill_worker(done, total, complaint):
        for process in set(multiprocessing.active_children()) - others:
            process.kill()

    with pytest.raises(DataError, match="worker process was killed.*--jobs") as error:
        prepare(clips, tmp_path, index=clips / "index.tsv", progress=kill_worker)
    assert str(tmp_path) in str(error.value) and "\n" not in str(error.value)
    assert [e.file for e in read_index(tmp_path)][0] == "a/one.mp4" and len(read_index(tmp_path)) < 3
    assert len(prepare(clips, tmp_path, index=clips / "index.tsv")) == 3


def test_a_folder_with_other_files_is_no_cache(clips, tmp_path):
    (tmp_path / "crops").mkdir()
    video = tmp_path / "crops" / "a__one.0.mkv"
    video.write_bytes(b"mine")
    with pytest.raises(DataError, match="^[^\n]*crops: holds files, [^\n]*; name another folder$"):
        prepare(clips, tmp_path, index=clips / "index.tsv")
    assert video.read_bytes() == b"mine" and sorted(path.name for path in tmp_path.iterdir()) == ["crops"]
