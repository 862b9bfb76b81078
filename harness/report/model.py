"""The conformance report as data: what `conformance-report.json` holds, field by field.

`schema.json` beside this file says the same for readers in other languages; a test holds the two
together. Everything here is plain data, so `asdict` gives the document.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from harness.core.findings import Finding
from harness.faults.catalogue import FAULT_MARK

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.environment import Description

SCHEMA = "conformance-report/1"
REPORT_NAME = "conformance-report.json"
RESULTS_NAME = "results.jsonl"
EVIDENCE_FOLDER = "evidence"


@dataclass(frozen=True)
class Reason:
    """Why a scenario has another verdict than passed.

    Attributes:
        code: Short and fixed, for machines (`not-as-claimed`, `capability-missing`, …).
        text: For people: what was expected, what was seen.
    """

    code: str
    text: str


@dataclass(frozen=True)
class StepResult:
    """What became of one step.

    Attributes:
        keyword: As written in the feature file.
        text: The phrase, placeholders filled in.
        line: Line in the feature file.
        verdict: As of a scenario; not-run for what comes after the step that ended it.
        seconds: Wall time; 0 when it did not run.
    """

    keyword: str
    text: str
    line: int
    verdict: str = "not-run"
    seconds: float = 0.0


@dataclass(frozen=True)
class Evidence:
    """Where the evidence of a scenario lies.

    Attributes:
        folder: Relative to the folder of the results file.
        records: What the recorder wrote: number, kind, title, file, seconds.
    """

    folder: str
    records: list[Mapping[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Result:
    """One finished scenario: a line of the results file.

    Attributes:
        id: Id of the scenario.
        verdict: Passed, failed, error, withheld or not-applicable.
        reason: Missing only when passed.
        seconds: Wall time of set-up, steps and tear-down.
        steps: All steps, in order.
        evidence: Where the evidence lies.
        findings: What the scenario noted.
    """

    id: str
    verdict: str
    reason: Reason | None
    seconds: float
    steps: list[StepResult]
    evidence: Evidence | None
    findings: list[Finding]

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Result:
        """Reads what `asdict` gave.

        Args:
            document: A line of the results file, parsed.

        Raises:
            KeyError, TypeError, ValueError: It is no such line.
        """
        reason, evidence = document["reason"], document["evidence"]
        return cls(
            id=document["id"],
            verdict=document["verdict"],
            reason=Reason(**reason) if reason else None,
            seconds=float(document["seconds"]),
            steps=[StepResult(**step) for step in document["steps"]],
            evidence=Evidence(**evidence) if evidence else None,
            findings=[Finding(**finding) for finding in document["findings"]],
        )


@dataclass(frozen=True)
class ScenarioEntry:
    """One scenario in the report: what it is, and what became of it."""

    id: str
    feature: str
    line: int
    name: str
    profiles: list[str]
    claims: list[str]
    failures: list[str]
    verdict: str
    reason: Reason | None
    seconds: float
    steps: list[StepResult]
    evidence: Evidence | None


@dataclass(frozen=True)
class ClaimEntry:
    """A claim of the guide: its verdict, and the planned scenarios that carry its id."""

    id: str
    verdict: str
    scenarios: list[str]


@dataclass(frozen=True)
class Suite:
    """Which suite judged.

    Attributes:
        version: Of the suite.
        commit: Of its checkout, or None outside one.
        profiles: Profile to the ids of all scenarios the suite has for it, selected or not: without
            it nobody could see that a report is about a part only.
    """

    version: str
    commit: str | None
    profiles: dict[str, list[str]]


@dataclass(frozen=True)
class Guide:
    """Which edition of the guide; `overridden` marks that it is not the one of the Teleport version."""

    edition: str
    overridden: bool = False


@dataclass(frozen=True)
class ComponentEntry:
    """One component as it was seen running."""

    kind: str
    version: str
    simulated: bool
    detail: str = ""


@dataclass(frozen=True)
class TextEntry:
    """A text that a simulated Teleport showed in the real one's place.

    Attributes:
        name: What went wrong, or what it is about.
        text: The words, with `{name}` for what differs.
        provenance: `measured` (seen from the real program), `read` (in its source or documentation) or
            `inferred`. Only a measured text decides a check.
    """

    name: str
    text: str
    provenance: str


@dataclass(frozen=True)
class EnvironmentEntry:
    """Where the scenarios ran.

    Attributes:
        name: `lab`, `kind` or `existing`.
        components: `aws`, `kubernetes`, `kubelet`, `teleport`, `chart`, `clients`, and `webhook` where the
            official pod identity webhook runs; empty when the
            environment never came up.
        additions: What the harness added to the guide's own set-up.
        texts: Those of a simulated Teleport; empty with a real one.
    """

    name: str
    components: dict[str, ComponentEntry] = field(default_factory=dict)
    additions: list[str] = field(default_factory=list)
    texts: list[TextEntry] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """What misbehaved on purpose, and how; empty in a run that says anything."""
        return [text for text in self.additions if text.startswith(FAULT_MARK)]

    @classmethod
    def from_description(cls, description: Description) -> EnvironmentEntry:
        """Takes over what an environment says of itself.

        Args:
            description: As `Environment.description` or `environment.json` has it.
        """
        components = {
            name: ComponentEntry(seen.kind, seen.version, seen.simulated, seen.detail)
            for name, seen in description.components.items()
        }
        texts = [TextEntry(said.name, said.text, said.provenance) for said in description.texts]
        return cls(description.name, components, list(description.additions), texts)


@dataclass(frozen=True)
class Timing:
    """When, and how long.

    Attributes:
        started: Start of the command, ISO 8601 in UTC.
        finished: When the report was made, ISO 8601 in UTC.
        seconds: Between the two.
        setup_seconds: Of it, until the environment was up; 0 for a reused one.
    """

    started: str
    finished: str
    seconds: float
    setup_seconds: float


@dataclass(frozen=True)
class Report:
    """The whole of `conformance-report.json`.

    Attributes:
        schema: Always `SCHEMA`.
        suite: Which suite judged.
        guide: Which edition it judged by.
        subject: Versions of `teleport`, `chart`, `kubernetes` as seen running.
        environment: Where.
        scenarios: Every planned scenario once, in the order of the plan.
        findings: Of all scenarios.
        claims: Every claim of the guide once.
        summary: Count per verdict, all verdicts named.
        conformant: Profile to true, false, or null when nothing can be said.
        timing: When, and how long.
        reproduce: The command line that repeats the run.
    """

    suite: Suite
    guide: Guide
    subject: dict[str, str]
    environment: EnvironmentEntry
    scenarios: list[ScenarioEntry]
    findings: list[Finding]
    claims: list[ClaimEntry]
    summary: dict[str, int]
    conformant: dict[str, bool | None]
    timing: Timing
    reproduce: str
    schema: str = SCHEMA

    def as_document(self) -> dict[str, Any]:
        """Gives the JSON document, `schema` first."""
        fields = asdict(self)
        return {"schema": fields.pop("schema"), **fields}
