"""A small catalogue, results files and the facts of a run."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import pytest

from harness.catalogue import ScenarioRecord, StepRecord
from harness.core.verdicts import Verdict
from harness.report.build import RunFacts, reconcile, result_line
from harness.report.model import (
    ComponentEntry,
    EnvironmentEntry,
    Guide,
    Reason,
    Result,
    StepResult,
    TextEntry,
    Timing,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.report.model import Report

REAL = {
    "teleport": ComponentEntry("teleport", "17.2.1", simulated=False),
    "chart": ComponentEntry("teleport-kube-agent", "17.2.1", simulated=False),
    "kubernetes": ComponentEntry("control plane", "1.33.4", simulated=False),
    "kubelet": ComponentEntry("kubelet", "1.33.4", simulated=False),
    "aws": ComponentEntry("AWS gateway over moto", "5.2", simulated=True),
}


TEXTS = [
    TextEntry("no-rule-matched", "instance did not match any <allow> rules", "measured"),
    TextEntry("sts-host", 'unknown STS host "{host}"', "read"),
    TextEntry("agent-gone", "offline", "inferred"),
    TextEntry("not-joined", "not yet", "measured"),
]


def record(
    scenario_id: str, *, claims: tuple[str, ...] = (), failures: tuple[str, ...] = ()
) -> ScenarioRecord:
    return ScenarioRecord(
        id=scenario_id,
        name=f"The name of {scenario_id}",
        feature="features/1.feature",
        line=7,
        tags=(f"id:{scenario_id}",),
        profiles=tuple(p for p, has in (("guide", claims), ("robustness", failures)) if has),
        claims=claims,
        failures=failures,
        needs=(),
        alone=False,
        rule=None,
        steps=(StepRecord("Given", "a token", 8, "given"), StepRecord("When", "it joins", 9, "when")),
        template=f"The name of {scenario_id}",
    )


def result(scenario_id: str, verdict: Verdict = Verdict.PASSED) -> Result:
    steps = [
        StepResult("Given", "a token", 8, "passed", 0.1),
        StepResult("When", "it joins", 9, verdict.value, 0.2),
    ]
    reason = None if verdict is Verdict.PASSED else Reason("some-code", f"why {scenario_id} was {verdict}")
    return Result(scenario_id, verdict.value, reason, 1.5, steps, None, [])


@pytest.fixture
def make_result() -> Callable[..., Result]:
    return result


@pytest.fixture
def records() -> list[ScenarioRecord]:
    return [
        record("s1.policy", claims=("s1.policy",)),
        record("s3.install", claims=("s3.install", "how.no-secret")),
        record("s2.refused", claims=("s2.arn-restricts",), failures=("wrong-role",)),
    ]


@pytest.fixture
def facts() -> RunFacts:
    return RunFacts(
        suite_version="0.1.0",
        suite_commit=None,
        guide=Guide("17"),
        environment=EnvironmentEntry("lab", dict(REAL), ["the run's CA"]),
        timing=Timing("2026-01-01T00:00:00Z", "2026-01-01T00:01:00Z", 60.0, 12.5),
        reproduce=["./conformance", "run", "--teleport", "a folder"],
    )


@pytest.fixture
def simulate() -> Callable[..., RunFacts]:
    """Facts in which some components are simulated; a simulated Teleport has texts."""

    def change(facts: RunFacts, *names: str) -> RunFacts:
        components = {
            name: replace(component, simulated=component.simulated or name in names)
            for name, component in facts.environment.components.items()
        }
        texts = TEXTS if components["teleport"].simulated else []
        return replace(facts, environment=replace(facts.environment, components=components, texts=texts))

    return change


@pytest.fixture
def build(tmp_path: Path, records: list[ScenarioRecord], facts: RunFacts) -> Callable[..., Report]:
    """Reconciles results with a plan; without one, everything is planned."""

    def make(*results: Result, planned: list[str] | None = None, torn: str = "", **options: object) -> Report:
        path = tmp_path / "results.jsonl"
        path.write_text("".join(map(result_line, results)) + torn, encoding="utf-8")
        ids = [each.id for each in records] if planned is None else planned
        run = options.pop("facts", facts)
        return reconcile(records, ids, path, run, **options)  # type: ignore[arg-type]  # options of the test's own

    return make


@pytest.fixture
def document() -> Callable[[Report], dict[str, Any]]:
    """A report as a reader of the file has it."""
    return lambda report: json.loads(json.dumps(asdict(report)))
