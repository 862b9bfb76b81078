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
NEWER_HOSTS = frozenset({"sts.ap-southeast-5.amazonaws.com"})
"""Of a region that is newer than the lists of 13 and 17 (gravitational/teleport#61904)."""

STS_BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
BY_TUNNEL = "remote.kube.proxy.teleport.cluster.local"
"""Address of an agent that nobody dials (lib/reversetunnel/agent.go; measured on 13): no name server knows it."""

TOKEN_LIFE = 30 * 60
"""Seconds that a joining token lives in 13 without an expiry, or with one that is over (measured)."""

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
    return STS_HOST.fullmatch(host) is not None and host not in NEWER_HOSTS


def _sts_method_expected(method: str) -> bool:
    return method == "POST"


def _challenge_answered(challenge: str, header: str) -> bool:
    return hmac.compare_digest(challenge.encode(), header.encode())


def _challenge_signed(signed_headers: Iterable[str]) -> bool:
    return "x-teleport-challenge" in signed_headers


def _sts_body_expected(body: bytes) -> bool:
    return body == STS_BODY


def _sts_confirmed(status: int) -> bool:
    return status == 200


def _identity_unheard(rules: Sequence[Mapping[str, Any]]) -> tuple[str, str] | None:  # noqa: ARG001  # whatever they are
    return None


def _reason_told(reason: str) -> str:
    return reason


def _account_matches(wanted: str, account: str) -> bool:
    return not wanted or wanted == account


def _arn_matches(pattern: str, arn: str) -> bool:
    # `*` crosses slashes, as the facts say: it is no path pattern.
    expression = re.escape(pattern).replace(r"\*", ".*").replace(r"\?", ".")
    return not pattern or re.fullmatch(expression, arn) is not None


def _creation_refused(why: str) -> str:
    return why


def _token_expiry(asked: float | None, now: float, limited: bool) -> float | None:
    if not limited or (asked is not None and asked > now):
        return asked
    return now + TOKEN_LIFE


def _token_kept(spec: Mapping[str, Any]) -> Mapping[str, Any]:
    return spec


def _join_recorded(role: str) -> bool:  # noqa: ARG001  # every join is
    return True


def _identity_kept(role: str) -> bool:  # noqa: ARG001  # every identity is
    return True


def _certificate_accepted(role: str, roles: Iterable[str], expires: float, now: float) -> bool:
    return role in roles and now < expires


def _host_id(stored: str | None, fresh: str) -> str:
    return stored or fresh


def _join_needed(stored_identity: str | None) -> bool:
    return not stored_identity


def _sts_meant(host: str, told: str) -> str:  # noqa: ARG001  # AWS's SDK of 12 and 13 reads no such variable
    return host


def _container_credentials_asked(web_identity: bool) -> bool:
    # AWS's SDK for Go 1 looks for a container's credentials after the web identity (measured on 12 and 13).
    return not web_identity


def _aws_asked(stored_identity: str | None) -> bool:
    return not stored_identity


def _server_listed(expires: float, now: float) -> bool:
    return now < expires


def _cluster_meant(registered: str, asked: str) -> bool:
    return registered == asked


def _agents_asked(registered: Sequence[str], connected: Sequence[str]) -> Sequence[str]:
    return [host for host in connected if host in registered]


def _ports_opened() -> Sequence[int]:
    return ()


def _tunnel_dialled(proxy: str, listening: str, apart: str) -> str:  # noqa: ARG001  # not to look at it is the decision
    return apart or proxy


def _joins_another_cluster() -> bool:
    return False


def _gives_up() -> bool:
    return False


def _kubernetes_served(enabled: bool) -> bool:  # as the configuration has it
    return enabled


def _address_announced() -> str:
    return BY_TUNNEL


def _server_expiry(announced: float) -> float:
    return announced + HEARTBEAT_TTL


def _session_roles(
    of_certificate: Sequence[str],
    of_user_now: Sequence[str],  # noqa: ARG001  # not to look at it is the decision
) -> Sequence[str]:
    return of_certificate


def _roles_given(before: Sequence[str], asked: Sequence[str]) -> Sequence[str]:  # noqa: ARG001  # they replace
    return asked


def _role_shown(allow: Mapping[str, Any]) -> Mapping[str, Any]:
    return allow


def _roles_told(roles: Sequence[str]) -> Sequence[str]:
    return roles


def _connector_kept(kind: str, spec: Mapping[str, Any]) -> Mapping[str, Any] | None:
    return spec if kind == "github" else None


def _password_hash(password: str, salt: bytes) -> bytes:
    # As cheap as scrypt can be: what a simulation's password guards is worth no more.
    return hashlib.scrypt(password.encode(), salt=salt, n=2, r=8, p=1)


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


def _role_counts(allows: bool) -> bool:
    return allows


def _user_chosen(users: Sequence[str]) -> str | None:
    return users[0] if len(users) == 1 else None


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


def _administrator_may(administrator: bool) -> bool:
    return administrator


def _version_told(version: str) -> str:
    return version


def _oldest_client(major: int) -> str:
    return f"{major - 1}.0.0"


def _pin_told(pin: str) -> str:
    return pin


