"""The results cache returns what is still valid, and nothing else. Jobs: their second try, errors, and the digest of settings."""

import json
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from helpers import LATE, UNDECIDED, WRITTEN

from resync import FixOptions, Overwrite
from resync.batch import cache_file as cache_file_module
from resync.batch.cache import ResultsCache
from resync.batch.jobs import Job, JobRunner
from resync.batch.settings import Models
from resync.config import Config, DecisionRule
from resync.errors import BatchError, WeightsError
from resync.report.result import Outcome


@pytest.fixture
def video(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"video")
    return path


@pytest.fixture
def cache_file(tmp_path):
    return tmp_path / "cache"


class StubRunner(JobRunner):
    """A runner whose settings have a given digest and whose network is that of the sample reports."""

    def __init__(self, settings="s", models=Models("centerface", "cpu", "net:0123"), **options):
        super().__init__(Config(), options=FixOptions(**options))
        self._digest, self._models = settings, models

    def settings(self):
        return self._digest

    def models(self):
        return self._models


def cached(path, job, *given, **options):
    """What a new run gets from the cache for a job; see StubRunner."""
    with closing(ResultsCache(path, StubRunner(*given, **options))) as cache:
        return cache.find(job)


def add(path, job, outcome, **options):
    with closing(ResultsCache(path, StubRunner(**options))) as cache:
        assert cache.find(job) is None
        cache.add(job, outcome)


def test_cached_result_equals_the_first(video, cache_file, tmp_path):
    job, outcome = Job(video), Outcome(str(video), replace(LATE, file=str(video)))
    add(cache_file, job, outcome)
    assert cached(cache_file, job).to_json(with_curve=True) == outcome.to_json(with_curve=True)
    assert cached(cache_file, job, "other") is None
    assert cached(cache_file, Job(tmp_path / "b.mp4")) is None


def test_cached_result_has_the_name_given_now(video, cache_file, tmp_path, monkeypatch):
    add(cache_file, Job(video), Outcome(str(video), LATE))
    monkeypatch.chdir(tmp_path)
    outcome = cached(cache_file, Job(video.relative_to(tmp_path)))
    assert outcome.file == outcome.report.file == "a.mp4"


@pytest.mark.skipif(os.name == "nt", reason="Windows takes only text")
def test_file_name_that_is_not_text(cache_file, tmp_path):
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/odd\xff.mp4"))
    odd.write_bytes(b"video")
    target = odd.with_suffix(".mkv")
    target.write_bytes(b"fixed")
    add(cache_file, Job(odd, target), Outcome(str(odd), LATE, str(target), WRITTEN | {"file": str(target)}))
    assert cached(cache_file, Job(odd, target)).written["file"] == str(target)


def test_changed_file_is_not_cached(video, cache_file):
    add(cache_file, Job(video), Outcome(str(video), LATE))
    before = video.stat()

    def rewrite(content, later_ns=0):
        video.write_bytes(content)
        os.utime(video, ns=(before.st_atime_ns, before.st_mtime_ns + later_ns))

    rewrite(b"vedio")
    assert cached(cache_file, Job(video))  # same size and time: cannot be noticed
    rewrite(b"vedio", later_ns=1_000_000)
    assert cached(cache_file, Job(video)) is None
    rewrite(b"longer")
    assert cached(cache_file, Job(video)) is None


def test_fixed_file_is_cached_while_its_output_is_whole(video, cache_file, tmp_path):
    target = tmp_path / "out.mp4"
    target.write_bytes(b"fixed")
    job = Job(video, target)
    add(cache_file, job, Outcome(str(video), LATE, str(target), WRITTEN | {"file": str(target)}))
    assert cached(cache_file, job).written["file"] == str(target)
    assert cached(cache_file, Job(video, tmp_path / "other.mp4")) is None
    target.write_bytes(b"")
    assert cached(cache_file, job) is None
    target.unlink()
    assert cached(cache_file, job) is None


