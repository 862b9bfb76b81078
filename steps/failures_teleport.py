"""Failures of Teleport itself: what its table's rows need beside what all failures have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import then

from harness.causes import agent, course, teleport

if TYPE_CHECKING:
    from harness.failures.table import Failure
    from harness.scenario import Scenario


@then("it joins without a restart once Teleport is back")
def joins_by_itself(scenario: Scenario) -> None:
    assert teleport.joined_once_mended(scenario) == ({"iam"}, True, 0)


@then("the agent stays out until it starts without that identity")
def stays_out(scenario: Scenario) -> None:
    assert teleport.joins_with_old_identity(scenario) == ()


@then("it serves a user who signs in afterwards without a restart or another join")
def serves_on(scenario: Scenario) -> None:
    assert teleport.served_after_rotation(scenario) == (True, 0, ("Instance", "Kube"))


@then("it joins again and again and serves nobody until the cause is mended")
def joins_in_vain(scenario: Scenario, failure: Failure) -> None:
    assert len(scenario.agent.unregistered_until(lambda: course.mend(scenario, failure))) == 0


@then("kubectl gets to nobody until the cause is mended")
def gets_to_nobody(scenario: Scenario, failure: Failure) -> None:
    status, pods = agent.refused_before_mended(scenario, lambda: course.mend(scenario, failure), routed=False)
    assert (status, len(pods)) == (0, 1)
