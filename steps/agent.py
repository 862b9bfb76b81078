"""The agent: deployed, joined, refused, restarted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import then, when

from harness.failures.table import failure_named, measured_text

if TYPE_CHECKING:
    from harness.environment import Restarted
    from harness.failures.table import Failure
    from harness.scenario import Scenario


SERVICES = frozenset({"Instance", "Kube"})
"""System roles as which the agent joins: its own, and its one service's."""


@when("the agent is deployed")
def deploy(scenario: Scenario) -> None:
    scenario.agent.install()


@when("the agent's pod is deleted", target_fixture="outcome")
def delete_pod(scenario: Scenario) -> Restarted:
    return scenario.agent.restart()


@when("the agent's node is drained and restarted", target_fixture="outcome")
def restart_node(scenario: Scenario) -> Restarted:
    return scenario.restart_node()


@when("Teleport is away for a while", target_fixture="outcome")
def miss_teleport(scenario: Scenario) -> Restarted:
    return scenario.miss_teleport()


@when("Teleport comes back without its data", target_fixture="failure")
def lose_data(scenario: Scenario) -> Failure:
    scenario.lose_data_of_teleport()
    return failure_named("teleport-lost-its-data")


@then("the agent has joined by IAM")
def joined(scenario: Scenario) -> None:
    assert scenario.joined_by() == ({"iam"}, scenario.teleport.version)


@then("it proved to be in the service account's IAM role")
def own_identity(scenario: Scenario) -> None:
    assert scenario.identities_of_the_agent() == {(scenario.aws.account_id, scenario.names.role)}


@then("the agent's pod runs as the service account of step 1")
def existing_account(scenario: Scenario) -> None:
    assert scenario.account_of_the_agent() == scenario.names.service_account


@then("the release made no service account")
def no_other_account(scenario: Scenario) -> None:
    # `default` is every namespace's own, made by the control plane in its own time.
    assert set(scenario.kubernetes.service_accounts()) - {"default"} == {scenario.names.service_account}


@then("nothing but the token's name was given to the cluster")
def no_secret(scenario: Scenario) -> None:
    assert scenario.given_to_join() == scenario.names.token


@then("the agent's pod becomes ready without a restart")
def ready(scenario: Scenario) -> None:
    assert scenario.agent.pod_line() == ("1/1", "Running", 0)


@then("tsh lists the cluster under the name chosen in step 3")
def listed(scenario: Scenario) -> None:
    assert scenario.names.cluster in scenario.workstation.listed_clusters()


@then("the agent logs that no allow rule matched")
def logs_wrong_account(scenario: Scenario) -> None:
    text = measured_text("wrong-account", "agent-log", scenario.teleport.version)
    assert set(scenario.agent.roles_that_log(text.filled(), SERVICES)) == SERVICES


@then("the agent logs that no allow rule matched the role")
def logs_wrong_role(scenario: Scenario) -> None:
    text = measured_text("wrong-arn", "agent-log", scenario.teleport.version)
    assert set(scenario.agent.roles_that_log(text.filled(), SERVICES)) == SERVICES


@then("Teleport refused it because of its account")
def refused_account(scenario: Scenario) -> None:
    assert scenario.agent.refused().cause == "account"


@then("Teleport refused it because of its role")
def refused_role(scenario: Scenario) -> None:
    assert scenario.agent.refused().cause == "arn"


@then("the agent serves again as the same host without a new join")
def same_host(outcome: Restarted) -> None:
    assert (outcome.host_id, outcome.served_by, outcome.joins) == (
        outcome.host_id_before,
        outcome.host_id_before,
        (),
    )


@then("the agent does not serve again by itself")
def stays_unknown(scenario: Scenario) -> None:
    assert scenario.agent.stays_unknown() == ([], [])


@then("it serves again as another host once its identity is deleted and its pod restarted")
def served_anew(scenario: Scenario) -> None:
    before, now, served_by = scenario.served_anew()
    assert served_by == now != before


@then("the restart made no AWS call")
@then("the agent made no AWS call meanwhile")
def no_aws_call(scenario: Scenario, outcome: Restarted) -> None:
    assert len(scenario.agent.stays_off_aws(outcome)) == 0
