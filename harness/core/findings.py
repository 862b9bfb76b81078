"""Findings: what a scenario saw of guide, product or environment that is worth telling beside its verdict."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal

FindingOf = Literal["product", "guide", "environment"]


@dataclass(frozen=True)
class Finding:
    """A difference between guide and behaviour; not a verdict.

    Attributes:
        of: Whose it is: `product`, `guide` or `environment`.
        claim: Id of the claim it is about.
        scenario: Id of the scenario that saw it.
        text: The difference.
    """

    of: FindingOf
    claim: str
    scenario: str
    text: str


class FindingsOfScenario:
    """Collects the findings of one scenario.

    Attributes:
        scenario: Id of the scenario.
        noted: Its findings so far, each once.
    """

    def __init__(self, scenario: str) -> None:
        self.scenario = scenario
        self.noted: list[Finding] = []


current_findings: ContextVar[FindingsOfScenario | None] = ContextVar("current_findings", default=None)


def note(of: FindingOf, claim: str, text: str) -> None:
    """Notes a finding of the running scenario; outside one it does nothing.

    Args:
        of: Whose difference it is: `product`, `guide` or `environment`.
        claim: Id of the claim it is about.
        text: The difference, in a sentence.
    """
    findings = current_findings.get()
    if findings is not None:
        finding = Finding(of, claim, findings.scenario, text)
        if finding not in findings.noted:
            findings.noted.append(finding)
