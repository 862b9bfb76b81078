"""Resources of a Teleport cluster: what `tctl create` accepts, and what it is stored as.

Refusals are worded as 13.0.0-dev words them, seen from its `tctl` (see also facts/teleport.md 2.2).
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING, Any

from simulators.teleport import presets, times
from simulators.teleport.errors import TeleportError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from simulators.teleport.decisions import Decisions
    from simulators.teleport.texts import Imitation

Resource = dict[str, Any]

KINDS = {
    "kube_server": "kube_server", "kube_servers": "kube_server", "role": "role", "roles": "role",
    "token": "token", "tokens": "token", "user": "user", "users": "user",
}  # fmt: skip
"""What may be written for each kind."""

SYSTEM_ROLES = frozenset(
    {"App", "Auth", "Bot", "Db", "Discovery", "Instance", "Kube", "Node", "Proxy", "WindowsDesktop"}
)
METHODS = frozenset(
    {"azure", "circleci", "ec2", "gcp", "github", "gitlab", "iam", "kubernetes", "token", "tpm"}
)
TRAITS = (
    "aws_role_arns", "azure_identities", "db_names", "db_users", "gcp_service_accounts", "kubernetes_groups",
    "kubernetes_users", "logins", "windows_logins",
)  # fmt: skip


def kind_of(text: str) -> str:
    """The kind that a word names.

    Raises:
        TeleportError: BadParameter, none.
    """
    if text not in KINDS:
        raise TeleportError(
            "BadParameter",
            f'unsupported resource: "{text}" - resources should be expressed as '
            "'type/name', for example 'connector/github'",
        )
    return KINDS[text]


def token(given: Resource, imitation: Imitation, decisions: Decisions) -> Resource:
    """A joining token as it is stored.

    Args:
        given: what `tctl create` was given.
        imitation: the version.
        decisions: of the program.

    Raises:
        TeleportError: BadParameter.
    """
    spec = given.get("spec") or {}
    allow = spec.get("allow") or []
    # With rules and no method, Teleport takes the method for ec2, not iam.
    method = spec.get("join_method") or ("ec2" if allow else "token")
    roles = [str(role) for role in spec.get("roles") or []]
    troubles = _troubles(method, roles, allow, imitation)
    _refuse(decisions.creation_refused(next(troubles, "")))
    metadata = _metadata(given)
    asked = (given.get("metadata") or {}).get("expires")
    expires = decisions.token_expiry(_time(asked) if asked else None, time.time(), imitation.tokens_expire)
    if expires is not None:
        metadata["expires"] = times.written(expires)
    stored: Resource = {"roles": roles, "allow": [_strings(rule) for rule in allow], "join_method": method}
    return _stored("token", "v2", metadata, {key: value for key, value in stored.items() if value})


def _troubles(
    method: str, roles: Sequence[str], allow: Sequence[Resource], imitation: Imitation
) -> Iterator[str]:
    """What is wrong with a token, in the order in which 13 looks at it (api/types/provisioning.go)."""
    for rule in allow:
        # YAML and JSON have numbers; the field is a text.
        number = str(rule.get("aws_account"))[:1] if isinstance(rule.get("aws_account"), int) else ""
        if number:
            yield imitation.text("token-account-a-number", digit=number)
    if not roles:
        yield imitation.text("token-without-roles")
    for role in roles:
        if role not in SYSTEM_ROLES:
            yield imitation.text("token-role-unknown", role=role)
    if method not in METHODS:
        yield imitation.text("token-method-unknown", method=method)
    if method == "token" and allow:
        yield imitation.text("token-rules-with-method-token")
    if method == "iam" and not allow:
        yield imitation.text("token-without-rules")
    for rule in allow:
        yield from (imitation.text(name) for name in _troubles_of_rule(method, rule))


def _troubles_of_rule(method: str, rule: Resource) -> Iterator[str]:
    """Names of the texts for what is wrong with a rule."""
    if method == "ec2" and rule.get("aws_arn"):
        yield "token-arn-without-method"
    if method == "iam":
        yield from (
            text
            for field, text in (
                ("aws_role", "token-with-aws-role"),
                ("aws_regions", "token-with-aws-regions"),
            )
            if field in rule
        )
        if not rule.get("aws_account") and not rule.get("aws_arn"):
            yield "token-rule-empty"


def role(given: Resource, imitation: Imitation, decisions: Decisions) -> Resource:
    """A role as it is stored, with what it does not set filled in.

    Args:
        given: what `tctl create` was given.
        imitation: the version.
        decisions: of the program.

    Raises:
        TeleportError: BadParameter.
    """
    written = str(given.get("version", ""))
    number = int(written[1:]) if re.fullmatch(r"v[0-9]+", written) else 0
    known = 3 <= number <= imitation.default_role_version
    _refuse(
        decisions.creation_refused("" if known else imitation.text("role-version-unknown", version=written))
    )
    spec = given.get("spec") or {}
    allow, deny = dict(spec.get("allow") or {}), dict(spec.get("deny") or {})
    defaults = presets.default_resources(number)
    if "kubernetes_resources" not in allow and defaults and allow:
        allow["kubernetes_resources"] = defaults
    options = {**presets.OPTIONS, **(spec.get("options") or {})}
    return _stored("role", written, _metadata(given), {"options": options, "allow": allow, "deny": deny})


def user(name: str, roles: Sequence[str], creator: str) -> Resource:
    """A local user as it is stored.

    Args:
        name: of the user.
        roles: of the user.
        creator: who made it.
    """
    status = {
        "is_locked": False,
        "locked_time": times.NEVER,
        "lock_expires": times.NEVER,
        "recovery_attempt_lock_expires": times.NEVER,
    }
    spec = {
        "roles": list(roles),
        "traits": dict.fromkeys(TRAITS),
        "status": status,
        "expires": times.NEVER,
        "created_by": {"time": times.written(), "user": {"name": creator}},
    }
    return _stored("user", "v2", {"name": name}, spec)


def kube_server(told: dict[str, Any], host_id: str, expires: float) -> Resource:
    """What a Kubernetes agent announces.

    Args:
        told: name and labels of its cluster, its version and its address.
        host_id: of the agent.
        expires: seconds since 1970.
    """
    name, labels = told["cluster"], told["labels"]
    cluster: Resource = {
        "kind": "kube_cluster",
        "version": "v3",
        "metadata": {"name": name, **({"labels": labels} if labels else {})},
        "spec": {"azure": {}, "aws": {}, "gcp": {}},
    }
    rotation = {
        "current_id": "",
        "started": times.NEVER,
        "last_rotated": times.NEVER,
        "schedule": dict.fromkeys(("update_clients", "update_servers", "standby"), times.NEVER),
    }
    spec = {
        "version": told["version"],
        "hostname": told["address"],
        "host_id": host_id,
        "rotation": rotation,
        "cluster": cluster,
    }
    return _stored("kube_server", "v3", {"name": name, "expires": times.written(expires)}, spec)


def expiry(resource: Resource) -> float | None:
    """When a resource expires, in seconds since 1970; None for never."""
    expires = resource["metadata"].get("expires")
    return times.read(expires) if expires else None


def _stored(kind: str, version: str, metadata: Resource, spec: Resource) -> Resource:
    return {
        "kind": kind,
        "version": version,
        "metadata": {**metadata, "id": time.time_ns()},
        "spec": spec,
    }


def _metadata(given: Resource) -> Resource:
    metadata = given.get("metadata") or {}
    if not metadata.get("name"):
        _refuse("missing parameter Name")
    kept = ("name", "description", "labels")
    return {key: metadata[key] for key in kept if metadata.get(key)}


def _time(value: Any) -> float:
    """Seconds since 1970."""
    try:
        # YAML reads a bare time as a datetime.
        return times.read(value) if isinstance(value, str) else float(value.timestamp())
    except (ValueError, AttributeError) as error:
        raise TeleportError("BadParameter", f'expected a time in metadata.expires, got "{value}"') from error


def _strings(rule: Resource) -> Resource:
    # Account ids of digits alone are numbers to YAML; what is empty is not stored.
    strings = {key: f"{value:012d}" if isinstance(value, int) else value for key, value in rule.items()}
    return {key: value for key, value in strings.items() if value}


def _refuse(message: str) -> None:
    """Refuse for a reason; an empty one is none."""
    if message:
        raise TeleportError("BadParameter", message)
