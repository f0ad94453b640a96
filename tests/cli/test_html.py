"""`resync check --html`: a report about every file, whatever became of it."""

import json
import pickle
import re

from resync import Config
from resync.batch.jobs import JobRunner


def clips_of(path):
    """The data of each clip in a report, in the order in which they finished."""
    found = re.findall(r'<script type="application/json" id="clip-\d+">(.*)</script>', path.read_text(encoding="utf-8"))
    return [json.loads(text) for text in found]


def test_every_file_is_in_the_report(invoke, delayed_clip, tmp_path):
    clips, report = tmp_path / "clips", tmp_path / "report.html"
    clips.mkdir()
    (clips / "late.mp4").write_bytes(delayed_clip(200).read_bytes())
    (clips / "broken.mp4").write_text("no video")
    command = ("check", "clips", "--html", report.name, "--skip-done", "done.txt")
    done = invoke(*command, "--json", "--curve", code=1)
    broken, late = clips_of(report)
    assert [broken["report"], late["report"]] == [json.loads(line) for line in done.stdout.splitlines()]
    assert late["video"] == "clips/late.mp4" and late["details"]["heat_map"] and late["details"]["mouths"]
    assert "already exists" in invoke(*command, code=1).stderr
    invoke(*command, "-y", code=1)
    cached, _ = clips_of(report)
    assert cached == late | {"details": None}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clips", "done.txt", "report.html"]


def test_the_processes_of_a_batch_make_the_details(delayed_clip):
    runner = JobRunner(Config(), with_details=True)
    for other in (runner.with_threads(1), runner.absolute(), pickle.loads(pickle.dumps(runner))):
        assert other.with_details
    assert not JobRunner(Config()).with_threads(1).with_details
