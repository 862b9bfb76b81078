"""Server-side apply: who applied which field, and what follows when an applier changes its mind.

Only appliers own fields here, other writers do not, and there are no conflicts: every apply is a forced one.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from simulators.apiserver.objects import copied, timestamp
from simulators.apiserver.patches import SETS, item_key

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simulators.apiserver.objects import Object

Path = tuple[str, ...]
"""The way to a field in the notation of fieldsV1: `f:name`, `k:{keys}` and `v:value`."""

_IDENTITY = {"apiVersion", "kind"}
_NOT_OWNED = {("f:metadata", f"f:{name}") for name in ("name", "namespace", "uid", "resourceVersion")} | {
    ("f:metadata", "f:creationTimestamp"),
    ("f:metadata", "f:generation"),
    ("f:metadata", "f:managedFields"),
}


def apply(live: Object, applied: Object, manager: str) -> Object:
    """The object after an apply; the live one is not changed.

    Args:
        live: as it is; a new object has only its identity.
        applied: what the applier wants.
        manager: name of the applier.
    """
    wanted = {key: value for key, value in applied.items() if key not in _IDENTITY}
    mine = {path for path in _paths(wanted) if path not in _NOT_OWNED and path[:2] not in _NOT_OWNED}
    entries = [e for e in live["metadata"].get("managedFields") or [] if e["operation"] == "Apply"]
    owned = {e["manager"]: set(_parsed(e["fieldsV1"])) for e in entries}
    others = {name: paths for name, paths in owned.items() if name != manager}
    result: Object = _merged(copied(live), wanted)
    kept_by_others: set[Path] = set().union(*others.values()) if others else set()
    for path in sorted(owned.get(manager, set()) - mine - kept_by_others, key=len):
        # What was an empty object has fields now.
        if not any(other[: len(path)] == path for other in mine | kept_by_others):
            _drop(result, path)
    times = {e["manager"]: e["time"] for e in entries}
    if owned.get(manager) != mine:
        times[manager] = timestamp()
    kept = others | {manager: mine}
    result["metadata"]["managedFields"] = [
        {
            "manager": name,
            "operation": "Apply",
            "apiVersion": live["apiVersion"],
            "time": times[name],
            "fieldsType": "FieldsV1",
            "fieldsV1": _nested(paths),
        }
        for name, paths in kept.items()
        if paths
    ]
    return result


def _paths(value: Any, field: str = "", prefix: Path = ()) -> Iterator[Path]:
    """The ways to all leaves, and to the items of keyed lists themselves."""
    if isinstance(value, dict) and value:
        for key, entry in value.items():
            yield from _paths(entry, key, (*prefix, f"f:{key}"))
    elif isinstance(value, list) and value and all(_segment(field, item) for item in value):
        for item in value:
            path = (*prefix, _segment(field, item))
            yield path
            if isinstance(item, dict):
                for key, entry in item.items():
                    yield from _paths(entry, key, (*path, f"f:{key}"))
    else:
        yield prefix


def _segment(field: str, item: Any) -> str:
    if field in SETS:
        return f"v:{json.dumps(item)}"
    keys = item_key(field, item)
    return f"k:{json.dumps(dict(keys), separators=(',', ':'))}" if keys else ""


def _merged(live: Any, wanted: Any, field: str = "") -> Any:
    if isinstance(live, dict) and isinstance(wanted, dict):
        for key, value in wanted.items():
            live[key] = _merged(live.get(key), value, key)
        return live
    if isinstance(live, list) and isinstance(wanted, list) and all(_segment(field, i) for i in wanted):
        known = {_segment(field, item): at for at, item in enumerate(live)}
        for item in wanted:
            at = known.get(_segment(field, item))
            if at is None:
                live.append(item)
            else:
                live[at] = _merged(live[at], item)
        return live
    return wanted


def _step(value: Any, segment: str, field: str) -> Any:
    """What a segment leads to; None when it is not there."""
    if segment.startswith("f:"):
        return value.get(segment[2:]) if isinstance(value, dict) else None
    items = value if isinstance(value, list) else []
    return next((item for item in items if _segment(field, item) == segment), None)


def _drop(obj: Any, path: Path) -> None:
    field = ""
    for segment in path[:-1]:
        obj = _step(obj, segment, field)
        field = segment[2:] if segment.startswith("f:") else ""
    if isinstance(obj, dict):
        obj.pop(path[-1][2:], None)
    elif isinstance(obj, list):
        obj[:] = [item for item in obj if _segment(field, item) != path[-1]]


def _nested(paths: set[Path]) -> Object:
    root: Object = {}
    for path in sorted(paths):
        at = root
        for segment in path:
            at = at.setdefault(segment, {})
        if path[-1].startswith("k:"):
            at["."] = {}
    return root


def _parsed(fields: Object, prefix: Path = ()) -> Iterator[Path]:
    if not fields:
        yield prefix
    for segment, inner in fields.items():
        if segment == ".":
            yield prefix
        else:
            yield from _parsed(inner, (*prefix, segment))
