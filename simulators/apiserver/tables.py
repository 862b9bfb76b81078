"""Tables: the columns that `kubectl get` prints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulators.apiserver.objects import Object

    Cell = Callable[[Object], Any]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400


def age(since: str, until: str = "") -> str:
    """A time span as kubectl shows it, such as 90s, 5m30s or 3d.

    Args:
        since: as in an object; empty gives `<unknown>`.
        until: now by default.
    """
    if not since:
        return "<unknown>"
    end = datetime.fromisoformat(until) if until else datetime.now(UTC)
    seconds = max(int((end - datetime.fromisoformat(since)).total_seconds()), 0)
    steps = [
        (2 * _MINUTE, _MINUTE, "", "s", 1),
        (10 * _MINUTE, _MINUTE, "m", "s", 1),
        (3 * _HOUR, _MINUTE, "m", "", 1),
        (8 * _HOUR, _HOUR, "h", "m", _MINUTE),
        (2 * _DAY, _HOUR, "h", "", 1),
        (8 * _DAY, _DAY, "d", "h", _HOUR),
    ]
    for limit, unit, large, small, divisor in steps:
        if seconds < limit:
            if not large:
                return f"{seconds}s"
            rest = seconds % unit // divisor
            return f"{seconds // unit}{large}" + (f"{rest}{small}" if small and rest else "")
    return f"{seconds // _DAY}d"


def _get(obj: Any, *path: str, default: Any = "") -> Any:
    for part in path:
        obj = (obj or {}).get(part)
    return default if obj is None else obj


def _age(obj: Object) -> str:
    return age(_get(obj, "metadata", "creationTimestamp"))


def _ready(obj: Object) -> str:
    return f"{_get(obj, 'status', 'readyReplicas', default=0)}/{_get(obj, 'spec', 'replicas', default=0)}"


def _involved(event: Object) -> str:
    return f"{_get(event, 'involvedObject', 'kind').lower()}/{_get(event, 'involvedObject', 'name')}"


def _containers_ready(pod: Object) -> str:
    ready = sum(bool(status.get("ready")) for status in _get(pod, "status", "containerStatuses", default=[]))
    return f"{ready}/{len(pod['spec']['containers'])}"


def _restarts(pod: Object) -> str:
    statuses = _get(pod, "status", "containerStatuses", default=[])
    total = sum(status.get("restartCount", 0) for status in statuses)
    ends = [_get(status, "lastState", "terminated", "finishedAt") for status in statuses]
    return f"{total} ({age(max(ends))} ago)" if total and any(ends) else str(total)


def _pod_status(pod: Object) -> str:
    reason = str(_get(pod, "status", "reason") or _get(pod, "status", "phase"))
    waiting = _initializing(pod)
    if waiting:
        reason = waiting
    else:
        for status in reversed(_get(pod, "status", "containerStatuses", default=[])):
            reason = _state(status) or reason
        running = [s for s in _get(pod, "status", "containerStatuses", default=[]) if "running" in s["state"]]
        if reason == "Completed" and running:
            reason = "Running" if any(status.get("ready") for status in running) else "NotReady"
    return "Terminating" if pod["metadata"].get("deletionTimestamp") else reason


def _state(status: Object) -> str:
    """Why a container does not run; empty when it does."""
    if found := _get(status, "state", "waiting", "reason"):
        return str(found)
    ended = _get(status, "state", "terminated", default=None)
    if ended is None:
        return ""
    return str(ended.get("reason") or f"ExitCode:{ended.get('exitCode')}")


def _initializing(pod: Object) -> str:
    statuses = _get(pod, "status", "initContainerStatuses", default=[])
    total = len(pod["spec"].get("initContainers") or ())
    for number, status in enumerate(statuses):
        ended = _get(status, "state", "terminated", default=None)
        if ended is not None and ended.get("exitCode") == 0:
            continue
        reason = _state(status)
        return f"Init:{number}/{total}" if reason in {"", "PodInitializing"} else f"Init:{reason}"
    return ""


_NAME: tuple[str, Cell] = ("Name", lambda obj: obj["metadata"]["name"])
_AGE: tuple[str, Cell] = ("Age", _age)
_DEFAULT: list[tuple[str, Cell]] = [_NAME, _AGE]
_COLUMNS: dict[str, list[tuple[str, Cell]]] = {
    "pods": [
        _NAME,
        ("Ready", _containers_ready),
        ("Status", _pod_status),
        ("Restarts", _restarts),
        _AGE,
    ],
    "statefulsets": [_NAME, ("Ready", _ready), _AGE],
    "events": [
        ("Last Seen", lambda event: age(_get(event, "lastTimestamp"))),
        ("Type", lambda event: event.get("type", "")),
        ("Reason", lambda event: event.get("reason", "")),
        ("Object", _involved),
        ("Message", lambda event: str(_get(event, "message")).strip()),
    ],
}
"""Other resources have a name and an age; nothing has the further columns of `-o wide`."""


def table(plural: str, items: list[Object], metadata: Object, include: str) -> Object:
    """Objects as a Table.

    Args:
        plural: of their resource.
        items: the objects.
        metadata: of the list they come from.
        include: what goes with a row: None, Metadata or Object.
    """
    columns = _COLUMNS.get(plural, _DEFAULT)
    return {
        "kind": "Table",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "columnDefinitions": [_column(name) for name, _ in columns],
        "rows": [{"cells": [cell(o) for _, cell in columns], "object": _shown(o, include)} for o in items],
    }


def _column(name: str) -> Object:
    form = "name" if name == "Name" else ""
    return {"name": name, "type": "string", "format": form, "description": "", "priority": 0}


def _shown(obj: Object, include: str) -> Object | None:
    """What goes with a row: nothing, all of the object, or its metadata."""
    if include == "None":
        return None
    partial = {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
    return obj if include == "Object" else partial
