"""The patches of the API: JSON merge patch, strategic merge patch and JSON patch."""

from __future__ import annotations

import json
from typing import Any

from simulators.apiserver.objects import copied
from simulators.apiserver.status import StatusError, bad_request

MERGE_KEYS = {
    **dict.fromkeys(
        [
            "containers",
            "initContainers",
            "volumes",
            "env",
            "imagePullSecrets",
            "secrets",
            "webhooks",
        ],
        ("name",),
    ),
    "volumeMounts": ("mountPath",),
    "conditions": ("type",),
    "addresses": ("type",),
    "ownerReferences": ("uid",),
    "podIPs": ("ip",),
    "hostIPs": ("ip",),
    "ports": ("containerPort", "protocol"),
}
"""Lists whose items are told apart by keys, by the name of the field; other lists are replaced whole."""

SETS = frozenset({"finalizers"})
"""Lists of plain values that are united."""

_DEFAULTS = {"protocol": "TCP"}
_DIRECTIVE = "$patch"


def item_key(field: str, item: Any) -> tuple[tuple[str, Any], ...] | None:
    """What tells an item of a list from the others; None when the list is replaced whole.

    Args:
        field: name of the list.
        item: one of its items.
    """
    names = MERGE_KEYS.get(field)
    if names is None or not isinstance(item, dict):
        return None
    if field == "ports" and "containerPort" not in item:
        names = ("port", "protocol")
    if names[0] not in item:
        return None
    return tuple((name, item.get(name, _DEFAULTS.get(name))) for name in names)


def merge(target: Any, patch: Any) -> Any:
    """JSON merge patch (RFC 7396); the target is not changed."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


def strategic(target: Any, patch: Any) -> Any:
    """Strategic merge patch with the directives that kubectl makes; the target is not changed."""
    if not isinstance(patch, dict):
        return patch
    if patch.get(_DIRECTIVE) == "replace":
        return {key: value for key, value in patch.items() if key != _DIRECTIVE}
    merged = dict(target) if isinstance(target, dict) else {}
    if (kept := patch.get("$retainKeys")) is not None:
        merged = {key: value for key, value in merged.items() if key in kept}
    for key, value in patch.items():
        if key.startswith("$deleteFromPrimitiveList/"):
            field = key.partition("/")[2]
            merged[field] = [entry for entry in merged.get(field) or [] if entry not in value]
        elif key.startswith("$"):
            continue
        elif value is None:
            merged.pop(key, None)
        elif isinstance(value, list):
            merged[key] = _list(key, merged.get(key) or [], value)
        else:
            merged[key] = strategic(merged.get(key), value)
    return merged


def _list(field: str, target: list[Any], patch: list[Any]) -> list[Any]:
    if field in SETS:
        return [*target, *(entry for entry in patch if entry not in target)]
    if not patch or any(item_key(field, item) is None for item in patch):
        return [_clean(item) for item in patch]
    if any(item.get(_DIRECTIVE) == "replace" for item in patch):
        return [_clean(item) for item in patch if item.get(_DIRECTIVE) != "replace"]
    merged = list(target)
    for item in patch:
        key = item_key(field, item)
        at = next((i for i, known in enumerate(merged) if item_key(field, known) == key), None)
        if item.get(_DIRECTIVE) == "delete":
            merged = [known for known in merged if item_key(field, known) != key]
        elif at is None:
            merged.append(_clean(item))
        else:
            merged[at] = strategic(merged[at], item)
    return merged


def _clean(item: Any) -> Any:
    return strategic({}, item) if isinstance(item, dict) else item


def json_patch(target: Any, operations: Any) -> Any:
    """JSON patch (RFC 6902) with add, remove, replace and test; the target is not changed.

    Raises:
        StatusError: an operation cannot be done (422), or is none (400).
    """
    if not isinstance(operations, list):
        raise bad_request("a JSON patch is a list of operations")
    result = copied(target)
    for operation in operations:
        try:
            result = _apply(result, operation)
        except (KeyError, IndexError, ValueError, TypeError, StopIteration) as error:
            text = f"the server rejected our request due to an error in our request: {json.dumps(operation)}"
            raise StatusError(422, "Invalid", text) from error
    return result


def _apply(target: Any, operation: dict[str, Any]) -> Any:
    kind, path = operation["op"], _pointer(operation["path"])
    if kind == "test":
        if _read(target, path) != operation["value"]:
            raise ValueError(kind)
        return target
    if kind not in {"add", "remove", "replace"}:
        raise ValueError(kind)
    return _write(target, path, operation.get("value"), kind)


def _pointer(text: str) -> list[str]:
    if text and not text.startswith("/"):
        raise ValueError(text)
    return [part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:]]


def _read(target: Any, path: list[str]) -> Any:
    for part in path:
        target = target[int(part)] if isinstance(target, list) else target[part]
    return target


def _write(target: Any, path: list[str], value: Any, kind: str) -> Any:
    if not path:
        return value
    parent, last = _read(target, path[:-1]), path[-1]
    if isinstance(parent, list):
        at = len(parent) if last == "-" else int(last)
        if kind == "add":
            if at > len(parent):
                raise IndexError(at)
            parent.insert(at, value)
        elif kind == "remove":
            del parent[at]
        else:
            parent[at] = value
    elif kind == "remove":
        del parent[last]
    elif kind == "replace" and last not in parent:
        raise KeyError(last)
    else:
        parent[last] = value
    return target
