"""pytest plugin: collects feature files, gives scenarios their environment, reports what became of them.

`pytest features/x.feature --reuse NAME` works by it, and so does `./conformance run`, which says by
environment variables what to run (CONFORMANCE_PLAN), where (CONFORMANCE_ENVIRONMENT) and where to put
the results (CONFORMANCE_RESULTS). Runs that collect no feature file are left alone.
"""

from __future__ import annotations

import gc
import os
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from pytest_bdd import scenario as bind
from pytest_bdd.steps import step_function_context_registry

from harness.catalogue import folder_name, read_catalogue, read_feature
from harness.core.errors import ConformanceError, EnvironmentBroken, Withheld, WithheldCode
from harness.core.files import write_atomically
from harness.core.findings import current_findings
from harness.core.recording import Recorder, current_recorder
from harness.core.redaction import redact
from harness.core.verdicts import Verdict
from harness.lint import PLAIN_TAGS, TAG_FAMILIES, lint
from harness.report.interrupt import tear_down_on_signals
from harness.report.live import REPORT_ATTRIBUTE, LiveReporter, silence_pytest
from harness.report.model import EVIDENCE_FOLDER
from harness.report.plan import Plan
from harness.report.trial import Trial, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator

    from pytest_bdd.parser import Scenario as RunningScenario
    from pytest_bdd.parser import Step

    from harness.catalogue import ScenarioRecord
    from harness.environment import Environment
    from harness.scenario import Scenario

PLAN_VARIABLE = "CONFORMANCE_PLAN"
ENVIRONMENT_VARIABLE = "CONFORMANCE_ENVIRONMENT"
RESULTS_VARIABLE = "CONFORMANCE_RESULTS"

_RESULTS_FOLDER = pytest.StashKey[Path]()
SCENARIO_SECONDS = 900
"""A scenario that takes longer hangs in something that has no budget: it ends as an error."""

_WORKER_INPUT = "conformance_results_folder"

_NO_ENVIRONMENT = (
    "no environment for the scenarios: start one with './conformance up --name NAME', then give "
    "--reuse NAME; or let './conformance run' do both"
)


def run_arguments(*, workers: int = 1, exit_first: bool = False) -> list[str]:
    """Gives pytest's arguments for a run of the plan in CONFORMANCE_PLAN.

    Args:
        workers: How many scenarios run side by side; 1 means in pytest's own process.
        exit_first: Whether the first failure ends the run.
    """
    # A chunk of one: scenarios take seconds, and which worker is free first is not known beforehand.
    parallel = (
        ["-n", str(workers), "--dist", "load", "--maxschedchunk", "1"] if workers > 1 else ["-p", "no:xdist"]
    )
    # Every wait has its own budget; the sum of a scenario's may pass the time limit of the suite's own tests.
    limit = ["-o", f"timeout={SCENARIO_SECONDS}"]
    return ["features", *limit, *parallel, *(["--exitfirst"] if exit_first else [])]


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds `--reuse`."""
    parser.addoption(
        "--reuse",
        metavar="NAME",
        help="run feature files in the environment of that name, started by './conformance up'",
    )


@pytest.hookimpl(trylast=True)
def pytest_configure(config: pytest.Config) -> None:
    """Silences pytest where the command shows the results."""
    if RESULTS_VARIABLE in os.environ and not _worker_input(config) and not config.option.collectonly:
        silence_pytest(config)


@pytest.hookimpl(tryfirst=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Stops a run that could not be honest, before any worker starts: bad features, no environment."""
    config = session.config
    if not _wants_features(config):
        return
    worker = _worker_input(config)
    tear_down_on_signals(controls_workers=config.pluginmanager.has_plugin("dsession"), is_worker=bool(worker))
    if worker:
        config.stash[_RESULTS_FOLDER] = Path(worker[_WORKER_INPUT])
        return
    features = _features(config)
    with _plainly_told():
        problems = lint(features, list(step_function_context_registry.values()))
        if problems:
            pytest.exit("\n".join(["the feature files or steps are not sound:", *problems]), returncode=2)
        records = {record.id: record for record in read_catalogue(features)}
        plan = _plan() or Plan(tuple(records), of=len(records))
        if unknown := [scenario for scenario in plan.scenarios if scenario not in records]:
            raise pytest.UsageError(f"planned, but not in {features.name}/: {', '.join(unknown)}")
        if not config.option.collectonly:
            config.stash[_RESULTS_FOLDER] = _results_folder(_environment_file(config))
            if results := os.environ.get(RESULTS_VARIABLE):
                config.pluginmanager.register(LiveReporter(Path(results), plan, records))


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    """Tells a worker of pytest-xdist where the results lie."""
    if _RESULTS_FOLDER in node.config.stash:
        node.workerinput[_WORKER_INPUT] = str(node.config.stash[_RESULTS_FOLDER])


