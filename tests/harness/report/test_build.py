"""Reconciliation: nothing planned is missing, nothing is there twice, nothing is better than it was."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from packaging.specifiers import SpecifierSet

from harness.core.errors import EnvironmentBroken
from harness.core.findings import Finding
from harness.core.verdicts import Verdict
from harness.report.build import reconcile, result_line, write_report
from harness.report.deviations import Deviation
from harness.report.model import Evidence, Reason, Result, StepResult

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from harness.catalogue import ScenarioRecord
    from harness.report.build import RunFacts
    from harness.report.model import Report

DECLARED = [Deviation("s3.install", SpecifierSet(">=17,<18"), "https://example.com/issues/1")]


def verdicts(report: Report) -> dict[str, str]:
    return {entry.id: entry.verdict for entry in report.scenarios}


def reasons(report: Report) -> dict[str, str]:
    return {entry.id: entry.reason.code for entry in report.scenarios if entry.reason}


def all_passed(make_result: Callable[..., Result]) -> list[Result]:
    return [make_result(scenario) for scenario in ("s1.policy", "s3.install", "s2.refused")]


def test_all_passed(build: Callable[..., Report], make_result: Callable[..., Result]) -> None:
    report = build(*all_passed(make_result))
    assert verdicts(report) == {"s1.policy": "passed", "s3.install": "passed", "s2.refused": "passed"}
    assert report.summary["passed"] == 3
    assert sum(report.summary.values()) == 3
    assert report.conformant == {"guide": True, "robustness": True, "upgrade": None}
    assert {claim.id: claim.verdict for claim in report.claims if claim.scenarios} == {
        "s1.policy": "passed",
        "s3.install": "passed",
        "how.no-secret": "passed",
        "s2.arn-restricts": "passed",
    }


def test_what_nobody_checks_is_not_run(
    build: Callable[..., Report], make_result: Callable[..., Result]
) -> None:
    report = build(*all_passed(make_result))
    unchecked = [claim for claim in report.claims if not claim.scenarios]
    assert unchecked
    assert {claim.verdict for claim in unchecked} == {"not-run"}


def test_what_is_planned_and_not_reported_is_not_run(
    build: Callable[..., Report], make_result: Callable[..., Result]
) -> None:
    report = build(make_result("s1.policy"), not_run=Reason("interrupted", "SIGTERM"))
    assert verdicts(report) == {"s1.policy": "passed", "s3.install": "not-run", "s2.refused": "not-run"}
    entry = report.scenarios[1]
    assert entry.reason == Reason("interrupted", "SIGTERM")
    assert [step.verdict for step in entry.steps] == ["not-run", "not-run"]
    assert report.conformant["guide"] is not True


def test_what_is_reported_and_not_planned_is_an_error(
    build: Callable[..., Report], make_result: Callable[..., Result]
) -> None:
    report = build(
        make_result("s1.policy"), make_result("s3.install"), make_result("x.y"), planned=["s1.policy"]
    )
    assert verdicts(report) == {"s1.policy": "passed", "s3.install": "error", "x.y": "error"}
    assert reasons(report) == {"s3.install": "not-planned", "x.y": "not-planned"}


@pytest.mark.parametrize("order", [(Verdict.PASSED, Verdict.FAILED), (Verdict.FAILED, Verdict.PASSED)])
def test_a_scenario_reported_twice_differently_is_an_error(
    build: Callable[..., Report], make_result: Callable[..., Result], order: tuple[Verdict, Verdict]
) -> None:
    report = build(*(make_result("s1.policy", verdict) for verdict in order), planned=["s1.policy"])
    assert verdicts(report) == {"s1.policy": "error"}
    assert reasons(report) == {"s1.policy": "reported-twice"}


def test_the_same_line_twice_is_one_result(
    build: Callable[..., Report], make_result: Callable[..., Result]
) -> None:
    report = build(make_result("s1.policy"), make_result("s1.policy"), planned=["s1.policy"])
    assert verdicts(report) == {"s1.policy": "passed"}


@pytest.mark.parametrize(
    "torn", ['{"id": "s3.install", "verd', "{}\n", "nonsense\n", '{"id": 3}', "[]\n", "\xff\xfe\n", "null\n"]
)
def test_a_line_that_cannot_be_read_makes_its_scenario_not_run(
    build: Callable[..., Report], make_result: Callable[..., Result], torn: str
) -> None:
    report = build(make_result("s1.policy"), torn=torn, planned=["s1.policy", "s3.install"])
    assert verdicts(report) == {"s1.policy": "passed", "s3.install": "not-run"}
    reason = report.scenarios[1].reason
    assert reason is not None
    assert "1 unreadable line(s)" in reason.text


def test_an_unknown_verdict_is_no_result(
    build: Callable[..., Report], make_result: Callable[..., Result]
) -> None:
    invented = replace(make_result("s1.policy"), verdict="fine")
    assert verdicts(build(invented, planned=["s1.policy"])) == {"s1.policy": "not-run"}


def test_a_results_file_that_cannot_be_read_is_told(
    records: list[ScenarioRecord], facts: RunFacts, tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentBroken, match="to read the results"):
        reconcile(records, ["s1.policy"], tmp_path, facts)


def test_a_results_file_that_is_not_there_reports_nothing(
    records: list[ScenarioRecord], facts: RunFacts, tmp_path: Path
) -> None:
    report = reconcile(records, ["s1.policy"], tmp_path / "results.jsonl", facts)
    assert verdicts(report) == {"s1.policy": "not-run"}


def test_a_result_survives_its_line() -> None:
    whole = Result(
        "s1.policy",
        "failed",
        Reason("not-as-claimed", "ä\nb"),
        1.25,
        [StepResult("Given", "a token", 8, "failed", 0.5)],
        Evidence("evidence/s1.policy", [{"number": 1, "kind": "command"}]),
        [Finding("guide", "s3.tsh-ls", "s1.policy", "a column is missing")],
    )
    line = result_line(whole)
    assert line.count("\n") == 1
    assert Result.from_document(json.loads(line)) == whole


def test_findings_reach_the_report(build: Callable[..., Report], make_result: Callable[..., Result]) -> None:
    finding = Finding("guide", "s3.tsh-ls", "s1.policy", "a column is missing")
    report = build(replace(make_result("s1.policy"), findings=[finding]))
    assert report.findings == [finding]


def test_a_declared_failure_is_a_known_deviation(
    build: Callable[..., Report], make_result: Callable[..., Result]
) -> None:
    report = build(make_result("s3.install", Verdict.FAILED), planned=["s3.install"], deviations=DECLARED)
    assert verdicts(report) == {"s3.install": "known-deviation"}
    reason = report.scenarios[0].reason
    assert reason is not None
    assert reason.text == "https://example.com/issues/1: why s3.install was failed"
    assert report.conformant["guide"] is False


def test_a_declared_failure_that_passes_is_failed(
    build: Callable[..., Report], make_result: Callable[..., Result]
) -> None:
    report = build(make_result("s3.install"), planned=["s3.install"], deviations=DECLARED)
    assert verdicts(report) == {"s3.install": "failed"}
    assert reasons(report) == {"s3.install": "deviation-passed"}


@pytest.mark.parametrize("verdict", [Verdict.ERROR, Verdict.WITHHELD, Verdict.NOT_APPLICABLE])
def test_a_declaration_excuses_nothing_but_a_failure(
    build: Callable[..., Report], make_result: Callable[..., Result], verdict: Verdict
) -> None:
    report = build(make_result("s3.install", verdict), planned=["s3.install"], deviations=DECLARED)
    assert verdicts(report) == {"s3.install": verdict.value}


def test_a_declaration_of_another_version_excuses_nothing(
    build: Callable[..., Report], make_result: Callable[..., Result]
) -> None:
    other = [replace(DECLARED[0], versions=SpecifierSet("<17"))]
    report = build(make_result("s3.install", Verdict.FAILED), planned=["s3.install"], deviations=other)
    assert verdicts(report) == {"s3.install": "failed"}


def test_a_part_of_the_suite_is_never_conformant(
    build: Callable[..., Report], make_result: Callable[..., Result]
) -> None:
    report = build(make_result("s1.policy"), planned=["s1.policy"])
    assert report.conformant == {"guide": None, "robustness": None, "upgrade": None}
    assert report.suite.profiles["guide"] == ["s1.policy", "s3.install", "s2.refused"]


@pytest.mark.parametrize("component", ["teleport", "chart", "kubernetes", "kubelet"])
def test_nothing_simulated_conforms(
    build: Callable[..., Report],
    make_result: Callable[..., Result],
    facts: RunFacts,
    simulate: Callable[..., RunFacts],
    component: str,
) -> None:
    report = build(*all_passed(make_result), facts=simulate(facts, component))
    assert set(report.conformant.values()) == {None}


def test_the_subject_is_what_was_seen_running(
    build: Callable[..., Report], make_result: Callable[..., Result]
) -> None:
    report = build(*all_passed(make_result))
    assert report.subject == {"teleport": "17.2.1", "chart": "17.2.1", "kubernetes": "1.33.4"}
    assert report.reproduce == "./conformance run --teleport 'a folder'"


def test_the_file_begins_with_its_schema(
    build: Callable[..., Report], make_result: Callable[..., Result], tmp_path: Path
) -> None:
    report = build(*all_passed(make_result))
    write_report(report, tmp_path / "conformance-report.json")
    text = (tmp_path / "conformance-report.json").read_text(encoding="utf-8")
    assert text.startswith('{\n  "schema": "conformance-report/1"')
    assert json.loads(text) == report.as_document()


def test_a_report_that_cannot_be_written_is_told(
    build: Callable[..., Report], make_result: Callable[..., Result], tmp_path: Path
) -> None:
    with pytest.raises(EnvironmentBroken):
        write_report(build(*all_passed(make_result)), tmp_path / "no" / "folder.json")
