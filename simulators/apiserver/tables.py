"""Tables: the columns that `kubectl get` prints."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulators.apiserver.objects import Object

    Cell = Callable[[Object], Any]

_MINUTE, _HOUR, _DAY = 60, 3600, 86400
_NONE = "<none>"


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


def _at(*path: str, default: Any = "") -> Callable[[Object], Any]:
    return lambda obj: _get(obj, *path, default=default)


def _age(obj: Object) -> str:
    return age(_get(obj, "metadata", "creationTimestamp"))


def _ready_of(*ready: str) -> Callable[[Object], str]:
    return lambda obj: f"{_get(obj, 'status', *ready, default=0)}/{_get(obj, 'spec', 'replicas', default=0)}"


def _count(field: str) -> Callable[[Object], int]:
    return lambda obj: len(obj.get(field) or ())


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


def _subjects(kind: str) -> Callable[[Object], str]:
    def shown(binding: Object) -> str:
        found = [s for s in binding.get("subjects") or [] if s["kind"] == kind]
        spaced = [f"{s['namespace']}/{s['name']}" if s.get("namespace") else s["name"] for s in found]
        return ", ".join(spaced)

    return shown


def _job_status(job: Object) -> str:
    done = {c["type"] for c in _get(job, "status", "conditions", default=[]) if c["status"] == "True"}
    return "Complete" if "Complete" in done else "Failed" if "Failed" in done else "Running"


def _duration(job: Object) -> str:
    start = _get(job, "status", "startTime")
    return age(start, _get(job, "status", "completionTime")) if start else ""


def _template(field: str) -> Callable[[Object], str]:
    return lambda obj: ",".join(
        c[field] for c in _get(obj, "spec", "template", "spec", "containers", default=[])
    )


def _involved(event: Object) -> str:
    return f"{_get(event, 'involvedObject', 'kind').lower()}/{_get(event, 'involvedObject', 'name')}"


_NAME: tuple[str, Cell] = ("Name", _at("metadata", "name"))
_AGE: tuple[str, Cell] = ("Age", _age)
_WIDE = "*"
"""Before the name of a column that only `-o wide` shows."""

_BINDINGS: list[tuple[str, Cell]] = [
    _NAME,
    ("Role", lambda obj: f"{obj['roleRef']['kind']}/{obj['roleRef']['name']}"),
    _AGE,
    ("*Users", _subjects("User")),
    ("*Groups", _subjects("Group")),
    ("*ServiceAccounts", _subjects("ServiceAccount")),
]
_ROLES: list[tuple[str, Cell]] = [_NAME, ("Created At", _at("metadata", "creationTimestamp"))]
_TEMPLATES: list[tuple[str, Cell]] = [("*Containers", _template("name")), ("*Images", _template("image"))]
_DEFAULT: list[tuple[str, Cell]] = [_NAME, _AGE]
_COLUMNS: dict[str, list[tuple[str, Cell]]] = {
    "pods": [
        _NAME,
        ("Ready", _containers_ready),
        ("Status", _pod_status),
        ("Restarts", _restarts),
        _AGE,
        ("*IP", _at("status", "podIP", default=_NONE)),
        ("*Node", _at("spec", "nodeName", default=_NONE)),
        ("*Nominated Node", lambda _: _NONE),
        ("*Readiness Gates", lambda _: _NONE),
    ],
    "namespaces": [_NAME, ("Status", _at("status", "phase")), _AGE],
    "serviceaccounts": [_NAME, ("Secrets", _count("secrets")), _AGE],
    "secrets": [_NAME, ("Type", _at("type")), ("Data", _count("data")), _AGE],
    "configmaps": [
        _NAME,
        ("Data", lambda o: len(o.get("data") or ()) + len(o.get("binaryData") or ())),
        _AGE,
    ],
    "events": [
        ("Last Seen", lambda obj: age(_get(obj, "lastTimestamp"))),
        ("Type", _at("type")),
        ("Reason", _at("reason")),
        ("Object", _involved),
        ("*Subobject", _at("involvedObject", "fieldPath")),
        ("*Source", _at("source", "component")),
        ("Message", lambda obj: str(_get(obj, "message")).strip()),
        ("*First Seen", lambda obj: age(_get(obj, "firstTimestamp"))),
        ("*Count", _at("count", default=1)),
        ("*Name", _at("metadata", "name")),
    ],
    "statefulsets": [_NAME, ("Ready", _ready_of("readyReplicas")), _AGE, *_TEMPLATES],
    "jobs": [
        _NAME,
        ("Status", _job_status),
        (
            "Completions",
            lambda o: f"{_get(o, 'status', 'succeeded', default=0)}/{_get(o, 'spec', 'completions')}",
        ),
        ("Duration", _duration),
        _AGE,
        *_TEMPLATES,
    ],
    "clusterrolebindings": _BINDINGS,
    "rolebindings": _BINDINGS,
    "clusterroles": _ROLES,
    "roles": _ROLES,
}


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
    plain = name.removeprefix(_WIDE)
    form = "name" if plain == "Name" else ""
    priority = int(name.startswith(_WIDE))
    return {"name": plain, "type": "string", "format": form, "description": "", "priority": priority}


def _shown(obj: Object, include: str) -> Object | None:
    if include == "None":
        return None
    return obj if include == "Object" else partial(obj)


def partial(obj: Object) -> Object:
    """An object's metadata alone."""
    return {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": obj["metadata"]}