def pytest_collect_file(file_path: Path, parent: pytest.Collector) -> pytest.Collector | None:
    """Collects feature files, so that node ids are theirs."""
    if file_path.suffix == ".feature" and file_path.parent == _features(parent.config):
        return FeatureFile.from_parent(parent, path=file_path)
    return None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keeps what is planned, in the order of the plan; also on workers, which all must agree."""
    plan = _plan()
    if plan is None or not _wants_features(config):
        return
    collected = {item.record.id: item for item in items if isinstance(item, ScenarioItem)}
    if missing := [scenario for scenario in plan.scenarios if scenario not in collected]:
        raise pytest.UsageError(f"planned, but not collected: {', '.join(missing)}")
    kept: list[pytest.Item] = [collected[scenario] for scenario in plan.scenarios]
    config.hook.pytest_deselected(items=[item for item in items if item not in kept])
    items[:] = kept
    # What was imported and collected stays to the end: a scenario's readings should not have it looked through.
    gc.collect()
    gc.freeze()
    gc.set_threshold(20_000, 20, 20)


class FeatureFile(pytest.File):
    """A feature file; its items are its scenarios."""

    def collect(self) -> Iterator[pytest.Item]:
        """Gives an item per scenario, one per row of an Outline."""
        for record in read_feature(self.path, self.path.parent.parent).records:
            item: pytest.Item = ScenarioItem.from_parent(
                self, name=record.id, callobj=_bound(self.path, record)
            )
            yield item


class ScenarioItem(pytest.Function):
    """One scenario; its node id is `features/x.feature::<id>`.

    Attributes:
        record: What the feature file says of it.
        trial: What became of it so far.
    """

    record: ScenarioRecord
    trial: Trial

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.record = self.obj.record
        self.trial = Trial(self.record)
        self.user_properties.append(("scenario", asdict(self.record)))

    def reportinfo(self) -> tuple[Path, int, str]:
        """Names the place in the feature file, not in this module."""
        return self.path, self.record.line - 1, self.record.name

    @property
    def evidence(self) -> Path:
        """Folder of the evidence."""
        return self.config.stash[_RESULTS_FOLDER] / EVIDENCE_FOLDER / folder_name(self.record.id)


def _bound(path: Path, record: ScenarioRecord) -> Callable[..., None]:
    """Binds a scenario with pytest-bdd; an Outline's row is given here instead of by parametrisation."""
    decorate = bind(path.name, record.template, features_base_dir=str(path.parent))
    execute = decorate(lambda: None)

    # `scenario` is asked for here so that opening it is set-up, not part of the first step.
    def run(request: pytest.FixtureRequest, scenario: Scenario) -> None:  # noqa: ARG001
        execute(request, dict(record.example))

    run.record = record  # type: ignore[attr-defined]  # how the item gets what from_parent cannot pass
    return run


@pytest.fixture(scope="session")
def environment(pytestconfig: pytest.Config) -> Environment:
    """The environment that `./conformance up` or `run` started, attached to once per worker."""
    from harness.environments import attach  # noqa: PLC0415  # only a run of scenarios needs the adapters

    attached: Environment = attach(_environment_file(pytestconfig))
    return attached


@pytest.fixture
def scenario(request: pytest.FixtureRequest, environment: Environment) -> Iterator[Scenario]:
    """What the running scenario owns; withheld when the environment lacks what it needs."""
    record: ScenarioRecord = request.node.record
    description = environment.description
    if missing := sorted(set(record.needs) - set(description.capabilities)):
        text = f"the environment {description.name!r} cannot show: {', '.join(missing)}"
        raise Withheld(WithheldCode.CAPABILITY_MISSING, text)
    with environment.open(record.id, alone=record.printed_names) as opened:
        yield opened


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Keeps recorder and findings to the scenario, from set-up to tear-down."""
    if not isinstance(item, ScenarioItem):
        return (yield)
    recorder = current_recorder.set(None)
    findings = current_findings.set(item.trial.findings)
    try:
        return (yield)
    finally:
        current_findings.reset(findings)
        current_recorder.reset(recorder)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Opens the recorder inside set-up, so that a folder that cannot be written is this scenario's error."""
    if isinstance(item, ScenarioItem):
        current_recorder.set(Recorder(item.evidence, item.record.id))


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, object, object]:
    """Brings the evidence's index up to date last of all; one that cannot be written is this scenario's error."""
    try:
        return (yield)
    finally:
        if isinstance(item, ScenarioItem) and (recorder := current_recorder.get()):
            recorder.flush()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Judges each phase, and sends the result along with pytest's report."""
    report = yield
    if isinstance(item, ScenarioItem):
        error = call.excinfo.value if call.excinfo else None
        item.trial.phase_ended(call.when, error, call.duration)  # type: ignore[arg-type]  # no other phase gets here
        if call.excinfo and item.trial.verdict in (Verdict.FAILED, Verdict.ERROR):
            _keep_traceback(item, call)
        _align(item, report, raised=error is not None)
        recorder = current_recorder.get()
        evidence = f"{EVIDENCE_FOLDER}/{item.evidence.name}"
        result = item.trial.result(evidence, recorder.entries() if recorder else [])
        setattr(report, REPORT_ATTRIBUTE, asdict(result))
    return report


