"""Takes the scenarios' results as they come in, in the process that controls the run.

Each is written to the results file at once and synchronised, so that what had finished survives any
end of the run; and told in one line. pytest's own words are kept off the terminal.
"""

from __future__ import annotations

import io
import os
import shlex
from typing import TYPE_CHECKING, Any

import click

from harness.core.errors import EnvironmentBroken
from harness.core.verdicts import Verdict
from harness.report.build import result_line
from harness.report.console import failure_block, progress_line
from harness.report.model import Reason, Result, StepResult

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    import pytest

    from harness.catalogue import ScenarioRecord
    from harness.report.plan import Plan

REPORT_ATTRIBUTE = "conformance"
"""Attribute of pytest's reports that brings a `Result` as data from a worker."""


def silence_pytest(config: pytest.Config) -> None:
    """Keeps pytest's own headers, dots and tables off the terminal.

    The terminal reporter itself stays: other plugins write through it.

    Args:
        config: Of a run whose terminal reporter is configured.
    """
    reporter = config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter._tw._file = io.StringIO()  # noqa: SLF001  # pytest has no public way to redirect its terminal


class LiveReporter:
    """pytest plugin of the controlling process.

    Args:
        results: The results file; results are appended.
        plan: What is to run.
        records: The catalogue by id.
    """

    def __init__(self, results: Path, plan: Plan, records: Mapping[str, ScenarioRecord]) -> None:
        self._results = results
        self._plan = plan
        self._records = records
        self._number = plan.first
        self._latest: dict[str, Result] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Takes the result so far; the tear-down, or the end of its worker, is the end of a scenario."""
        document: Mapping[str, Any] | None = getattr(report, REPORT_ATTRIBUTE, None)
        if document is not None:
            result = Result.from_document(document)
            self._latest[result.id] = result
            if report.when == "teardown":
                self._finished(result)
        elif report.nodeid.partition("::")[0].endswith(".feature"):
            # pytest-xdist makes such a report when a worker dies; none of our hooks saw it.
            self._finished(self._lost(report.nodeid.partition("::")[2], str(report.longrepr)))

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Tells what could not be collected; pytest's own words are not seen."""
        if report.failed:
            click.echo(f"cannot collect {report.nodeid}:\n{report.longreprtext}", err=True)

    def pytest_internalerror(self, excrepr: object) -> None:
        """Tells that pytest or a plugin broke."""
        click.echo(f"pytest broke: {excrepr}", err=True)

    def _lost(self, scenario_id: str, why: str) -> Result:
        reason = Reason("worker-crashed", why)
        latest = self._latest.get(scenario_id)
        record = self._records.get(scenario_id)
        steps = [StepResult(step.keyword, step.text, step.line) for step in record.steps] if record else []
        return Result(
            id=scenario_id,
            verdict=Verdict.ERROR.value,
            reason=reason,
            seconds=latest.seconds if latest else 0.0,
            steps=latest.steps if latest else steps,
            evidence=latest.evidence if latest else None,
            findings=latest.findings if latest else [],
        )

    def _finished(self, result: Result) -> None:
        self._append(result_line(result))
        record = self._records.get(result.id)
        click.echo(progress_line(self._number, self._plan.of, record.name if record else "?", result))
        self._number += 1
        if result.verdict in (Verdict.FAILED, Verdict.ERROR):
            evidence = self._results.parent / result.evidence.folder if result.evidence else None
            again = shlex.join([*self._plan.command, "--scenario", result.id])
            for line in failure_block(record, result, evidence, again):
                click.echo(line)
        elif result.reason:
            click.echo(f"    {result.reason.code}: {result.reason.text}")

    def _append(self, line: str) -> None:
        try:
            # One write: another pytest of the run may append to the same file.
            with self._results.open("ab", buffering=0) as stream:
                stream.write(line.encode())
                os.fsync(stream.fileno())
        except OSError as error:
            raise EnvironmentBroken(
                expected=f"to write {self._results}",
                seen=str(error),
                remedy="free space, or give a --report-dir that you may write to",
            ) from error