def _sign_in_needed(expires: float, now: float) -> bool:
    return expires <= now


def _profile_forgotten(user: str) -> bool:  # noqa: ARG001  # whoever it is
    return True


def _absence_told() -> str:
    return "agent-gone"


def _cluster_known(cluster: str, listed: Iterable[str]) -> bool:
    return cluster in listed


def _kubeconfig_written(cluster: str) -> bool:  # noqa: ARG001  # whichever it is
    return True


def _state_removed(secret: str, release: str) -> bool:
    return re.search(f"{release}-[0-9]+-state", secret) is not None


def _command_recorded(command: Sequence[str]) -> bool:  # noqa: ARG001  # every one is
    return True


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
        sts_method_expected: (method) -> it is the one by which STS is asked.
        challenge_answered: (challenge, header) -> the request answers this very challenge.
        challenge_signed: (signed headers) -> the challenge is part of what was signed.
        sts_body_expected: (body) -> it asks for the caller's identity and nothing else.
        sts_confirmed: (HTTP status) -> STS vouches for the signature.
        identity_unheard: (rules of the token) -> account and ARN of whom STS told nothing of, or None.
        reason_told: (why an attempt to join failed) -> what the agent logs of it.
        account_matches: (account of the rule or "", account) -> the rule admits the account.
        arn_matches: (pattern of the rule or "", ARN) -> the rule admits the ARN.
        creation_refused: (what is wrong with a token or role, or "") -> why it is not taken, or "".
        token_expiry: (asked for or None, now, whether a token has to have one) -> when a joining token expires.
        token_kept: (spec) -> the spec that a joining token is kept with.
        join_recorded: (role) -> the audit log gets an instance.join.
        identity_kept: (role) -> the agent writes down what it got when it joined.
        certificate_accepted: (role, roles of the certificate, its expiry, now) -> a host may connect without a join.
        host_id: (stored or None, fresh) -> the agent's host id.
        join_needed: (stored identity or None) -> the agent has to join.
        sts_meant: (STS's host, AWS_ENDPOINT_URL_STS or "") -> the host that the agent asks, and signs for.
        container_credentials_asked: (whether there is a web identity) -> whether the agent looks for a container's
            credentials, as EKS Pod Identity gives them.
        aws_asked: (stored identity or None) -> the agent needs AWS to connect.
        server_listed: (expiry, now) -> a kube_server is still listed.
        cluster_meant: (name that an agent registered, name that a user asks for) -> the agent is one for it.
        agents_asked: (hosts that registered a cluster, hosts connected, newest last) -> hosts that may answer for it.
        ports_opened: () -> ports that an agent listens on beside its diagnostics (0: a free one).
        tunnel_dialled: (proxy_server of the agent's configuration, address that the proxy listens on) -> address to
            which the agent dials its reverse tunnel.
        address_announced: () -> address at which an agent says it is reached.
        server_expiry: (announced) -> when a kube_server ceases to be listed.
        session_roles: (roles of the certificate, the user's roles now) -> roles that count.
        roles_given: (the user's roles, those asked for) -> the user's roles after a change.
        role_shown: (what a role allows) -> what `tctl get` shows of it.
        roles_told: (roles of the certificate) -> what `tsh status` tells.
        connector_kept: (kind, spec) -> the spec that a connector is kept with, or None where that kind needs a
            licence (measured: SAML and OIDC do).
        password_hash: (password, salt) -> what is stored.
        password_matches: (password, salt, stored) -> signing in succeeds.
        labels_match: (kubernetes_labels of a role, labels of a cluster) -> the role reaches the cluster.
        principals: (allowed, denied) -> Kubernetes groups, or users, of the roles.
        impersonated_groups: (groups) -> groups to impersonate.
        kubernetes_access: (users, groups) -> there is anything to impersonate.
        role_counts: (a role allows the pod that is asked for) -> its users and groups may be impersonated for that.
        user_chosen: (Kubernetes users that may be impersonated) -> the one that is, or None where it is not clear.
        impersonation_allowed: (requested, allowed) -> the first requested one that is not allowed, or None.
        resource_allowed: (kubernetes_resources, kind, namespace, name, every kind counts) -> the roles admit it.
        rule_allows: (rules of the roles, resource, verb) -> `tctl` may.
        administrator_may: (caller is tctl beside the Auth Service) -> it may everything.
        version_told: (version) -> the version that /v1/webapi/ping tells.
        oldest_client: (major version) -> the oldest client that /v1/webapi/ping says is taken.
        pin_told: (pin) -> the CA pin that `tctl status` tells.
        sign_in_needed: (expiry of the user's certificate, now) -> tsh asks for the password.
        profile_forgotten: (user) -> `tsh logout` removes what `tsh login` wrote.
        absence_told: () -> name of the text for a call whose agent is gone.
        cluster_known: (cluster, those listed for the user) -> `tsh kube login` selects it.
        kubeconfig_written: (cluster) -> `tsh kube login` writes a kubeconfig.
        state_removed: (Secret, release) -> the hook of `helm uninstall` deletes it. The pattern is open at both ends,
            as Teleport's is (tool/teleport/common/kube_state.go): uninstalling `agent` deletes
            `teleport-agent-0-state` too (measured).
        command_recorded: (its words) -> the audit log gets a session and an exec.
        request_recorded: (part of discovery) -> the audit log gets a kube.request.
    """

    token_named: Callable[[str, Mapping[str, Any]], Any | None] = _token_named
    token_usable: Callable[[float | None, float], bool] = _token_usable
    method_matches: Callable[[str, str], bool] = _method_matches
    role_allowed: Callable[[str, Iterable[str]], bool] = _role_allowed
    sts_host_accepted: Callable[[str], bool] = _sts_host_accepted
    sts_method_expected: Callable[[str], bool] = _sts_method_expected
    challenge_answered: Callable[[str, str], bool] = _challenge_answered
    challenge_signed: Callable[[Iterable[str]], bool] = _challenge_signed
    sts_body_expected: Callable[[bytes], bool] = _sts_body_expected
    sts_confirmed: Callable[[int], bool] = _sts_confirmed
    identity_unheard: Callable[[Sequence[Mapping[str, Any]]], tuple[str, str] | None] = _identity_unheard
    reason_told: Callable[[str], str] = _reason_told
    account_matches: Callable[[str, str], bool] = _account_matches
    arn_matches: Callable[[str, str], bool] = _arn_matches
    creation_refused: Callable[[str], str] = _creation_refused
    token_expiry: Callable[[float | None, float, bool], float | None] = _token_expiry
    token_kept: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _token_kept
    join_recorded: Callable[[str], bool] = _join_recorded
    identity_kept: Callable[[str], bool] = _identity_kept
    certificate_accepted: Callable[[str, Iterable[str], float, float], bool] = _certificate_accepted
    host_id: Callable[[str | None, str], str] = _host_id
    join_needed: Callable[[str | None], bool] = _join_needed
    sts_meant: Callable[[str, str], str] = _sts_meant
    container_credentials_asked: Callable[[bool], bool] = _container_credentials_asked
    aws_asked: Callable[[str | None], bool] = _aws_asked
    server_listed: Callable[[float, float], bool] = _server_listed
    cluster_meant: Callable[[str, str], bool] = _cluster_meant
    agents_asked: Callable[[Sequence[str], Sequence[str]], Sequence[str]] = _agents_asked
    ports_opened: Callable[[], Sequence[int]] = _ports_opened
    tunnel_dialled: Callable[[str, str, str], str] = _tunnel_dialled
    joins_another_cluster: Callable[[], bool] = _joins_another_cluster
    gives_up: Callable[[], bool] = _gives_up
    kubernetes_served: Callable[[bool], bool] = _kubernetes_served
    address_announced: Callable[[], str] = _address_announced
    server_expiry: Callable[[float], float] = _server_expiry
    session_roles: Callable[[Sequence[str], Sequence[str]], Sequence[str]] = _session_roles
    roles_given: Callable[[Sequence[str], Sequence[str]], Sequence[str]] = _roles_given
    role_shown: Callable[[Mapping[str, Any]], Mapping[str, Any]] = _role_shown
    roles_told: Callable[[Sequence[str]], Sequence[str]] = _roles_told
    connector_kept: Callable[[str, Mapping[str, Any]], Mapping[str, Any] | None] = _connector_kept
    password_hash: Callable[[str, bytes], bytes] = _password_hash
    password_matches: Callable[[str, bytes, bytes], bool] = _password_matches
    labels_match: Callable[[Mapping[str, Any], Mapping[str, str]], bool] = _labels_match
    principals: Callable[[Iterable[str], Iterable[str]], list[str]] = _principals
    impersonated_groups: Callable[[Sequence[str]], list[str]] = _impersonated_groups
    kubernetes_access: Callable[[Sequence[str], Sequence[str]], bool] = _kubernetes_access
    role_counts: Callable[[bool], bool] = _role_counts
    user_chosen: Callable[[Sequence[str]], str | None] = _user_chosen
    impersonation_allowed: Callable[[Iterable[str], Iterable[str]], str | None] = _impersonation_allowed
    resource_allowed: Callable[[Sequence[Mapping[str, Any]], str, str, str, bool], bool] = _resource_allowed
    rule_allows: Callable[[Iterable[Mapping[str, Any]], str, str], bool] = _rule_allows
    administrator_may: Callable[[bool], bool] = _administrator_may
    version_told: Callable[[str], str] = _version_told
    oldest_client: Callable[[int], str] = _oldest_client
    pin_told: Callable[[str], str] = _pin_told
    sign_in_needed: Callable[[float, float], bool] = _sign_in_needed
    profile_forgotten: Callable[[str], bool] = _profile_forgotten
    absence_told: Callable[[], str] = _absence_told
    cluster_known: Callable[[str, Iterable[str]], bool] = _cluster_known
    kubeconfig_written: Callable[[str], bool] = _kubeconfig_written
    state_removed: Callable[[str, str], bool] = _state_removed
    command_recorded: Callable[[Sequence[str]], bool] = _command_recorded
    request_recorded: Callable[[bool], bool] = _request_recorded
