"""What lies below pods: binding and eviction."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simulators.apiserver.objects import Object, timestamp
from simulators.apiserver.status import StatusError, bad_request

if TYPE_CHECKING:
    from simulators.apiserver.kinds import Resource
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
