"""Everything that simulated Teleport decides, as small pure functions in one frozen object.

Nothing here knows about faults: to prove that a scenario can fail, another object with one function replaced is
given to the program at start. Sources: facts/teleport.md 2, 3 and 6, facts/measured.md.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

SERVICE_ROLES = frozenset({"Kube", "App", "Db", "Discovery", "WindowsDesktop", "Node", "Proxy"})
"""Roles of services that run beside a user's resources; a token with one of them may make Instance join."""

STS_HOST = re.compile(r"sts(-fips)?(\.[a-z]{2}(-[a-z]+)+-[0-9])?\.amazonaws\.com(\.cn)?")
STS_BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
HEARTBEAT_TTL = 600
"""Seconds that a kube_server is listed after its last announcement (13: ten minutes)."""


def _token_named(name: str, tokens: Mapping[str, Any]) -> Any | None:
    return tokens.get(name)


def _token_usable(expires: float | None, now: float) -> bool:
    return expires is None or now < expires


def _method_matches(method_of_token: str, method_used: str) -> bool:
    return method_of_token == method_used


def _role_allowed(role: str, roles_of_token: Iterable[str]) -> bool:
    if role == "Instance":
        return bool(SERVICE_ROLES & set(roles_of_token))
    return role in roles_of_token


def _sts_host_accepted(host: str) -> bool:
    return STS_HOST.fullmatch(host) is not None


def _challenge_answered(challenge: str, header: str) -> bool:
    return hmac.compare_digest(challenge.encode(), header.encode())


def _challenge_signed(signed_headers: Iterable[str]) -> bool:
    return "x-teleport-challenge" in signed_headers


def _sts_body_expected(body: bytes) -> bool:
    return body == STS_BODY


def _sts_confirmed(status: int) -> bool:
    return status == 200


def _account_matches(wanted: str, account: str) -> bool:
    return not wanted or wanted == account


def _arn_matches(pattern: str, arn: str) -> bool:
    # `*` crosses slashes, as the facts say: it is no path pattern.
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return not pattern or re.fullmatch(expression, arn) is not None


def _certificate_accepted(role: str, roles: Iterable[str], expires: float, now: float) -> bool:
    return role in roles and now < expires


def _host_id(stored: str | None, fresh: str) -> str:
    return stored or fresh


def _join_needed(stored_identity: str | None) -> bool:
    return not stored_identity


def _server_listed(expires: float, now: float) -> bool:
    return now < expires


def _server_expiry(announced: float) -> float:
    return announced + HEARTBEAT_TTL


def _session_roles(
    of_certificate: Sequence[str],
    of_user_now: Sequence[str],  # noqa: ARG001  # not to look at it is the decision
) -> Sequence[str]:
    return of_certificate


def _password_hash(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode(), salt=salt, n=1 << 10, r=8, p=1)


def _password_matches(password: str, salt: bytes, expected: bytes) -> bool:
    return bool(expected) and hmac.compare_digest(_password_hash(password, salt), expected)


