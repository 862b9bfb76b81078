"""A pod's status, computed from its containers."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from simulators.kubelet.objects import (
    ADDRESS,
    Condition,
    ContainerStatus,
    Object,
    Running,
    State,
    Terminated,
    Waiting,
    timestamp,
)


@dataclass
class PodState:
    """What decides a pod's status.

    Args:
        init: its init containers.
        main: its containers.
        initialized: whether all init containers have succeeded.
        leaving: whether it is being ended, so that nothing is restarted.
        since: when the kubelet took it on.
    """

    init: list[ContainerStatus]
    main: list[ContainerStatus]
    initialized: bool = False
    leaving: bool = False
    since: datetime = field(default_factory=lambda: datetime.now(UTC))


def phase(state: PodState, policy: str) -> str:
    """The pod's phase, by the rules of the Kubernetes documentation ("Pod Lifecycle").

    Args:
        state: of its containers.
        policy: its restartPolicy.
    """
    policy = "Never" if state.leaving else policy
    if not state.initialized:
        failed = any(isinstance(c.state, Terminated) and c.state.exit_code for c in state.init)
        return "Failed" if state.leaving or (failed and policy == "Never") else "Pending"
    ends = [_end(container) for container in state.main]
    if any(isinstance(container.state, Running) for container in state.main):
        never_ran = any(isinstance(c.state, Waiting) and c.last is None for c in state.main)
        return "Pending" if never_ran else "Running"
    if any(end is None for end in ends):
        return "Failed" if state.leaving else "Pending"
    if policy == "Always":
        return "Running"
    if all(end and end.exit_code == 0 for end in ends):
        return "Succeeded"
    return "Failed" if policy == "Never" else "Running"


def _end(container: ContainerStatus) -> Terminated | None:
    return container.state if isinstance(container.state, Terminated) else container.last


def conditions(state: PodState, phase: str, pod: Object) -> dict[str, Condition]:
    """The pod's conditions by type; readiness gates are read from the pod's own status.

    Args:
        state: of its containers.
        phase: of the pod.
        pod: as the API has it.
    """
    if phase == "Succeeded":
        unready = Condition(status=False, reason="PodCompleted")
    else:
        names = " ".join(c.name for c in state.main if not c.ready)
        text = f"containers with unready status: [{names}]"
        unready = Condition(status=False, reason="ContainersNotReady", message=text)
    all_ready = bool(state.main) and all(container.ready for container in state.main)
    containers_ready = Condition(status=True) if all_ready else unready
    ready = containers_ready
    seen = {c["type"]: c["status"] for c in pod.get("status", {}).get("conditions") or []}
    gates = [gate["conditionType"] for gate in pod["spec"].get("readinessGates") or []]
    if ready.status and any(seen.get(gate) != "True" for gate in gates):
        ready = Condition(status=False, reason="ReadinessGatesNotReady")
    if state.initialized:
        initialized = Condition(status=True)
    else:
        waiting = " ".join(c.name for c in state.init if _end(c) is None)
        text = f"containers with incomplete status: [{waiting}]"
        initialized = Condition(status=False, reason="ContainersNotInitialized", message=text)
    return {
        "PodScheduled": Condition(status=True),
        "Initialized": initialized,
        "ContainersReady": containers_ready,
        "Ready": ready,
    }


def keep_times(new: dict[str, Condition], old: dict[str, Condition]) -> dict[str, Condition]:
    """The new conditions, each with the time at which its status last changed."""
    for name, condition in new.items():
        if name in old and old[name].status == condition.status:
            condition.since = old[name].since
    return new


def render(state: PodState, phase: str, conditions: dict[str, Condition]) -> Object:
    """The status as the API takes it.

    Args:
        state: of the containers.
        phase: of the pod.
        conditions: by type.
    """
    return {
        "phase": phase,
        "startTime": timestamp(state.since),
        "hostIP": ADDRESS,
        "hostIPs": [{"ip": ADDRESS}],
        "podIP": ADDRESS,
        "podIPs": [{"ip": ADDRESS}],
        "conditions": [_condition(name, condition) for name, condition in conditions.items()],
        "initContainerStatuses": [_container(container) for container in state.init],
        "containerStatuses": [_container(container) for container in state.main],
    }


def _condition(name: str, condition: Condition) -> Object:
    return {
        "type": name,
        "status": str(condition.status),
        "reason": condition.reason or None,
        "message": condition.message or None,
        "lastTransitionTime": timestamp(condition.since),
    }


def _container(container: ContainerStatus) -> Object:
    return {
        "name": container.name,
        "image": container.image,
        "imageID": f"local://{container.image}" if container.container_id else "",
        "containerID": f"local://{container.container_id}" if container.container_id else None,
        "ready": container.ready,
        "started": container.started,
        "restartCount": container.restarts,
        "state": _state(container.state),
        "lastState": _state(container.last) if container.last else {},
    }


def _state(state: State) -> Object:
    if isinstance(state, Waiting):
        return {"waiting": {"reason": state.reason, **({"message": state.message} if state.message else {})}}
    if isinstance(state, Running):
        return {"running": {"startedAt": timestamp(state.started_at)}}
    return {
        "terminated": {
            "exitCode": state.exit_code,
            "reason": state.reason,
            **({"message": state.message} if state.message else {}),
            "startedAt": timestamp(state.started_at),
            "finishedAt": timestamp(state.finished_at),
            "containerID": f"local://{state.container_id}",
        }
    }
