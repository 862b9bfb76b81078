"""`junit.xml` says of each scenario what the exit code says of its verdict."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from harness.core.errors import EnvironmentBroken
from harness.core.verdicts import Verdict
from harness.report.junit import write_junit
from harness.report.model import Reason

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.report.build import RunFacts
    from harness.report.model import Report, Result


def written(report: Report, tmp_path: Path) -> ET.Element:
    write_junit(report, tmp_path / "junit.xml")
    return ET.parse(tmp_path / "junit.xml").getroot()  # noqa: S314  # our own file


@pytest.mark.parametrize(
    ("verdict", "element"),
    [
        (Verdict.PASSED, None),
        (Verdict.FAILED, "failure"),
        (Verdict.ERROR, "error"),
        (Verdict.NOT_RUN, "error"),
        (Verdict.WITHHELD, "skipped"),
        (Verdict.NOT_APPLICABLE, "skipped"),
        (Verdict.KNOWN_DEVIATION, "skipped"),
    ],
)
def test_each_verdict_has_its_element(
    build: Callable[..., Report],
    make_result: Callable[..., Result],
    tmp_path: Path,
    verdict: Verdict,
    element: str | None,
) -> None:
    root = written(build(make_result("s1.policy", verdict), planned=["s1.policy"]), tmp_path)
    [case] = root.iter("testcase")
    found = [child for child in case if child.tag != "properties"]
    assert [child.tag for child in found] == ([element] if element else [])
    if element:
        assert found[0].get("message") == f"{verdict.value}: some-code: why s1.policy was {verdict}"
    [suite] = root
    counted = {"failure": "failures", "error": "errors", "skipped": "skipped"}
    assert {name: suite.get(name) for name in counted.values()} == {
        name: "1" if tag == element else "0" for tag, name in counted.items()
    }
    properties = [(each.get("name"), each.get("value")) for each in case.iter("property")]
    assert properties == [("verdict", verdict.value), ("claim", "s1.policy")]


def test_the_suite_says_what_was_tested_simulated_and_broken(
    build: Callable[..., Report],
    make_result: Callable[..., Result],
    facts: RunFacts,
    simulate: Callable[..., RunFacts],
    tmp_path: Path,
) -> None:
    unreal = simulate(facts, "teleport", "chart")
    broken = replace(
        unreal, environment=replace(unreal.environment, additions=["a CA", "fault x: misbehaves\x07"])
    )
    root = written(build(make_result("s1.policy"), facts=broken), tmp_path)
    properties = [
        (each.get("name"), each.get("value")) for each in root.findall("testsuite/properties/property")
    ]
    assert properties == [
        (
            "tested",
            "nothing of the product was tested: simulated are Teleport 17.2.1, chart 17.2.1, AWS by moto 5.2",
        ),
        ("teleport", "SIMULATED: teleport 17.2.1"),
        ("chart", "SIMULATED: teleport-kube-agent 17.2.1"),
        ("kubernetes", "real: control plane 1.33.4"),
        ("kubelet", "real: kubelet 1.33.4"),
        ("aws", "SIMULATED: AWS gateway over moto 5.2"),
        ("fault", "fault x: misbehaves\ufffd"),
    ]
    sound = written(build(make_result("s1.policy")), tmp_path)
    assert "fault" not in {each.get("name") for each in sound.findall("testsuite/properties/property")}


def test_every_planned_scenario_is_a_test_case(build: Callable[..., Report], tmp_path: Path) -> None:
    root = written(build(), tmp_path)
    assert root.get("tests") == "3"
    assert root.get("errors") == "3"
    names = [case.get("name") for case in root.iter("testcase")]
    assert names[0] == "s1.policy The name of s1.policy"


def test_characters_that_xml_cannot_carry_are_replaced(
    build: Callable[..., Report], make_result: Callable[..., Result], tmp_path: Path
) -> None:
    ugly = replace(make_result("s1.policy", Verdict.FAILED), reason=Reason("c", "\x1b[31m<red> & \x00 ä"))
    root = written(build(ugly, planned=["s1.policy"]), tmp_path)
    [failure] = root.iter("failure")
    assert failure.get("message") == "failed: c: \ufffd[31m<red> & \ufffd ä"


def test_a_file_that_cannot_be_written_is_told(build: Callable[..., Report], tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBroken):
        write_junit(build(), tmp_path / "no" / "junit.xml")
