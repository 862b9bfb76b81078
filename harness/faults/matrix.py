"""What the faults showed: who noticed which, which claims of which scenarios are proven, and what is missing."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from harness.core.verdicts import Verdict
from harness.faults.plan import FAILURE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harness.faults.catalogue import Fault
    from harness.faults.labs import Judged, Lab
    from harness.faults.plan import Subject, Trial

SCHEMA = "conformance-faults/1"

COMMANDS_STEP = "no command failed"
"""The Then that whatever stops the reader's commands fails at: by itself it says nothing of a claim."""


class Outcome(StrEnum):
    """What a fault did to a scenario."""

    KILLED = "killed"
    """The scenario failed: it can."""
    SURVIVED = "survived"
    """It passed although the decision was taken wrongly for it."""
    NOT_REACHED = "not-reached"
    """It does not rest on the decision; it was not run, or passed."""
    DISTURBED = "disturbed"
    """It does not rest on the decision and did not pass all the same."""
    BROKE = "broke"
    """Harness or environment broke, or what was arranged did not come about, so that nothing was shown."""


@dataclass(frozen=True)
class Cell:
    """A fault tried on a scenario; fields beside the outcome as of `Judged`."""

    scenario: str
    outcome: Outcome
    verdict: str
    step: str = ""
    kind: str = ""
    reason: str = ""


@dataclass(frozen=True)
class Row:
    """A fault and what it did.

    Attributes:
        fault: Of the catalogue.
        cells: Scenarios that were run with it.
    """

    fault: Fault
    cells: tuple[Cell, ...]

    @property
    def killed(self) -> tuple[str, ...]:
        """Scenarios that noticed."""
        return self.having(Outcome.KILLED)

    @property
    def proven(self) -> tuple[str, ...]:
        """Scenarios that noticed by what they claim: in a Then, or where the catalogue says why it counts."""
        counting = dict(self.fault.at)
        return tuple(
            cell.scenario
            for cell in self.cells
            if cell.outcome == Outcome.KILLED
            and (cell.step in counting or (cell.kind == "then" and cell.step != COMMANDS_STEP))
        )

    def having(self, outcome: Outcome) -> tuple[str, ...]:
        """Scenarios with that outcome."""
        return tuple(cell.scenario for cell in self.cells if cell.outcome == outcome)


def row(trial: Trial, lab: Lab) -> Row:
    """Judges a trial by what its lab showed."""
    reached = lab.rests_on(trial.fault.component, trial.fault.decision)
    return Row(
        trial.fault,
        (
            *(_cell(one, lab.of(one), aimed=True, reached=reached) for one in trial.aimed),
            *(_cell(one, lab.of(one), aimed=False, reached=reached) for one in trial.bystanders),
        ),
    )


def _cell(scenario: str, judged: Judged, *, aimed: bool, reached: bool) -> Cell:
    if judged.verdict == Verdict.PASSED:
        outcome = Outcome.SURVIVED if aimed and reached else Outcome.NOT_REACHED
    elif not aimed:
        outcome = Outcome.DISTURBED
    elif judged.verdict == Verdict.FAILED and judged.kind != "given":
        outcome = Outcome.KILLED
    else:
        outcome = Outcome.BROKE
    return Cell(scenario, outcome, judged.verdict, judged.step, judged.kind, judged.reason)


