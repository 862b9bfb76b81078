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
    from collections.abc import Sequence

    from simulators.teleport.texts import Imitation

Resource = dict[str, Any]

TOKEN_LIFE = 30 * 60
"""Seconds that a token without an expiry lives in 13 (measured: 29m59s)."""

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


def token(given: Resource, imitation: Imitation) -> Resource:
    """A joining token as it is stored.

    Args:
        given: what `tctl create` was given.
        imitation: the version.

    Raises:
        TeleportError: BadParameter.
    """
    spec = given.get("spec") or {}
    allow = spec.get("allow") or []
    # With rules and no method, Teleport takes the method for ec2, not iam.
    method = spec.get("join_method") or ("ec2" if allow else "token")
    roles = [str(role) for role in spec.get("roles") or []]
    _refuse(method not in METHODS, f'unknown join method "{method}"')
    _refuse(not roles, "provisioning token is missing roles")
    for role in roles:
        _refuse(role not in SYSTEM_ROLES, f"role {role} is not registered")
    _refuse(method == "iam" and not allow, f'the "{method}" join method requires defined token allow rules')
    for rule in allow:
        fields = set(rule)
        if method == "iam":
            for field in ("aws_role", "aws_regions"):
                _refuse(field in fields, f'the "iam" join method does not support the "{field}" parameter')
        empty = not rule.get("aws_account") and not rule.get("aws_arn")
        _refuse(
            method in {"iam", "ec2"} and empty,
            'allow rule for "ec2" join method must set "aws_account" or "aws_arn"',
        )
    metadata = _metadata(given)
    expires = (given.get("metadata") or {}).get("expires")
    if expires:
        metadata["expires"] = _time(expires)
    elif imitation.tokens_expire:
        metadata["expires"] = times.written(time.time() + TOKEN_LIFE)
    stored: Resource = {"roles": roles, "allow": [_strings(rule) for rule in allow], "join_method": method}
    return _stored("token", "v2", metadata, {key: value for key, value in stored.items() if value})


def role(given: Resource, imitation: Imitation) -> Resource:
    """A role as it is stored, with what it does not set filled in.

    Args:
        given: what `tctl create` was given.
        imitation: the version.

    Raises:
        TeleportError: BadParameter.
    """
    written = str(given.get("version", ""))
    number = int(written[1:]) if re.fullmatch(r"v[0-9]+", written) else 0
    _refuse(not 3 <= number <= imitation.default_role_version, f'role version "{written}" is not supported')
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
    _refuse(not metadata.get("name"), "missing parameter Name")
    kept = ("name", "description", "labels")
    return {key: metadata[key] for key in kept if metadata.get(key)}


def _time(value: Any) -> str:
    try:
        # YAML reads a bare time as a datetime.
        seconds = times.read(value) if isinstance(value, str) else float(value.timestamp())
    except (ValueError, AttributeError) as error:
        raise TeleportError("BadParameter", f'expected a time in metadata.expires, got "{value}"') from error
    return times.written(seconds)


def _strings(rule: Resource) -> Resource:
    # Account ids of digits alone are numbers to YAML; what is empty is not stored.
    strings = {key: f"{value:012d}" if isinstance(value, int) else value for key, value in rule.items()}
    return {key: value for key, value in strings.items() if value}


def _refuse(wrong: bool, message: str) -> None:
    if wrong:
        raise TeleportError("BadParameter", message)
