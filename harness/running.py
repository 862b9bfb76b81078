"""One run from plan to exit code: the command's own order of things.

The plan is written before the first scenario; scenarios run in a pytest of their own; whatever becomes of
it, planned minus reported is not-run and red, and the report is written.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import tempfile
import time
import traceback
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from harness import environments
from harness.adapters import scenario_runner
from harness.catalogue import read_catalogue, select
from harness.core.errors import ConformanceError, EnvironmentBroken, MissingComponents, UsageError
from harness.core.given import DEFAULT_SOURCE
from harness.core.verdicts import Verdict, exit_code
from harness.environments import state
from harness.faults.catalogue import FAULT_MARK
from harness.guide.editions import edition_for
from harness.plugin import run_arguments
from harness.report.build import NOT_REPORTED, RunFacts, reconcile, write_report
from harness.report.console import summary_lines
from harness.report.deviations import load_deviations
from harness.report.html import HTML_NAME, write_html
from harness.report.junit import write_junit
from harness.report.model import (
    EVIDENCE_FOLDER,
    REPORT_NAME,
    RESULTS_NAME,
    EnvironmentEntry,
    Guide,
    Reason,
    Timing,
)
from harness.report.plan import Plan
from harness.report.verify import verify

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from harness.catalogue import ScenarioRecord
    from harness.core.settings import Settings
    from harness.report.deviations import Deviation
    from harness.report.model import Report

CLONE = Path(__file__).resolve().parents[1]
JUNIT_NAME = "junit.xml"
SIMULATED_WORKERS = 6
"""Scenarios at a time where nothing real runs and the user chose no number: with six, two cores are busy nine tenths of
the time."""

_INTERRUPTED = 2
"""What pytest ends with when its workers are stopped at the first failure."""
PLAN_NAMES = ("plan.json", "plan-alone.json", "plan-together.json")
LOGS_FOLDER = "environment"
APART_FOLDER = "apart"
APART_ADDITION = "scenarios that nothing may run beside had a second environment, made of the same"
OWN = (REPORT_NAME, RESULTS_NAME, JUNIT_NAME, HTML_NAME, *PLAN_NAMES, EVIDENCE_FOLDER, LOGS_FOLDER)
"""Everything that a run leaves in the report folder; nothing else there is ever touched."""


class Interrupted(BaseException):  # like KeyboardInterrupt, it passes by `except Exception`
    """SIGINT or SIGTERM came; `signal_name` says which."""

    def __init__(self, signal_name: str) -> None:
        super().__init__(signal_name)
        self.signal_name = signal_name


@dataclass
class Outcome:
    """What the command has to know at the end, besides the scenarios.

    Attributes:
        started: When the command started.
        begun: The same on the monotonic clock.
        setup_seconds: Until the environment was up.
        written: The environment, once it is up.
        not_run: Why planned scenarios did not run, as far as it is known.
        interrupted: Whether a signal came.
        environment_error: Whether harness or environment broke.
        missing_real: Whether required real components are missing.
        leftovers: What clean-up could not remove.
    """

    started: datetime = field(default_factory=lambda: datetime.now(UTC))
    begun: float = field(default_factory=time.monotonic)
    setup_seconds: float = 0.0
    written: state.State | None = None
    not_run: Reason = NOT_REPORTED
    interrupted: bool = False
    environment_error: bool = False
    missing_real: bool = False
    leftovers: list[str] = field(default_factory=list)


def run(settings: Settings, tell: Callable[[str], None]) -> int:
    """Runs the selected scenarios and writes the report.

    Args:
        settings: What the user chose.
        tell: Prints one line for the user.

    Returns:
        The exit code of the design's table.

    Raises:
        ConformanceError: Before anything was started: a bad option, nothing selected.
    """
    records = read_catalogue(CLONE / "features")
    chosen = select(records, keyword=settings.keyword, ids=settings.scenario, profiles=settings.profile)
    # All that the user may have got wrong comes first: an earlier report is worth more than a misspelt run.
    deviations = load_deviations(CLONE / "known-deviations.yaml", {record.id for record in records})
    folder = settings.report_dir.resolve()
    lock = hold(folder)
    try:
        return _run_in(prepare(folder), settings, records, chosen, deviations=deviations, tell=tell)
    finally:
        os.close(lock)


def _run_in(
    folder: Path,
    settings: Settings,
    records: Sequence[ScenarioRecord],
    chosen: Sequence[ScenarioRecord],
    *,
    deviations: Sequence[Deviation],
    tell: Callable[[str], None],
) -> int:
    """Runs what was chosen; the report folder is this run's own by now."""
    Plan(tuple(record.id for record in chosen), of=len(chosen)).write(folder / PLAN_NAMES[0])
    outcome = Outcome()
    with signals():
        try:
            _carry_out(settings, chosen, folder, outcome, tell)
        except Interrupted as interrupted:
            outcome.interrupted = True
            outcome.not_run = Reason(
                "interrupted", f"{interrupted.signal_name} ended the run before this scenario"
            )
        except MissingComponents as missing:
            outcome.missing_real = True
            outcome.not_run = Reason("components-missing", str(missing))
        except UsageError:
            raise
        except Exception as broken:  # noqa: BLE001  # a defect of ours must not cost the report either
            outcome.environment_error = True
            ours = isinstance(broken, ConformanceError)
            text = str(broken) if ours else f"the suite broke, please report it:\n{_traceback(broken)}"
            outcome.not_run = Reason("environment-error", text)
        # From here on a second signal must not cost the report.
        _ignore_signals()
        return _conclude(
            settings, records, chosen, deviations=deviations, folder=folder, outcome=outcome, tell=tell
        )


