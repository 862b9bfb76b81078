"""The conftest of the command's test project: scenarios that behave as their feature file says."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest
from pytest_bdd import given, parsers, then, when

from harness.core.recording import record_oracle

if TYPE_CHECKING:
    from collections.abc import Iterator

pytest_plugins = ["harness.plugin"]


class FakeEnvironment:
    """An environment with nothing in it."""

    description = SimpleNamespace(name="lab", capabilities=frozenset({"aws-call-log"}))

    @contextmanager
    def open(self, scenario_id: str, *, alone: bool) -> Iterator[SimpleNamespace]:
        yield SimpleNamespace(id=scenario_id, alone=alone)
        with Path("closed.txt").open("a") as closed:
            closed.write(f"{scenario_id}\n")


@pytest.fixture(scope="session")
def environment() -> FakeEnvironment:
    # One run has two environments where scenarios that are alone have their own.
    of = Path(os.environ["CONFORMANCE_PLAN"]).stem if "CONFORMANCE_PLAN" in os.environ else "plan"
    folder = Path(os.environ.get("CONFORMANCE_ENVIRONMENT", "none")).parent.name
    with Path("environments.txt").open("a") as seen:
        seen.write(f"{of} {folder}\n")
    return FakeEnvironment()


@given("a product")
def product(scenario: SimpleNamespace) -> None:
    record_oracle("gateway", "calls", [scenario.id])


@when(parsers.parse("it {behaviour}"), target_fixture="outcome")
def behave(behaviour: str) -> str:
    if behaviour == "breaks":
        raise RuntimeError("connection lost")
    if behaviour == "dies":
        os._exit(3)
    if behaviour == "hangs":
        Path("hanging").touch()
        signal.pause()
    if behaviour == "looks for the plan":
        assert (Path(os.environ["CONFORMANCE_RESULTS"]).parent / "plan.json").is_file()
    if behaviour == "looks for the user":
        assert "USERS_TOKEN" not in os.environ
        assert Path(os.environ["HOME"]).parts[-2:] == ("homes", "pytest")
    return behaviour


@then("it did as claimed")
def as_claimed(outcome: str) -> None:
    assert outcome != "fails", "expected: an agent that joins, seen: none"
