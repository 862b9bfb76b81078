"""Failures of the chart: what Helm refuses, what it takes in silence."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import given, then, when

from harness.causes import chart, course
from harness.failures.table import measured_text

if TYPE_CHECKING:
    from harness.environment import Completed
    from harness.failures.table import Failure
    from harness.scenario import Scenario


@when("Helm is asked to install the agent into it", target_fixture="told")
def try_install(scenario: Scenario, failure: Failure) -> Completed:
    return scenario.agent.try_install(course.CAUSES[failure.name].values(scenario))


@then("Helm refuses in the words of the table of failures")
def refused(scenario: Scenario, failure: Failure, told: Completed) -> None:
    text = measured_text(failure.name, "helm", scenario.teleport.version)
    assert course.filled(scenario, text) in chart.refused_by_helm(told)


@when("what was rendered is applied to the cluster", target_fixture="told")
def apply(scenario: Scenario) -> Completed:
    return scenario.agent.apply_rendered(hooks=False)


@then("kubectl refuses an object in the words of the table of failures")
def refused_by_kubectl(scenario: Scenario, failure: Failure, told: Completed) -> None:
    text = measured_text(failure.name, "kubectl", scenario.teleport.version)
    assert course.filled(scenario, text) in chart.refused_by_kubectl(scenario, told)


@then("all of it is applied once the cause is mended")
def applied(scenario: Scenario) -> None:
    assert chart.applied_without_policy(scenario)


@given("an agent whose chart was rendered and applied without its hooks")
def rendered(scenario: Scenario) -> None:
    chart.make_rendered(scenario)


@when("it is applied with its hooks", target_fixture="host")
def apply_with_hooks(scenario: Scenario) -> str:
    return chart.apply_with_hooks(scenario)


@then("no agent starts until the cause is mended")
def starts(scenario: Scenario, failure: Failure) -> None:
    assert chart.starts_before_mended(scenario, lambda: course.mend(scenario, failure)) == ()


@given(
    "two agents in a namespace, the one's release named like the end of the other's", target_fixture="other"
)
def neighbours(scenario: Scenario) -> Scenario:
    return chart.neighbours(scenario, alike=True)


@given("two agents in a namespace", target_fixture="other")
def agents_apart(scenario: Scenario) -> Scenario:
    return chart.neighbours(scenario, alike=False)


@when("its release is uninstalled", target_fixture="host")
def uninstall(scenario: Scenario) -> str:
    host = scenario.agent.host_id()
    scenario.agent.uninstall()
    return host


@when("the other one is uninstalled", target_fixture="host")
@when("the one with the short name is uninstalled", target_fixture="host")
def uninstall_other(scenario: Scenario, other: Scenario) -> str:
    host = scenario.agent.host_id()
    other.agent.uninstall()
    return host


@then("nothing of it is left but what was made for it")
def left(scenario: Scenario) -> None:
    secrets, accounts, token, servers = chart.left(scenario)
    assert (secrets, accounts, token) == (set(), {scenario.names.service_account}, True)
    # Its server is listed until it expires.
    assert servers == 1


@then("the identity of the agent is gone")
def no_identity(scenario: Scenario) -> None:
    assert chart.identities(scenario) == set()


@then("the identity of the agent is gone with it")
def no_identity_either(scenario: Scenario) -> None:
    assert chart.identities_beside_another_release(scenario) == set()


@then("installed again it joins as another host")
def installed_again(scenario: Scenario, failure: Failure, host: str) -> None:
    assert chart.installed_again(scenario, lambda: course.mend(scenario, failure), host) == (True, True)


@then("the agent joins as another host once its pod was started anew")
def joins_again(scenario: Scenario, host: str) -> None:
    scenario.agent.again()
    assert scenario.agent.joined().host_id != host


@then("the identity of the first one is left as it was")
def identity_left(scenario: Scenario, host: str) -> None:
    own = {f"{scenario.names.release}-0-state"}
    assert chart.serving_beside_another_release(scenario) == (own, host)
    assert host
