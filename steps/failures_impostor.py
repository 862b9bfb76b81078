"""Somebody else asks to join with what the agent signed, or with what they made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import given, parsers, then, when

from harness.causes import impostor
from harness.failures.table import failure_with_cause

if TYPE_CHECKING:
    from harness.environment import JSON, Answered
    from harness.failures.table import Failure
    from harness.scenario import Scenario


@given(parsers.parse("somebody with a request of the agent's, where {cause}"), target_fixture="failure")
def somebody(scenario: Scenario, cause: str) -> Failure:
    scenario.make_service_account()
    scenario.make_token()
    return failure_with_cause(cause)


@when("they ask Teleport to join", target_fixture="answered")
def ask(scenario: Scenario, failure: Failure) -> Answered:
    return impostor.asked(scenario, failure)


@when("an agent is deployed that is told another endpoint of STS")
def deploy_told(scenario: Scenario) -> None:
    impostor.deploy_with_another_endpoint(scenario)


@when(
    "somebody asks AWS for the role with a web identity that the cluster did not sign", target_fixture="call"
)
def ask_aws(scenario: Scenario) -> JSON:
    return scenario.somebody_else.take_role(genuine=False)


@then("Teleport refuses it in the words of the table of failures")
def refused(scenario: Scenario, failure: Failure, answered: Answered) -> None:
    assert impostor.places_seen(scenario, failure, answered) == impostor.places_told(scenario, failure)


@then("Teleport refuses it without asking who signed it")
def refused_by_itself(answered: Answered) -> None:
    assert (bool(answered.words), impostor.verdicts(answered)) == (True, set())


@then(parsers.parse("AWS refuses to say who signed it, with {code}"))
def refused_by_aws(answered: Answered, code: str) -> None:
    assert impostor.verdicts(answered) == {("denied", code)}


@then("the agent's own request alone lets a host in")
def nobody_else(scenario: Scenario, answered: Answered) -> None:
    assert impostor.let_in(scenario, answered) == ()


@then("the agent asked AWS's own STS alone")
def asked_aws(scenario: Scenario) -> None:
    assert impostor.hosts_asked(scenario) == {impostor.sts_host(scenario)}


@then(parsers.parse("AWS refuses it with {code}"))
def role_refused(call: JSON, code: str) -> None:
    assert (call["verdict"], call["code"]) == ("denied", code)


@then("the agent's own web identity is given the role")
def role_given(scenario: Scenario) -> None:
    assert scenario.somebody_else.take_role(genuine=True)["verdict"] == "allowed"
