"""What is done is found again; what changed is not."""

import json
import os
from dataclasses import replace

import pytest
from test_report import LATE, UNKNOWN, WRITTEN

from resync.config import Config
from resync.errors import BatchError, WeightsError
from resync.jobs import Job, Work
from resync.ledger import Ledger
from resync.report import Outcome


@pytest.fixture
def film(tmp_path):
    path = tmp_path / "a.mp4"
    path.write_bytes(b"film")
    return path


def kept(path, job, outcome, settings="s"):
    ledger = Ledger(path, settings)
    assert ledger.find(job) is None
    ledger.add(job, outcome)


def test_a_result_is_found_again(film, tmp_path):
    job, outcome = Job(film), Outcome(str(film), replace(LATE, file=str(film)))
    kept(tmp_path / "done", job, outcome)
    assert Ledger(tmp_path / "done", "s").find(job).to_json(with_curve=True) == outcome.to_json(with_curve=True)
    assert Ledger(tmp_path / "done", "other").find(job) is None
    assert Ledger(tmp_path / "done", "s").find(Job(tmp_path / "b.mp4")) is None


def test_the_name_is_as_it_is_given_now(film, tmp_path, monkeypatch):
    kept(tmp_path / "done", Job(film), Outcome(str(film), LATE))
    monkeypatch.chdir(tmp_path)
    found = Ledger(tmp_path / "done", "s").find(Job(film.relative_to(tmp_path)))
    assert found.file == found.report.file == "a.mp4"


def test_a_changed_file_is_done_again(film, tmp_path):
    kept(tmp_path / "done", Job(film), Outcome(str(film), LATE))
    before = film.stat()
    film.write_bytes(b"mlif")
    os.utime(film, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert Ledger(tmp_path / "done", "s").find(Job(film))  # cannot be told
    os.utime(film, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000))
    assert Ledger(tmp_path / "done", "s").find(Job(film)) is None
    film.write_bytes(b"longer")
    os.utime(film, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert Ledger(tmp_path / "done", "s").find(Job(film)) is None


def test_a_fixed_file_is_done_while_its_output_is_there(film, tmp_path):
    target = tmp_path / "out.mp4"
    target.touch()
    job = Job(film, target)
    kept(tmp_path / "done", job, Outcome(str(film), LATE, str(target), WRITTEN | {"file": str(target)}))
    assert Ledger(tmp_path / "done", "s").find(job).written["file"] == str(target)
    assert Ledger(tmp_path / "done", "s").find(Job(film, tmp_path / "other.mp4")) is None
    target.unlink()
    assert Ledger(tmp_path / "done", "s").find(job) is None
    undecided = Job(film, tmp_path / "never.mp4")
    Ledger(tmp_path / "more", "s").find(undecided)
    kept(tmp_path / "more", undecided, Outcome(str(film), UNKNOWN, str(undecided.target)))
    assert Ledger(tmp_path / "more", "s").find(undecided).written is None


def test_errors_are_not_kept(film, tmp_path):
    kept(tmp_path / "done", Job(film), Outcome(str(film), error="a.mp4: broken"))
    assert Ledger(tmp_path / "done", "s").find(Job(film)) is None


def test_half_a_line_of_a_killed_run_is_passed_over(film, tmp_path):
    done, other = tmp_path / "done", tmp_path / "b.mp4"
    kept(done, Job(film), Outcome(str(film), LATE))
    whole = done.read_bytes()
    other.touch()
    for cut in (5, len(whole) // 2, len(whole) - 1):
        done.write_bytes(whole + whole[:cut])
        kept(done, Job(other), Outcome(str(other), LATE))
        ledger = Ledger(done, "s")
        assert ledger.find(Job(film)) and ledger.find(Job(other))


def test_another_file_is_never_written_to(tmp_path):
    for name, data in (("film.mp4", b"\0\0\0 ftypisom"), ("out.jsonl", LATE.to_json().encode() + b"\n")):
        (tmp_path / name).write_bytes(data)
        with pytest.raises(BatchError, match=f"{name}: holds something else"):
            Ledger(tmp_path / name, "s")
        assert (tmp_path / name).read_bytes() == data
    with pytest.raises(BatchError, match="name another file"):
        Ledger(tmp_path / "no" / "done", "s")


def test_settings_tell_what_matters_apart(film, tmp_path):
    base = Config()
    other_range = replace(base, curve=replace(base.curve, range_s=2.0))
    digests = {
        Work(base).settings(),
        Work(other_range).settings(),
        Work(base, film).settings(),
        Work(base, options={"force": True}).settings(),
    }
    assert len(digests) == 4 and Work(Config()).settings() in digests
    with pytest.raises(WeightsError, match="gone"):
        Work(replace(base, weights="gone.safetensors")).settings()


def test_a_second_try_may_overwrite_only_what_the_first_wrote(film, tmp_path):
    assert Job(film, tmp_path / "x").again().overwrite
    assert not Job(film, tmp_path / "x", was_there=True).again().overwrite
    assert Job(film, tmp_path / "x", overwrite=True, was_there=True).again().overwrite


def test_an_unexpected_error_is_a_result_with_its_place(film, monkeypatch):
    def broken(*args, **kw):
        raise RuntimeError("two\nlines")

    monkeypatch.setattr("resync.pipeline.analyze", broken)
    outcome = Work(Config())(Job(film))
    assert outcome.report is None and "\n" not in outcome.error
    assert outcome.error.startswith(f"{film}: unexpected RuntimeError two lines (at test_ledger.py:")
    assert json.loads(outcome.to_json())["verdict"] is None
