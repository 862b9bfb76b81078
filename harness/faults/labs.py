"""What one run of the suite in a lab of its own showed, read from its report."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from harness.core.verdicts import Verdict
from harness.faults.catalogue import DECISIONS_NAME

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

KINDS = {"Given": "given", "When": "when", "Then": "then"}
"""Keyword of a step -> what kind it is; And and But go on with the kind before them."""

REAL = frozenset({"clients", "real"})
"""Components that tell nothing of their decisions, since they are real programs."""

CHART_AT_WORK = frozenset({"apiserver.statefulset_goes_on", "kubelet.state_after_probe"})
"""Decisions that are taken about what the chart makes and about nothing else.

A chart is data and cannot tell that it was asked: where one of these is taken, all of the chart's were.
"""


@dataclass(frozen=True)
class Judged:
    """What became of a scenario in a lab.

    Attributes:
        verdict: Of the scenario.
        step: Text of the step that ended it; empty where none did.
        kind: Of that step: given, when or then.
        reason: What was expected and seen, in a line.
        seconds: It took.
    """

    verdict: str
    step: str = ""
    kind: str = ""
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True)
class Lab:
    """What a run showed.

    Attributes:
        scenarios: Id to what became of it; one that has no entry was not run.
        taken: Decisions that its scenarios rest on, as `component.decision`.
        problem: Why there is no such report; empty where there is.
    """

    scenarios: Mapping[str, Judged]
    taken: frozenset[str]
    problem: str = ""

    def rests_on(self, component: str, decision: str) -> bool:
        """Whether that decision was taken while scenarios ran."""
        if component in REAL:
            return True
        if component == "chart":
            return bool(CHART_AT_WORK & self.taken)
        return f"{component}.{decision}" in self.taken

    def of(self, scenario: str) -> Judged:
        """What became of a scenario; an error where nothing is known of it."""
        return self.scenarios.get(scenario) or Judged(Verdict.ERROR, reason=self.problem or "it was not run")


class Runs(Protocol):
    """Runs scenarios, each time in a lab of their own."""

    def run(self, scenarios: Sequence[str], fault: str | None) -> Lab:
        """Runs some with a fault by its name, or without; several may be asked for at a time."""

    def end(self) -> None:
        """Ends those that run now; none begins any more."""


def read(folder: Path, report_name: str, logs_folder: str) -> Lab:
    """Reads a report.

    Args:
        folder: That the report was written to.
        report_name: Name of the report's file.
        logs_folder: Name of the folder with the kept logs.
    """
    try:
        report = json.loads((folder / report_name).read_text())
        taken = frozenset(json.loads((folder / logs_folder / DECISIONS_NAME).read_text()))
        scenarios = {one["id"]: _judged(one) for one in report["scenarios"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        return Lab({}, frozenset(), f"no report: {type(error).__name__}: {error}")
    return Lab({name: one for name, one in scenarios.items() if one.verdict != Verdict.NOT_RUN}, taken)


def ended(lab: Lab, code: int) -> Lab:
    """What a run showed, if its exit code does not speak against it.

    Args:
        lab: By its report.
        code: That it ended with: 0 or 1 where all was judged, another where something broke or was left out.
    """
    broke = any(one.verdict not in (Verdict.PASSED, Verdict.FAILED) for one in lab.scenarios.values())
    if lab.problem or code in (0, 1) or (code > 0 and broke):
        return lab
    return Lab({}, frozenset(), f"the run ended with {code}, and its report has nothing that broke")


def _judged(scenario: Mapping[str, Any]) -> Judged:
    kind = ""
    for step in scenario["steps"]:
        kind = KINDS.get(step["keyword"], kind)
        if step["verdict"] not in (Verdict.PASSED, Verdict.NOT_RUN):
            ended = step["text"], kind
            break
    else:
        ended = "", ""
    reason = " ".join(((scenario["reason"] or {}).get("text") or "").split())
    return Judged(scenario["verdict"], *ended, reason=reason, seconds=scenario["seconds"])
