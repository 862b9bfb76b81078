"""StatefulSets: numbered pods, started in order, replaced one by one when their template changes.

As in kube-controller-manager 1.32: with OrderedReady a pod that is not ready holds up all that comes after,
its own replacement by a newer revision too.
"""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING

from simulators.apiserver.controllers.events import Recorder
from simulators.apiserver.controllers.loop import Key, workload_keys, writer
from simulators.apiserver.kinds import of
from simulators.apiserver.objects import (
    Object,
    controller_uid,
    is_ready,
    owner_reference,
    safe_encoded,
)
from simulators.apiserver.status import StatusError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulators.apiserver.decisions import Decisions
    from simulators.apiserver.registry import Registry
    from simulators.apiserver.store import Change

_SETS, _PODS = of("statefulsets"), of("pods")
_REVISION = "controller-revision-hash"
_WRITER = writer("statefulset-controller")
_OVER = {"Succeeded", "Failed"}


class StatefulSets:
    """Keeps the pods of StatefulSets.

    Args:
        registry: of the cluster.
        decisions: of the controllers.
    """

    def __init__(self, registry: Registry, decisions: Decisions) -> None:
        self._registry = registry
        self._decisions = decisions
        self._recorder = Recorder(registry, _WRITER, "statefulset-controller")

    def initial(self) -> Iterable[Key]:
        """Nothing: a new cluster has none."""
        return []

    def due(self, change: Change) -> Iterable[Key]:
        """The StatefulSet that changed, or whose pod did."""
        return workload_keys(change, _SETS, "StatefulSet")

    async def sync(self, key: Key) -> float | None:
        """Take the next step for one StatefulSet, and tell how it is."""
        namespace, name = key
        found = self._registry.store.get(_SETS, namespace, name)
        if found is None or found["metadata"].get("deletionTimestamp"):
            return None
        revision = _revision(found)
        if await self._scale(found, revision):
            self._replace(found, revision)
        await self._tell(found, revision)
        return None

    def _pods(self, found: Object) -> dict[int, Object]:
        """Its pods by number."""
        meta = found["metadata"]
        pods = {}
        for pod in self._registry.store.find(_PODS, meta["namespace"]):
            stem, _, number = pod["metadata"]["name"].rpartition("-")
            if controller_uid(pod) == meta["uid"] and stem == meta["name"] and number.isdecimal():
                pods[int(number)] = pod
        return pods

    async def _scale(self, found: Object, revision: str) -> bool:
        """Add and remove pods; returns whether nothing holds up a change of the template."""
        spec = found["spec"]
        policy = spec.get("podManagementPolicy", "OrderedReady")
        pods = self._pods(found)
        for number in range(spec["replicas"]):
            pod = pods.get(number)
            if pod is not None and _over(pod):
                self._delete(pod)
                return False
            if pod is None:
                await self._start(found, number, revision)
                if policy != "Parallel":
                    return False
                continue
            ready = is_ready(pod) and not pod["metadata"].get("deletionTimestamp")
            if not self._decisions.statefulset_goes_on(ready, policy):
                return False
        for number in sorted((n for n in pods if n >= spec["replicas"]), reverse=True):
            if not pods[number]["metadata"].get("deletionTimestamp"):
                self._delete(pods[number])
            if policy != "Parallel":
                return False
        return True

    def _replace(self, found: Object, revision: str) -> None:
        """Delete the last pod that is not of the template's revision; its successor will be."""
        pods = self._pods(found)
        for number in sorted(pods, reverse=True):
            meta = pods[number]["metadata"]
            own, leaving = meta["labels"].get(_REVISION, ""), bool(meta.get("deletionTimestamp"))
            if self._decisions.statefulset_replaces_pod(own, revision, leaving):
                self._delete(pods[number])
                return
            if leaving or not is_ready(pods[number]):
                return

    def _delete(self, pod: Object) -> None:
        meta = pod["metadata"]
        if not meta.get("deletionTimestamp"):
            options = {"preconditions": {"uid": meta["uid"]}}
            self._registry.delete(_PODS, meta["namespace"], meta["name"], options)

    async def _start(self, found: Object, number: int, revision: str) -> None:
        meta, spec = found["metadata"], found["spec"]
        name = f"{meta['name']}-{number}"
        template = spec["template"]
        labels = (template["metadata"].get("labels") or {}) | {
            "apps.kubernetes.io/pod-index": str(number),
            _REVISION: revision,
            "statefulset.kubernetes.io/pod-name": name,
        }
        pod_spec = {**template["spec"], "hostname": name}
        if spec.get("serviceName"):
            pod_spec["subdomain"] = spec["serviceName"]
        metadata = {
            "name": name,
            "generateName": f"{meta['name']}-",
            "labels": labels,
            "ownerReferences": [owner_reference(found)],
        }
        if template["metadata"].get("annotations"):
            metadata["annotations"] = template["metadata"]["annotations"]
        body = {"metadata": metadata, "spec": pod_spec}
        about = f"create Pod {name} in StatefulSet {meta['name']}"
        try:
            await self._registry.create(_PODS, meta["namespace"], body, _WRITER)
        except StatusError as error:
            text = f"{about} failed error: {error.message}"
            await self._recorder.record(found, "FailedCreate", text, warning=True)
            raise
        await self._recorder.record(found, "SuccessfulCreate", f"{about} successful")

    async def _tell(self, found: Object, revision: str) -> None:
        """Write the status."""
        pods = [pod for pod in self._pods(found).values() if not _over(pod)]
        standing = [pod for pod in pods if not pod["metadata"].get("deletionTimestamp")]
        ready = sum(is_ready(pod) for pod in pods)
        updated = sum(pod["metadata"]["labels"].get(_REVISION) == revision for pod in standing)
        before = found.get("status", {}).get("currentRevision") or revision
        # The old revision counts as current until all pods are of the new one, and ready.
        done = updated == ready == len(pods) == found["spec"]["replicas"]
        current = revision if done else before
        status = {
            "observedGeneration": found["metadata"]["generation"],
            "replicas": len(pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "currentReplicas": sum(pod["metadata"]["labels"].get(_REVISION) == current for pod in standing),
            "updatedReplicas": updated,
            "currentRevision": current,
            "updateRevision": revision,
            "collisionCount": 0,
        }
        kept = {key: value for key, value in status.items() if value or key in _ALWAYS}
        if kept == found.get("status"):
            return
        meta = found["metadata"]
        place = (meta["namespace"], meta["name"])
        await self._registry.change(_SETS, *place, lambda o: o | {"status": kept}, _WRITER, part="status")


def _revision(found: Object) -> str:
    """The name of the revision that its template has now."""
    template = json.dumps(found["spec"]["template"], sort_keys=True)
    return f"{found['metadata']['name']}-{safe_encoded(zlib.crc32(template.encode()))}"


_ALWAYS = {"replicas", "availableReplicas", "collisionCount"}


def _over(pod: Object) -> bool:
    return pod.get("status", {}).get("phase") in _OVER
