"""How a lab gives a scenario its ports, and in which order it clears before and undoes afterwards."""

from __future__ import annotations

import dataclasses
import fcntl
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock, call

import pytest

from harness.core.errors import EnvironmentBroken, NotObserved
from harness.core.redaction import redactor
from harness.environment import Component, Description
from harness.environments import lab, state
from harness.scenario import Names

if TYPE_CHECKING:
    from pathlib import Path

PORTS = ("Account", "Agent", "Cluster", "Teleport", "Workstation")
CLEARED = [call.Agent().clear(), call.Account().undo(), call.Teleport().clear()]
UNDONE = [call.Agent().undo(), call.Teleport().undo(), call.Account().undo()]


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Mock:
    """All that a lab reaches its programs by; what was asked of each, in order."""
    parts = Mock()
    for name in (*PORTS, "Gateway", "Clients", "KubernetesAPI", "client_environment"):
        monkeypatch.setattr(lab, name, getattr(parts, name))
    monkeypatch.setattr("harness.adapters.daemons.must_all_be_alive", parts.must_all_be_alive)
    monkeypatch.setattr(redactor, "register", lambda _: None)
    return parts


@pytest.fixture
def here(asked: Mock, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> lab.Lab:
    monkeypatch.setattr(state, "RUNS", tmp_path)
    (tmp_path / "mine").mkdir()
    addresses = ("proxy", "control", "teleport")
    paths = (
        *("ca", "kubeconfig", "kubernetes_audit", "programs", "teleport", "teleport_audit"),
        *("teleport_configuration", "teleport_log", "chart"),
    )
    return lab.Lab(
        state.State(
            run="a1b2c3",
            name="mine",
            description=Description(
                name="lab",
                run="a1b2c3",
                components={"teleport": Component("teleport", "13.0.0", simulated=False)},
                capabilities=frozenset(),
                guide_edition="13",
            ),
            addresses=dict.fromkeys(addresses, "127.0.0.1:1"),
            account_id="123456789012",
            region="eu-west-1",
            issuer="https://issuer",
            paths={name: str(tmp_path / name) for name in paths},
            chart_version="13.0.0",
            chart_app_version="13.0.0",
            teleport_version="13.0.0",
            seconds={},
            administrator="AKIA1",
        ),
        {"administrator": "an-administrators-secret"},
    )


def doings(asked: Mock) -> list[Any]:
    """What was cleared, undone and done, without the making of ports."""
    names = ("().clear", "().undo", "scenario")
    return [each for each in asked.mock_calls if each[0].endswith(names)]


def test_a_scenario_that_is_alone_finds_nothing_of_an_earlier_one(here: lab.Lab, asked: Mock) -> None:
    with here.open("step3.printed-names", alone=True) as scenario:
        asked.scenario()
        assert scenario.names == Names.printed()
    assert doings(asked) == [*CLEARED, call.scenario(), *UNDONE]


def test_the_printed_names_are_one_scenarios_at_a_time(here: lab.Lab, tmp_path: Path) -> None:
    def is_free() -> bool:
        with (tmp_path / "mine" / lab.TURN).open("a") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    with here.open("step3.printed-names", alone=True):
        assert not is_free()
        # Nobody else waits for that turn.
        with here.open("step3.joined-by-iam", alone=False):
            pass
    assert is_free()


def test_one_with_names_of_its_own_clears_nothing(here: lab.Lab, asked: Mock) -> None:
    suffixes = set()
    for _ in range(2):
        with here.open("step3.joined-by-iam", alone=False) as scenario:
            asked.scenario()
            suffixes.add(scenario.names.namespace)
    assert doings(asked) == [call.scenario(), *UNDONE] * 2
    # Each opening has other names, and none of them the printed ones.
    assert len(suffixes | {Names.printed().namespace}) == 3


def test_what_is_made_under_other_names_is_undone_too(here: lab.Lab, asked: Mock) -> None:
    with here.open("how.two-clusters", alone=False) as scenario:
        other = scenario.beside(scenario.names.beside())
        assert other.names == scenario.names.beside()
        assert other.beside(other.names).names == other.names
        # One home for all of them.
        assert asked.client_environment.call_count == 1
    assert doings(asked) == UNDONE * 3


@pytest.mark.parametrize("alone", [True, False])
def test_names_that_are_used_again_last_in_an_environment_that_ends(
    here: lab.Lab, asked: Mock, alone: bool
) -> None:
    here._state = replace(here._state, lasts=False)
    with here.open("s", alone=alone) as scenario:
        # Of printed names, the second deployment's are no more its own than the first's.
        scenario.beside(scenario.names.beside())
    for port in (asked.Account, asked.Teleport):
        assert [made.kwargs["lasting"] for made in port.call_args_list] == [alone, alone]


@pytest.mark.parametrize("alone", [True, False])
def test_all_is_undone_whatever_becomes_of_the_scenario(here: lab.Lab, asked: Mock, alone: bool) -> None:
    asked.Agent.return_value.undo.side_effect = EnvironmentBroken(expected="a", seen="b", remedy="c")
    with pytest.raises(EnvironmentBroken), here.open("s", alone=alone):
        raise NotObserved("nothing")
    assert doings(asked)[-3:] == UNDONE


def test_what_can_not_be_cleared_keeps_the_scenario_from_running(here: lab.Lab, asked: Mock) -> None:
    asked.Agent.return_value.clear.side_effect = NotObserved("the namespace stays")
    ran = False
    with pytest.raises(NotObserved, match="the namespace stays"), here.open("s", alone=True):
        ran = True
    assert not ran


@pytest.mark.parametrize("simulated", [False, True])
def test_somebody_else_speaks_the_language_of_the_teleport_at_hand(
    here: lab.Lab, monkeypatch: pytest.MonkeyPatch, simulated: bool
) -> None:
    doors = {True: Mock(), False: Mock()}
    monkeypatch.setattr(lab, "SimulatedDoor", doors[True])
    monkeypatch.setattr(lab, "RealDoor", doors[False])
    components = {"teleport": Component("teleport", "13.0.0", simulated=simulated)}
    here.description = dataclasses.replace(here.description, components=components)
    with here.open("some.scenario", alone=False):
        pass
    assert doors[simulated].called
    assert not doors[not simulated].called


def test_in_an_environment_that_has_died_nothing_is_done(here: lab.Lab, asked: Mock) -> None:
    asked.must_all_be_alive.side_effect = EnvironmentBroken(expected="a", seen="etcd ended", remedy="c")
    with pytest.raises(EnvironmentBroken, match="etcd ended"), here.open("s", alone=True):
        pass
    assert doings(asked) == []
