"""Failures of the agent: what its table's rows need beside what all failures have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import then, when

from harness.causes import agent, course, pod
from harness.failures.table import measured_text

if TYPE_CHECKING:
    from harness.environment import Restarted
    from harness.failures.table import Failure
    from harness.scenario import Scenario


@when("the agent starts in it without an identity")
def start_without_identity(scenario: Scenario) -> None:
    agent.start_without_identity(scenario)


@then("the agent ends again and again until the cause is mended")
def ends(scenario: Scenario, failure: Failure) -> None:
    assert agent.ends_before_mended(scenario, lambda: course.mend(scenario, failure)) == ()


@then("the user is refused until the cause is mended")
def refused(scenario: Scenario, failure: Failure) -> None:
    status, pods = agent.refused_before_mended(scenario, lambda: course.mend(scenario, failure))
    assert (status, len(pods)) == (403, 1)


@when("the agent's state Secret is deleted", target_fixture="host")
def delete_identity(scenario: Scenario) -> str:
    return agent.delete_identity(scenario)


@when("the agent's pod is deleted three times", target_fixture="outcome")
def restart_often(scenario: Scenario) -> Restarted:
    return agent.restart_often(scenario, 3)


@then("the same host goes on serving without a Secret")
def serves_on(scenario: Scenario, host: str) -> None:
    assert agent.serves_on(scenario) == (host, False)


@then("another host serves once its pod was started anew")
def serves_as_another(scenario: Scenario, host: str) -> None:
    joined, served_by = agent.serves_after_restart(scenario)
    assert served_by == joined != host


@when("its service account is deleted and made anew", target_fixture="host")
def make_account_anew(scenario: Scenario) -> str:
    return agent.make_account_anew(scenario)


@then("the user is refused in the words of the table of failures")
def refused_in_words(scenario: Scenario) -> None:
    text = measured_text("account-made-anew", "kubectl-raw", scenario.teleport.version)
    assert text.filled() in agent.told_by_kubectl(scenario, text.filled())


@then("the same host serves again once its pod was started anew")
def serves_again(scenario: Scenario, host: str) -> None:
    assert agent.served_after_restart(scenario) == host != ""


@then("it registers as the other agent's host without a join")
def registers_as_another(scenario: Scenario) -> None:
    assert agent.registered_as(scenario) == ({agent.copied_from(scenario)}, 0)


@then("it joins as a host of its own once the cause is mended")
def host_of_its_own(scenario: Scenario, failure: Failure) -> None:
    other = agent.copied_from(scenario)
    course.mend(scenario, failure)
    assert scenario.agent.joined().host_id != other


@then("it joins by IAM as the version that its image is")
def joins_as_older(scenario: Scenario) -> None:
    joined = scenario.agent.joined()
    assert (set(joined.methods.values()), joined.version) == ({"iam"}, pod.other_version(scenario))


@then("two hosts serve the cluster, each with a Secret of its own")
def two_hosts(scenario: Scenario) -> None:
    serving, stored = agent.hosts_of_replicas(scenario, 2)
    assert serving == stored
    assert len(stored) == 2
