"""Steps 2 and 3 beyond one agent as printed: other tokens, services and values, several agents, what a user sees."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import given, then, when

from harness import registration
from harness.failures.table import measured_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.environment import Completed, Routed
    from harness.registration import Left, Two
    from harness.scenario import Scenario


@given("a joining token for any role of the account")
def token_without_arn(scenario: Scenario) -> None:
    registration.make_token_without_arn(scenario)


@given("a token of the guide's name that somebody made before")
def older_token(scenario: Scenario) -> None:
    registration.make_older_token(scenario)


@given("an edition whose step 3 deploys services that its token does not allow")
def more_roles_printed(scenario: Scenario) -> None:
    registration.must_print_more_roles(scenario)


@given("a reader whose kubectl is set to another cluster", target_fixture="context")
def elsewhere(scenario: Scenario) -> str:
    return scenario.workstation.point_elsewhere()


@given("a signed-in user whose role reaches no cluster")
def user_of_no_cluster(scenario: Scenario) -> None:
    registration.make_user_of_no_cluster(scenario)


@given("a signed-in user whose role allows no pods")
def user_of_no_pods(scenario: Scenario) -> None:
    registration.make_user_of_no_pods(scenario)


@given("two agents that have joined by IAM, each for a cluster name of its own", target_fixture="two")
def two_clusters(scenario: Scenario) -> Two:
    return registration.deploy_two(scenario)


@given(
    "two agents that have joined by IAM under one cluster name, and a signed-in user", target_fixture="two"
)
def two_agents(scenario: Scenario) -> Two:
    return registration.deploy_two_for_a_user(scenario)


@when("the agent is deployed with the roles of step 3 as printed")
def deploy_printed_roles(scenario: Scenario) -> None:
    registration.deploy_printed_roles(scenario)


@when("the agent is deployed with an application service besides")
def deploy_with_application(scenario: Scenario) -> None:
    registration.deploy_with_application(scenario)


@when(
    "the reader switches kubectl to the cluster and deploys the agent as it should read",
    target_fixture="outcome",
)
def switch_and_deploy(scenario: Scenario, context: str) -> Completed:
    return registration.deploy_as_it_should_read(scenario, context)


@when(
    "the reader switches kubectl to the cluster and deploys the agent as it should read, in zsh",
    target_fixture="outcome",
)
def switch_and_deploy_in_zsh(scenario: Scenario, context: str) -> Completed:
    return registration.deploy_as_it_should_read(scenario, context, shell="zsh")  # noqa: S604  # the workstation's own parameter, with a fixed value


@when("the reader goes from the list of clusters to the list of pods as printed", target_fixture="outcome")
def follow_to_the_pods(scenario: Scenario) -> Completed:
    return registration.follow_to_the_pods(scenario)


@when(
    "the reader goes from the list of clusters to the list of pods as printed, in zsh",
    target_fixture="outcome",
)
def follow_to_the_pods_in_zsh(scenario: Scenario) -> Completed:
    return registration.follow_to_the_pods(scenario, shell="zsh")  # noqa: S604  # the workstation's own parameter, with a fixed value


@when("the user lists the clusters", target_fixture="outcome")
def list_clusters(scenario: Scenario) -> Sequence[str]:
    return scenario.workstation.clusters()


@when("the user asks each cluster", target_fixture="outcome")
def ask_each(two: Two) -> dict[str, str]:
    return two.answers()


@when("the agent that answers the user is stopped", target_fixture="outcome")
def stop_the_one_that_answers(two: Two) -> Left:
    return registration.stop_the_one_that_answers(two)


@then("the token is the reader's, or the reader is told of the older one")
def second_token(scenario: Scenario, outcome: Completed) -> None:
    assert registration.outcome_of_second_token(scenario, outcome) in {"replaced", "refused"}


@then("every service of the agent has joined by IAM")
def every_service(scenario: Scenario) -> None:
    deployed, joined = registration.deployed_and_joined(scenario)
    assert joined == dict.fromkeys(deployed, "iam")


@then("the agent logs that the token does not allow the application service")
def logs_role(scenario: Scenario) -> None:
    text = measured_text("token-lacks-role", "agent-log", scenario.teleport.version).filled(role="App")
    assert text in scenario.agent.logs(text)


@then("the agent's other services have joined by IAM")
def other_services(scenario: Scenario) -> None:
    others = registration.services_deployed(scenario) - {"App"}
    assert registration.services_joined(scenario, others) == dict.fromkeys(others, "iam")


@then("the token keeps out every service but the one for Kubernetes")
def kept_out(scenario: Scenario) -> None:
    assert registration.services_kept_out(scenario) == {"App", "Discovery"}


@then("the release is of the guide's version and has the guide's values")
def values(scenario: Scenario) -> None:
    assert registration.values_in_effect(scenario) == registration.values_of_the_guide(scenario)


@then("of Teleport the agent itself has dialled the proxy's address, and no other")
def dials_back(scenario: Scenario) -> None:
    assert scenario.agent.sockets().dialled == {scenario.workstation.proxy_address}


@then("nobody can dial in to the agent but its own probes")
def not_dialled(scenario: Scenario) -> None:
    sockets = scenario.agent.sockets()
    told = registration.addresses_told(scenario)
    assert (sockets.listening, told) == (sockets.probed, {registration.BY_TUNNEL})


@then("the table of clusters has the name chosen in step 3")
def table(scenario: Scenario, outcome: Completed) -> None:
    assert registration.names_in_the_table(scenario, outcome.stdout).count(scenario.names.cluster) == 1


@then("the kubeconfig points at that cluster by way of Teleport")
def kubeconfig(scenario: Scenario) -> None:
    assert registration.pointed_at(scenario) == registration.cluster_by_way_of_teleport(scenario)


@then("the cluster is missing from the list only for want of the user's role")
def not_listed(scenario: Scenario, outcome: Sequence[str]) -> None:
    assert (scenario.names.cluster in outcome, registration.hidden_by_the_role(scenario)) == (False, True)


@then("no pod is listed, and the agent's is once the user's role allows it")
def no_pods(scenario: Scenario, outcome: Routed) -> None:
    again = registration.pods_once_allowed(scenario)
    listed = (outcome.completed.exit_code, outcome.pod_names())
    assert (listed, again) == ((0, ()), (f"{scenario.names.release}-0",))


@then("each was answered by its own agent")
def own_agents(outcome: dict[str, str], two: Two) -> None:
    assert (outcome, len(set(outcome.values()))) == (two.agents(), 2)


@then("tsh lists both")
def both_listed(two: Two) -> None:
    assert set(two.agents()) <= set(two.other.workstation.listed_clusters())


@then("both had answered the user")
def both_answered(outcome: Left) -> None:
    assert (outcome.answered, len(outcome.both)) == (outcome.both, 2)


@then("the other agent alone answers from then on")
def other_answers(outcome: Left, two: Two) -> None:
    assert registration.answers_of_the_one_left(two) == {outcome.host}


@then("tsh lists the name once")
def listed_once(scenario: Scenario) -> None:
    assert list(scenario.workstation.listed_clusters()).count(scenario.names.cluster) == 1
