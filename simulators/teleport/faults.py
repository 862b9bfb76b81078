"""Misbehaviours on purpose, each one decision replaced, to prove that a scenario notices.

`CONFORMANCE_FAULT` names one; a name that is not in `FAULTS` is another simulator's and changes nothing here.
"""

from __future__ import annotations

import itertools
import re
from fnmatch import fnmatchcase
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from simulators import always, replaced, settled
from simulators.teleport.decisions import Decisions

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


def _first(times: int, early: object, late: object) -> Callable[..., object]:
    """One answer at first and another one later, as from a server whose cache is wrong."""
    asked = itertools.count()
    return lambda *_: early if next(asked) < times else late


def _without_arn(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**spec, "allow": [{**rule, "aws_arn": "*"} for rule in spec.get("allow", [])]}


def _any_token(name: str, tokens: Mapping[str, Any]) -> Mapping[str, Any]:
    everybody = {"roles": ["Kube"], "join_method": "iam", "allow": [{"aws_arn": "*"}]}
    found: Mapping[str, Any] = tokens.get(name) or {"metadata": {"name": name}, "spec": everybody}
    return found


def _as_a_path(pattern: str, arn: str) -> bool:
    expression = re.escape(pattern).replace(r"\*", "[^/]*").replace(r"\?", "[^/]")
    return re.fullmatch(expression, arn) is not None


def _without(field: str) -> Callable[..., object]:
    return lambda allow: {name: value for name, value in allow.items() if name != field}


