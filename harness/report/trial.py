"""What becomes of one scenario while it runs, in the process that runs it.

The verdict has to be earned: it starts as error ("did not finish") and every step as not-run.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING, Literal

import pytest

from harness.core.errors import ConformanceError, NotApplicable, Withheld
from harness.core.findings import FindingsOfScenario
from harness.core.redaction import redact
from harness.core.verdicts import Verdict
from harness.report.model import Evidence, Reason, Result, StepResult

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from harness.catalogue import ScenarioRecord

Phase = Literal["setup", "call", "teardown"]

LONGEST_REASON = 4000
"""Characters of a reason's text; the whole is in the evidence."""

_BROKE: Mapping[str, str] = {"setup": "set-up-broke", "call": "step-broke", "teardown": "tear-down-broke"}
_UNFINISHED = Reason("unfinished", "the scenario did not finish")


class Trial:
    """One scenario's way to its verdict.

    Args:
        record: The scenario.
    """

    def __init__(self, record: ScenarioRecord) -> None:
        self.record = record
        self.findings = FindingsOfScenario(record.id)
        self.verdict = Verdict.ERROR
        self.reason: Reason | None = _UNFINISHED
        self._steps = [StepResult(step.keyword, step.text, step.line) for step in record.steps]
        self._running: int | None = None
        self._began = 0.0
        self._seconds = 0.0

    def step_began(self, index: int) -> None:
        """Takes note that a step runs now.

        Args:
            index: Its place in the scenario, from 0, Background counted.
        """
        self._running = index
        self._began = time.monotonic()

    def step_ended(self, verdict: Verdict) -> None:
        """Takes note of how the running step ended.

        Args:
            verdict: Passed, or what made the scenario end.
        """
        if self._running is not None:
            seconds = round(time.monotonic() - self._began, 3)
            self._steps[self._running] = replace(
                self._steps[self._running], verdict=verdict.value, seconds=seconds
            )
            self._running = None

    def phase_ended(self, phase: Phase, error: BaseException | None, seconds: float) -> None:
        """Takes note of how set-up, steps or tear-down ended, and judges.

        Args:
            phase: As pytest names it.
            error: What ended it early, or None.
            seconds: How long it took.
        """
        self._seconds += seconds
        verdict, reason = judge(error, phase) if error else (Verdict.PASSED, None)
        if phase == "call":
            self.step_ended(verdict)
            if error is None and not self._all_steps_passed():
                verdict, reason = (
                    Verdict.ERROR,
                    Reason("steps-not-run", "the scenario ended before its last step"),
                )
        if phase == "teardown":
            self._torn_down(reason)
        elif phase == "call" or error is not None:
            self.verdict, self.reason = verdict, reason

    def result(self, evidence: str, records: Sequence[Mapping[str, Any]]) -> Result:
        """Gives the result as of now.

        Args:
            evidence: Folder of the evidence, relative to that of the results file.
            records: What the recorder wrote there.
        """
        return Result(
            id=self.record.id,
            verdict=self.verdict.value,
            reason=self.reason,
            seconds=round(self._seconds, 3),
            steps=list(self._steps),
            evidence=Evidence(evidence, list(records)),
            findings=list(self.findings.noted),
        )

    def _all_steps_passed(self) -> bool:
        return bool(self._steps) and all(step.verdict == Verdict.PASSED for step in self._steps)

    def _torn_down(self, broke: Reason | None) -> None:
        """A tear-down that broke spoils every verdict but the worse ones, to which it is added."""
        if broke is None:
            return
        if self.verdict in (Verdict.FAILED, Verdict.ERROR) and self.reason:
            self.reason = replace(self.reason, text=f"{self.reason.text}\n{broke.code}: {broke.text}")
        else:
            self.verdict, self.reason = Verdict.ERROR, broke


def judge(error: BaseException, phase: Phase) -> tuple[Verdict, Reason]:
    """Gives the verdict that an exception stands for.

    Args:
        error: What a step, the set-up or the tear-down raised.
        phase: Where. An assertion speaks of the product only in a step; withheld and not-applicable
            are decided before tear-down.
    """
    if isinstance(error, Withheld) and phase != "teardown":
        return Verdict.WITHHELD, _reason(error.code, error.text)
    if isinstance(error, NotApplicable) and phase != "teardown":
        return Verdict.NOT_APPLICABLE, _reason(error.code, error.text)
    if isinstance(error, AssertionError) and phase == "call":
        # pytest explains where each operand came from, with the whole objects: the traceback keeps that.
        said = str(error).partition("\n +")[0]
        return Verdict.FAILED, _reason("not-as-claimed", said or "an assertion without a message")
    if isinstance(error, pytest.skip.Exception):
        text = f"a skip says nothing of the product, raise Withheld or NotApplicable instead: {error}"
        return Verdict.ERROR, _reason("skipped-in-step", text)
    text = str(error) if isinstance(error, ConformanceError) else f"{type(error).__name__}: {error}"
    return Verdict.ERROR, _reason(_BROKE[phase], text)


def _reason(code: str, text: str) -> Reason:
    # An exception's text quotes what was seen, which may be what nobody else may see.
    shown = redact(text)
    return Reason(str(code), shown if len(shown) <= LONGEST_REASON else f"{shown[:LONGEST_REASON]} …")
