"""The results cache returns what is still valid, and nothing else. Jobs: their second try, errors, and the digest of settings."""

import json
import os
from dataclasses import replace

import pytest
from helpers import LATE, UNDECIDED, WRITTEN

from resync import FixOptions, Overwrite
from resync.batch.cache import ResultsCache
from resync.batch.jobs import Job, JobRunner
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


def cached(path, job, settings="s"):
    """What a new run with these settings gets from the cache for a job."""
    return ResultsCache(path, settings).find(job)


def add(path, job, outcome):
    cache = ResultsCache(path, "s")
    assert cache.find(job) is None
    cache.add(job, outcome)


def test_cached_result_equals_the_first(video, cache_file, tmp_path):
    job, outcome = Job(video), Outcome(str(video), replace(LATE, file=str(video)))
    add(cache_file, job, outcome)
    assert cached(cache_file, job).to_json(with_curve=True) == outcome.to_json(with_curve=True)
    assert cached(cache_file, job, settings="other") is None
    assert cached(cache_file, Job(tmp_path / "b.mp4")) is None


def test_cached_result_has_the_name_given_now(video, cache_file, tmp_path, monkeypatch):
    add(cache_file, Job(video), Outcome(str(video), LATE))
    monkeypatch.chdir(tmp_path)
    outcome = cached(cache_file, Job(video.relative_to(tmp_path)))
    assert outcome.file == outcome.report.file == "a.mp4"


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


def test_fixed_file_is_cached_while_its_output_exists(video, cache_file, tmp_path):
    target = tmp_path / "out.mp4"
    target.touch()
    job = Job(video, target)
    add(cache_file, job, Outcome(str(video), LATE, str(target), WRITTEN | {"file": str(target)}))
    assert cached(cache_file, job).written["file"] == str(target)
    assert cached(cache_file, Job(video, tmp_path / "other.mp4")) is None
    target.unlink()
    assert cached(cache_file, job) is None


def test_undecided_file_is_cached_without_an_output(video, cache_file, tmp_path):
    job = Job(video, tmp_path / "never.mp4")
    add(cache_file, job, Outcome(str(video), UNDECIDED, str(job.target)))
    assert cached(cache_file, job).written is None


def test_errors_are_not_cached(video, cache_file):
    add(cache_file, Job(video), Outcome(str(video), error="a.mp4: broken"))
    assert cached(cache_file, Job(video)) is None


def test_incomplete_line_of_a_killed_run_is_ignored(video, cache_file, tmp_path):
    other = tmp_path / "b.mp4"
    other.touch()
    add(cache_file, Job(video), Outcome(str(video), LATE))
    complete = cache_file.read_bytes()
    for cut in (5, len(complete) // 2, len(complete) - 1):
        cache_file.write_bytes(complete + complete[:cut])
        add(cache_file, Job(other), Outcome(str(other), LATE))
        cache = ResultsCache(cache_file, "s")
        assert cache.find(Job(video)) and cache.find(Job(other))


def test_files_of_another_kind_are_never_written_to(tmp_path):
    for name, data in (("video.mp4", b"\0\0\0 ftypisom"), ("out.jsonl", LATE.to_json().encode() + b"\n")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BatchError, match=f"{name}: is not a results cache; name another file"):
            ResultsCache(tmp_path / name, "s")
        assert (tmp_path / name).read_bytes() == data
    with pytest.raises(BatchError, match="cannot be used as a results cache"):
        ResultsCache(tmp_path / "no" / "cache", "s")


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
    assert Job(video, tmp_path / "x").retry().overwrite == Overwrite.ANY
    assert Job(video, tmp_path / "x", existed=True).retry().overwrite == Overwrite.NEVER
    assert Job(video, tmp_path / "x", Overwrite.OWN, existed=True).retry().overwrite == Overwrite.OWN


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
