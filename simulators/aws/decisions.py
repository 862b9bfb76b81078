"""Everything the gateway decides, as small pure functions in one frozen object.

Nothing here knows about faults: to prove that a scenario can fail, another object with one function
replaced is given to the gateway at start.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from . import documents, trust
from .hosts import is_aws

if TYPE_CHECKING:
    import datetime as dt
    from collections.abc import Callable, Mapping


def _same(expected: str, given: str) -> bool:
    return hmac.compare_digest(expected.encode(), given.encode())


def _scope_fits_host(scope_region: str, host_region: str) -> bool:
    return scope_region == host_region


def _session_known_in(home: str, here: str) -> bool:
    return home == here


def _within_date_window(signed_at: dt.datetime, now: dt.datetime, window: dt.timedelta) -> bool:
    return abs(now - signed_at) <= window


def _uncovered_headers(present: frozenset[str], signed: frozenset[str]) -> list[str]:
    needed = {"host"} | {name for name in present if name.startswith("x-amz-")}
    return sorted(needed - signed)


def _session_alive(expiration: dt.datetime | None, now: dt.datetime) -> bool:
    return expiration is None or now < expiration


def _provider_registered(client_ids: tuple[str, ...] | None) -> bool:
    return client_ids is not None


def _token_signature_valid(token: str, key: Any) -> bool:
    # Imported when the first token comes: the libraries cost a tenth of a second.
    import jwt  # noqa: PLC0415 - see above

    try:
        # Dates and audience are decisions of their own, by the role's clock.
        jwt.decode_complete(
            token,
            key,
            algorithms=[key.algorithm_name],
            options={
                "verify_exp": False,
                "verify_nbf": False,
                "verify_iat": False,
                "verify_aud": False,
                "verify_iss": False,
                "verify_sub": False,
                "verify_jti": False,
            },
        )
    except jwt.InvalidTokenError:
        return False
    return True


def _token_unexpired(expires: float, now: dt.datetime) -> bool:
    return now.timestamp() < expires


def _token_current(not_before: float, now: dt.datetime, window: dt.timedelta) -> bool:
    return not_before <= (now + window).timestamp()


def _audience_accepted(audiences: tuple[str, ...], client_ids: tuple[str, ...]) -> bool:
    return any(audience in client_ids for audience in audiences)


def _principal_may_call(role: str, principal_account: str, resource_account: str) -> bool:
    # A role session has no policy that allows anything; a user is an administrator of its account.
    return not role and principal_account == resource_account


def _identity_told(role: str) -> bool:  # noqa: ARG001  # whoever it is
    # STS tells it to whoever can sign, whatever the policies.
    return True


def _policy_meant(arn: str, account: str) -> str:  # noqa: ARG001  # whoever attaches it
    return arn


def _audience_kept(audience: str) -> str:
    return audience


def _policy_kept(document: str) -> str:
    return document


def _caller_told(role: str, account: str, arn: str) -> tuple[str, str]:  # noqa: ARG001  # whoever it is
    return account, arn


def _issuer_told(issuer: str) -> str:
    return issuer


def _host_served(host: str, port: int, others: frozenset[str]) -> bool:
    return port == 443 and (is_aws(host) or host in others)


def _node_identity_granted(granted: bool) -> bool:
    return granted


def _webhook_injects(annotations: Mapping[str, str]) -> str:
    return annotations.get("eks.amazonaws.com/role-arn", "")


def _containers_passed_over(named: frozenset[str]) -> frozenset[str]:
    return named


@dataclass(frozen=True)
class Decisions:
    """What the gateway decides; the defaults are what AWS does.

    Attributes:
        signature_valid: (calculated, given) -> the signature is right.
        digest_fits: (declared, calculated) -> X-Amz-Content-Sha256 is that of the body.
        uncovered_headers: (present, signed) -> headers that should have been signed and are not.
        scope_fits_host: (region of the scope, region of the host) -> they belong together.
        session_known_in: (a session's partition, the host's) -> the host knows the session's key.
        within_date_window: (signed at, now, window) -> neither too old nor too new.
        session_token_matches: (expected, given) -> the session token belongs to the key.
        session_alive: (expiration, now) -> the temporary credentials still count.
        provider_registered: (client ids or None) -> the account has an OIDC provider for the issuer.
        token_signature_valid: (token, PyJWK) -> the issuer signed the token.
        token_unexpired: (exp, now) -> the token still counts.
        token_current: (nbf or iat, now, window) -> the token counts already.
        audience_accepted: (audiences of the token, client ids) -> one of them is registered.
        trust_allows: (policy document, context) -> the judgement of the trust policy.
        principal_may_call: (role name or "", its account, account of the resource) -> IAM and EKS let it.
        identity_told: (role name or "") -> GetCallerIdentity answers, whatever the role's policies.
        trust_fault: (document) -> what is wrong with a trust policy, or an empty text.
        policy_meant: (ARN, account) -> ARN of the policy that AttachRolePolicy attaches.
        audience_kept: (audience) -> what IAM keeps of an audience of an OIDC provider.
        policy_kept: (document) -> what IAM keeps of a policy or trust policy.
        caller_told: (role name or "", account, ARN) -> account and ARN that GetCallerIdentity tells.
        issuer_told: (issuer) -> what DescribeCluster tells.
        host_served: (host, port, other served hosts) -> the proxy terminates TLS for it.
        node_identity_granted: (pods may have it) -> instance metadata answers.
        webhook_injects: (annotations of the service account) -> the role that the pod is given, or an empty text.
        containers_passed_over: (containers that the pod's annotation names) -> those that are given nothing.
    """

    signature_valid: Callable[[str, str], bool] = _same
    digest_fits: Callable[[str, str], bool] = _same
    uncovered_headers: Callable[[frozenset[str], frozenset[str]], list[str]] = _uncovered_headers
    scope_fits_host: Callable[[str, str], bool] = _scope_fits_host
    session_known_in: Callable[[str, str], bool] = _session_known_in
    within_date_window: Callable[[dt.datetime, dt.datetime, dt.timedelta], bool] = _within_date_window
    session_token_matches: Callable[[str, str], bool] = _same
    session_alive: Callable[[dt.datetime | None, dt.datetime], bool] = _session_alive
    provider_registered: Callable[[tuple[str, ...] | None], bool] = _provider_registered
    token_signature_valid: Callable[[str, Any], bool] = _token_signature_valid
    token_unexpired: Callable[[float, dt.datetime], bool] = _token_unexpired
    token_current: Callable[[float, dt.datetime, dt.timedelta], bool] = _token_current
    audience_accepted: Callable[[tuple[str, ...], tuple[str, ...]], bool] = _audience_accepted
    trust_allows: Callable[[str, trust.Context], trust.Judgement] = trust.evaluate
    principal_may_call: Callable[[str, str, str], bool] = _principal_may_call
    identity_told: Callable[[str], bool] = _identity_told
    trust_fault: Callable[[str], str] = documents.trust_fault
    policy_meant: Callable[[str, str], str] = _policy_meant
    audience_kept: Callable[[str], str] = _audience_kept
    policy_kept: Callable[[str], str] = _policy_kept
    caller_told: Callable[[str, str, str], tuple[str, str]] = _caller_told
    issuer_told: Callable[[str], str] = _issuer_told
    host_served: Callable[[str, int, frozenset[str]], bool] = _host_served
    node_identity_granted: Callable[[bool], bool] = _node_identity_granted
    webhook_injects: Callable[[Mapping[str, str]], str] = _webhook_injects
    containers_passed_over: Callable[[frozenset[str]], frozenset[str]] = _containers_passed_over
