"""Misbehaviours on purpose, each one decision replaced, to prove that a scenario notices.

`CONFORMANCE_FAULT` names one; a name that is not in `FAULTS` is another simulator's and changes nothing here.
"""

from __future__ import annotations

import dataclasses
import itertools
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from simulators import noted
from simulators.teleport.decisions import Decisions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VARIABLE = "CONFORMANCE_FAULT"


def _always(answer: object) -> Callable[..., object]:
    return lambda *_: answer


def _first(times: int, early: object, late: object) -> Callable[..., object]:
    """One answer at first and another one later, as from a server whose cache is wrong."""
    asked = itertools.count()
    return lambda *_: early if next(asked) < times else late


def _with(decision: str, function: Any) -> Callable[[Decisions], Decisions]:
    return lambda decisions: dataclasses.replace(decisions, **{decision: function})


def _without_arn(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**spec, "allow": [{**rule, "aws_arn": "*"} for rule in spec.get("allow", [])]}


def _without(field: str) -> Callable[..., object]:
    return lambda allow: {name: value for name, value in allow.items() if name != field}


def _first_role_mapped(_: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    def shortened(value: Any) -> Any:
        return [{**rule, "roles": rule["roles"][:1]} for rule in value]

    return {name: shortened(value) if name.endswith("_to_roles") else value for name, value in spec.items()}


def _without_secrets(_: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in spec.items() if name not in {"client_secret", "signing_key_pair"}}


def _with_a_key(_: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**spec, "signing_key_pair": {"private_key": "a fault", "cert": ""}}


FAULTS: Mapping[str, Callable[[Decisions], Decisions]] = MappingProxyType(
    {
        "no-token-is-found": _with("token_named", _always(None)),
        "tokens-end-at-once": _with("token_usable", _always(False)),
        "expired-tokens-count": _with("token_usable", _always(True)),
        "any-method-counts": _with("method_matches", _always(True)),
        "token-roles-ignored": _with("role_allowed", _always(True)),
        "one-role-is-not-enough": _with("role_allowed", lambda role, roles: len(roles) > 1 and role in roles),
        "any-sts-host-counts": _with("sts_host_accepted", _always(True)),
        "any-challenge-counts": _with("challenge_answered", _always(True)),
        "unsigned-challenge-counts": _with("challenge_signed", _always(True)),
        "any-sts-body-counts": _with("sts_body_expected", _always(True)),
        "sts-never-confirms": _with("sts_confirmed", _always(False)),
        "any-account-counts": _with("account_matches", _always(True)),
        # An agent of 13 tries two endpoints for each of its two roles, and all of it again after a pause.
        "any-account-counts-later": _with("account_matches", _first(4, early=False, late=True)),
        "any-arn-counts": _with("arn_matches", _always(True)),
        "any-arn-counts-later": _with("arn_matches", _first(4, early=False, late=True)),
        "accounts-alone-admit-nobody": _with("arn_matches", lambda pattern, _: bool(pattern)),
        "arn-is-a-prefix": _with("arn_matches", lambda pattern, arn: arn.startswith(pattern.rstrip("*"))),
        "tokens-kept-wider": _with("token_kept", _without_arn),
        "joins-not-recorded": _with("join_recorded", _always(False)),
        "identity-not-written": _with("identity_kept", _always(False)),
        "host-certificates-refused": _with("certificate_accepted", _always(False)),
        "host-id-forgotten": _with("host_id", lambda _, fresh: fresh),
        "agent-joins-at-each-start": _with("join_needed", _always(True)),
        "restarted-agent-asks-aws": _with("aws_asked", _always(True)),
        "no-cluster-is-listed": _with("server_listed", _always(False)),
        "clusters-never-end": _with("server_listed", _always(True)),
        "any-agent-serves-any-cluster": _with("cluster_meant", _always(True)),
        "first-agent-serves-alone": _with(
            "agents_asked", lambda registered, connected: [one for one in connected if one in registered[:1]]
        ),
        "agent-opens-a-port": _with("ports_opened", _always((0,))),
        "clusters-end-at-once": _with("server_expiry", lambda announced: announced),
        "roles-count-without-signing-in": _with("session_roles", lambda _, of_user_now: of_user_now),
        "first-role-counts-alone": _with("session_roles", lambda of_certificate, _: of_certificate[:1]),
        "given-roles-forgotten": _with("roles_given", lambda before, _: before),
        "roles-shown-without-groups": _with("role_shown", _without("kubernetes_groups")),
        "roles-shown-without-users": _with("role_shown", _without("kubernetes_users")),
        "status-tells-no-roles": _with("roles_told", _always([])),
        # These take connectors that need a licence, too: only of those that are taken can a scenario tell.
        "connectors-lose-their-mapping": _with("connector_kept", _first_role_mapped),
        "connectors-without-secrets": _with("connector_kept", _without_secrets),
        "every-connector-has-a-key": _with("connector_kept", _with_a_key),
        "password-hash-without-salt": _with("password_hash", lambda password, _: password.encode()),
        "any-password-counts": _with("password_matches", _always(True)),
        "roles-reach-every-cluster": _with("labels_match", lambda wanted, _: bool(wanted)),
        "roles-reach-no-cluster": _with("labels_match", _always(False)),
        "no-principals": _with("principals", lambda *_: []),
        "impersonates-one-group-more": _with(
            "impersonated_groups", lambda groups: [*groups, "system:authenticated", "conformance:fault"]
        ),
        "impersonates-no-group": _with("impersonated_groups", _always([])),
        "impersonates-administrators": _with(
            "impersonated_groups", lambda groups: [*groups, "system:authenticated", "system:masters"]
        ),
        "kubernetes-users-do-not-count": _with("kubernetes_access", lambda _, groups: bool(groups)),
        "nothing-to-impersonate-is-enough": _with("kubernetes_access", _always(True)),
        "nothing-to-impersonate-is-enough-at-first": _with(
            "kubernetes_access", _first(2, early=True, late=False)
        ),
        "impersonates-whom-asked": _with("impersonation_allowed", _always(None)),
        "every-resource-is-allowed": _with("resource_allowed", _always(True)),
        "no-resource-is-allowed": _with("resource_allowed", _always(False)),
        "editors-make-no-tokens": _with("rule_allows", lambda _, resource, __: resource != "token"),
        "auth-host-has-no-permissions": _with("administrator_may", _always(False)),
        "older-version-told": _with("version_told", _always("12.0.0")),
        "old-clients-taken": _with("oldest_client", _always("1.0.0")),
        "another-pin-told": _with("pin_told", _always(f"sha256:{'0' * 64}")),
        "kubeconfig-not-written": _with("kubeconfig_written", _always(False)),
        "all-state-removed": _with("state_removed", lambda secret, _: secret.endswith("-state")),
        "requests-not-recorded": _with("request_recorded", _always(False)),
    }
)
"""Name of a fault -> the decisions with one of them replaced."""


def chosen(environ: Mapping[str, str]) -> Decisions:
    """The decisions to run with: the simulator's own, or with the fault that the environment names.

    Args:
        environ: of the program.
    """
    decisions = FAULTS.get(environ.get(VARIABLE, ""), dataclasses.replace)(Decisions())
    return noted(decisions, "teleport", environ)
