"""The HTML report as a file: self-contained, its data equal to the reports, harmless whatever the names, complete or not there."""

import hashlib
import json
import os
from base64 import b64encode
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote_to_bytes

import pytest
from helpers import DRIFT, JUMP, LATE, UNDECIDED

from resync.errors import OutputError
from resync.report.html.page import html_report, media_url
from resync.report.limits import STANDARDS, judge
from resync.report.result import Outcome

HOSTILE = (
    "</script><script>document.title='owned'</script>.mp4",
    "<!--<script>.mp4",
    """it's "quoted" & \\ 100% #1?.mp4""",
    "two\nlines\u2028and\u202eback.mp4",
    "not text \udcff.mp4",
    "<img src=x onerror=alert(1)>.mp4",
)


class Page(HTMLParser):
    """A page taken apart. scripts: (attributes, text) of each; attributes: (tag, name, value) of all tags; style: the style sheet."""

    def __init__(self, text):
        super().__init__()
        self.scripts, self.attributes, self.style, self._tag = [], [], "", None
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self._tag = tag
        self.attributes += [(tag, *attribute) for attribute in attrs]
        if tag == "script":
            self.scripts.append((dict(attrs), ""))

    def handle_endtag(self, tag):
        self._tag = None

    def handle_data(self, data):
        if self._tag == "script":
            attributes, text = self.scripts[-1]
            self.scripts[-1] = attributes, text + data
        elif self._tag == "style":
            self.style += data

    def json(self, id):
        (text,) = (text for attributes, text in self.scripts if attributes.get("id") == id)
        return json.loads(text)

    @property
    def code(self):
        (text,) = (text for attributes, text in self.scripts if "type" not in attributes)
        return text


@pytest.fixture
def write(tmp_path):
    """A function that writes a report about some outcomes and returns it taken apart."""

    def run(*outcomes, limits=(), **options):
        target = tmp_path / "report.html"
        with html_report(target, [], limits, overwrite=True, **options) as add:
            for outcome in outcomes:
                add(replace(outcome, limits=judge(outcome.report, limits)))
        return Page(target.read_text(encoding="utf-8"))

    return run


def outcome(report, file="a b.mp4", **changes):
    return Outcome(file, replace(report, file=file, **changes))


FAILED = Outcome("broken.mp4", error="broken.mp4: not a media file")


def test_the_file_is_self_contained(write):
    page = write(outcome(LATE), FAILED)
    assert not [value for _, name, value in page.attributes if name in ("src", "href") and not value.startswith("data:")]
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name == "style"]
    assert "@import" not in page.style and "url(" not in page.style
    (policy,) = (value for tag, name, value in page.attributes if tag == "meta" and name == "content" and "default-src" in value)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    digest = {text: f"'sha256-{b64encode(hashlib.sha256(text.encode()).digest()).decode()}'" for text in (page.code, page.style)}
    assert rules.pop("default-src") == "'none'" and rules.pop("script-src") == digest[page.code]
    assert rules.pop("style-src") == digest[page.style] and rules.pop("img-src") == "data:" and rules.pop("media-src") == "'self' file:"
    assert set(rules.values()) == {"'none'"}


def test_the_data_are_those_of_the_reports(write):
    outcomes = [outcome(LATE), outcome(UNDECIDED), outcome(DRIFT), outcome(JUMP), FAILED]
    page = write(*outcomes, limits=[STANDARDS["r37"]])
    for number, own in enumerate(outcomes):
        own = replace(own, limits=judge(own.report, [STANDARDS["r37"]]))
        assert page.json(f"clip-{number}")["report"] == json.loads(own.to_json(with_curve=True))
    late, undecided, drift, jump, failed = page.json("report")["clips"]
    assert (late["delay_ms"], late["delays_ms"], late["limits"]) == (120.0, [120.0, 120.0], [["fail", False]])
    assert undecided["note"] == "no face where there is audio" and undecided["delays_ms"] is None
    assert "drifts by -30 ms per minute" in drift["note"] and drift["delays_ms"] == [pytest.approx(51.8, abs=0.1), 60.0]
    assert jump["delays_ms"] == [-80.4, 240.0] and failed["note"] == "not a media file"


