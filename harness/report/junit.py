"""`junit.xml` from the conformance report, for the machines that read nothing else.

JUnit knows four outcomes, so verdicts map as the exit code has them: failed is a failure; error and
not-run are errors; withheld, not-applicable and known-deviation are skipped, each with its reason. The
property `verdict` of every test case has the verdict itself; the suite's properties say what was tested,
which components were simulated and which fault was chosen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from harness.core.files import write_atomically
from harness.core.verdicts import Verdict
from harness.report.console import product_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.report.model import Report, ScenarioEntry

JUNIT_NAME = "junit.xml"

_ELEMENTS = {
    Verdict.FAILED: "failure",
    Verdict.ERROR: "error",
    Verdict.NOT_RUN: "error",
    Verdict.WITHHELD: "skipped",
    Verdict.NOT_APPLICABLE: "skipped",
    Verdict.KNOWN_DEVIATION: "skipped",
}
# What XML 1.0 cannot carry, not even escaped; terminals put such characters into messages.
_NOT_XML = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_junit(report: Report, path: Path) -> None:
    """Writes the report as JUnit XML, whole or not at all.

    Args:
        report: The report.
        path: The file; its folder must exist.

    Raises:
        EnvironmentBroken: It cannot be written.
    """
    write_atomically(path, ET.tostring(_suites(report), encoding="utf-8", xml_declaration=True))


def _suites(report: Report) -> ET.Element:
    cases = [_case(scenario) for scenario in report.scenarios]
    counts = {
        "tests": str(len(cases)),
        "failures": str(sum(case.find("failure") is not None for case in cases)),
        "errors": str(sum(case.find("error") is not None for case in cases)),
        "skipped": str(sum(case.find("skipped") is not None for case in cases)),
        "time": f"{report.timing.seconds:.3f}",
    }
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(
        root, "testsuite", {"name": "conformance", "timestamp": report.timing.started, **counts}
    )
    about = ET.SubElement(suite, "properties")
    for name, value in _about(report):
        ET.SubElement(about, "property", {"name": name, "value": _text(value)})
    suite.extend(cases)
    return root


def _about(report: Report) -> Iterator[tuple[str, str]]:
    """What nobody may miss who reads only this file: what was tested, what was simulated, what was broken."""
    yield "tested", product_line(report)
    for name, component in report.environment.components.items():
        yield name, f"{'SIMULATED' if component.simulated else 'real'}: {component.kind} {component.version}"
    for fault in report.environment.faults:
        yield "fault", fault


def _case(scenario: ScenarioEntry) -> ET.Element:
    case = ET.Element(
        "testcase",
        {
            "classname": _text(scenario.feature or "unknown"),
            "name": _text(f"{scenario.id} {scenario.name}"),
            "time": f"{scenario.seconds:.3f}",
        },
    )
    properties = ET.SubElement(case, "properties")
    for name, value in (("verdict", scenario.verdict), *(("claim", claim) for claim in scenario.claims)):
        ET.SubElement(properties, "property", {"name": name, "value": _text(value)})
    verdict = Verdict(scenario.verdict)
    if verdict is not Verdict.PASSED:
        code, text = (scenario.reason.code, scenario.reason.text) if scenario.reason else ("", "")
        message = f"{verdict.value}: {code}: {text}"
        element = ET.SubElement(case, _ELEMENTS[verdict], {"message": _text(message), "type": verdict.value})
        element.text = _text(
            "\n".join(f"{step.verdict:<8} {step.keyword} {step.text}" for step in scenario.steps)
        )
    return case


def _text(text: str) -> str:
    return _NOT_XML.sub("\ufffd", text)