def pytest_bdd_apply_tag(tag: str, function: Callable[..., object]) -> bool | None:  # noqa: ARG001  # the hook's signature
    """Keeps the suite's tags from becoming markers, so that strict markers stay on for all others."""
    return True if tag in PLAIN_TAGS or tag.partition(":")[0] in TAG_FAMILIES else None


def pytest_bdd_before_step(request: pytest.FixtureRequest, scenario: RunningScenario, step: Step) -> None:
    """Takes note that a step runs."""
    request.node.trial.step_began(scenario.steps.index(step))


def pytest_bdd_after_step(request: pytest.FixtureRequest) -> None:
    """Takes note that the step passed."""
    request.node.trial.step_ended(Verdict.PASSED)


def pytest_bdd_step_error(request: pytest.FixtureRequest, exception: Exception) -> None:
    """Takes note of what ended the step."""
    request.node.trial.step_ended(judge(exception, "call")[0])


def pytest_bdd_step_func_lookup_error(
    request: pytest.FixtureRequest, scenario: RunningScenario, step: Step
) -> None:
    """Takes note that a step has no definition."""
    request.node.trial.step_began(scenario.steps.index(step))
    request.node.trial.step_ended(Verdict.ERROR)


def _align(item: ScenarioItem, report: pytest.TestReport, *, raised: bool) -> None:
    """Makes pytest's outcome agree with the verdict, for `pytest features/x.feature` and `--exitfirst`."""
    verdict, reason = item.trial.verdict, item.trial.reason
    text = f"{reason.code}: {reason.text}" if reason else ""
    if raised and verdict in (Verdict.WITHHELD, Verdict.NOT_APPLICABLE):
        report.outcome = "skipped"
        report.longrepr = (str(item.path), item.record.line, text)
    elif verdict is Verdict.ERROR and (report.skipped or (report.when == "call" and report.passed)):
        report.outcome = "failed"
        report.longrepr = text


def _keep_traceback(item: ScenarioItem, call: pytest.CallInfo[None]) -> None:
    """Puts the traceback with the evidence: a report shows none, but who mends the suite needs it."""
    if call.excinfo:
        text = redact(str(call.excinfo.getrepr(style="native")))
        try:
            write_atomically(item.evidence / f"traceback-{call.when}.txt", text)
        except EnvironmentBroken as broken:
            item.trial.phase_ended("teardown", broken, 0.0)


@contextmanager
def _plainly_told() -> Iterator[None]:
    """Turns our errors into pytest's: no traceback, and the exit code of the error."""
    try:
        yield
    except ConformanceError as error:
        pytest.exit(str(error), returncode=error.exit_code)


def _wants_features(config: pytest.Config) -> bool:
    features = _features(config)
    for argument in config.args:
        path = (config.invocation_params.dir / argument.partition("::")[0]).resolve()
        if features in (path, *path.parents) or path in features.parents:
            return True
    return False


def _features(config: pytest.Config) -> Path:
    return config.rootpath / "features"


def _worker_input(config: pytest.Config) -> dict[str, Any]:
    """What the controller gave a worker of pytest-xdist; empty in any other process."""
    return getattr(config, "workerinput", {})


def _plan() -> Plan | None:
    path = os.environ.get(PLAN_VARIABLE)
    return Plan.read(Path(path)) if path else None


def _environment_file(config: pytest.Config) -> Path:
    name: str | None = config.getoption("reuse")
    given = os.environ.get(ENVIRONMENT_VARIABLE)
    if name is None and given is None:
        raise pytest.UsageError(_NO_ENVIRONMENT)
    path = (
        config.rootpath / ".conformance" / "runs" / name / "environment.json" if name else Path(given or "")
    )
    if not path.is_file():
        raise pytest.UsageError(
            f"no environment is up there: {path} is missing; './conformance status' lists them"
        )
    return path


def _results_folder(environment_file: Path) -> Path:
    """The folder of the results file; without one, a new folder beside the environment's file."""
    results = os.environ.get(RESULTS_VARIABLE)
    now = datetime.now(UTC).strftime("%Y%m%dT%H%M%S")
    return Path(results).parent if results else environment_file.parent / "pytest" / f"{now}-{os.getpid()}"
