"""A folder of clips is filtered: layout, links, resuming, other limits, and nothing of the input or of others is ever touched.

Reports are prepared; the clips are small files that ffmpeg really shifts.
"""

import os
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import LATE, UNDECIDED, noise_input, pattern_input, shift_between_ms

from resync import Analyzer, Config, MediaError, Overwrite
from resync.batch.filter import FilteredBefore, FilterOptions, FilterRunner, open_filter
from resync.batch.jobs import JobRunner
from resync.batch.manifest import Manifest
from resync.batch.run import BatchOptions, run_batch
from resync.batch.selection import Selection
from resync.errors import OutputError

DELAYS = {"sync.mp4": 5.0, "late.mp4": 120.0, "early.mkv": -200.0, "far.mp4": 900.0}
NO_LINKS = pytest.mark.skipif(os.name == "nt", reason="links need a privilege on Windows")


@pytest.fixture(scope="session")
def small_clip(ffmpeg, tmp_path_factory):
    """Path of a small video with noise."""
    path = tmp_path_factory.mktemp("small") / "clip.mp4"
    ffmpeg(*pattern_input(), *noise_input(), "-c:v", "libx264", "-preset", "ultrafast", "-c:a", "aac", path)
    return path


@pytest.fixture
def clips(small_clip, ffmpeg, tmp_path):
    """A folder with clips in two subfolders."""
    folder = tmp_path / "clips"
    for name in ("a/sync.mp4", "a/late.mp4", "b/early.mkv", "b/far.mp4", "undecided.mp4"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        ffmpeg("-i", small_clip, "-c", "copy", folder / name)
    return folder


@pytest.fixture
def analysed(monkeypatch):
    """Names of the files that were analysed; the delay of each is that of its name."""
    names = []

    def analyze(self, source, **options):
        names.append(source.name)
        if source.name == "broken.mp4":
            raise MediaError(f"{source}: damaged")
        if source.name not in DELAYS:
            return replace(UNDECIDED, file=str(source))
        return replace(LATE, file=str(source), audio_delay_ms=DELAYS[source.name])

    monkeypatch.setattr(Analyzer, "analyze", analyze)
    monkeypatch.setattr(JobRunner, "settings", lambda self: "settings")
    return names


def filtered(clips, out, *, manifest=None, overwrite=False, dry_run=False, shard=None, options=FilterOptions(), stop_after=None, **limits):
    """(action, output) of each clip after a run with these limits."""
    batch = BatchOptions(recursive=True, shard=shard)
    runner = FilterRunner(JobRunner(Config()), Selection(**({"max_offset_ms": 500} | limits)), options)
    rows, jobs = open_filter(clips, out, manifest, runner, batch, Overwrite(overwrite), dry_run)
    finished = run_batch(jobs, runner, batch, earlier=FilteredBefore(rows, runner))
    for number, _ in enumerate(finished, 1):
        if number == stop_after:
            finished.close()
            return None
    rows.tidy()
    return {path: (row.action, row.output) for path, row in rows.rows.items()}


def content(folder):
    """The bytes of every file below a folder, by relative path."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


SELECTED = {
    "a/late.mp4": ("resync", "a/late.mp4"),
    "a/sync.mp4": ("keep", "a/sync.mp4"),
    "b/early.mkv": ("resync", "b/early.mkv"),
    "b/far.mp4": ("drop", None),
    "undecided.mp4": ("drop", None),
}


def test_clips_are_kept_shifted_or_left_out_and_the_layout_stays(clips, analysed, tmp_path):
    before, out = content(clips), tmp_path / "out"
    assert filtered(clips, out) == SELECTED
    assert sorted(content(out)) == ["a/late.mp4", "a/sync.mp4", "b/early.mkv", "manifest.jsonl"]
    assert (out / "a" / "sync.mp4").read_bytes() == before["a/sync.mp4"] and not (out / "a" / "sync.mp4").is_symlink()
    assert shift_between_ms(clips / "a" / "late.mp4", out / "a" / "late.mp4") == pytest.approx(-120, abs=2)
    assert shift_between_ms(clips / "b" / "early.mkv", out / "b" / "early.mkv") == pytest.approx(200, abs=2)
    rows = Manifest(out / "manifest.jsonl").rows
    assert [(rows[name].written, rows[name].shift_ms) for name in ("a/sync.mp4", "a/late.mp4", "b/far.mp4")] == [
        ("copied", 0.0), ("remuxed", -120.0), (None, None),
    ]  # fmt: skip
    assert content(clips) == before


@pytest.mark.parametrize("name", ["manifest.jsonl", "manifest.tsv"])
def test_a_second_run_does_nothing(clips, analysed, tmp_path, name):
    out, manifest = tmp_path / "out", tmp_path / name
    filtered(clips, out, manifest=manifest)
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.m*")}
    before, count = manifest.read_bytes(), len(analysed)
    assert filtered(clips, out, manifest=manifest) == SELECTED
    assert len(analysed) == count == 5 and manifest.read_bytes() == before
    assert {path: path.stat().st_mtime_ns for path in out.rglob("*.m*")} == written


def test_a_run_that_was_stopped_goes_on(clips, analysed, tmp_path):
    out = tmp_path / "out"
    filtered(clips, out, stop_after=2)
    assert len(Manifest(out / "manifest.jsonl").rows) == 2
    with open(out / "manifest.jsonl", "a") as file:
        file.write('{"schema": 1, "path": "b/ea')  # killed in the middle of a line
    first = list(analysed)
    assert filtered(clips, out) == SELECTED
    assert sorted(analysed) == sorted([*DELAYS, "undecided.mp4"]) and analysed[:2] == first


def test_outputs_of_a_killed_run_that_had_no_row_yet_are_not_in_the_way(clips, analysed, tmp_path):
    out = tmp_path / "out"
    filtered(clips, out)
    (out / "manifest.jsonl").unlink()
    kept = (out / "a" / "sync.mp4").stat().st_mtime_ns
    assert filtered(clips, out) == SELECTED
    assert (out / "a" / "sync.mp4").stat().st_mtime_ns == kept, "the same content need not be copied again"


def test_a_missing_output_is_written_again_without_analysis(clips, analysed, tmp_path):
    out = tmp_path / "out"
    filtered(clips, out)
    before = content(out)
    for name in ("a/sync.mp4", "a/late.mp4"):
        (out / name).unlink()
    assert filtered(clips, out) == SELECTED and len(analysed) == 5
    after = content(out)
    for outputs in (before, after):
        del outputs["manifest.jsonl"]
    assert after == before


def test_a_changed_clip_is_analysed_again(clips, analysed, tmp_path):
    out = tmp_path / "out"
    filtered(clips, out)
    changed = ("a/late.mp4", "a/sync.mp4")
    for name in changed:
        with open(clips / name, "ab") as file:
            file.write(bytes(100))
    for _ in range(2):  # also when only the output is out of date, no longer the figures
        result = filtered(clips, out)
        assert [result[name] for name in changed] == [("failed", name) for name in changed], "not without -y"
        assert sorted(analysed[5:]) == ["late.mp4", "sync.mp4"]
    assert filtered(clips, out, overwrite=True) == SELECTED and len(analysed) == 7
    assert (out / "a" / "sync.mp4").read_bytes() == (clips / "a" / "sync.mp4").read_bytes()


def test_clips_are_analysed_again_with_other_settings_and_outputs_that_are_still_right_stay(clips, analysed, tmp_path, monkeypatch):
    out = tmp_path / "out"
    filtered(clips, out)
    written = {path: path.stat().st_mtime_ns for path in out.rglob("*.m[pk][4v]")}
    monkeypatch.setattr(JobRunner, "settings", lambda self: "other settings")
    assert filtered(clips, out) == SELECTED and len(analysed) == 10
    assert len(written) == 3 and {path: path.stat().st_mtime_ns for path in written} == written


def test_other_limits_take_no_analysis_and_change_outputs_only_if_allowed(clips, analysed, tmp_path):
    out = tmp_path / "out"
    filtered(clips, out)
    before = content(out)
    strict = {"keep_within_ms": 2, "resync": False}
    failed = filtered(clips, out, **strict)
    assert failed["a/sync.mp4"] == ("failed", "a/sync.mp4") and failed["b/far.mp4"] == ("drop", None)
    assert {name: data for name, data in content(out).items() if name != "manifest.jsonl"} == {
        name: data for name, data in before.items() if name != "manifest.jsonl"
    }
    assert set(filtered(clips, out, overwrite=True, **strict).values()) == {("drop", None)}
    assert sorted(content(out)) == ["manifest.jsonl"]
    loose = filtered(clips, out, keep_within_ms=150, max_offset_ms=None, keep_undecided=True)
    assert {path: action for path, (action, _) in loose.items()} == {
        "a/late.mp4": "keep", "a/sync.mp4": "keep", "b/early.mkv": "resync", "b/far.mp4": "resync", "undecided.mp4": "keep",
    }  # fmt: skip
    assert len(analysed) == 5


def test_a_clip_that_was_kept_is_shifted_with_other_limits(clips, analysed, tmp_path):
    out, before = tmp_path / "out", content(clips)
    for link in (None, "hard", "symbolic") if os.name != "nt" else (None,):
        filtered(clips, out, options=FilterOptions(link=link), keep_within_ms=150, overwrite=True)
        assert (out / "a" / "late.mp4").read_bytes() == before["a/late.mp4"]
        assert filtered(clips, out, overwrite=True) == SELECTED
        assert shift_between_ms(clips / "a" / "late.mp4", out / "a" / "late.mp4") == pytest.approx(-120, abs=2)
        assert content(clips) == before, "not through the link"
        shutil.rmtree(out)


@NO_LINKS
def test_kept_clips_are_linked(clips, analysed, tmp_path):
    source = clips / "a" / "sync.mp4"
    for link in ("hard", "symbolic"):
        filtered(clips, tmp_path / link, options=FilterOptions(link=link))
        linked = tmp_path / link / "a" / "sync.mp4"
        assert linked.samefile(source) and linked.is_symlink() == (link == "symbolic")
        assert not (tmp_path / link / "a" / "late.mp4").samefile(clips / "a" / "late.mp4")
        row = Manifest(tmp_path / link / "manifest.jsonl").rows["a/sync.mp4"]
        assert row.written == "linked"
        assert filtered(clips, tmp_path / link, options=FilterOptions(link=link)) == SELECTED
    assert os.path.isabs(os.readlink(tmp_path / "symbolic" / "a" / "sync.mp4"))


@NO_LINKS
def test_nothing_is_written_through_a_link_to_another_file(clips, analysed, tmp_path):
    """The clips moved: links of an earlier run lead to the old ones."""
    out, moved = tmp_path / "out", tmp_path / "moved"
    filtered(clips, out, options=FilterOptions(link="symbolic"), keep_within_ms=150)
    shutil.copytree(clips, moved)
    before = content(clips)
    result = filtered(moved, out)
    assert result["a/sync.mp4"] == SELECTED["a/sync.mp4"], "the same content is there already"
    assert result["a/late.mp4"] == ("failed", "a/late.mp4")
    assert filtered(moved, out, overwrite=True) == SELECTED
    assert content(clips) == before and not (out / "a" / "late.mp4").is_symlink()


def test_outputs_that_others_changed_since_are_not_replaced(clips, analysed, small_clip, tmp_path):
    """Also where the manifest knows an output of that name, and with -y: neither a copy nor a shifted clip, nor are they removed."""
    out = tmp_path / "out"
    filtered(clips, out)
    for name in ("sync.mp4", "late.mp4"):
        (out / "a" / name).write_bytes(small_clip.read_bytes() + bytes(100))
        with open(clips / "a" / name, "ab") as file:
            file.write(bytes(100))
    edited = {name: data for name, data in content(out / "a").items()}
    for limits in ({}, {"keep_within_ms": 2, "resync": False}):
        result = filtered(clips, out, overwrite=True, **limits)
        assert [result[f"a/{name}"][0] for name in ("sync.mp4", "late.mp4")] == ["failed"] * 2
        assert "--overwrite-media" in Manifest(out / "manifest.jsonl").rows["a/sync.mp4"].reason
        assert content(out / "a") == edited
    assert filtered(clips, out, overwrite=Overwrite.ANY) == SELECTED


def test_files_of_others_are_not_replaced(clips, analysed, small_clip, tmp_path):
    out = tmp_path / "out"
    (out / "a").mkdir(parents=True)
    for name in ("sync.mp4", "late.mp4"):
        (out / "a" / name).write_bytes(small_clip.read_bytes() + bytes(100))
    before = content(out)
    for overwrite in (False, True):
        result = filtered(clips, out, overwrite=overwrite)
        assert [result[f"a/{name}"] for name in ("sync.mp4", "late.mp4")] == [("failed", None)] * 2
        assert "--overwrite-media" in Manifest(out / "manifest.jsonl").rows["a/sync.mp4"].reason
        assert before.items() <= content(out).items()


def test_a_clip_that_fails_is_tried_again_next_time(clips, analysed, tmp_path):
    (clips / "broken.mp4").write_bytes(b"x")
    for _ in range(2):
        assert filtered(clips, tmp_path / "out") == SELECTED | {"broken.mp4": ("failed", None)}
    assert analysed.count("broken.mp4") == 2 and len(analysed) == 7
    row = Manifest(tmp_path / "out" / "manifest.jsonl").rows["broken.mp4"]
    assert row.reason == f"{clips / 'broken.mp4'}: damaged" and row.figures is None
    (clips / "broken.mp4").unlink()
    assert filtered(clips, tmp_path / "out") == SELECTED, "clips that are gone and have no output are forgotten"


def test_a_dry_run_writes_the_manifest_only_and_saves_the_analysis(clips, analysed, tmp_path):
    manifest, out = tmp_path / "manifest.tsv", tmp_path / "out"
    before = content(clips)
    dry = filtered(clips, None, manifest=manifest, dry_run=True)
    assert dry == {path: (action, None) for path, (action, _) in SELECTED.items()}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "manifest.tsv"] and content(clips) == before
    assert filtered(clips, None, manifest=manifest, dry_run=True, keep_within_ms=150)["a/late.mp4"] == ("keep", None)
    assert filtered(clips, out, manifest=manifest) == SELECTED and len(analysed) == 5
    written = content(out)
    again = filtered(clips, out, manifest=manifest, dry_run=True, keep_within_ms=150)
    assert again["a/late.mp4"] == ("keep", "a/late.mp4") and content(out) == written, "the output that is there stays recorded"
    assert filtered(clips, out, manifest=manifest)["a/late.mp4"] == SELECTED["a/late.mp4"]


def test_an_output_folder_inside_the_input_folder_is_no_input(clips, analysed, tmp_path):
    options = FilterOptions(link="symbolic") if os.name != "nt" else FilterOptions()
    for _ in range(2):
        assert filtered(clips, clips / "clean", options=options) == SELECTED
    assert len(analysed) == 5
    assert filtered(clips, clips / "clean", dry_run=True) == SELECTED


def test_the_input_folder_is_no_output_folder(clips, analysed, tmp_path):
    before = content(tmp_path)
    for out in (clips, tmp_path, clips / "a" / ".."):
        with pytest.raises(OutputError, match="is the input folder, or contains it"):
            filtered(clips, out)
    with pytest.raises(OutputError, match="is not a folder"):
        filtered(clips / "undecided.mp4", tmp_path / "out")
    assert content(tmp_path) == before and not (tmp_path / "out").exists()


@NO_LINKS
def test_a_link_to_the_input_folder_is_no_output_folder(clips, analysed, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "a").symlink_to(clips / "a")
    before = content(clips)
    with pytest.raises(OutputError, match="out/a: is a link into the input folder"):
        filtered(clips, tmp_path / "out", overwrite=True)
    assert content(clips) == before


def test_audio_is_re_encoded_where_that_is_asked_for_later(clips, analysed, tmp_path):
    out, options = tmp_path / "out", FilterOptions(reencode=True)
    filtered(clips, out)
    assert filtered(clips, out, options=options, overwrite=True) == SELECTED
    rows = Manifest(out / "manifest.jsonl").rows
    assert [rows[name].written for name in ("a/late.mp4", "a/sync.mp4")] == ["re-encoded", "copied"]
    assert shift_between_ms(clips / "a" / "late.mp4", out / "a" / "late.mp4") == pytest.approx(-120, abs=2)
    assert len(analysed) == 5


def test_checksums_are_added_when_asked_for_later(clips, analysed, tmp_path):
    out = tmp_path / "out"
    assert filtered(clips, out) == SELECTED
    assert filtered(clips, out, options=FilterOptions(sha256=True)) == SELECTED
    from hashlib import sha256

    for name, row in Manifest(out / "manifest.jsonl").rows.items():
        assert row.sha256 == (sha256((out / name).read_bytes()).hexdigest() if row.output else None)


def test_each_shard_has_a_manifest_of_its_own(clips, analysed, tmp_path):
    shards = [filtered(clips, tmp_path / "out", shard=(index, 2)) for index in (1, 2)]
    assert shards[0] | shards[1] == SELECTED and not set(shards[0]) & set(shards[1])
    assert sorted(path.name for path in (tmp_path / "out").glob("*.jsonl")) == ["manifest-1-of-2.jsonl", "manifest-2-of-2.jsonl"]


def test_jobs_and_their_runner_can_be_sent_to_other_processes(clips, analysed, tmp_path):
    runner = FilterRunner(JobRunner(Config()), Selection(min_certainty=0.5), FilterOptions(link="hard"))
    filtered(clips, tmp_path / "out")
    _, jobs = open_filter(clips, tmp_path / "out", None, runner, BatchOptions(recursive=True))
    again, same_jobs = pickle.loads(pickle.dumps((runner.absolute().with_threads(1), jobs)))
    assert (again.selection, again.options, same_jobs) == (runner.selection, runner.options, jobs)
    assert again.checker.analyzer.config.faces.threads == 1 and {job: 1 for job in jobs}, "they are keys of dictionaries"


def test_a_full_disk_is_a_failed_clip(clips, analysed, tmp_path, monkeypatch):
    def full(source, target):
        Path(target).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfile", full)
    assert filtered(clips, tmp_path / "out") == SELECTED | {"a/sync.mp4": ("failed", None)}
    row = Manifest(tmp_path / "out" / "manifest.jsonl").rows["a/sync.mp4"]
    assert "a/sync.mp4: cannot be written (No space left on device)" in row.reason
    assert not list((tmp_path / "out" / "a").glob("*sync*"))
    monkeypatch.undo()
    monkeypatch.setattr(JobRunner, "settings", lambda self: "settings")
    assert filtered(clips, tmp_path / "out") == SELECTED and len(analysed) == 5, "written the next time, without analysis"
