"""`resync demo`: it fixes its own clip, reports when it cannot, and replaces no file of the user."""

from dataclasses import replace

import pytest

from resync.api import Analyzer
from resync.demo.run import run
from resync.errors import OutputError

FILES = ["broken.mp4", "fixed.mp4", "original.mp4"]


@pytest.fixture
def demo(tmp_path):
    """Run the demo with a short clip in tmp_path/out; returns exit code, results, log."""

    def run_demo(delay_ms=200.0):
        results, messages = [], []
        return run(tmp_path / "out", delay_ms, 1, 4.0, results.append, messages.append), results, messages

    return run_demo


@pytest.fixture
def ready_clip(monkeypatch, talking):
    """Saves the time to generate a clip."""
    monkeypatch.setattr("resync.demo.run.talking_clip", lambda **options: talking)


@pytest.fixture(scope="module")
def report(delayed_clip):
    return Analyzer().analyze(delayed_clip(200))


def test_clip_is_fixed_and_a_second_run_replaces_its_files(demo, tmp_path):
    for delay_ms in (200.0, -120.0):
        code, results, messages = demo(delay_ms)
        assert code == 0 and len(results) == 3 and results[-1].endswith(": fixed") and f"applied delay {delay_ms:+.0f} ms" in results[-1]
        assert "broken.mp4" in results[0] and "fixed.mp4" in results[1]
        assert len(messages) == 2 and f"{delay_ms:+.0f} ms" in messages[1]
        assert sorted(path.name for path in (tmp_path / "out").iterdir()) == FILES


def test_undecided_clip_is_reported_with_exit_code_3(demo, ready_clip, monkeypatch, report):
    undecided = replace(report, verdict="undecided", audio_delay_ms=None, shift_ms=None)
    monkeypatch.setattr(Analyzer, "fix", lambda *args, **options: (undecided, None))
    code, results, _ = demo()
    assert code == 3 and len(results) == 1 and "undecided" in results[0]


@pytest.mark.parametrize("residual_ms", [60.0, None])
def test_residual_delay_is_reported_with_exit_code_3(demo, ready_clip, monkeypatch, report, residual_ms):
    verdict = "undecided" if residual_ms is None else "out_of_sync"
    monkeypatch.setattr(Analyzer, "analyze", lambda *args, **options: replace(report, verdict=verdict, audio_delay_ms=residual_ms))
    code, results, _ = demo()
    assert code == 3 and results[-1].endswith("NOT fixed")


@pytest.mark.parametrize("name", FILES)
def test_media_of_the_user_is_not_replaced(demo, ready_clip, tmp_path, delayed_clip, ffmpeg, name):
    (tmp_path / "out").mkdir()
    path = tmp_path / "out" / name
    ffmpeg("-i", delayed_clip(), "-c", "copy", path)  # drops the marker of resync
    content = path.read_bytes()
    with pytest.raises(OutputError, match=f"{name}: .*resync did not write"):
        demo()
    assert path.read_bytes() == content


def test_folder_that_cannot_be_created_is_a_one_line_error(demo, tmp_path):
    (tmp_path / "out").write_text("a file")
    with pytest.raises(OutputError) as error:
        demo()
    assert str(error.value).startswith(str(tmp_path / "out")) and "choose another" in str(error.value) and "\n" not in str(error.value)
