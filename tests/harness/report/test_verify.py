"""A report that was tampered with, or is not whole, is told from a sound one."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from harness.core.findings import Finding
from harness.core.verdicts import Verdict
from harness.report.model import EnvironmentEntry, Evidence
from harness.report.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.report.build import RunFacts
    from harness.report.model import Report, Result

ALL = ("s1.policy", "s3.install", "s2.refused")
Document = dict[str, Any]


@pytest.fixture
def sound(
    build: Callable[..., Report], make_result: Callable[..., Result], document: Callable[[Report], Document]
) -> Document:
    first = replace(
        make_result("s1.policy"),
        findings=[Finding("guide", "s1.policy", "s1.policy", "harmless")],
        evidence=Evidence("evidence/s1.policy", [{"number": 1}]),
    )
    return document(build(first, make_result("s3.install"), make_result("s2.refused", Verdict.FAILED)))


def test_a_sound_report_has_no_problem(sound: Document) -> None:
    assert verify(sound) == []


@pytest.mark.parametrize("verdict", list(Verdict))
def test_every_verdict_can_be_in_a_sound_report(
    build: Callable[..., Report],
    make_result: Callable[..., Result],
    document: Callable[[Report], Document],
    verdict: Verdict,
) -> None:
    assert verify(document(build(*(make_result(scenario, verdict) for scenario in ALL)))) == []


def test_a_run_that_never_began_gives_a_sound_report(
    build: Callable[..., Report], document: Callable[[Report], Document], facts: RunFacts
) -> None:
    assert verify(document(build(facts=replace(facts, environment=EnvironmentEntry("lab"))))) == []


def _set(document: Document, path: str, value: object) -> None:
    *parents, last = path.split(".")
    node: Any = document
    for name in parents:
        node = node[int(name)] if name.isdigit() else node[name]
    node[last] = value


@pytest.mark.parametrize(
    ("path", "value", "problem"),
    [
        ("schema", "conformance-report/0", "$.schema: "),
        ("extra", 1, "'extra' was unexpected"),
        ("scenarios.0.verdict", "fine", "$.scenarios[0].verdict: "),
        ("summary.failed", 0, "$.summary: failed is stated as 0, but follows as 1"),
        ("conformant.robustness", True, "$.conformant: robustness is stated as True, but follows as False"),
        ("scenarios.2.verdict", "passed", "$.scenarios[2] (s2.refused): passed with a reason"),
        ("scenarios.2.reason", None, "$.scenarios[2] (s2.refused): failed without a reason"),
        ("scenarios.0.steps", [], "$.scenarios[0] (s1.policy): passed, but not every step did"),
        (
            "scenarios.0.steps.1.verdict",
            "not-run",
            "$.scenarios[0] (s1.policy): passed, but not every step did",
        ),
        ("scenarios.1.id", "s1.policy", "$.scenarios: s1.policy is there 2 times"),
        ("scenarios.2.claims", [], "$.claims: stated as"),
        ("scenarios.2.profiles", [], "its profiles and $.suite.profiles.guide disagree"),
        ("findings.0.scenario", "s9", "$.findings[0]: s9 is no scenario"),
        ("subject.teleport", "18.0.0", "$.subject.teleport: '18.0.0', but the component says '17.2.1'"),
        ("suite.profiles.guide", [], "its profiles and $.suite.profiles.guide disagree"),
        ("claims", [], "$.claims: 0 entries are stated, but"),
        ("reproduce", "", "$.reproduce: "),
        (
            "environment.texts",
            [{"name": "a", "text": "b", "provenance": "read"}],
            "$.environment.texts: 1 texts, but Teleport is not simulated",
        ),
        (
            "environment.texts",
            [{"name": "a", "text": "b", "provenance": "guessed"}],
            "$.environment.texts[0].provenance: ",
        ),
    ],
)
def test_tampering_is_found(sound: Document, path: str, value: object, problem: str) -> None:
    _set(sound, path, value)
    problems = verify(sound)
    assert any(problem in line for line in problems), problems


@pytest.mark.parametrize(
    "field",
    [
        "suite",
        "guide",
        "subject",
        "environment",
        "scenarios",
        "findings",
        "claims",
        "summary",
        "timing",
        "reproduce",
    ],
)
def test_every_field_must_be_there(sound: Document, field: str) -> None:
    del sound[field]
    assert any(repr(field) in line for line in verify(sound))


def test_a_scenario_cannot_be_dropped_from_a_conformant_report(
    build: Callable[..., Report], make_result: Callable[..., Result], document: Callable[[Report], Document]
) -> None:
    report = document(build(*map(make_result, ALL)))
    assert report["conformant"]["guide"] is True
    del report["scenarios"][1]
    report["summary"]["passed"] = 2
    assert any(
        "$.conformant: guide is stated as True, but follows as None" in line for line in verify(report)
    )


def test_a_simulated_teleport_must_tell_each_of_its_texts_once(
    build: Callable[..., Report],
    make_result: Callable[..., Result],
    document: Callable[[Report], Document],
    facts: RunFacts,
    simulate: Callable[..., RunFacts],
) -> None:
    report = document(build(*map(make_result, ALL), facts=simulate(facts, "teleport")))
    assert verify(report) == []
    texts = report["environment"]["texts"]
    texts.append(texts[0])
    assert verify(report) == ["$.environment.texts: no-rule-matched is there 2 times"]
    texts.clear()
    assert verify(report) == ["$.environment.texts: 0 texts, but Teleport is simulated"]


def test_a_simulated_component_cannot_be_overlooked(
    build: Callable[..., Report], make_result: Callable[..., Result], document: Callable[[Report], Document]
) -> None:
    report = document(build(*map(make_result, ALL)))
    report["environment"]["components"]["teleport"]["simulated"] = True
    assert any("$.conformant: guide" in line for line in verify(report))