@contextlib.contextmanager
def signals() -> Iterator[None]:
    """Makes SIGINT and SIGTERM an exception of the main thread, once."""

    def interrupt(number: int, _frame: object) -> None:
        _ignore_signals()
        raise Interrupted(signal.Signals(number).name)

    before = {number: signal.signal(number, interrupt) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _ignore_signals() -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def _traceback(error: Exception) -> str:
    return "".join(traceback.format_exception(error)).rstrip()


def hold(folder: Path) -> int:
    """Keeps other runs out of the report folder as long as the file descriptor that it gives is open.

    Raises:
        UsageError: Another run has it, or it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError as error:
        raise _unwritable(folder, error) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        raise UsageError(
            expected=f"--report-dir to name a folder that no other run writes to, not {folder}",
            seen="another run that has not ended",
            remedy="wait for it, or name another folder",
        ) from error
    return descriptor


def _unwritable(folder: Path, error: OSError) -> UsageError:
    return UsageError(
        expected=f"to write the report to {folder}",
        seen=str(error),
        remedy="name a folder that you may write with --report-dir",
    )


def prepare(folder: Path) -> Path:
    """Makes the report folder ready: what an earlier run of the suite left there goes, nothing else.

    Raises:
        UsageError: It holds files of somebody else under our names, or cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        ours = (folder / PLAN_NAMES[0]).exists()
        there = [folder / name for name in OWN if (folder / name).exists()]
        if there and not ours:
            raise UsageError(
                expected=f"--report-dir to name a new folder or one with an earlier report, not {folder}",
                seen=f"{there[0].name} there, and no {PLAN_NAMES[0]} of an earlier run",
                remedy="name another folder",
            )
        for path in there:
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        with tempfile.NamedTemporaryFile(dir=folder):
            pass  # told now, not after the run
    except OSError as error:
        raise _unwritable(folder, error) from error
    return folder


def _carry_out(
    settings: Settings,
    chosen: Sequence[ScenarioRecord],
    folder: Path,
    outcome: Outcome,
    tell: Callable[[str], None],
) -> None:
    if settings.reuse is not None:
        found = environments.folder(settings.reuse)
        outcome.written, _ = state.read(found / state.STATE_FILE)
        _check_real(settings, outcome.written)
        with environments.in_use(found):
            _one_after_the_other(settings, chosen, folder, outcome)
        return
    with environments.owned(settings, tell) as environment:
        try:
            outcome.written = environment.start()
            if settings.keep == "never":
                outcome.written = outcome.written.ending()
            outcome.setup_seconds = time.monotonic() - outcome.begun
            tell(f"environment {environment.name} is up after {outcome.setup_seconds:.1f} s")
            _check_real(settings, outcome.written)
            apart = _set_apart(settings, chosen, outcome.written)
            (_side_by_side if apart else _one_after_the_other)(settings, chosen, folder, outcome)
        finally:
            # A signal that comes now ends nothing sooner, and would leave something behind.
            _ignore_signals()
            _leave(settings, environment, chosen, folder=folder, outcome=outcome, tell=tell)


def _set_apart(settings: Settings, chosen: Sequence[ScenarioRecord], written: state.State) -> bool:
    """Whether `@alone` scenarios get an environment of their own, and the others need not wait for them.

    Only where everything is simulated: a second one costs seconds there. One that is kept is a single one.
    """
    able = [record for record in chosen if set(record.needs) <= written.description.capabilities]
    alone = sum(record.alone for record in able)
    return (
        settings.keep == "never"
        and not settings.exit_first
        and 0 < alone < len(able)
        and _is_simulated(written)
        and _workers(settings, written) > 1
    )


def _side_by_side(
    settings: Settings, chosen: Sequence[ScenarioRecord], folder: Path, outcome: Outcome
) -> None:
    """Runs the `@alone` scenarios in an environment of their own, beside the others."""
    written = outcome.written
    if written is None:
        return
    additions = (*written.description.additions, APART_ADDITION)
    outcome.written = replace(written, description=replace(written.description, additions=additions))
    with environments.owned(replace(settings, name=None), lambda _: None) as apart:

        def phases() -> Iterator[scenario_runner.Phase]:
            alone, together = _phases(settings, chosen, folder, written)
            yield together
            # The others need not wait for it.
            made = apart.start_quietly().ending()
            yield replace(alone, run_id=made.run, environment=made.folder / state.STATE_FILE)

        try:
            _run_phases(settings, phases(), folder, outcome)
        finally:
            _ignore_signals()
            try:
                environments.keep_logs(apart.folder, folder / LOGS_FOLDER / APART_FOLDER)
            finally:
                outcome.leftovers += environments.described(apart.end())


def _one_after_the_other(
    settings: Settings, chosen: Sequence[ScenarioRecord], folder: Path, outcome: Outcome
) -> None:
    """Runs the `@alone` scenarios one by one, then the others side by side."""
    if written := outcome.written:
        for phase in _phases(settings, chosen, folder, written):
            if not _run_phases(settings, [phase], folder, outcome):
                return


def _phases(
    settings: Settings, chosen: Sequence[ScenarioRecord], folder: Path, written: state.State
) -> list[scenario_runner.Phase]:
    """The `@alone` scenarios, one at a time, and the others; those of them that there are, their plans written."""
    # What runs one scenario again has an environment made of the same, and no other selection.
    again = replace(
        settings, scenario=(), keyword=None, profile=(), exit_first=False, keep="never", name=None
    )
    command = tuple(again.command_line())
    first = 1
    alone = tuple(record.id for record in chosen if record.alone)
    together = tuple(record.id for record in chosen if not record.alone)
    phases = []
    for ids, name, workers in (
        (alone, PLAN_NAMES[1], 1),
        (together, PLAN_NAMES[2], _workers(settings, written)),
    ):
        if not ids:
            continue
        Plan(ids, first=first, of=len(chosen), command=command).write(folder / name)
        first += len(ids)
        phase = scenario_runner.Phase(
            run_arguments(workers=min(workers, len(ids)), exit_first=settings.exit_first),
            run_id=written.run,
            environment=written.folder / state.STATE_FILE,
            plan=folder / name,
            results=folder / RESULTS_NAME,
        )
        phases.append(phase)
    return phases


def _run_phases(
    settings: Settings, phases: Iterable[scenario_runner.Phase], folder: Path, outcome: Outcome
) -> bool:
    """Runs phases side by side; whether the run goes on.

    Raises:
        EnvironmentBroken: pytest broke.
    """
    for status in scenario_runner.run(phases):
        stopped = settings.exit_first and status in (1, _INTERRUPTED) and _some_failed(folder / RESULTS_NAME)
        # 0 and 1 are verdicts; anything else is pytest itself, or its environment, breaking.
        if status not in (0, 1) and not stopped:
            raise EnvironmentBroken(
                expected="pytest to run the scenarios",
                seen=f"it ended with status {status}",
                remedy="see what it printed above",
            )
        if stopped:
            outcome.not_run = Reason("exit-first", "a scenario failed, and --exit-first was given")
            return False
    return True


def _workers(settings: Settings, written: state.State) -> int:
    """How many scenarios run at a time: more where all is simulated, since they wait more than they work."""
    chosen = settings.source("workers") != DEFAULT_SOURCE
    return SIMULATED_WORKERS if _is_simulated(written) and not chosen else settings.workers


def _is_simulated(written: state.State) -> bool:
    """Whether Teleport, chart and Kubernetes are; AWS always is."""
    components = written.description.components
    return all(components[name].simulated for name in ("teleport", "kubernetes", "chart"))


def _some_failed(results: Path) -> bool:
    """Whether a scenario was reported as failed or broken: then `--exit-first` had a reason."""
    lines = results.read_text().splitlines() if results.exists() else []
    return any(
        json.loads(line)["verdict"] in (Verdict.FAILED, Verdict.ERROR) for line in lines if line.strip()
    )


def _check_real(settings: Settings, written: state.State) -> None:
    simulated = [name for name in settings.require_real if written.description.components[name].simulated]
    if simulated:
        raise MissingComponents(
            expected=f"real {', '.join(settings.require_real)} (--require-real)",
            seen=f"simulated: {', '.join(simulated)}",
            remedy="give the real programs; see 'Real programs' in README.md",
        )


def _leave(
    settings: Settings,
    environment: environments.Provisioned,
    chosen: Sequence[ScenarioRecord],
    *,
    folder: Path,
    outcome: Outcome,
    tell: Callable[[str], None],
) -> None:
    """Keeps the logs; ends the environment, or leaves it standing where the user wants so.

    One that never came up is of no use to anybody and is always ended.
    """
    up = outcome.written is not None
    wanted = settings.keep == "always" or (
        settings.keep == "on-failure" and not _all_passed(chosen, folder / RESULTS_NAME)
    )
    try:
        environments.keep_logs(environment.folder, folder / LOGS_FOLDER)
    finally:
        if up and wanted:
            environment.stand()
            name = environment.name
            tell(f"environment kept: ./conformance run --reuse {name}; ./conformance down {name}")
        else:
            outcome.leftovers += environments.described(environment.end())


def _all_passed(chosen: Sequence[ScenarioRecord], results: Path) -> bool:
    """Whether every planned scenario was reported, and none otherwise than passed."""
    lines = results.read_text().splitlines() if results.exists() else []
    try:
        reported = [json.loads(line) for line in lines if line.strip()]
    except ValueError:  # torn by the end of pytest
        return False
    passed = {line["id"] for line in reported if line["verdict"] == Verdict.PASSED}
    return len(passed) == len(reported) and passed == {record.id for record in chosen}


def _conclude(
    settings: Settings,
    records: Sequence[ScenarioRecord],
    chosen: Sequence[ScenarioRecord],
    *,
    deviations: Sequence[Deviation],
    folder: Path,
    outcome: Outcome,
    tell: Callable[[str], None],
) -> int:
    """Reconciles plan and results, writes and verifies the report, tells the summary."""
    report = reconcile(
        records,
        [record.id for record in chosen],
        folder / RESULTS_NAME,
        _facts(settings, outcome),
        deviations=deviations,
        not_run=outcome.not_run,
    )
    path = folder / REPORT_NAME
    write_report(report, path)
    write_junit(report, folder / JUNIT_NAME)
    page = folder / HTML_NAME
    write_html(report, page, folder=folder)
    if problems := verify(report.as_document()):
        raise EnvironmentBroken(
            expected="the report to agree with itself",
            seen="; ".join(problems[:5]),
            remedy="this is a defect of the suite: please report it with the report",
        )
    if outcome.environment_error and not report.summary[Verdict.NOT_RUN]:
        tell(outcome.not_run.text)  # the summary tells it for scenarios that did not run
    lines = summary_lines(
        report, report_path=path, page=page, leftovers=outcome.leftovers, interrupted=outcome.interrupted
    )
    # The last line stays the one that says what was tested.
    lines[-1:-1] = [text for text in report.environment.additions if text.startswith(FAULT_MARK)]
    for line in lines:
        tell(line)
    return _exit_code(report, outcome)


def _facts(settings: Settings, outcome: Outcome) -> RunFacts:
    written = outcome.written
    if written is None:
        guide = Guide(settings.guide_edition or "unknown", overridden=settings.guide_edition is not None)
        environment = EnvironmentEntry(settings.env)
    else:
        edition = written.description.guide_edition
        guide = Guide(edition, overridden=edition != edition_for(written.teleport_version))
        environment = EnvironmentEntry.from_description(written.description)
    finished = datetime.now(UTC)
    return RunFacts(
        suite_version=state.SUITE_VERSION,
        suite_commit=scenario_runner.commit(),
        guide=guide,
        environment=environment,
        timing=Timing(
            started=outcome.started.isoformat(timespec="milliseconds"),
            finished=finished.isoformat(timespec="milliseconds"),
            seconds=round(time.monotonic() - outcome.begun, 2),
            setup_seconds=round(outcome.setup_seconds, 2),
        ),
        reproduce=settings.command_line(),
    )


def _exit_code(report: Report, outcome: Outcome) -> int:
    return exit_code(
        report.summary,
        environment_error=outcome.environment_error or bool(outcome.leftovers),
        interrupted=outcome.interrupted,
        missing_real=outcome.missing_real,
    )
