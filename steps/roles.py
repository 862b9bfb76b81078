"""The reader's roles: looked at, made, mapped in connectors of identity providers, and bound in the cluster."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_bdd import given, then, when

from harness.environment import MEMBERS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from harness.environment import Completed, Mapped, Routed
    from harness.scenario import Scenario

TEMPLATES = ("{{internal.kubernetes_groups}}", "{{internal.kubernetes_users}}")
"""What the preset role `access` has in place of groups and users; it stands for those of the user's traits."""


@given("an editor whose role allows a Kubernetes group and a Kubernetes user")
def editor_with_access(scenario: Scenario) -> None:
    scenario.roles.make_editor()


@given("an editor whose roles are a preset one and one that allows a Kubernetes group and a Kubernetes user")
def editor_with_preset_role(scenario: Scenario) -> None:
    scenario.roles.make_editor("access")


@given("a signed-in editor with the guide's file for the role")
def reader_with_file(scenario: Scenario) -> None:
    scenario.roles.make_reader()


@given("the guide's file that binds the role's group")
def file_of_binding(scenario: Scenario) -> None:
    scenario.roles.save_binding()


@given("a signed-in user whose role allows a Kubernetes user alone, which the cluster binds")
def user_without_group(scenario: Scenario) -> None:
    scenario.roles.make_kubernetes_user()


@given("a signed-in editor, the guide's role and a GitHub connector")
def github_connector(scenario: Scenario) -> None:
    scenario.connectors.create("github")


@given("a signed-in editor, the guide's role and a SAML connector")
def saml_connector(scenario: Scenario) -> None:
    scenario.connectors.create("saml")


@given("a signed-in editor, the guide's role and an OIDC connector")
def oidc_connector(scenario: Scenario) -> None:
    scenario.connectors.create("oidc")


@when("the reader asks for the groups and users of the current roles as printed", target_fixture="outcome")
def ask_as_printed(scenario: Scenario) -> Completed:
    return scenario.roles.ask()


@when(
    "the reader asks for the groups and users of the current roles as it should read",
    target_fixture="outcome",
)
def ask_corrected(scenario: Scenario) -> Completed:
    return scenario.roles.ask(corrected=True)


@when("the reader makes the role and takes it on as printed", target_fixture="outcome")
def take_on(scenario: Scenario) -> Completed:
    return scenario.roles.take_on()


@when("the reader makes the role and takes it on as printed, in zsh", target_fixture="outcome")
def take_on_in_zsh(scenario: Scenario) -> Completed:
    return scenario.roles.take_on(shell="zsh")  # noqa: S604  # the port's own parameter, with a fixed value


@when("the reader applies it as printed", target_fixture="outcome")
def bind(scenario: Scenario) -> Completed:
    return scenario.roles.bind()


@when("the reader maps the role in the GitHub connector as printed", target_fixture="outcome")
def map_in_github(scenario: Scenario) -> Mapped:
    return scenario.connectors.map_role("github")


@when("the reader maps the role in the SAML connector as printed", target_fixture="outcome")
def map_in_saml(scenario: Scenario) -> Mapped:
    return scenario.connectors.map_role("saml")


@when("the reader maps the role in the OIDC connector as printed", target_fixture="outcome")
def map_in_oidc(scenario: Scenario) -> Mapped:
    return scenario.connectors.map_role("oidc")


@when("a member signs in through the identity provider", target_fixture="outcome")
def member_signs_in(scenario: Scenario) -> Sequence[str]:
    return scenario.connectors.sign_in()


@then("the group and the user of that role are printed, and nothing else")
def own_principals(scenario: Scenario, outcome: Completed) -> None:
    expected = [f'"{scenario.names.group}"', f'"{scenario.roles.kubernetes_user}"']
    assert outcome.stdout.split() == expected


@then("templates are printed, although the reader's certificate has neither group nor user")
def templates(scenario: Scenario, outcome: Completed) -> None:
    assert scenario.roles.promised(outcome.stdout) == (TEMPLATES, ((), ()))


@then("the role allows what the file says")
def role_of_file(scenario: Scenario) -> None:
    assert scenario.roles.created() == scenario.roles.printed()


@then("signing in again gives the reader the role's group, and no other")
def taken_on(scenario: Scenario) -> None:
    assert scenario.roles.told_after_signing_in_again() == ((), (scenario.names.group,))


@then("the cluster lets the group list pods, and neither delete them nor read Secrets")
def bound(scenario: Scenario) -> None:
    assert tuple(scenario.roles.allowed_to_group()) == ("list pods",)


@then(
    "the GitHub connector gives the organization's team, and nobody else, the role beside the one of before"
)
def mapped_in_github(scenario: Scenario) -> None:
    rule = (MEMBERS["github"], ["access", scenario.names.access_role])
    assert scenario.connectors.mapped("github") == [rule]


@then("the SAML connector gives the attribute's value, and no other, the role beside the one of before")
def mapped_in_saml(scenario: Scenario) -> None:
    rule = (MEMBERS["saml"], ["access", scenario.names.access_role])
    assert scenario.connectors.mapped("saml") == [rule]


@then("the OIDC connector gives the claim's value, and no other, the role beside the one of before")
def mapped_in_oidc(scenario: Scenario) -> None:
    rule = (MEMBERS["oidc"], ["access", scenario.names.access_role])
    assert scenario.connectors.mapped("oidc") == [rule]


@then("the printed command wrote the connector's private key into the file")
def private_key(outcome: Mapped) -> None:
    assert outcome.held == ("spec.signing_key_pair.private_key",)


@then("the printed command wrote the connector's client secret into the file")
def client_secret(outcome: Mapped) -> None:
    assert outcome.held == ("spec.client_secret",)


@then("the file held a secret, but not the one that the guide names")
def other_secret(scenario: Scenario, outcome: Mapped) -> None:
    assert scenario.connectors.named_wrongly(outcome) == ("spec.client_secret",)


@then("the member has the guide's role")
def member_has_role(scenario: Scenario, outcome: Sequence[str]) -> None:
    assert scenario.names.access_role in outcome


@then("the API server saw the agent impersonate that Kubernetes user alone")
def impersonated_user(scenario: Scenario, outcome: Routed) -> None:
    seen = {(scenario.agent_user(), scenario.roles.kubernetes_user, ("system:authenticated",))}
    assert (outcome.completed.exit_code, scenario.seen_by_api_server(scenario.roles.kubernetes_user)) == (
        0,
        seen,
    )
