"""What lies below objects: binding, scale, eviction and tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.apiserver.objects import Object, timestamp
from simulators.apiserver.status import StatusError, bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulators.apiserver.kinds import Resource
    from simulators.apiserver.objects import Writer
    from simulators.apiserver.registry import Registry

_CREATED: Object = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


def bind(registry: Registry, resource: Resource, namespace: str, name: str, body: Object) -> Object:
    """Put a pod on a node (`pods/binding`).

    Raises:
        StatusError: there is no such pod, it is on a node already, or it is being deleted.
    """
    target, wanted = body.get("target") or {}, body.get("metadata") or {}
    if target.get("kind", "Node") != "Node" or not target.get("name"):
        raise bad_request("expected target to name a Node")

    pod = registry.get(resource, namespace, name)
    problem = ""
    if pod["metadata"].get("deletionTimestamp"):
        problem = f"pod {name} is being deleted, cannot be assigned to a host"
    elif pod["spec"].get("nodeName"):
        problem = f'pod {name} is already assigned to node "{pod["spec"]["nodeName"]}"'
    elif wanted.get("uid", pod["metadata"]["uid"]) != pod["metadata"]["uid"]:
        problem = f"the UID in the precondition ({wanted['uid']}) does not match the UID in record"
    if problem:
        text = f'Operation cannot be fulfilled on pods/binding "{name}": {problem}'
        raise StatusError(409, "Conflict", text, {"name": name, "kind": "pods/binding"})
    scheduled = {"type": "PodScheduled", "status": "True", "lastTransitionTime": timestamp()}
    status = {**pod["status"], "conditions": [scheduled]}
    spec = {**pod["spec"], "nodeName": target["name"]}
    registry.store.put(resource, {**pod, "spec": spec, "status": status})
    return _CREATED


def evict(registry: Registry, resource: Resource, namespace: str, name: str, body: Object) -> Object:
    """Delete a pod in the name of an eviction (`pods/eviction`); budgets are not looked at.

    Raises:
        StatusError: there is no such pod, or a precondition does not hold.
    """
    registry.delete(resource, namespace, name, body.get("deleteOptions") or {})
    return _CREATED


def scale_of(obj: Object) -> Object:
    """The Scale of a workload."""
    meta = obj["metadata"]
    kept = ("name", "namespace", "uid", "resourceVersion", "creationTimestamp")
    labels = (obj["spec"].get("selector") or {}).get("matchLabels") or {}
    return {
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": {key: meta[key] for key in kept},
        "spec": {"replicas": obj["spec"].get("replicas", 0)},
        "status": {
            "replicas": obj.get("status", {}).get("replicas", 0),
            "selector": ",".join(f"{key}={value}" for key, value in sorted(labels.items())),
        },
    }


async def rescale(
    registry: Registry,
    resource: Resource,
    place: tuple[str, str],
    edit: Callable[[Object], Object],
    writer: Writer,
) -> Object:
    """Change the number of a workload's replicas (`scale`).

    Args:
        registry: of the cluster.
        resource: of the workload.
        place: its namespace and name.
        edit: gives the new Scale of the one there is.
        writer: who writes.

    Raises:
        StatusError: there is no such workload, it was changed meanwhile, or the number is none.
    """

    def change(obj: Object) -> Object:
        scale = edit(scale_of(obj))
        replicas = (scale.get("spec") or {}).get("replicas", 0)
        if not isinstance(replicas, int) or replicas < 0:
            raise bad_request(f"expected spec.replicas to be a number from 0 on, seen: {replicas!r}")
        version = (scale.get("metadata") or {}).get("resourceVersion", "")
        metadata = {**obj["metadata"], "resourceVersion": version}
        return {**obj, "metadata": metadata, "spec": {**obj["spec"], "replicas": replicas}}

    return scale_of(await registry.change(resource, *place, change, writer))
