"""JUnit XML: what each result becomes, counts, the schema of Jenkins, and that the file is complete however the batch ends."""

import re
from dataclasses import replace
from xml.etree import ElementTree as ET

import pytest
from helpers import DRIFT, LATE, UNDECIDED

from resync import OutputError
from resync.report.junit import junit_case, junit_report, junit_xml
from resync.report.limits import STANDARDS, judge
from resync.report.result import Outcome

# Of junit-10.xsd: children, required and further attributes of each element.
DETAIL = ((), (), ("type", "message"))
SCHEMA = {
    "testsuites": (("testsuite",), (), ("name", "time", "tests", "failures", "errors")),
    "testsuite": (("testcase",), ("name", "tests", "failures", "errors"), ("time", "skipped", "timestamp", "hostname", "id", "package")),
    "testcase": (("skipped", "error", "failure"), ("name",), ("time", "classname", "group")),
    "skipped": DETAIL,
    "error": DETAIL,
    "failure": DETAIL,
}


def judged(name, report=None, error=None):
    return Outcome(name, report, error=error, limits=judge(report, [STANDARDS["r37"], STANDARDS["bt1359"]]))


def outcomes():
    return [
        judged("good.mp4", replace(LATE, audio_delay_ms=5.0)),
        judged("late.mp4", LATE),
        judged("drifting.mp4", replace(DRIFT, duration_s=600.0)),
        judged("drifting a little.mp4", replace(DRIFT, duration_s=60.0)),
        judged("undecided.mp4", UNDECIDED),
        judged("bad <&\x00\udcff>.mp4", error="bad.mp4: not a \x1bmedia file"),
    ]


def assert_valid(element):
    children, required, optional = SCHEMA[element.tag]
    assert set(required) <= set(element.attrib) <= {*required, *optional}, element.attrib
    assert re.fullmatch(r"\d+\.\d{3}", element.get("time", "0.000"))
    for child in element:
        assert child.tag in children
        assert_valid(child)


def test_what_each_result_becomes():
    root = ET.fromstring(junit_xml([junit_case(outcome) for outcome in outcomes()], 12.5))
    assert_valid(root)
    (suite,) = root
    assert {name: suite.get(name) for name in ("tests", "failures", "errors", "skipped", "time")} == {
        "tests": "6", "failures": "2", "errors": "1", "skipped": "1", "time": "12.500"}  # fmt: skip
    good, late, drifting, little, undecided, bad = suite
    assert len(good) == len(little) == 0 and good.get("name") == "good.mp4" and good.get("time") == "1.500"
    (failure,) = late
    assert failure.tag == "failure" and failure.get("message") == "r37 (40 ms early to 60 ms late): fail, 120 ms late exceeds it by 60 ms"
    assert failure.text.startswith("a b.mp4: audio is 120 ms late") and "\n  confidence  " in failure.text
    assert drifting[0].tag == "failure" and "242 ms early" in drifting[0].get("message")
    assert undecided[0].tag == "skipped" and undecided[0].get("message") == "no face where there is audio"
    assert bad[0].tag == "error" and "media file" in bad[0].get("message") and "<&" in bad.get("name")


def test_every_file_has_its_test_case_in_order_also_when_the_batch_ends_early(tmp_path):
    target, names = tmp_path / "r.xml", ["late.mp4", "good.mp4", "never.mp4"]
    with pytest.raises(KeyboardInterrupt), junit_report(target, names) as add:
        for outcome in outcomes()[:2]:
            add(outcome)
        assert not target.exists()
        raise KeyboardInterrupt
    root = ET.parse(target).getroot()
    assert [case.get("name") for case in root[0]] == names
    assert [[detail.tag for detail in case] for case in root[0]] == [["failure"], [], ["error"]]
    assert "interrupted" in root[0][2][0].get("message") and list(tmp_path.iterdir()) == [target]


def test_existing_files_are_refused_before_the_work(tmp_path):
    target = tmp_path / "r.xml"
    target.write_text("mine")
    with pytest.raises(OutputError, match="-y"), junit_report(target, ["a.mp4"]):
        raise AssertionError("the body must not run")
    with pytest.raises(OutputError, match="input itself"), junit_report(target, ["a.mp4", str(target)], overwrite=True):
        raise AssertionError("the body must not run")
    with pytest.raises(OutputError, match=r"end the name with \.xml"), junit_report(tmp_path / "r.mp4", ["a.mp4"]):
        raise AssertionError("the body must not run")
    assert target.read_text() == "mine"
    with junit_report(target, ["a.mp4"], overwrite=True):
        pass
    assert ET.parse(target).getroot().get("errors") == "1"
