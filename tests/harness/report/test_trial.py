"""A verdict has to be earned: which exception in which phase gives which."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from harness.core.errors import EnvironmentBroken, NotApplicable, NotObserved, Withheld
from harness.core.findings import FindingsOfScenario, current_findings, note
from harness.core.redaction import redactor
from harness.core.verdicts import Verdict
from harness.report.trial import LONGEST_REASON, Trial, judge

if TYPE_CHECKING:
    from harness.catalogue import ScenarioRecord
    from harness.report.trial import Phase


@pytest.fixture
def trial(records: list[ScenarioRecord]) -> Trial:
    return Trial(records[0])


def run(trial: Trial, *endings: Verdict, error: BaseException | None = None) -> None:
    trial.phase_ended("setup", None, 0.5)
    for index, ending in enumerate(endings):
        trial.step_began(index)
        trial.step_ended(ending)
    trial.phase_ended("call", error, 1.0)


def code(trial: Trial) -> str:
    assert trial.reason is not None
    return trial.reason.code


def test_it_begins_as_an_error(trial: Trial) -> None:
    assert (trial.verdict, code(trial)) == (Verdict.ERROR, "unfinished")
    trial.phase_ended("setup", None, 0.1)
    assert (trial.verdict, code(trial)) == (Verdict.ERROR, "unfinished")
    assert {step.verdict for step in trial.result("evidence/x", []).steps} == {"not-run"}


def test_all_steps_passed_is_passed(trial: Trial) -> None:
    run(trial, Verdict.PASSED, Verdict.PASSED)
    trial.phase_ended("teardown", None, 0.25)
    assert (trial.verdict, trial.reason) == (Verdict.PASSED, None)
    assert trial.result("evidence/x", []).seconds == 1.75


@pytest.mark.parametrize("endings", [(), (Verdict.PASSED,)])
def test_steps_that_did_not_run_are_never_passed(trial: Trial, endings: tuple[Verdict, ...]) -> None:
    run(trial, *endings)
    assert (trial.verdict, code(trial)) == (Verdict.ERROR, "steps-not-run")


def test_a_step_that_never_ended_has_the_scenarios_verdict(trial: Trial) -> None:
    trial.step_began(0)
    trial.phase_ended("call", SystemExit(0), 1.0)
    assert trial.verdict is Verdict.ERROR
    assert [step.verdict for step in trial.result("e", []).steps] == ["error", "not-run"]


@pytest.mark.parametrize(
    ("error", "phase", "verdict", "reason"),
    [
        (AssertionError("x"), "call", Verdict.FAILED, "not-as-claimed"),
        (NotObserved("x"), "call", Verdict.FAILED, "not-as-claimed"),
        (AssertionError("x"), "setup", Verdict.ERROR, "set-up-broke"),
        (NotObserved("x"), "teardown", Verdict.ERROR, "tear-down-broke"),
        (Withheld("oracle-missing", "x"), "call", Verdict.WITHHELD, "oracle-missing"),
        (Withheld("capability-missing", "x"), "setup", Verdict.WITHHELD, "capability-missing"),
        (Withheld("oracle-missing", "x"), "teardown", Verdict.ERROR, "tear-down-broke"),
        (NotApplicable("tool-absent", "x"), "call", Verdict.NOT_APPLICABLE, "tool-absent"),
        (EnvironmentBroken(expected="a", seen="b", remedy="c"), "call", Verdict.ERROR, "step-broke"),
        (pytest.skip.Exception("x"), "call", Verdict.ERROR, "skipped-in-step"),
        (pytest.fail.Exception("x"), "call", Verdict.ERROR, "step-broke"),
        (ValueError("x"), "call", Verdict.ERROR, "step-broke"),
        (SystemExit(0), "call", Verdict.ERROR, "step-broke"),
    ],
)
def test_what_an_exception_stands_for(
    error: BaseException, phase: Phase, verdict: Verdict, reason: str
) -> None:
    seen, because = judge(error, phase)
    assert (seen, because.code) == (verdict, reason)
    assert because.text


@pytest.mark.parametrize(
    ("error", "verdict", "reason"),
    [
        (None, Verdict.ERROR, "tear-down-broke"),
        (Withheld("oracle-missing", "x"), Verdict.ERROR, "tear-down-broke"),
        (AssertionError("x"), Verdict.FAILED, "not-as-claimed"),
    ],
)
def test_a_tear_down_that_breaks_spoils_all_but_worse(
    trial: Trial, error: Exception | None, verdict: Verdict, reason: str
) -> None:
    run(trial, Verdict.PASSED, Verdict.PASSED if error is None else judge(error, "call")[0], error=error)
    trial.phase_ended("teardown", RuntimeError("still there"), 0.1)
    assert (trial.verdict, code(trial)) == (verdict, reason)
    assert trial.reason is not None
    assert "still there" in trial.reason.text


def test_reasons_are_redacted_and_bounded() -> None:
    redactor.register("a-registered-secret")
    _, reason = judge(AssertionError(f"seen: a-registered-secret {'x' * 9000}"), "call")
    assert "a-registered-secret" not in reason.text
    assert len(reason.text) <= LONGEST_REASON + 2


def test_findings_belong_to_the_running_scenario() -> None:
    note("guide", "s3.tsh-ls", "outside of a scenario it goes nowhere")
    findings = FindingsOfScenario("s1.policy")
    token = current_findings.set(findings)
    try:
        note("guide", "s3.tsh-ls", "a column is missing")
        note("guide", "s3.tsh-ls", "a column is missing")
    finally:
        current_findings.reset(token)
    assert [(each.scenario, each.text) for each in findings.noted] == [("s1.policy", "a column is missing")]
