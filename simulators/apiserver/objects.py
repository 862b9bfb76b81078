"""The shapes and small helpers that all modules share."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

Object = dict[str, Any]
"""An object of the Kubernetes API, as in its JSON."""

_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"


@dataclass(frozen=True)
class User:
    """Who makes a request.

    Args:
        name: of the user.
        groups: the user is in.
        uid: empty where the method of authentication knows none.
        extra: further attributes, as in the audit log.
    """

    name: str
    groups: tuple[str, ...]
    uid: str = ""
    extra: dict[str, list[str]] = field(default_factory=dict)

    def info(self) -> Object:
        """The user as reviews, webhooks and the audit log show it."""
        shown: Object = {"username": self.name}
        if self.uid:
            shown["uid"] = self.uid
        if self.groups:
            shown["groups"] = list(self.groups)
        if self.extra:
            shown["extra"] = self.extra
        return shown


@dataclass(frozen=True)
class Writer:
    """Who writes, and how.

    Args:
        user: who writes.
        manager: name under which applied fields are owned.
        dry_run: nothing is stored.
    """

    user: User
    manager: str = ""
    dry_run: bool = False


def timestamp(moment: datetime | None = None) -> str:
    """RFC 3339 in UTC with whole seconds, as metav1.Time is written; now by default."""
    return f"{(moment or datetime.now(UTC)).replace(tzinfo=None).isoformat(timespec='seconds')}Z"


def micro_timestamp(moment: datetime) -> str:
    """RFC 3339 in UTC with microseconds, as metav1.MicroTime is written."""
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def random_suffix(length: int = 5) -> str:
    """Random characters as Kubernetes appends them to generated names."""
    return "".join(secrets.choice(_SUFFIX) for _ in range(length))


def safe_encoded(number: int) -> str:
    """A number in the characters of generated names."""
    return "".join(_SUFFIX[int(digit) % len(_SUFFIX)] for digit in str(number))


def is_ready(pod: Object) -> bool:
    """Whether a pod runs and its condition Ready is true."""
    conditions = pod.get("status", {}).get("conditions") or []
    ready = any(c["type"] == "Ready" and c["status"] == "True" for c in conditions)
    return ready and pod.get("status", {}).get("phase") == "Running"


def controller_uid(obj: Object) -> str:
    """The uid of the object's controller; empty without one."""
    for owner in obj["metadata"].get("ownerReferences") or []:
        if owner.get("controller"):
            return str(owner["uid"])
    return ""


def owner_reference(owner: Object) -> Object:
    """The reference with which a controller marks what it makes."""
    return {
        "apiVersion": owner["apiVersion"],
        "kind": owner["kind"],
        "name": owner["metadata"]["name"],
        "uid": owner["metadata"]["uid"],
        "controller": True,
        "blockOwnerDeletion": True,
    }


def without_nulls(value: Any) -> Any:
    """A copy without members that are null: typed decoding of the real server drops them."""
    if isinstance(value, dict):
        # Most members are leaves: a call for each would be most of the time.
        return {
            key: without_nulls(entry) if isinstance(entry, dict | list) else entry
            for key, entry in value.items()
            if entry is not None
        }
    if isinstance(value, list):
        return [without_nulls(entry) if isinstance(entry, dict | list) else entry for entry in value]
    return value


def copied(value: Any) -> Any:
    """A copy of what came as JSON or YAML, ten times as fast as copy.deepcopy: nothing in it refers to itself."""
    if isinstance(value, dict):
        return {
            key: copied(entry) if isinstance(entry, dict | list) else entry for key, entry in value.items()
        }
    if isinstance(value, list):
        return [copied(entry) if isinstance(entry, dict | list) else entry for entry in value]
    return value