@dataclass(frozen=True)
class Matrix:
    """All that was shown.

    Attributes:
        subjects: Scenarios whose claims were to be proven, excluded ones among them.
        excluded: Id of each scenario that judged nothing in the clean run, and why. Its pairs are unproven all
            the same where `otherwise` has none of them.
        rows: One a fault.
        untried: Faults that were not tried, for what they are to show.
        otherwise: Pairs of scenario and claim that no fault can prove, and why.
        facts: Seed, mode and versions, for whoever repeats it.
    """

    subjects: Sequence[Subject]
    excluded: Mapping[str, str]
    rows: Sequence[Row]
    untried: Sequence[Fault] = ()
    otherwise: Mapping[tuple[str, str], str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)

    def pairs(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """Each scenario's claims, and the faults that violate the claim and that the scenario noticed by it.

        A failure mode is proven by any fault that the catalogue names its scenario for.
        """
        return {
            (subject.id, claim): tuple(
                row.fault.name
                for row in self.rows
                if subject.id in row.proven
                and (
                    subject.id in row.fault.scenarios
                    if claim.startswith(FAILURE)
                    else claim in row.fault.claims
                )
            )
            for subject in self.subjects
            for claim in subject.claims
        }

    def unproven(self) -> list[tuple[str, str]]:
        """Pairs of scenario and claim that no fault proved."""
        return [pair for pair, faults in self.pairs().items() if not faults and pair not in self.otherwise]

    def victimless(self) -> list[str]:
        """Faults that nothing noticed and for which the catalogue has no reason why.

        Where a scenario that the catalogue names was not chosen, nothing is said of its fault. One that is excluded
        was chosen: the reason then is what `otherwise` has of it.
        """
        there = {subject.id for subject in self.subjects} | set(self.excluded)
        quiet = [*(row.fault for row in self.rows if not row.killed), *self.untried]
        return [
            fault.name
            for fault in quiet
            if not fault.unowned and set(fault.scenarios) <= there and not self._explained(fault)
        ]

    def _explained(self, fault: Fault) -> bool:
        return bool(fault.scenarios) and all(
            any((scenario, claim) in self.otherwise for claim in fault.claims) for scenario in fault.scenarios
        )

    def missed(self) -> list[tuple[str, str]]:
        """Fault and scenario that should have noticed it, by the catalogue, and did not."""
        return [
            (row.fault.name, cell.scenario)
            for row in self.rows
            for cell in row.cells
            if cell.scenario in row.fault.scenarios and cell.outcome != Outcome.KILLED
        ]

    def disturbed(self) -> list[tuple[str, str]]:
        """Fault and scenario that had nothing to do with it and did not stay green."""
        return [(row.fault.name, one) for row in self.rows for one in row.having(Outcome.DISTURBED)]

    def noticed(self) -> list[tuple[str, str]]:
        """Fault that the catalogue calls unowned, and a scenario that noticed it."""
        return [(row.fault.name, one) for row in self.rows if row.fault.unowned for one in row.killed]

    def notes(self) -> list[str]:
        """What of the catalogue is no longer true, a line each; the command does not fail by it."""
        return [
            *(f"{name} is called unowned, and {one} noticed it" for name, one in self.noticed()),
            *(
                f"{claim} of {one} is said to be provable by no fault, and {faults[0]} proved it"
                for (one, claim), faults in self.pairs().items()
                if faults and (one, claim) in self.otherwise
            ),
        ]

    def problems(self) -> list[str]:
        """What makes the command fail, a line each."""
        return [
            *self.nothing(),
            *(
                f"unproven: no fault that violates {claim} was noticed by {one}"
                for one, claim in self.unproven()
            ),
            *(f"without a victim: {name}, and the catalogue has no reason why" for name in self.victimless()),
            *(f"missed: {one} did not notice {name}" for name, one in self.missed()),
            *(
                f"disturbed: {one} rests on no decision of {name}, and did not pass"
                for name, one in self.disturbed()
            ),
        ]

    def nothing(self) -> list[str]:
        """Says so where there was nothing to prove and nothing was noticed: that is no proof."""
        if self.pairs() or any(row.killed for row in self.rows):
            return []
        return ["nothing was shown: no claim of a scenario was to be proven, and no fault was noticed"]

    def document(self) -> dict[str, Any]:
        """The matrix as it is written."""
        return {
            "schema": SCHEMA,
            **self.facts,
            "proven": not self.problems(),
            "problems": self.problems(),
            "notes": self.notes(),
            "scenarios": [{"id": one.id, "claims": list(one.claims)} for one in self.subjects],
            "excluded": dict(self.excluded),
            "pairs": [
                {
                    "scenario": one,
                    "claim": claim,
                    "killed_by": list(faults),
                    "otherwise": self.otherwise.get((one, claim), ""),
                }
                for (one, claim), faults in self.pairs().items()
            ],
            "faults": [
                {**asdict(row.fault), "runs": [asdict(cell) for cell in row.cells]} for row in self.rows
            ],
            "untried": [fault.name for fault in self.untried],
        }


def counts(rows: Iterable[Row]) -> dict[Outcome, int]:
    """How many cells have each outcome."""
    return {outcome: sum(len(row.having(outcome)) for row in rows) for outcome in Outcome}