def test_checked_file_is_not_taken_for_a_fixed_one(video, cache_file, tmp_path):
    """Nor the other way round."""
    target = tmp_path / "out.mp4"
    add(cache_file, Job(video), Outcome(str(video), LATE))
    assert cached(cache_file, Job(video, target)) is None
    target.write_bytes(b"fixed")
    add(cache_file, Job(video, target), Outcome(str(video), LATE, str(target), WRITTEN | {"file": str(target)}))
    assert cached(cache_file, Job(video, target)).written and cached(cache_file, Job(video)).written is None


def test_plot_and_exported_audio_belong_to_the_result(video, cache_file, tmp_path):
    target, plot, export = (tmp_path / name for name in ("out.mp4", "p.png", "o.wav"))
    job, done = Job(video, target), Outcome(str(video), LATE, str(target), WRITTEN | {"file": str(target)})
    for path in (target, plot, export):
        path.write_bytes(b"whole")
    add(cache_file, job, done, plot=plot, export=export)
    assert cached(cache_file, job, plot=plot, export=export) and cached(cache_file, job)
    assert cached(cache_file, job, plot=tmp_path / "other.png") is None
    for path in (plot, export):
        path.unlink()
        assert cached(cache_file, job, plot=plot, export=export) is None
        path.write_bytes(b"whole")
    undecided = Job(video, tmp_path / "never.mp4")
    add(tmp_path / "second", undecided, Outcome(str(video), UNDECIDED, str(undecided.target)), plot=plot, export=export)
    export.unlink()  # without a result there is none
    assert cached(tmp_path / "second", undecided, plot=plot, export=export)
    plot.unlink()
    assert cached(tmp_path / "second", undecided, plot=plot, export=export) is None


def test_result_of_other_models_than_expected_is_not_kept(video, cache_file):
    """The weights file was replaced during the run, or a worker of a cluster has another device."""
    for report in (replace(LATE, weights="net:4567"), replace(LATE, device="cuda:0"), replace(LATE, detector="insightface:x")):
        add(cache_file, Job(video), Outcome(str(video), report))
    assert cached(cache_file, Job(video)) is None


def test_undecided_file_is_cached_without_an_output(video, cache_file, tmp_path):
    job = Job(video, tmp_path / "never.mp4")
    add(cache_file, job, Outcome(str(video), UNDECIDED, str(job.target)))
    assert cached(cache_file, job).written is None


def test_errors_are_not_cached(video, cache_file):
    add(cache_file, Job(video), Outcome(str(video), error="a.mp4: broken"))
    assert cached(cache_file, Job(video)) is None


def test_report_in_the_format_of_another_version_is_not_used(video, cache_file):
    add(cache_file, Job(video), Outcome(str(video), LATE))
    with closing(sqlite3.connect(cache_file)) as database, database:
        database.execute("update results set result = json_remove(result, '$.verdict')")
    assert cached(cache_file, Job(video)) is None


def test_files_of_another_kind_are_never_written_to(tmp_path):
    with closing(sqlite3.connect(tmp_path / "catalogue.db")) as database, database:
        database.execute("create table t (x)")
    (tmp_path / "video.mp4").write_bytes(b"\0\0\0 ftypisom")
    (tmp_path / "out.jsonl").write_bytes(LATE.to_json().encode() + b"\n")
    for path in sorted(tmp_path.iterdir()):
        before = path.read_bytes()
        with pytest.raises(BatchError, match=f"{path.name}: is not a results cache; name another file"):
            ResultsCache(path, StubRunner())
        assert path.read_bytes() == before
    with pytest.raises(BatchError, match="cannot be used as a results cache"):
        ResultsCache(tmp_path / "no" / "cache", StubRunner())
    assert len(list(tmp_path.iterdir())) == 3


def test_damaged_cache_is_one_line(video, cache_file):
    add(cache_file, Job(video), Outcome(str(video), LATE))
    whole = cache_file.read_bytes()
    cache_file.write_bytes(whole[:200] + bytes(len(whole) - 200))
    with pytest.raises(BatchError, match="^[^\n]*cannot be used as a results cache [^\n]*$"):
        cached(cache_file, Job(video))


# --- several processes, and interruptions


