"""What the server fills in, as seen on objects of a kube-apiserver 1.32.2."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from simulators.apiserver.kinds import RBAC
from simulators.apiserver.objects import Object, without_nulls
from simulators.apiserver.status import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

_MODE = 420  # 0644
_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_CONTAINERS = ("initContainers", "containers")


def _fill(target: Object, **values: Any) -> None:
    for key, value in values.items():
        target.setdefault(key, value)


def apply_defaults(obj: Object) -> Object:
    """Fill in what an object leaves open; the object itself is changed and returned.

    Args:
        obj: without nulls.
    """
    default = _DEFAULTS.get(obj["kind"])
    if default is not None:
        default(obj)
    return obj


def initial_status(obj: Object) -> None:
    """Give a new object the status it starts with; what the sender wrote there is dropped."""
    starts: dict[str, Object] = {
        "Pod": {"phase": "Pending", "qosClass": _quality_of_service(obj)},
        "Namespace": {"phase": "Active"},
        "StatefulSet": {"replicas": 0, "availableReplicas": 0},
        "PersistentVolumeClaim": {"phase": "Pending"},
        "Service": {"loadBalancer": {}},
        "Deployment": {},
        "DaemonSet": {
            "currentNumberScheduled": 0,
            "desiredNumberScheduled": 0,
            "numberMisscheduled": 0,
            "numberReady": 0,
        },
        "ReplicaSet": {"replicas": 0},
        "Job": {},
        "PodDisruptionBudget": {
            "currentHealthy": 0,
            "desiredHealthy": 0,
            "disruptionsAllowed": 0,
            "expectedPods": 0,
        },
    }
    if obj["kind"] in starts:
        obj["status"] = starts[obj["kind"]]


def _quality_of_service(obj: Object) -> str:
    containers = obj.get("spec", {}).get("containers") or []
    resources = [container.get("resources") or {} for container in containers]
    if not any(entry.get("requests") or entry.get("limits") for entry in resources):
        return "BestEffort"
    whole = all({"cpu", "memory"} <= set(entry.get("limits") or {}) for entry in resources)
    same = all(entry.get("requests", entry.get("limits")) == entry.get("limits") for entry in resources)
    return "Guaranteed" if whole and same else "Burstable"


def _namespace(obj: Object) -> None:
    labels = obj["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])


def _secret(obj: Object) -> None:
    obj.setdefault("type", "Opaque")
    for key, value in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()


def _pod(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _pod_spec(spec)
    _fill(spec, enableServiceLinks=True)
    for container in _containers(spec):
        limits = (container.get("resources") or {}).get("limits")
        if limits:
            container["resources"]["requests"] = limits | (container["resources"].get("requests") or {})


def _containers(spec: Object) -> list[Object]:
    return [container for field in _CONTAINERS for container in spec.get(field) or []]


def _pod_spec(spec: Object) -> None:
    _fill(
        spec,
        restartPolicy="Always",
        terminationGracePeriodSeconds=30,
        dnsPolicy="ClusterFirst",
        securityContext={},
        schedulerName="default-scheduler",
    )
    if "serviceAccountName" in spec:
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    elif "serviceAccount" in spec:
        spec["serviceAccountName"] = spec["serviceAccount"]
    for container in _containers(spec):
        _container(container)
    for volume in spec.get("volumes") or []:
        _volume(volume)


def _container(container: Object) -> None:
    tag = container.get("image", "").rpartition("/")[2]
    latest = tag.endswith(":latest") or (":" not in tag and "@" not in tag)
    _fill(
        container,
        resources={},
        terminationMessagePath="/dev/termination-log",
        terminationMessagePolicy="File",
        imagePullPolicy="Always" if latest else "IfNotPresent",
    )
    for port in container.get("ports") or []:
        _fill(port, protocol="TCP")
    for variable in container.get("env") or []:
        reference = (variable.get("valueFrom") or {}).get("fieldRef")
        if reference is not None:
            _fill(reference, apiVersion="v1")
    for name in _PROBES:
        if name in container:
            _probe(container[name])
    for hook in (container.get("lifecycle") or {}).values():
        _http(hook.get("httpGet"))


def _probe(probe: Object) -> None:
    _fill(probe, timeoutSeconds=1, periodSeconds=10, successThreshold=1, failureThreshold=3)
    _http(probe.get("httpGet"))


def _http(action: Object | None) -> None:
    if action is not None:
        _fill(action, path="/", scheme="HTTP")


def _volume(volume: Object) -> None:
    if len(volume) == 1:
        volume["emptyDir"] = {}
    for kind in ("secret", "configMap", "downwardAPI", "projected"):
        if kind in volume:
            _fill(volume[kind], defaultMode=_MODE)
    sources = (volume.get("projected") or {}).get("sources") or []
    for source in [volume, *sources]:
        for item in (source.get("downwardAPI") or {}).get("items") or []:
            if "fieldRef" in item:
                _fill(item["fieldRef"], apiVersion="v1")
        if "serviceAccountToken" in source:
            _fill(source["serviceAccountToken"], expirationSeconds=3600)


def _template(obj: Object) -> Object:
    spec: Object = obj.setdefault("spec", {})
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    _pod_spec(template.setdefault("spec", {}))
    return spec


def _stateful_set(obj: Object) -> None:
    spec = _template(obj)
    _fill(
        spec,
        replicas=1,
        podManagementPolicy="OrderedReady",
        revisionHistoryLimit=10,
        updateStrategy={"type": "RollingUpdate"},
        persistentVolumeClaimRetentionPolicy={"whenDeleted": "Retain", "whenScaled": "Retain"},
    )
    _fill(spec["updateStrategy"], type="RollingUpdate")
    if spec["updateStrategy"]["type"] == "RollingUpdate":
        spec["updateStrategy"].setdefault("rollingUpdate", {}).setdefault("partition", 0)
    for claim in spec.get("volumeClaimTemplates") or []:
        _fill(claim, apiVersion="v1", kind="PersistentVolumeClaim", status={"phase": "Pending"})
        _fill(claim["spec"], volumeMode="Filesystem")


def _deployment(obj: Object) -> None:
    spec = _template(obj)
    rolling = {"maxUnavailable": "25%", "maxSurge": "25%"}
    strategy = {"type": "RollingUpdate", "rollingUpdate": rolling}
    _fill(spec, replicas=1, revisionHistoryLimit=10, progressDeadlineSeconds=600, strategy=strategy)


def _job(obj: Object) -> None:
    spec = _template(obj)
    _fill(
        spec,
        backoffLimit=6,
        completionMode="NonIndexed",
        completions=1,
        parallelism=1,
        manualSelector=False,
        podReplacementPolicy="TerminatingOrFailed",
        suspend=False,
    )


def job_identity(obj: Object) -> None:
    """Give a new Job the labels and the selector by which its pods are known."""
    uid = obj["metadata"]["uid"]
    marks = {
        "batch.kubernetes.io/controller-uid": uid,
        "batch.kubernetes.io/job-name": obj["metadata"]["name"],
        "controller-uid": uid,
        "job-name": obj["metadata"]["name"],
    }
    template = obj["spec"]["template"]["metadata"]
    template["labels"] = (template.get("labels") or {}) | marks
    obj["metadata"].setdefault("labels", dict(template["labels"]))
    matched = "batch.kubernetes.io/controller-uid"
    obj["spec"].setdefault("selector", {"matchLabels": {matched: uid}})


def _service(obj: Object) -> None:
    spec = obj.setdefault("spec", {})
    _fill(spec, type="ClusterIP", sessionAffinity="None", internalTrafficPolicy="Cluster")
    for port in spec.get("ports") or []:
        _fill(port, protocol="TCP", targetPort=port["port"])


def _claim(obj: Object) -> None:
    _fill(obj.setdefault("spec", {}), volumeMode="Filesystem")


def _binding(obj: Object) -> None:
    reference = obj.setdefault("roleRef", {})
    if not reference.get("apiGroup"):
        reference["apiGroup"] = RBAC
    for subject in obj.get("subjects") or []:
        if subject.get("kind") in {"User", "Group"} and not subject.get("apiGroup"):
            subject["apiGroup"] = RBAC


def _role(obj: Object) -> None:
    obj.setdefault("rules", None if obj.get("aggregationRule") else [])
    if obj["rules"] is None:
        obj.pop("rules")


def _webhooks(obj: Object) -> None:
    for webhook in obj.get("webhooks") or []:
        _fill(
            webhook,
            failurePolicy="Fail",
            matchPolicy="Equivalent",
            namespaceSelector={},
            objectSelector={},
            timeoutSeconds=10,
        )
        if obj["kind"].startswith("Mutating"):
            _fill(webhook, reinvocationPolicy="Never")
        for rule in webhook.get("rules") or []:
            _fill(rule, scope="*")


_DEFAULTS: dict[str, Callable[[Object], None]] = {
    "Namespace": _namespace,
    "Secret": _secret,
    "Pod": _pod,
    "StatefulSet": _stateful_set,
    "Deployment": _deployment,
    "ReplicaSet": lambda obj: _fill(_template(obj), replicas=1),
    "DaemonSet": lambda obj: _fill(_template(obj), revisionHistoryLimit=10),
    "Job": _job,
    "Service": _service,
    "PersistentVolumeClaim": _claim,
    "ClusterRoleBinding": _binding,
    "RoleBinding": _binding,
    "ClusterRole": _role,
    "Role": _role,
    "MutatingWebhookConfiguration": _webhooks,
    "ValidatingWebhookConfiguration": _webhooks,
}


def decoded(obj: Object) -> Object:
    """An object as the server holds it: a copy without nulls, its defaults filled in.

    Raises:
        StatusError: something in it is not of the form that its kind has (400).
    """
    cleaned: Object = without_nulls(obj)
    try:
        return apply_defaults(cleaned)
    except (AttributeError, KeyError, TypeError) as error:
        raise bad_request(f"{obj['kind']} cannot be decoded: {error}") from error
