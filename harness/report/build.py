"""Reconciliation: the plan against what was reported, into one report.

Nothing planned may be missing from a report, and nothing may be in it twice. A scenario is what its line
in the results file says, unless that line is missing (not-run), unplanned or contradicted (error), or a
declared deviation applies.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from harness.catalogue import PROFILES
from harness.core.errors import EnvironmentBroken
from harness.core.files import write_atomically
from harness.core.verdicts import Verdict, is_all_real
from harness.guide.claims import CLAIMS
from harness.report import derive
from harness.report.deviations import find
from harness.report.model import (
    EnvironmentEntry,
    Guide,
    Reason,
    Report,
    Result,
    ScenarioEntry,
    StepResult,
    Suite,
    Timing,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.catalogue import ScenarioRecord
    from harness.report.deviations import Deviation

NOT_REPORTED = Reason("not-reported", "the run ended before this scenario did")

_SUBJECT = ("teleport", "chart", "kubernetes")


@dataclass(frozen=True)
class RunFacts:
    """What the command knows of the run besides its scenarios.

    Attributes:
        suite_version: Version of the suite.
        suite_commit: Commit of its checkout, or None.
        guide: Edition, and whether it was chosen against the Teleport version.
        environment: Where; with no components if it never came up.
        timing: When, and how long.
        reproduce: The argv that repeats the run.
    """

    suite_version: str
    suite_commit: str | None
    guide: Guide
    environment: EnvironmentEntry
    timing: Timing
    reproduce: Sequence[str]


def reconcile(
    records: Sequence[ScenarioRecord],
    planned: Sequence[str],
    results: Path,
    facts: RunFacts,
    *,
    deviations: Sequence[Deviation] = (),
    not_run: Reason = NOT_REPORTED,
) -> Report:
    """Makes the report of a run.

    Args:
        records: The whole catalogue, selected or not.
        planned: Ids that were planned, in order.
        results: The results file; one that is not there reports nothing.
        facts: What the command knows besides.
        deviations: Declared ones.
        not_run: Why planned scenarios that were not reported did not run, as far as the command knows.

    Raises:
        EnvironmentBroken: The results file cannot be read.
    """
    by_id = {record.id: record for record in records}
    reported, unreadable = _read_results(results)
    if unreadable:
        not_run = replace(not_run, text=f"{not_run.text}; {unreadable} unreadable line(s) in {results.name}")
    component = facts.environment.components.get("teleport")
    teleport = component.version if component else ""
    entries = [
        _entry(scenario_id, by_id.get(scenario_id), _declared(result, deviations, teleport))
        for scenario_id, result in _outcomes(planned, reported, not_run, by_id).items()
    ]
    judged = [derive.Judged(e.id, e.verdict, tuple(e.profiles), tuple(e.claims)) for e in entries]
    profiles = {profile: [r.id for r in records if profile in r.profiles] for profile in PROFILES}
    simulated = {name: component.simulated for name, component in facts.environment.components.items()}
    return Report(
        suite=Suite(facts.suite_version, facts.suite_commit, profiles),
        guide=facts.guide,
        subject={name: c.version for name, c in facts.environment.components.items() if name in _SUBJECT},
        environment=facts.environment,
        scenarios=entries,
        findings=[finding for results in reported.values() for finding in results[0].findings],
        claims=derive.claims(judged, CLAIMS),
        summary=derive.summary(judged),
        conformant=derive.conformance(judged, profiles, all_real=is_all_real(simulated)),
        timing=facts.timing,
        reproduce=shlex.join(facts.reproduce),
    )


def write_report(report: Report, path: Path) -> None:
    """Writes the report as JSON, whole or not at all.

    Args:
        report: The report.
        path: The file; its folder must exist.

    Raises:
        EnvironmentBroken: It cannot be written.
    """
    write_atomically(path, json.dumps(report.as_document(), indent=2, ensure_ascii=False) + "\n")


def _read_results(path: Path) -> tuple[Mapping[str, list[Result]], int]:
    """Gives the results by id, and how many lines could not be read (a killed run tears its last one)."""
    try:
        lines = path.read_bytes().splitlines() if path.exists() else []
    except OSError as error:
        raise EnvironmentBroken(
            expected=f"to read the results in {path}",
            seen=str(error),
            remedy="look at the file and its folder",
        ) from error
    reported: dict[str, list[Result]] = {}
    unreadable = 0
    for line in lines:
        try:
            result = Result.from_document(json.loads(line))
            Verdict(result.verdict)
        except (ValueError, KeyError, TypeError):
            unreadable += 1
        else:
            reported.setdefault(result.id, []).append(result)
    return reported, unreadable


def _outcomes(
    planned: Sequence[str],
    reported: Mapping[str, list[Result]],
    not_run: Reason,
    records: Mapping[str, ScenarioRecord],
) -> dict[str, Result]:
    outcomes: dict[str, Result] = {}
    for scenario_id in planned:
        record = records.get(scenario_id)
        steps = [StepResult(step.keyword, step.text, step.line) for step in record.steps] if record else []
        missing = Result(scenario_id, Verdict.NOT_RUN.value, not_run, 0.0, steps, None, [])
        outcomes[scenario_id] = _only(reported[scenario_id]) if scenario_id in reported else missing
    for scenario_id, results in reported.items():
        if scenario_id not in outcomes:
            reason = Reason("not-planned", f"reported {results[0].verdict}, but it was not planned")
            outcomes[scenario_id] = replace(results[0], verdict=Verdict.ERROR.value, reason=reason)
    return outcomes


def _only(results: Sequence[Result]) -> Result:
    if all(result == results[0] for result in results):
        return results[0]
    verdicts = ", ".join(result.verdict for result in results)
    reason = Reason("reported-twice", f"reported {len(results)} times: {verdicts}")
    return replace(results[0], verdict=Verdict.ERROR.value, reason=reason)


def _declared(result: Result, deviations: Sequence[Deviation], teleport: str) -> Result:
    deviation = find(deviations, result.id, teleport)
    if deviation is None:
        return result
    if result.verdict == Verdict.FAILED:
        seen = f": {result.reason.text}" if result.reason else ""
        reason = Reason("declared-deviation", f"{deviation.issue}{seen}")
        return replace(result, verdict=Verdict.KNOWN_DEVIATION.value, reason=reason)
    if result.verdict == Verdict.PASSED:
        declared = f"declared to fail with {deviation.versions} ({deviation.issue})"
        reason = Reason("deviation-passed", f"{declared}, but it passed: remove the declaration")
        return replace(result, verdict=Verdict.FAILED.value, reason=reason)
    return result


def _entry(scenario_id: str, record: ScenarioRecord | None, result: Result) -> ScenarioEntry:
    return ScenarioEntry(
        id=scenario_id,
        feature=record.feature if record else "",
        line=record.line if record else 0,
        name=record.name if record else scenario_id,
        profiles=list(record.profiles) if record else [],
        claims=list(record.claims) if record else [],
        failures=list(record.failures) if record else [],
        verdict=result.verdict,
        reason=result.reason,
        seconds=round(result.seconds, 3),
        steps=result.steps,
        evidence=result.evidence,
    )


def result_line(result: Result) -> str:
    """Gives the line of the results file for a finished scenario, with its line end.

    Args:
        result: What became of the scenario.
    """
    return json.dumps(asdict(result), ensure_ascii=False) + "\n"