def test_several_processes_share_a_cache(tmp_path, video):
    """Each adds its own results and finds those of the others; none is lost."""
    code = """
import sys
from contextlib import closing
from pathlib import Path
from helpers import LATE
from test_cache import StubRunner
from resync.batch.cache import ResultsCache
from resync.batch.jobs import Job
from resync.report.result import Outcome
folder, first = Path(sys.argv[1]), int(sys.argv[2])
with closing(ResultsCache(folder / "cache", StubRunner())) as cache:
    for number in range(first, first + 50):
        job = Job(folder / f"{number}.mp4")
        cache.find(job)
        cache.add(job, Outcome(str(job.source), LATE))
"""
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), str(Path(__file__).parents[1])])}
    commands = [[sys.executable, "-c", code, str(tmp_path), str(50 * n)] for n in range(2)]
    processes = [subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True) for command in commands]
    assert [process.communicate()[1] for process in processes] == [""] * 2
    with closing(ResultsCache(tmp_path / "cache", StubRunner())) as cache:
        assert all(cache.find(Job(tmp_path / f"{number}.mp4")) for number in range(100))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.mp4", "cache"]


def test_results_of_a_killed_process_are_kept(tmp_path, video, cache_file):
    """It has closed nothing; what it had stored is in the log beside the cache."""
    cache = ResultsCache(cache_file, StubRunner())
    cache.find(Job(video))
    cache.add(Job(video), Outcome(str(video), LATE))
    killed = tmp_path / "killed"
    killed.mkdir()
    for path in tmp_path.glob("cache*"):
        shutil.copy(path, killed / path.name)
    assert cached(killed / "cache", Job(video))
    cache.close()


def test_what_cannot_be_saved_now_is_saved_later(video, cache_file, tmp_path, monkeypatch):
    other = tmp_path / "b.mp4"
    other.touch()
    cache = ResultsCache(cache_file, StubRunner())
    for job in (Job(video), Job(other)):
        assert cache.find(job) is None
    monkeypatch.setattr(cache, "_database", full := FullDisk(cache._database))
    cache.add(Job(video), Outcome(str(video), LATE))
    full.is_full = False
    cache.add(Job(other), Outcome(str(other), LATE))
    cache.close()
    assert cached(cache_file, Job(video)) and cached(cache_file, Job(other))
    cache = ResultsCache(cache_file, StubRunner("other"))
    cache.find(Job(video))
    monkeypatch.setattr(cache, "_database", FullDisk(cache._database))
    cache.add(Job(video), Outcome(str(video), LATE))
    with pytest.raises(BatchError, match="^[^\n]*cache: cannot be used as a results cache .*full.*; free some space[^\n]*$"):
        cache.close()


class FullDisk:
    """A database that takes no more rows."""

    def __init__(self, database):
        self._database, self.is_full = database, True

    def __enter__(self):
        return self._database.__enter__()

    def __exit__(self, *error):
        return self._database.__exit__(*error)

    def execute(self, statement, *values):
        if self.is_full and statement.startswith("insert"):
            raise sqlite3.OperationalError("database or disk is full")
        return self._database.execute(statement, *values)

    def close(self):
        self._database.close()


def test_no_log_in_shared_memory_on_a_network_file_system(video, cache_file, monkeypatch):
    monkeypatch.setattr(cache_file_module, "is_local", lambda path: False)
    cache = ResultsCache(cache_file, StubRunner())
    assert cache._database.execute("pragma journal_mode").fetchone() == ("delete",)
    assert cache.find(Job(video)) is None
    cache.add(Job(video), Outcome(str(video), LATE))
    assert [path.name for path in cache_file.parent.glob("cache*")] == ["cache"]
    assert cached(cache_file, Job(video))
    cache.close()


# --- caches of version 0.3


def test_a_cache_of_version_0_3_is_begun_anew(video, cache_file):
    """Its results are those of another analysis and other weights."""
    cache_file.write_text(json.dumps({"file": str(video), "stamp": [1, 2], "settings": "s", "result": {}}) + "\n")
    assert cached(cache_file, Job(video)) is None
    cache = ResultsCache(cache_file, StubRunner())
    assert cache.find(Job(video)) is None
    cache.add(Job(video), Outcome(str(video), LATE))
    cache.close()
    assert cached(cache_file, Job(video))


