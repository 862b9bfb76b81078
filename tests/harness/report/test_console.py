"""The last lines of a run: every count, and what of the product was tested."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from harness.core.findings import Finding
from harness.core.verdicts import Verdict
from harness.report.console import failure_block, product_line, progress_line, summary_lines
from harness.report.model import EnvironmentEntry

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.report.build import RunFacts
    from harness.report.model import Report, Result


def test_a_finished_scenario_is_one_line(make_result: Callable[..., Result]) -> None:
    line = progress_line(3, 10, "Agent joins by IAM", make_result("s3.install"))
    assert line == "[ 3/10] passed    s3.install  Agent joins by IAM  1.5 s"


def test_every_verdict_is_counted(build: Callable[..., Report], make_result: Callable[..., Result]) -> None:
    report = build(make_result("s1.policy"), make_result("s3.install", Verdict.WITHHELD))
    lines = summary_lines(report, report_path=Path("conformance-report/conformance-report.json"))
    assert lines[0] == "1 passed, 1 withheld, 1 not-run of 3 planned"
    assert "not run: the run ended before this scenario did" in lines
    assert "time: 60.0 s, 12.5 s of it to set up" in lines
    assert "report: conformance-report/conformance-report.json" in lines
    assert "conformant: guide no, robustness no, upgrade cannot be said" in lines


def test_findings_leftovers_and_signals_are_told(
    build: Callable[..., Report], make_result: Callable[..., Result]
) -> None:
    finding = Finding("guide", "s3.tsh-ls", "s1.policy", "a column is missing")
    report = build(replace(make_result("s1.policy"), findings=[finding]))
    lines = summary_lines(
        report, report_path=Path("r.json"), leftovers=["namespace x: forbidden"], interrupted=True
    )
    assert "finding (guide, s3.tsh-ls, s1.policy): a column is missing" in lines
    assert "left behind: namespace x: forbidden" in lines
    assert any(line.startswith("interrupted") for line in lines)


@pytest.mark.parametrize(
    ("simulated", "last"),
    [
        ((), "tested: real Teleport 17.2.1, chart 17.2.1, Kubernetes 1.33.4; simulated AWS by moto 5.2"),
        (
            ("kubelet",),
            (
                "tested: real Teleport 17.2.1, chart 17.2.1, Kubernetes 1.33.4; simulated kubelet 1.33.4, "
                "AWS by moto 5.2"
            ),
        ),
        (
            ("teleport",),
            "tested: real chart 17.2.1, Kubernetes 1.33.4; simulated Teleport 17.2.1, AWS by moto 5.2",
        ),
        (
            ("teleport", "chart"),
            "nothing of the product was tested: simulated are Teleport 17.2.1, chart 17.2.1, AWS by moto 5.2",
        ),
    ],
)
def test_the_last_line_says_what_was_tested(  # noqa: PLR0917  # fixtures
    build: Callable[..., Report],
    make_result: Callable[..., Result],
    facts: RunFacts,
    simulate: Callable[..., RunFacts],
    simulated: tuple[str, ...],
    last: str,
) -> None:
    report = build(make_result("s1.policy"), facts=simulate(facts, *simulated))
    assert summary_lines(report, report_path=Path("r.json"))[-1] == last


def test_texts_of_a_simulated_teleport_are_counted_by_provenance(
    build: Callable[..., Report],
    make_result: Callable[..., Result],
    facts: RunFacts,
    simulate: Callable[..., RunFacts],
) -> None:
    line = (
        "texts of the simulated Teleport: 2 measured, 1 read, 1 inferred; only measured ones decide a check"
    )
    real = build(make_result("s1.policy"))
    simulated = build(make_result("s1.policy"), facts=simulate(facts, "teleport"))
    assert summary_lines(simulated, report_path=Path("r.json")).count(line) == 1
    assert not [each for each in summary_lines(real, report_path=Path("r.json")) if "texts of" in each]


def test_nothing_was_tested_when_nothing_ran(
    build: Callable[..., Report], make_result: Callable[..., Result], facts: RunFacts
) -> None:
    nothing = "nothing of the product was tested: no scenario ran to a verdict"
    assert product_line(build()) == nothing
    assert product_line(build(make_result("s1.policy", Verdict.ERROR))) == nothing
    assert product_line(build(facts=replace(facts, environment=EnvironmentEntry("lab")))) == nothing


def test_a_failure_without_steps_or_record_is_still_told(make_result: Callable[..., Result]) -> None:
    result = replace(make_result("s1.policy", Verdict.ERROR), steps=[])
    assert failure_block(None, result, None, "./conformance run --scenario s1.policy") == [
        "    some-code: why s1.policy was error",
        "    again     ./conformance run --scenario s1.policy",
    ]
