"""JUnit XML of a batch: one test case for each file, so that a CI server lists the files that exceed their limits.

The elements and attributes are those of the schema that Jenkins checks: junit-10.xsd of its xUnit plugin,
https://github.com/jenkinsci/xunit-plugin/blob/master/src/main/resources/org/jenkinsci/plugins/xunit/types/model/xsd/junit-10.xsd
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from xml.etree import ElementTree as ET

from ..remux.paths import Overwrite, check_report_output, write_output
from ..shutdown import cleanup
from .result import Outcome
from .table import printable
from .text import limit_text, outcome_text


@contextmanager
def junit_report(target: Path, files: Sequence[str], overwrite: Overwrite | bool = Overwrite.NEVER) -> Iterator[Callable[[Outcome], None]]:
    """A function to call with each outcome. However the body ends, `target` is written then, with a test case for each of `files`.

    A file without an outcome is an error. Raises OutputError, before the body where `target` cannot be written.
    """
    check_report_output(files, target, ".xml", overwrite)
    began, cases = time.monotonic(), dict[str, ET.Element]()

    def add(outcome: Outcome) -> None:
        cases[outcome.file] = junit_case(outcome)

    def write() -> None:
        for file in files:
            if file not in cases:
                add(Outcome(file, error=f"{file}: not analysed, the batch was interrupted"))
        write_output(target, junit_xml([cases[file] for file in files], time.monotonic() - began), files, overwrite)

    with cleanup(write):  # by a signal, the process may end before `finally`
        try:
            yield add
        finally:
            write()


def junit_xml(cases: Sequence[ET.Element], elapsed_s: float) -> bytes:
    """The test cases of a batch as JUnit XML."""
    root = ET.Element("testsuites", name="resync")
    suite = ET.SubElement(root, "testsuite", name="resync check", timestamp=datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"))
    suite.extend(cases)
    kinds = Counter(detail.tag for case in cases for detail in case)
    counts = {"tests": len(cases), "failures": kinds["failure"], "errors": kinds["error"], "time": f"{elapsed_s:.3f}"}
    for name, value in counts.items():
        root.set(name, str(value))
        suite.set(name, str(value))
    suite.set("skipped", str(kinds["skipped"]))
    ET.indent(root)
    return ET.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def junit_case(outcome: Outcome) -> ET.Element:
    """The test case of one file: over a limit is a failure, undecided is skipped, not analysed is an error."""
    case = ET.Element("testcase", classname="resync.check", name=printable(outcome.file))
    report = outcome.report
    if report is None:
        ET.SubElement(case, "error", type="error", message=printable(outcome.error or ""))
        return case
    case.set("time", f"{report.elapsed_s:.3f}")
    failed = [limit_text(result) for result in outcome.limits if result.verdict == "fail"]
    if failed or any(result.verdict == "unknown" for result in outcome.limits):
        kind, message = ("failure", "; ".join(failed)) if failed else ("skipped", "; ".join(report.reasons) or report.verdict)
        detail = ET.SubElement(case, kind, type="limits" if failed else "undecided", message=printable(message))
        detail.text = "\n".join(map(printable, outcome_text(outcome).splitlines()))
    return case
