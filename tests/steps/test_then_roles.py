"""Every Then step of `steps.roles` says yes to what the guide promises, and no to what looks like it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from pytest_bdd.steps import step_function_context_registry

from harness.core.errors import NotObserved
from harness.environment import Completed, Mapped, Routed
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.scenario import Scenario

NAMES = Names.unique("abc")
AGENT = f"system:serviceaccount:{NAMES.namespace}:{NAMES.service_account}"
USER = "kubernetes-alice"
TEMPLATES = ("{{internal.kubernetes_groups}}", "{{internal.kubernetes_users}}")
KEY, CLIENT = "spec.signing_key_pair.private_key", "spec.client_secret"
BOTH = ("access", NAMES.access_role)
ALLOWED = {"kubernetes_groups": [NAMES.group], "kubernetes_labels": {"*": "*"}}


def printed(*lines: str) -> dict[str, Any]:
    text = "".join(f'"{line}"\n' for line in lines)
    return {"outcome": Completed("script", 0, text, ""), "roles__kubernetes_user": USER}


def held(*secrets: str) -> dict[str, Any]:
    return {"outcome": Mapped("script", 0, "", "", (), secrets)}


def impersonated(user: str, *groups: str, exit_code: int = 0, by: str = AGENT) -> dict[str, Any]:
    record = {"user": {"username": by}, "impersonatedUser": {"username": user, "groups": list(groups)}}
    return {
        "outcome": Routed(Completed("kubectl", exit_code, "", ""), (), ()),
        "roles__kubernetes_user": USER,
        "kubernetes__audit": [record],
    }


def mapped(*rules: tuple[dict[str, str], list[str]]) -> dict[str, Any]:
    return {"connectors__mapped": list(rules)}


def mappings(members: dict[str, str], *others: dict[str, str]) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """What a connector has to map, and what it must not; `others` are those who must not get the role."""
    roles, before = ["access", NAMES.access_role], ["access"]
    wrong = [mapped((members, one)) for one in (before, [NAMES.access_role], [], ["editor", *roles])]
    for other in others:
        wrong += [
            mapped((other, roles)),
            mapped((members, before), (other, [NAMES.access_role])),
            mapped((members, roles), (other, roles)),
        ]
    return mapped((members, roles)), [mapped(), *wrong]


TEAM = {"organization": "octocats", "team": "admins"}
ATTRIBUTE = {"name": "groups", "value": "my-group"}
CLAIM = {"claim": "groups", "value": "my-group"}

STEPS: dict[str, tuple[dict[str, Any], list[dict[str, Any]]]] = {
    "the group and the user of that role are printed, and nothing else": (
        printed(NAMES.group, USER),
        [
            printed(),
            printed(NAMES.group),
            printed(USER),
            printed(USER, NAMES.group),
            printed(NAMES.group, USER, "system:masters"),
            printed(*TEMPLATES),
            printed(TEMPLATES[0], NAMES.group, TEMPLATES[1], USER),
        ],
    ),
    "templates are printed, although the reader's certificate has neither group nor user": (
        {**printed(), "roles__promised": (TEMPLATES, ((), ()))},
        [
            {**printed(), "roles__promised": promised}
            for promised in (
                ((), ((), ())),
                (TEMPLATES[:1], ((), ())),
                (TEMPLATES, ((), (NAMES.group,))),
                (TEMPLATES, ((USER,), ())),
                ((NAMES.group, USER), ((USER,), (NAMES.group,))),
            )
        ],
    ),
    "the role allows what the file says": (
        {"roles__created": ALLOWED, "roles__printed": ALLOWED},
        [
            {"roles__created": {}, "roles__printed": ALLOWED},
            {"roles__created": {**ALLOWED, "kubernetes_groups": ["other"]}, "roles__printed": ALLOWED},
            {"roles__created": {**ALLOWED, "kubernetes_users": ["one more"]}, "roles__printed": ALLOWED},
        ],
    ),
    "signing in again gives the reader the role's group, and no other": (
        {"roles__told_after_signing_in_again": ((), (NAMES.group,))},
        [
            {"roles__told_after_signing_in_again": told}
            for told in (
                ((), ()),
                ((), (NAMES.group, "system:masters")),
                ((USER,), (NAMES.group,)),
                ((), ("other",)),
            )
        ],
    ),
    "the cluster lets the group list pods, and neither delete them nor read Secrets": (
        {"roles__allowed_to_group": ("list pods",)},
        [
            {"roles__allowed_to_group": ("list pods", "delete pods")},
            {"roles__allowed_to_group": ("list pods", "get secrets")},
            {"roles__allowed_to_group": ()},
        ],
    ),
    "the GitHub connector gives the organization's team, and nobody else, the role beside the one of before": (
        mappings(TEAM, {**TEAM, "team": "others"}, {**TEAM, "organization": "others"}, {})
    ),
    "the SAML connector gives the attribute's value, and no other, the role beside the one of before": (
        mappings(ATTRIBUTE, {**ATTRIBUTE, "value": "others"}, {**ATTRIBUTE, "name": "mail"}, CLAIM, {})
    ),
    "the OIDC connector gives the claim's value, and no other, the role beside the one of before": (
        mappings(CLAIM, {**CLAIM, "value": "others"}, {**CLAIM, "claim": "mail"}, ATTRIBUTE, {})
    ),
    "the printed command wrote the connector's private key into the file": (
        held(KEY),
        [held(), held(CLIENT), held(KEY, CLIENT)],
    ),
    "the printed command wrote the connector's client secret into the file": (
        held(CLIENT),
        [held(), held(KEY), held(KEY, CLIENT)],
    ),
    "the file held a secret, but not the one that the guide names": (
        {**held(CLIENT), "connectors__named_wrongly": (CLIENT,)},
        [{**held(), "connectors__named_wrongly": ()}, {**held(KEY), "connectors__named_wrongly": (KEY,)}],
    ),
    "the member has the guide's role": (
        {"outcome": BOTH},
        [{"outcome": ("access",)}, {"outcome": ()}],
    ),
    "the API server saw the agent impersonate that Kubernetes user alone": (
        impersonated(USER, "system:authenticated"),
        [
            {**impersonated(USER, "system:authenticated"), "kubernetes__audit": []},
            impersonated(USER, "system:authenticated", NAMES.group),
            impersonated(USER, "system:authenticated", exit_code=1),
            impersonated("alice", "system:authenticated"),
            impersonated(USER, "system:authenticated", by="admin"),
        ],
    ),
}
"""Phrase -> what the guide promises, and what must not be taken for it."""

CASES = [(phrase, told) for phrase, (_, wrong) in STEPS.items() for told in wrong]


def then_steps() -> dict[str, Callable[..., object]]:
    return {
        context.parser.name: context.step_func
        for context in step_function_context_registry.values()
        if context.type == "then" and context.step_func.__module__ == "steps.roles"
    }


def carry_out(phrase: str, world: Callable[..., Scenario], told: dict[str, Any]) -> None:
    function = then_steps()[phrase]
    answers = {name: value for name, value in told.items() if name != "outcome"}
    given = {"scenario": world(**answers), "outcome": told.get("outcome")}
    function(**{name: given[name] for name in inspect.signature(function).parameters})


def test_every_then_step_is_here() -> None:
    assert set(STEPS) == set(then_steps())
    assert all(wrong for _, wrong in STEPS.values())


@pytest.mark.parametrize("phrase", STEPS)
def test_what_the_guide_promises_passes(world: Callable[..., Scenario], phrase: str) -> None:
    carry_out(phrase, world, STEPS[phrase][0])


@pytest.mark.parametrize(("phrase", "told"), CASES)
def test_what_only_looks_like_it_fails(
    world: Callable[..., Scenario], phrase: str, told: dict[str, Any]
) -> None:
    with pytest.raises(AssertionError):
        carry_out(phrase, world, told)


@pytest.mark.parametrize(
    ("phrase", "port"),
    [
        (
            "signing in again gives the reader the role's group, and no other",
            "roles__told_after_signing_in_again__each",
        ),
        (
            "the cluster lets the group list pods, and neither delete them nor read Secrets",
            "roles__allowed_to_group__each",
        ),
    ],
)
def test_what_was_not_observed_is_not_swallowed(
    world: Callable[..., Scenario], phrase: str, port: str
) -> None:
    with pytest.raises(NotObserved):
        carry_out(phrase, world, {port: NotObserved("nothing")})