def _labels_match(wanted: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    if not wanted:
        return False
    for key, value in wanted.items():
        values = value if isinstance(value, list) else [value]
        if key == "*" and "*" in values:
            continue
        if key not in labels or not any(_glob(str(one), labels[key]) for one in values):
            return False
    return True


def _principals(allowed: Iterable[str], denied: Iterable[str]) -> list[str]:
    return sorted(set(allowed) - set(denied))


def _impersonated_groups(groups: Sequence[str]) -> list[str]:
    return [*groups, "system:authenticated"]


def _kubernetes_access(users: Sequence[str], groups: Sequence[str]) -> bool:
    return bool(users or groups)


def _impersonation_allowed(requested: Iterable[str], allowed: Iterable[str]) -> str | None:
    return next((one for one in requested if one not in set(allowed)), None)


def _resource_allowed(
    rules: Sequence[Mapping[str, Any]], kind: str, namespace: str, name: str, every_kind: bool
) -> bool:
    if kind != "pods" and not every_kind:
        return True
    singular = {"pods": "pod"}.get(kind, kind)
    return any(
        rule.get("kind") in {singular, "*"}
        and _glob(str(rule.get("namespace", "")), namespace)
        and _glob(str(rule.get("name", "")), name)
        for rule in rules
    )


def _rule_allows(rules: Iterable[Mapping[str, Any]], resource: str, verb: str) -> bool:
    return any(
        {resource, "*"} & set(rule.get("resources", ())) and {verb, "*"} & set(rule.get("verbs", ()))
        for rule in rules
    )


def _request_recorded(discovery: bool) -> bool:
    return not discovery


def _glob(pattern: str, text: str) -> bool:
    return re.fullmatch(re.escape(pattern).replace(r"\*", ".*"), text) is not None


@dataclass(frozen=True)
class Decisions:
    """What simulated Teleport decides; the defaults are what Teleport does. Times are seconds since 1970.

    Attributes:
        token_named: (name, tokens) -> the joining token of that name.
        token_usable: (its expiry or None, now) -> it still counts.
        method_matches: (method of the token, method used) -> the token admits this method.
        role_allowed: (role, roles of the token) -> the token admits this role.
        sts_host_accepted: (host) -> it is an STS of AWS and not of an attacker.
        challenge_answered: (challenge, header) -> the request answers this very challenge.
        challenge_signed: (signed headers) -> the challenge is part of what was signed.
        sts_body_expected: (body) -> it asks for the caller's identity and nothing else.
        sts_confirmed: (HTTP status) -> STS vouches for the signature.
        account_matches: (account of the rule or "", account) -> the rule admits the account.
        arn_matches: (pattern of the rule or "", ARN) -> the rule admits the ARN.
        certificate_accepted: (role, roles of the certificate, its expiry, now) -> a host may connect without a join.
        host_id: (stored or None, fresh) -> the agent's host id.
        join_needed: (stored identity or None) -> the agent has to join.
        server_listed: (expiry, now) -> a kube_server is still listed.
        server_expiry: (announced) -> when a kube_server ceases to be listed.
        session_roles: (roles of the certificate, the user's roles now) -> roles that count.
        password_hash: (password, salt) -> what is stored.
        password_matches: (password, salt, stored) -> signing in succeeds.
        labels_match: (kubernetes_labels of a role, labels of a cluster) -> the role reaches the cluster.
        principals: (allowed, denied) -> Kubernetes groups, or users, of the roles.
        impersonated_groups: (groups) -> groups to impersonate.
        kubernetes_access: (users, groups) -> there is anything to impersonate.
        impersonation_allowed: (requested, allowed) -> the first requested one that is not allowed, or None.
        resource_allowed: (kubernetes_resources, kind, namespace, name, every kind counts) -> the roles admit it.
        rule_allows: (rules of the roles, resource, verb) -> `tctl` may.
        request_recorded: (part of discovery) -> the audit log gets a kube.request.
    """

    token_named: Callable[[str, Mapping[str, Any]], Any | None] = _token_named
    token_usable: Callable[[float | None, float], bool] = _token_usable
    method_matches: Callable[[str, str], bool] = _method_matches
    role_allowed: Callable[[str, Iterable[str]], bool] = _role_allowed
    sts_host_accepted: Callable[[str], bool] = _sts_host_accepted
    challenge_answered: Callable[[str, str], bool] = _challenge_answered
    challenge_signed: Callable[[Iterable[str]], bool] = _challenge_signed
    sts_body_expected: Callable[[bytes], bool] = _sts_body_expected
    sts_confirmed: Callable[[int], bool] = _sts_confirmed
    account_matches: Callable[[str, str], bool] = _account_matches
    arn_matches: Callable[[str, str], bool] = _arn_matches
    certificate_accepted: Callable[[str, Iterable[str], float, float], bool] = _certificate_accepted
    host_id: Callable[[str | None, str], str] = _host_id
    join_needed: Callable[[str | None], bool] = _join_needed
    server_listed: Callable[[float, float], bool] = _server_listed
    server_expiry: Callable[[float], float] = _server_expiry
    session_roles: Callable[[Sequence[str], Sequence[str]], Sequence[str]] = _session_roles
    password_hash: Callable[[str, bytes], bytes] = _password_hash
    password_matches: Callable[[str, bytes, bytes], bool] = _password_matches
    labels_match: Callable[[Mapping[str, Any], Mapping[str, str]], bool] = _labels_match
    principals: Callable[[Iterable[str], Iterable[str]], list[str]] = _principals
    impersonated_groups: Callable[[Sequence[str]], list[str]] = _impersonated_groups
    kubernetes_access: Callable[[Sequence[str], Sequence[str]], bool] = _kubernetes_access
    impersonation_allowed: Callable[[Iterable[str], Iterable[str]], str | None] = _impersonation_allowed
    resource_allowed: Callable[[Sequence[Mapping[str, Any]], str, str, str, bool], bool] = _resource_allowed
    rule_allows: Callable[[Iterable[Mapping[str, Any]], str, str], bool] = _rule_allows
    request_recorded: Callable[[bool], bool] = _request_recorded