def _first_role_mapped(_: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    def shortened(value: Any) -> Any:
        return [{**rule, "roles": rule["roles"][:1]} for rule in value]

    return {name: shortened(value) if name.endswith("_to_roles") else value for name, value in spec.items()}


def _others_mapped(_: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    def others(value: Any) -> Any:
        return [
            {key: f"other-{one}" if key in {"team", "value"} else one for key, one in rule.items()}
            for rule in value
        ]

    return {name: others(value) if name.endswith("_to_roles") else value for name, value in spec.items()}


def _without_secrets(_: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in spec.items() if name not in {"client_secret", "signing_key_pair"}}


def _with_a_key(_: str, spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return {**spec, "signing_key_pair": {"private_key": "a fault", "cert": ""}}


def _by_own_port(proxy: str, listening: str, _: str) -> str:
    return f"{proxy.rpartition(':')[0]}:{listening.rpartition(':')[2]}"


FAULTS: Mapping[str, Callable[[Decisions], Decisions]] = MappingProxyType(
    {
        "no-token-is-found": replaced("token_named", always(None)),
        "missing-tokens-count": replaced("token_named", _any_token),
        "tokens-end-at-once": replaced("token_usable", always(False)),
        "expired-tokens-count": replaced("token_usable", always(True)),
        "any-method-counts": replaced("method_matches", always(True)),
        "token-roles-ignored": replaced("role_allowed", always(True)),
        "one-role-is-not-enough": replaced(
            "role_allowed", lambda role, roles: len(roles) > 1 and role in roles
        ),
        "any-sts-host-counts": replaced("sts_host_accepted", always(True)),
        "any-sts-method-counts": replaced("sts_method_expected", always(True)),
        "any-challenge-counts": replaced("challenge_answered", always(True)),
        "unsigned-challenge-counts": replaced("challenge_signed", always(True)),
        "any-sts-body-counts": replaced("sts_body_expected", always(True)),
        "sts-never-confirms": replaced("sts_confirmed", always(False)),
        "any-sts-answer-counts": replaced("sts_confirmed", always(True)),
        "unheard-sts-confirms": replaced(
            "identity_unheard", lambda rules: (rules[0]["aws_account"], rules[0]["aws_arn"])
        ),
        "reasons-not-told": replaced("reason_told", always("something went wrong")),
        "any-account-counts": replaced("account_matches", always(True)),
        # An agent of 13 tries two endpoints for each of its two roles, and all of it again after a pause.
        "any-account-counts-later": replaced("account_matches", _first(4, early=False, late=True)),
        "any-arn-counts": replaced("arn_matches", always(True)),
        "any-arn-counts-later": replaced("arn_matches", _first(4, early=False, late=True)),
        "accounts-alone-admit-nobody": replaced("arn_matches", lambda pattern, _: bool(pattern)),
        "arn-is-a-prefix": replaced("arn_matches", lambda pattern, arn: arn.startswith(pattern.rstrip("*"))),
        "empty-account-admits-nobody": replaced("account_matches", lambda wanted, account: wanted == account),
        "arn-star-ends-at-slash": replaced("arn_matches", _as_a_path),
        "arn-question-mark-is-literal": replaced(
            "arn_matches", lambda pattern, arn: fnmatchcase(arn, pattern.replace("?", "[?]"))
        ),
        "anything-is-created": replaced("creation_refused", always("")),
        "tokens-live-for-ever": replaced("token_expiry", lambda asked, *_: asked),
        "tokens-kept-wider": replaced("token_kept", _without_arn),
        "joins-not-recorded": replaced("join_recorded", always(False)),
        "identity-not-written": replaced("identity_kept", always(False)),
        "host-certificates-refused": replaced("certificate_accepted", always(False)),
        "host-id-forgotten": replaced("host_id", lambda _, fresh: fresh),
        "agents-are-one-host": replaced("host_id", always("00000000-0000-4000-8000-000000000000")),
        "agent-joins-at-each-start": replaced("join_needed", always(True)),
        "agents-ask-where-they-are-told": replaced(
            "sts_meant", lambda host, told: told.removeprefix("https://") or host
        ),
        "container-credentials-come-first": replaced("container_credentials_asked", always(True)),
        "container-credentials-passed-over": replaced("container_credentials_asked", always(False)),
        "restarted-agent-asks-aws": replaced("aws_asked", always(True)),
        "no-cluster-is-listed": replaced("server_listed", always(False)),
        "clusters-never-end": replaced("server_listed", always(True)),
        "agents-serve-other-clusters": replaced(
            "cluster_meant", lambda registered, asked: registered != asked
        ),
        "agents-serve-all-or-none": replaced(
            "agents_asked",
            lambda registered, connected: connected if set(registered) <= set(connected) else [],
        ),
        "first-agent-serves-alone": replaced(
            "agents_asked", lambda registered, connected: [one for one in connected if one in registered[:1]]
        ),
        "agent-opens-a-port": replaced("ports_opened", always((0,))),
        "agent-dials-another-address": replaced("tunnel_dialled", _by_own_port),
        "agent-dials-the-proxy-whatever-it-says": replaced("tunnel_dialled", lambda proxy, *_: proxy),
        "agent-joins-another-cluster": replaced("joins_another_cluster", always(True)),
        "agent-gives-up": replaced("gives_up", always(True)),
        "kubernetes-served-all-the-same": replaced("kubernetes_served", always(True)),
        "agent-says-where-to-dial-in": replaced("address_announced", always("127.0.0.1:3026")),
        "clusters-end-at-once": replaced("server_expiry", lambda announced: announced),
        "roles-count-without-signing-in": replaced("session_roles", lambda _, of_user_now: of_user_now),
        "first-role-counts-alone": replaced("session_roles", lambda of_certificate, _: of_certificate[:1]),
        "given-roles-forgotten": replaced("roles_given", lambda before, _: before),
        "roles-shown-without-groups": replaced("role_shown", _without("kubernetes_groups")),
        "roles-shown-without-users": replaced("role_shown", _without("kubernetes_users")),
        "status-tells-no-roles": replaced("roles_told", always([])),
        # These take connectors that need a licence, too: only of those that are taken can a scenario tell.
        "connectors-lose-their-mapping": replaced("connector_kept", _first_role_mapped),
        "connectors-map-others": replaced("connector_kept", _others_mapped),
        "connectors-without-secrets": replaced("connector_kept", _without_secrets),
        "every-connector-has-a-key": replaced("connector_kept", _with_a_key),
        "password-hash-without-salt": replaced("password_hash", lambda password, _: password.encode()),
        "any-password-counts": replaced("password_matches", always(True)),
        "roles-reach-every-cluster": replaced("labels_match", lambda wanted, _: bool(wanted)),
        "roles-reach-no-cluster": replaced("labels_match", always(False)),
        "no-principals": replaced("principals", lambda *_: []),
        "impersonates-one-group-more": replaced(
            "impersonated_groups", lambda groups: [*groups, "system:authenticated", "conformance:fault"]
        ),
        "impersonates-no-group": replaced("impersonated_groups", always([])),
        "impersonates-administrators": replaced(
            "impersonated_groups", lambda groups: [*groups, "system:authenticated", "system:masters"]
        ),
        "kubernetes-users-do-not-count": replaced("kubernetes_access", lambda _, groups: bool(groups)),
        "nothing-to-impersonate-is-enough": replaced("kubernetes_access", always(True)),
        "nothing-to-impersonate-is-enough-at-first": replaced(
            "kubernetes_access", _first(2, early=True, late=False)
        ),
        "groups-of-any-role-count": replaced("role_counts", always(True)),
        "first-kubernetes-user-is-taken": replaced("user_chosen", lambda users: users[0]),
        "expired-users-are-not-asked": replaced("sign_in_needed", always(False)),
        "signing-out-forgets-nothing": replaced("profile_forgotten", always(False)),
        "absent-agents-told-as-unknown": replaced("absence_told", always("cluster-not-registered")),
        "unknown-clusters-are-selected": replaced("cluster_known", always(True)),
        "denials-do-not-count": replaced("principals", lambda allowed, _: sorted(set(allowed))),
        "impersonates-whom-asked": replaced("impersonation_allowed", always(None)),
        "every-resource-is-allowed": replaced("resource_allowed", always(True)),
        "no-resource-is-allowed": replaced("resource_allowed", always(False)),
        "editors-make-no-tokens": replaced("rule_allows", lambda _, resource, __: resource != "token"),
        "auth-host-has-no-permissions": replaced("administrator_may", always(False)),
        "older-version-told": replaced("version_told", always("12.0.0")),
        "old-clients-taken": replaced("oldest_client", always("1.0.0")),
        "another-pin-told": replaced("pin_told", always(f"sha256:{'0' * 64}")),
        "kubeconfig-not-written": replaced("kubeconfig_written", always(False)),
        "state-stays": replaced("state_removed", always(False)),
        "all-state-removed": replaced("state_removed", lambda secret, _: secret.endswith("-state")),
        "commands-not-recorded": replaced("command_recorded", always(False)),
        "requests-not-recorded": replaced("request_recorded", always(False)),
    }
)
"""Name of a fault -> the decisions with one of them replaced."""


def chosen(environ: Mapping[str, str]) -> Decisions:
    """The decisions to run with: the simulator's own, or with the fault that the environment names.

    Args:
        environ: of the program.
    """
    return settled(Decisions(), FAULTS, "teleport", environ)
