"""Given: what a scenario starts from, made through APIs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import given

if TYPE_CHECKING:
    from harness.scenario import Scenario


@given("a service account with an IAM role")
def service_account(scenario: Scenario) -> None:
    scenario.make_service_account()


@given("a joining token for that role")
def token(scenario: Scenario) -> None:
    scenario.make_token()


@given("a joining token for another AWS account")
def token_for_another_account(scenario: Scenario) -> None:
    scenario.make_token(account_id=scenario.other_account_id())


@given("a joining token for another IAM role")
def token_for_another_role(scenario: Scenario) -> None:
    scenario.make_token(role=f"not-{scenario.names.role}")


@given("an agent that has joined by IAM")
def joined_agent(scenario: Scenario) -> None:
    scenario.make_joined_agent()


@given("a reader who is signed in as an editor of resources")
def editor(scenario: Scenario) -> None:
    scenario.make_signed_in_user("access", "editor")


@given("a signed-in user without Kubernetes groups")
def user_without_groups(scenario: Scenario) -> None:
    scenario.make_signed_in_user("access")


@given("a signed-in user whose group may view the cluster")
@given("a signed-in user with the guide's role, whose group is bound as the guide says")
def bound_user(scenario: Scenario) -> None:
    scenario.make_bound_user()


@given("an agent that has joined by IAM and serves a signed-in user")
def serving_agent(scenario: Scenario) -> None:
    scenario.make_serving_agent()


@given("a user who was given the guide's role after signing in")
def role_given_afterwards(scenario: Scenario) -> None:
    scenario.make_user_given_guide_role(sign_in_again=False)


@given("a user who signed in again after being given the guide's role")
def role_given_before(scenario: Scenario) -> None:
    scenario.make_user_given_guide_role(sign_in_again=True)


@given("the joining token is removed")
def remove_token(scenario: Scenario) -> None:
    scenario.remove_token()


@given("AWS denies the agent's role everything")
def deny(scenario: Scenario) -> None:
    scenario.deny_role()