def test_settings_differ_where_results_may(video):
    base = Config()
    wide = replace(base, curve=replace(base.curve, range_s=2.0))
    runners = [
        JobRunner(base),
        JobRunner(wide),
        JobRunner(base, video),
        JobRunner(base, options=FixOptions(force=True)),
        JobRunner(base, options=FixOptions(fix_drift=True)),
        JobRunner(base, options=FixOptions(fix_jumps=True)),
        JobRunner(base, options=FixOptions(each_track=True)),
        JobRunner(replace(base, decide=replace(base.decide, rule=DecisionRule(constant=-1.0)))),
        JobRunner(replace(base, curve=replace(base.curve, range_s=1.0))),
    ]
    assert len({runner.settings() for runner in runners}) == len(runners)
    same = JobRunner(Config(), options=FixOptions(overwrite=Overwrite.ANY))
    assert same.settings() == runners[0].settings(), "what may be overwritten changes no result"
    before = runners[2].settings()
    video.write_bytes(b"another recording")
    assert runners[2].settings() != before
    with pytest.raises(WeightsError, match="gone"):
        JobRunner(replace(base, weights="gone.safetensors")).settings()


def test_second_try_may_overwrite_only_what_the_first_wrote(video, tmp_path):
    assert Job(video, tmp_path / "x").retry().overwrite == Overwrite.OWN
    assert Job(video, tmp_path / "x", Overwrite.ANY).retry().overwrite == Overwrite.ANY
    assert Job(video, tmp_path / "x", existed=True).retry().overwrite == Overwrite.NEVER
    assert Job(video, tmp_path / "x", Overwrite.OWN, existed=True).retry().overwrite == Overwrite.OWN


def test_second_try_replaces_no_other_output(video, tmp_path):
    """On a cluster each try counts as a second one, as Dask itself repeats them."""
    export = tmp_path / "o.wav"
    export.write_bytes(b"mine")
    outcome = JobRunner(Config(), options=FixOptions(export=export))(Job(video, tmp_path / "x.mp4").retry())
    assert "o.wav: already exists" in outcome.error and export.read_bytes() == b"mine"


def test_paths_are_absolute_for_other_machines(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = FixOptions(export="a.wav", plot="a.png", force=True)
    runner = JobRunner(replace(Config(), weights="w.safetensors"), tmp_path.relative_to(tmp_path) / "a.flac", options).absolute()
    assert runner.analyzer.config.weights == str(tmp_path / "w.safetensors") and runner.audio == tmp_path / "a.flac"
    assert runner.options == FixOptions(export=tmp_path / "a.wav", plot=tmp_path / "a.png", force=True)
    plain = JobRunner(Config()).absolute()
    assert plain.analyzer.config == Config() and plain.audio is None and plain.options == FixOptions()


def test_unexpected_error_is_an_outcome_that_names_its_place(video, monkeypatch):
    def broken(*args, **kwargs):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("resync.api.Analyzer.analyze", broken)
    outcome = JobRunner(Config())(Job(video))
    assert outcome.report is None and "\n" not in outcome.error
    assert outcome.error.startswith(f"{video}: unexpected RuntimeError two lines (at test_cache.py:")
    assert json.loads(outcome.to_json())["verdict"] is None


def test_a_process_killed_while_it_makes_the_file_leaves_a_usable_cache(tmp_path):
    """All pages were written, and the journal that takes them back was not yet removed."""
    path = tmp_path / "cache"
    database = cache_file_module.open_cache_file(path)
    database.execute("pragma journal_mode = delete")
    database.close()
    header = bytes.fromhex("d9d505f920a163d7") + struct.pack(">5I", 0, 0, 0, 512, 4096)  # the file had 0 pages
    (tmp_path / "cache-journal").write_bytes(header.ljust(512, b"\0"))
    database = cache_file_module.open_cache_file(path)
    assert database.execute("select * from results").fetchall() == []
    database.close()
