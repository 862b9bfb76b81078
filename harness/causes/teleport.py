"""Failures of Teleport itself: it is away, another one, or configured otherwise; the agent is in order."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.causes import agent
from harness.causes.cause import Cause

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.environment import JSON
    from harness.scenario import Scenario


def _arrange(scenario: Scenario) -> None:
    scenario.make_service_account()
    scenario.make_token()


def _away(scenario: Scenario) -> None:
    _arrange(scenario)
    scenario.take_teleport_away()


def _tunnel_closed(scenario: Scenario) -> None:
    _arrange(scenario)
    scenario.lead_tunnel_to(agent.CLOSED)


def _without_kubernetes(scenario: Scenario) -> None:
    _arrange(scenario)
    scenario.switch_kubernetes_off()


def _identity_of_before(scenario: Scenario) -> None:
    """Another agent's identity is copied, and then Teleport is another cluster than the one that it is of."""
    agent.copy_identity(scenario)
    scenario.lose_data_of_teleport()


def _end(scenario: Scenario) -> None:
    scenario.end_disruption()


CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        "teleport-down": Cause(_away, _end),
        "identity-of-another-cluster": Cause(_identity_of_before, agent.start_without_identity),
        "tunnel-unreachable": Cause(_tunnel_closed, _end),
        "proxy-without-kubernetes": Cause(_without_kubernetes, _end),
    }
)


def joins_with_old_identity(scenario: Scenario) -> tuple[JSON, ...]:
    """Watches that the agent stays out with the identity that it has, and joins without one; joins before: none.

    Deleting the identity alone is not tried: seen on 13, a running agent then joins at its next attempt.
    """
    return tuple(scenario.agent.out_until(lambda: agent.start_without_identity(scenario)))


def joined_once_mended(scenario: Scenario) -> tuple[set[str], bool, int]:
    """Ends what keeps the agent out: methods by which it joins, whether its pod is still the same, and its restarts."""
    before = scenario.agent.deployed()["metadata"]["uid"]
    scenario.end_disruption()
    methods = set(scenario.agent.joined().methods.values())
    pod = scenario.agent.pod()
    restarts = sum(status["restartCount"] for status in pod["status"]["containerStatuses"])
    return methods, pod["metadata"]["uid"] == before, restarts
