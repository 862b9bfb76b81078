"""What the guide asks for before its first step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import given, then, when

from harness import premises
from harness.core.versions import numbers, told_by_clients, told_by_kubectl, told_by_status
from harness.scenario import STS_AUDIENCE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.environment import JSON, Completed
    from harness.scenario import Scenario

KUBERNETES = "1.17.0"
SERVER_SIDE_APPLY = "1.22.0"
HELM = "3.4.2"
AWS_CLI = {1: "1.27.81", 2: "2.10.3"}
"""Least version of the AWS CLI by its major one; a later major one is newer than both."""

NO_PROVIDER = ("InvalidIdentityToken", "No OpenIDConnect provider found in your account")


@given("a machine with curl and jq")
def curl_and_jq(scenario: Scenario) -> None:
    scenario.workstation.require("curl", "jq")


@given("a service account with a role of an account without an OIDC provider")
def no_provider(scenario: Scenario) -> None:
    premises.make_service_account_without_provider(scenario)


@given("a user who may edit resources")
def editor_not_signed_in(scenario: Scenario) -> None:
    premises.make_user(scenario)


@when("the reader asks the proxy for the cluster's version as printed", target_fixture="outcome")
def ask_as_printed(scenario: Scenario) -> Completed:
    return scenario.workstation.guide("pre.ping")


@when("the proxy is asked for the cluster's version", target_fixture="outcome")
def ask(scenario: Scenario) -> JSON:
    return scenario.teleport.ping()


@when("the reader asks tctl and tsh for their versions", target_fixture="outcome")
def ask_clients(scenario: Scenario) -> Completed:
    return premises.versions_of_clients(scenario)


@when("the reader asks kubectl for its versions", target_fixture="outcome")
def ask_kubectl(scenario: Scenario) -> Completed:
    return scenario.workstation.run("kubectl version\n")


@when("the cluster is asked how the agent's state was written", target_fixture="outcome")
def ask_state(scenario: Scenario) -> set[str]:
    return premises.state_written_by(scenario)


@when("IAM is asked for the OIDC providers of the account", target_fixture="outcome")
def ask_providers(scenario: Scenario) -> Mapping[str, Sequence[str]]:
    return scenario.aws.oidc_providers()


@when("a pod of the service account asks AWS who it is", target_fixture="outcome")
def ask_in_pod(scenario: Scenario) -> str:
    return scenario.log_of_a_pod()


@when("the reader asks Helm for its version", target_fixture="outcome")
def ask_helm(scenario: Scenario) -> Completed:
    return scenario.workstation.run("helm version\n")


@when("the reader asks the AWS CLI for its version", target_fixture="outcome")
def ask_aws(scenario: Scenario) -> Completed:
    return scenario.workstation.run("aws --version\n")


@when("the user signs in and asks for the cluster's status as printed", target_fixture="outcome")
def sign_in(scenario: Scenario) -> Completed:
    return premises.sign_in_and_ask_status(scenario)


@when("tctl is used beside the Auth Service without signing in", target_fixture="outcome")
def administer(scenario: Scenario) -> tuple[str, ...]:
    return premises.administer(scenario)


@then("the version printed is the one that the Auth Service tells")
def version_printed(scenario: Scenario, outcome: Completed) -> None:
    told = told_by_status(scenario.teleport.administer("status").stdout)
    assert outcome.stdout.strip() == told.get("Version")


@then("the cluster is at least of the version that the guide installs")
def cluster_new_enough(scenario: Scenario, outcome: JSON) -> None:
    assert numbers(outcome["server_version"]) >= numbers(scenario.workstation.guide_version)


@then("both tell the cluster's version")
def clients_of_release(scenario: Scenario, outcome: Completed) -> None:
    assert told_by_clients(outcome.stdout) == (scenario.teleport.version, scenario.teleport.version)


@then("neither is more than one major version behind the cluster")
def clients_not_too_old(scenario: Scenario, outcome: Completed) -> None:
    oldest = numbers(scenario.teleport.version)[0] - 1
    assert [numbers(told)[0] >= oldest for told in told_by_clients(outcome.stdout)] == [True, True]


@then("the proxy says that it takes clients from one major version before its own on")
def clients_taken(scenario: Scenario) -> None:
    told = scenario.teleport.ping()
    assert numbers(told["min_client_version"]) == (numbers(told["server_version"])[0] - 1, 0, 0)


@then("client and server are at least of the version that the guide asks for")
def kubernetes_new_enough(outcome: Completed) -> None:
    told = told_by_kubectl(outcome.stdout)
    new_enough = {side: numbers(version) >= numbers(KUBERNETES) for side, version in told.items()}
    assert new_enough == {"Client": True, "Server": True}


@then("the server is the cluster")
def server_is_cluster(scenario: Scenario, outcome: Completed) -> None:
    assert told_by_kubectl(outcome.stdout).get("Server") == scenario.kubernetes.version()


@then("it was written by server-side apply")
def applied(outcome: set[str]) -> None:
    assert outcome == {"Apply"}


@then("the cluster is at least of the version that offers this")
def offers_apply(scenario: Scenario) -> None:
    assert numbers(scenario.kubernetes.version()) >= numbers(SERVER_SIDE_APPLY)


@then("the cluster's issuer is among them, for STS")
def provider_there(scenario: Scenario, outcome: Mapping[str, Sequence[str]]) -> None:
    assert STS_AUDIENCE in outcome.get(scenario.kubernetes.issuer(), ())


@then("AWS told the pod of no identity")
def no_identity(outcome: str) -> None:
    assert "assumed-role" not in outcome


@then("STS refused it because the account has no OIDC provider")
def provider_missing(scenario: Scenario) -> None:
    assert premises.refused_by_sts(scenario) == {NO_PROVIDER}


@then("Helm is at least of the version that the guide asks for")
def helm_new_enough(outcome: Completed) -> None:
    assert numbers(outcome.stdout) >= numbers(HELM)


@then("the AWS CLI is at least of the version that the guide asks for")
def aws_new_enough(outcome: Completed) -> None:
    seen = numbers(outcome.stdout)
    assert seen >= numbers(AWS_CLI.get(seen[0], AWS_CLI[2]))


@then("tctl status tells the cluster's name, version and CA pin")
def status_told(scenario: Scenario, outcome: Completed) -> None:
    told = told_by_status(outcome.stdout)
    assert (told.get("Cluster"), told.get("Version"), told.get("CA pin")) in premises.cluster_as_known(
        scenario
    )


@then("it was refused nothing")
def nothing_refused(outcome: tuple[str, ...]) -> None:
    assert outcome == ()


@then("the role made so is there")
def role_there(scenario: Scenario) -> None:
    assert scenario.teleport.get(f"role/{scenario.names.access_role}") is not None


@then("elsewhere tctl is refused without signing in")
def refused_elsewhere(scenario: Scenario) -> None:
    assert premises.tctl_elsewhere(scenario) == ("refused", "answered")
