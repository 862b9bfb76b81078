"""A list of Kubernetes objects without those that a user's roles do not allow.

Measured on 13: a role whose `kubernetes_resources` no pod fits lists none, with status 200; one pod by its name is
refused. Source of which objects count: lib/kube/proxy, "resource filters".
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from simulators.teleport.errors import TeleportError

if TYPE_CHECKING:
    from collections.abc import Callable


def without(body: bytes, allowed: Callable[[str, str], bool]) -> bytes:
    """A list, or a table, of objects without some.

    Args:
        body: JSON of the API server.
        allowed: (namespace, name) -> the object stays.

    Raises:
        TeleportError: it is no JSON list.
    """
    try:
        document: dict[str, Any] = json.loads(body)
    except ValueError as error:
        raise TeleportError("BadParameter", "only lists in JSON are simulated") from error
    for field in ("items", "rows"):
        if field in document:
            document[field] = [one for one in document[field] or [] if _stays(one, allowed)]
    return json.dumps(document, separators=(",", ":")).encode()


def _stays(one: dict[str, Any], allowed: Callable[[str, str], bool]) -> bool:
    metadata = one.get("object", one).get("metadata", {})
    return allowed(metadata.get("namespace", ""), metadata.get("name", ""))
