"""Whether a kind environment is still what it was, before a scenario begins in it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from harness.adapters import (
    daemons,
    docker_engine,
    kind_cluster,
    run_containers,
)
from harness.adapters.kind_disruption import KindDisruption
from harness.core.errors import EnvironmentBroken
from harness.environments.kind import Kind

NODE = "conformance-abc123-control-plane"
KNOWN = {NODE: "1", "conformance-abc123-teleport": "2"}


@pytest.fixture
def isolated(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """Which nodes were looked after, with their cluster's folder; everything runs."""
    seen: list[tuple[str, Path]] = []
    monkeypatch.setattr(daemons, "must_all_be_alive", lambda folder: None)
    monkeypatch.setattr(run_containers, "must_all_be_alive", lambda run, cluster: None)
    monkeypatch.setattr(docker_engine, "connect", lambda: SimpleNamespace(close=lambda: None))
    monkeypatch.setattr(kind_cluster, "keep_isolated", lambda node, folder: seen.append((node.name, folder)))
    monkeypatch.setattr(KindDisruption, "must_be_over", lambda _: None)
    return seen


def kind() -> Kind:
    made = Kind.__new__(Kind)
    state: Any = SimpleNamespace(
        run="abc123",
        name="mine",
        folder=Path("/run"),
        identities=KNOWN,
        path=lambda name: Path("/run/k", name),
        addresses={"teleport": "127.0.0.1:4443"},
    )
    made._state = state
    api: Any = None
    made._api = api
    return made


def test_its_node_has_no_way_out_whoever_started_it_last(
    isolated: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_containers, "identities", lambda run, cluster: dict(KNOWN))
    kind().must_be_alive()
    assert isolated == [(NODE, Path("/run/k"))]


@pytest.mark.parametrize("there", [KNOWN | {NODE: "3"}, {NODE: "1"}, KNOWN | {"conformance-abc123-x": "4"}])
def test_one_that_somebody_changed_is_refused(
    isolated: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch, there: dict[str, str]
) -> None:
    monkeypatch.setattr(run_containers, "identities", lambda run, cluster: there)
    with pytest.raises(EnvironmentBroken, match="down mine"):
        kind().must_be_alive()
    assert isolated == []


def test_one_in_which_a_killed_run_left_a_disruption_is_refused(
    isolated: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def left(_: KindDisruption) -> None:
        raise EnvironmentBroken(expected="all well", seen="control-plane is cordoned", remedy="-")

    monkeypatch.setattr(run_containers, "identities", lambda run, cluster: dict(KNOWN))
    monkeypatch.setattr(KindDisruption, "must_be_over", left)
    with pytest.raises(EnvironmentBroken, match="cordoned"):
        kind().must_be_alive()
