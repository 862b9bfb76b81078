"""A project in small: feature files, steps and an environment that misbehave on purpose."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from harness.catalogue import read_catalogue
from harness.plugin import ENVIRONMENT_VARIABLE, PLAN_VARIABLE, RESULTS_VARIABLE, run_arguments
from harness.report.build import RunFacts, reconcile
from harness.report.model import RESULTS_NAME, EnvironmentEntry, Guide, Timing
from harness.report.plan import Plan

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.report.model import Report

REPOSITORY = Path(__file__).parents[3]

CONFTEST = '''
import os
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from pytest_bdd import given, parsers, then, when
from pytest_bdd.parsers import string
from pytest_bdd.steps import StepFunctionContext, step_function_context_registry

from harness.core.errors import NotApplicable, NotObserved, Withheld
from harness.core.recording import record_oracle
from harness.core.findings import note

pytest_plugins = ["harness.plugin"]


class FakeEnvironment:
    description = SimpleNamespace(name="lab", capabilities=frozenset({"aws-call-log"}))

    @contextmanager
    def open(self, scenario_id, *, alone):
        if scenario_id == "setup.breaks":
            raise AssertionError("the role could not be made")
        record_oracle("gateway", "set-up", scenario_id)
        yield SimpleNamespace(id=scenario_id, alone=alone)
        with Path("closed.txt").open("a") as closed:
            closed.write(scenario_id + "\\n")
        if scenario_id.startswith("teardown."):
            raise RuntimeError("the namespace would not go")


@pytest.fixture(scope="session")
def environment():
    return FakeEnvironment()


@given("a product")
def _(scenario):
    record_oracle("gateway", "calls", [scenario.id])


def unseen():
    """In the registry, so that lint knows it, but no fixture: pytest-bdd cannot find it."""


step_function_context_registry[unseen] = StepFunctionContext("given", unseen, string("a step nobody finds"))


@when(parsers.parse("it {behaviour}"), target_fixture="outcome")
def _(behaviour, scenario):
    if behaviour == "breaks":
        raise RuntimeError("connection lost")
    if behaviour == "withholds":
        raise Withheld("oracle-missing", "no call log")
    if behaviour == "does not apply":
        raise NotApplicable("tool-absent", "eksctl is not here")
    if behaviour == "skips":
        pytest.skip("not today")
    if behaviour == "dies":
        os._exit(3)
    if behaviour == "is terminated":
        while "one.passes" not in Path(os.environ["CONFORMANCE_RESULTS"]).read_text():
            time.sleep(0.01)
        controller = os.getppid() if "PYTEST_XDIST_WORKER" in os.environ else os.getpid()
        os.kill(controller, signal.SIGTERM)
        signal.pause()
    if behaviour == "hangs":
        signal.pause()
    if behaviour == "differs from the guide":
        note("guide", "s3.tsh-ls", "the sample lacks a column")
    return behaviour


@then("it did as claimed")
def _(outcome):
    if outcome == "leaks":
        raise NotObserved("seen: Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789")
    assert outcome != "fails", "expected: an agent that joins, seen: none"
'''

INI = """
[pytest]
minversion = 9.0
addopts = --strict-markers --strict-config --import-mode=importlib -p no:cacheprovider
xfail_strict = true
filterwarnings = error
"""


@dataclass(frozen=True)
class Finished:
    """A pytest run that ended."""

    exit_code: int
    output: str
    lines: Sequence[dict[str, Any]]
    report: Report
    folder: Path

    def verdicts(self) -> dict[str, str]:
        return {entry.id: entry.verdict for entry in self.report.scenarios}

    def times_reported(self) -> Counter[str]:
        return Counter(line["id"] for line in self.lines)


@dataclass(frozen=True)
class Project:
    """A folder that looks like the suite's repository."""

    root: Path

    def feature(self, name: str, text: str) -> Path:
        path = self.root / "features" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")
        return path

    def scenarios(self, name: str, behaviours: dict[str, str], tags: str = "@guide:s3.install") -> None:
        """Writes a feature file with a scenario per id, each of them behaving so."""
        blocks = [
            f"  @id:{scenario_id} {tags}\n  Scenario: The product {behaviour} in {scenario_id}\n"
            f"    Given {'a step nobody finds' if behaviour == 'is not found' else 'a product'}\n"
            f"    When it {behaviour}\n    Then it did as claimed\n"
            for scenario_id, behaviour in behaviours.items()
        ]
        self.feature(name, f"Feature: {name}\n\n" + "\n".join(blocks))

    def pytest(self, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
        """Runs pytest as a user would."""
        path = os.pathsep.join([str(REPOSITORY), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
        environ = {"PATH": os.environ["PATH"], "PYTHONPATH": path.strip(os.pathsep), **variables}
        return subprocess.run(
            [sys.executable, "-m", "pytest", *arguments],
            cwd=self.root,
            env=environ,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def run(self, *, workers: int = 1, planned: Sequence[str] = (), exit_first: bool = False) -> Finished:
        """Runs a plan as the command does, and reconciles."""
        records = read_catalogue(self.root / "features")
        ids = tuple(planned) or tuple(record.id for record in records)
        folder = self.root / f"report-{workers}"
        folder.mkdir(exist_ok=True)
        Plan(ids, of=len(ids)).write(folder / "plan.json")
        done = self.pytest(
            *run_arguments(workers=workers, exit_first=exit_first),
            **{
                PLAN_VARIABLE: str(folder / "plan.json"),
                ENVIRONMENT_VARIABLE: str(self.environment_file()),
                RESULTS_VARIABLE: str(folder / RESULTS_NAME),
            },
        )
        results = folder / RESULTS_NAME
        facts = RunFacts(
            "0.1.0",
            None,
            Guide("13"),
            EnvironmentEntry("lab"),
            Timing("t0", "t1", 1.0, 0.0),
            ["./conformance", "run"],
        )
        return Finished(
            exit_code=done.returncode,
            output=done.stdout + done.stderr,
            lines=[json.loads(line) for line in results.read_text().splitlines()] if results.exists() else [],
            report=reconcile(records, ids, results, facts),
            folder=folder,
        )

    def environment_file(self) -> Path:
        path = self.root / ".conformance" / "runs" / "mine" / "environment.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("{}", encoding="utf-8")
        return path


@pytest.fixture(scope="session")
def new_project(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], Project]:
    def make() -> Project:
        root = tmp_path_factory.mktemp("project")
        (root / "conftest.py").write_text(CONFTEST, encoding="utf-8")
        (root / "pytest.ini").write_text(INI, encoding="utf-8")
        return Project(root)

    return make


@pytest.fixture
def project(new_project: Callable[[], Project]) -> Project:
    return new_project()
