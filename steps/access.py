"""The user: kubectl by way of Teleport."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import then, when

from harness.failures.table import measured_text

if TYPE_CHECKING:
    from harness.environment import Routed
    from harness.scenario import Scenario


@when("the user lists pods", target_fixture="outcome")
def list_pods(scenario: Scenario) -> Routed:
    return scenario.workstation.kubectl("get", "pods", "--namespace", scenario.names.namespace)


@then("the pods are listed")
def pods_listed(scenario: Scenario, outcome: Routed) -> None:
    assert f"{scenario.names.release}-0" in outcome.pod_names()


@then("the API server saw that user only as the agent's impersonation")
def impersonated(scenario: Scenario, outcome: Routed) -> None:
    seen = {(scenario.agent_user(), scenario.names.user, scenario.groups_of_the_user())}
    assert (outcome.requests(), scenario.seen_by_api_server()) == ({("list", "pods", 200)}, seen)


@then("Teleport says that the user has no Kubernetes groups")
def no_groups(scenario: Scenario, outcome: Routed) -> None:
    text = measured_text("no-kubernetes-groups", "kubectl-raw", scenario.teleport.version)
    assert text.filled() in scenario.refusal_told_to_the_user(outcome.completed.stderr)


@then("no request of that user reached the cluster")
def nothing_reached(scenario: Scenario) -> None:
    assert len(scenario.kubernetes.untouched_by(scenario.names.user)) == 0


@then("the cluster forbids it to the user's group")
def not_bound(scenario: Scenario, outcome: Routed) -> None:
    seen = {(scenario.agent_user(), scenario.names.user, scenario.groups_of_the_user())}
    assert (outcome.response_codes(), scenario.seen_by_api_server()) == ({403}, seen)


@then("kubectl says that the user cannot list pods")
def not_bound_told(scenario: Scenario, outcome: Routed) -> None:
    text = measured_text("group-not-bound", "kubectl", scenario.teleport.version)
    expected = text.filled(user=scenario.names.user, namespace=scenario.names.namespace)
    assert expected in outcome.completed.stderr


@then("the user may neither delete pods nor read Secrets")
def read_only(scenario: Scenario) -> None:
    assert scenario.refused_to_the_user() == ("delete pods", "get secrets")