def test_what_needs_attention_comes_first(write):
    in_sync = outcome(LATE, verdict="in_sync", audio_delay_ms=8.0, shift_ms=0.0)
    outcomes = [in_sync, outcome(LATE), FAILED, outcome(UNDECIDED), outcome(DRIFT), outcome(JUMP)]
    without = write(*outcomes).json("report")
    kinds = ["in sync", "out of sync", "failed", "undecided", "drifting", "jumping"]
    assert [clip["kind"] for clip in without["clips"]] == kinds
    assert without["kinds"].index("out of sync") == 0 and set(kinds) < set(without["kinds"])
    judged = write(*outcomes, outcome(LATE, audio_delay_ms=50.0), limits=[STANDARDS["r37"]]).json("report")
    assert [clip["kind"] for clip in judged["clips"][1:]] == ["beyond limits", *kinds[2:5], "beyond limits", "out of sync"]
    assert judged["kinds"] == ["beyond limits", "undecided", "drifting", "jumping", "failed", "out of sync", "in sync"]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_names_are_data(write, name):
    plain = write(outcome(LATE), FAILED)
    page = write(outcome(LATE, name, reasons=(name,)), Outcome(name, error=f"{name}: {name}"))
    assert page.code == plain.code and len(page.scripts) == len(plain.scripts)
    assert [attribute for attribute in page.attributes if attribute[0] != "script"] == [a for a in plain.attributes if a[0] != "script"]
    assert page.json("clip-0")["report"]["file"] == page.json("clip-1")["report"]["file"] == name
    assert all(text.isprintable() for clip in page.json("report")["clips"] for text in (clip["name"], clip["folder"], clip["note"]))


@pytest.mark.parametrize("name", [*HOSTILE[2:5], "a:b.mp4", "ü/é.mkv"])
def test_addresses_lead_from_the_page_to_the_file(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    url = media_url(f"clips/{name}", Path("reports/day 1"))
    assert url.startswith("../../clips/") and not set(url) & set(" ?#:\\\"'<>\n")
    assert unquote_to_bytes(url) == os.fsencode(f"../../clips/{name}")
    assert unquote_to_bytes(media_url(str(tmp_path / name), tmp_path)) == os.fsencode(name)


def test_a_recording_is_played_instead_of_the_audio_of_the_file(write, tmp_path):
    clip = write(outcome(LATE, str(tmp_path / "a.mp4"), audio=str(tmp_path / "mic 1.wav"))).json("clip-0")
    assert (clip["video"], clip["audio"]) == ("a.mp4", "mic%201.wav")
    assert write(outcome(LATE)).json("clip-0")["audio"] is None


def test_times_are_timecode_where_wanted(write):
    clip = write(outcome(JUMP), with_timecode=True).json("clip-0")
    assert clip["report"]["jumps"][0]["at_timecode"] and "at 00:00:07:" in clip["headline"]


def test_the_report_appears_complete_or_not_at_all(tmp_path):
    target = tmp_path / "report.html"
    target.write_text("old")
    with pytest.raises(KeyboardInterrupt), html_report(target, [], overwrite=True) as add:
        add(outcome(LATE))
        raise KeyboardInterrupt
    assert target.read_text() == "old" and list(tmp_path.iterdir()) == [target]
    with html_report(target, [], overwrite=True) as add:
        add(outcome(LATE))
        assert target.read_text() == "old"
    assert target.read_text().endswith("</html>\n") and list(tmp_path.iterdir()) == [target]


def test_targets_are_refused_before_the_work(tmp_path):
    page, text, clip = tmp_path / "report.html", tmp_path / "report.txt", tmp_path / "clip.html"
    for path in (page, clip):
        path.write_text("mine")
    for target, sources, overwrite in ((page, [], False), (text, [], True), (clip, [clip], True), (tmp_path / "no" / "a.html", [], False)):
        with pytest.raises(OutputError), html_report(target, sources, overwrite=overwrite):
            pytest.fail("started")
    assert page.read_text() == clip.read_text() == "mine"
