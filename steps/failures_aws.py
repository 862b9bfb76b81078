"""Failures in AWS: what the account's own record shows of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import parsers, then

from harness.causes import aws, pod

if TYPE_CHECKING:
    from harness.scenario import Scenario


@then("AWS was not asked for the agent's role")
def not_asked(scenario: Scenario) -> None:
    assert tuple(scenario.aws.calls()) == ()


@then("its pod has no group for its volumes")
def no_group(scenario: Scenario) -> None:
    assert list(pod.volume_groups(scenario)) == []


@then("AWS told Teleport that the agent is its node")
def is_node(scenario: Scenario) -> None:
    assert set(scenario.aws.told_of_node()) == {scenario.names.node_role}


@then("AWS told nobody that it is the agent's node")
def nobody_is_node(scenario: Scenario) -> None:
    assert tuple(scenario.aws.told_of_node()) == ()


@then(parsers.parse("AWS refused to tell Teleport who the agent is with {code}"))
def not_told(scenario: Scenario, code: str) -> None:
    assert aws.denied_to_teleport(scenario) == {code}
