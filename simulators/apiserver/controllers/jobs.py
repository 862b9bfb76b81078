"""Jobs: one pod at a time until one succeeds, or too many failed."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from simulators.apiserver.controllers.events import Recorder
from simulators.apiserver.controllers.loop import Key, workload_keys, writer
from simulators.apiserver.kinds import of
from simulators.apiserver.objects import Object, controller_uid, is_ready, owner_reference, timestamp
from simulators.apiserver.status import StatusError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simulators.apiserver.decisions import Decisions
    from simulators.apiserver.registry import Registry
    from simulators.apiserver.store import Change

_JOBS, _PODS = of("jobs"), of("pods")
_WRITER = writer("job-controller")
_RETRY_SECONDS = 10.0
_LONGEST_RETRY_SECONDS = 360.0
_LIMIT_TEXT = "Job has reached the specified backoff limit"


class Jobs:
    """Runs the pods of Jobs.

    Args:
        registry: of the cluster.
        decisions: of the controllers.
    """

    def __init__(self, registry: Registry, decisions: Decisions) -> None:
        self._registry = registry
        self._decisions = decisions
        self._recorder = Recorder(registry, _WRITER, "job-controller")

    def initial(self) -> Iterable[Key]:
        """Nothing: a new cluster has none."""
        return []

    def due(self, change: Change) -> Iterable[Key]:
        """The Job that changed, or whose pod did."""
        return workload_keys(change, _JOBS, "Job")

    async def sync(self, key: Key) -> float | None:
        """Take the next step for one Job; returns in how many seconds a failed pod has a successor."""
        namespace, name = key
        job = self._registry.store.get(_JOBS, namespace, name)
        if job is None or job["metadata"].get("deletionTimestamp") or _finished(job):
            return None
        pods = [
            p
            for p in self._registry.store.find(_PODS, namespace)
            if controller_uid(p) == job["metadata"]["uid"]
        ]
        active = [p for p in pods if p["status"]["phase"] not in {"Succeeded", "Failed"} and not _leaving(p)]
        before = job.get("status", {})
        succeeded = max(_count(pods, "Succeeded"), before.get("succeeded", 0))
        failed = max(_count(pods, "Failed"), before.get("failed", 0))
        spec = job["spec"]
        complete = self._decisions.job_complete(succeeded, spec["completions"])
        gives_up = self._decisions.job_gives_up(failed, _restarts(active), spec["backoffLimit"])
        wait = None
        if complete or gives_up:
            for pod in active:
                self._registry.delete(_PODS, namespace, pod["metadata"]["name"], {})
        elif not active and not spec.get("suspend"):
            wait = _wait(pods, failed)
            if wait is None:
                active = [await self._start(job)]
        counts = {
            "active": len(active),
            "ready": sum(map(is_ready, active)),
            "succeeded": succeeded,
            "failed": failed,
        }
        conditions = _conditions(complete=complete, failed=gives_up)
        await self._tell(job, counts, conditions)
        return wait

    async def _start(self, job: Object) -> Object:
        meta, template = job["metadata"], job["spec"]["template"]
        metadata: Object = {"generateName": f"{meta['name']}-", "ownerReferences": [owner_reference(job)]}
        metadata |= {
            key: template["metadata"][key] for key in ("labels", "annotations") if key in template["metadata"]
        }
        body = {"metadata": metadata, "spec": template["spec"]}
        try:
            pod = await self._registry.create(_PODS, meta["namespace"], body, _WRITER)
        except StatusError as error:
            await self._recorder.record(job, "FailedCreate", f"Error creating: {error.message}", warning=True)
            raise
        await self._recorder.record(job, "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        return pod

    async def _tell(self, job: Object, counts: dict[str, int], conditions: list[Object]) -> None:
        now = timestamp()
        status: Object = {"startTime": job.get("status", {}).get("startTime") or now, "terminating": 0}
        status |= {key: value for key, value in counts.items() if value or key == "ready"}
        status["uncountedTerminatedPods"] = {}
        if conditions:
            status |= {"conditions": conditions, "ready": 0}
            status.pop("active", None)
        if any(condition["type"] == "Complete" for condition in conditions):
            status["completionTime"] = now
        place = (job["metadata"]["namespace"], job["metadata"]["name"])
        await self._registry.change(_JOBS, *place, lambda o: o | {"status": status}, _WRITER, part="status")


def _leaving(pod: Object) -> bool:
    return bool(pod["metadata"].get("deletionTimestamp"))


def _count(pods: list[Object], phase: str) -> int:
    return sum(pod["status"]["phase"] == phase for pod in pods)


def _restarts(pods: list[Object]) -> int:
    """Restarts of containers in pods that restart them themselves."""
    own = [pod for pod in pods if pod["spec"]["restartPolicy"] == "OnFailure"]
    statuses = [s for pod in own for s in pod["status"].get("containerStatuses") or []]
    return sum(status.get("restartCount", 0) for status in statuses)


def _wait(pods: list[Object], failed: int) -> float | None:
    """Seconds until a failed pod gets a successor; None when it is time."""
    ends = [
        status["state"]["terminated"]["finishedAt"]
        for pod in pods
        for status in pod["status"].get("containerStatuses") or []
        if "terminated" in status.get("state", {})
    ]
    if not failed or not ends:
        return None
    delay = min(_RETRY_SECONDS * 2 ** (failed - 1), _LONGEST_RETRY_SECONDS)
    left = delay - (datetime.now(UTC) - datetime.fromisoformat(max(ends))).total_seconds()
    return left if left > 0 else None


def _finished(job: Object) -> bool:
    conditions = job.get("status", {}).get("conditions") or []
    return any(c["type"] in {"Complete", "Failed"} and c["status"] == "True" for c in conditions)


def _conditions(*, complete: bool, failed: bool) -> list[Object]:
    now = timestamp()
    times = {"status": "True", "lastProbeTime": now, "lastTransitionTime": now}
    if complete:
        why = {"reason": "CompletionsReached", "message": "Reached expected number of succeeded pods"}
        return [{"type": kind} | times | why for kind in ("SuccessCriteriaMet", "Complete")]
    if failed:
        why = {"reason": "BackoffLimitExceeded", "message": _LIMIT_TEXT}
        return [{"type": kind} | times | why for kind in ("FailureTarget", "Failed")]
    return []
