"""What the server fills in, as seen on objects of a kube-apiserver 1.32.2.

Only what clients, the controllers or the kubelet read: a real one adds more, such as `dnsPolicy`.
"""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING, Any

from simulators.apiserver.kinds import RBAC
from simulators.apiserver.objects import Object, without_nulls
from simulators.apiserver.status import bad_request

if TYPE_CHECKING:
    from collections.abc import Callable

_PROBES = ("livenessProbe", "readinessProbe", "startupProbe")
_PROBE = {"timeoutSeconds": 1, "periodSeconds": 10, "successThreshold": 1, "failureThreshold": 3}


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
        "Pod": {"phase": "Pending"},
        "Namespace": {"phase": "Active"},
        "StatefulSet": {"replicas": 0, "availableReplicas": 0},
        **{kind: {} for kind in ("Deployment", "Job", "PodDisruptionBudget")},
    }
    if obj["kind"] in starts:
        obj["status"] = starts[obj["kind"]]


def _namespace(obj: Object) -> None:
    labels = obj["metadata"].setdefault("labels", {})
    labels["kubernetes.io/metadata.name"] = obj["metadata"].get("name", "")
    obj.setdefault("spec", {}).setdefault("finalizers", ["kubernetes"])


def _secret(obj: Object) -> None:
    obj.setdefault("type", "Opaque")
    for key, value in (obj.pop("stringData", None) or {}).items():
        obj.setdefault("data", {})[key] = base64.b64encode(value.encode()).decode()


def _pod(obj: Object) -> None:
    _pod_spec(obj.setdefault("spec", {}))


def _pod_spec(spec: Object) -> None:
    _fill(spec, restartPolicy="Always", terminationGracePeriodSeconds=30)
    if "serviceAccountName" in spec:
        spec.setdefault("serviceAccount", spec["serviceAccountName"])
    elif "serviceAccount" in spec:
        spec["serviceAccountName"] = spec["serviceAccount"]
    for container in [*(spec.get("initContainers") or []), *(spec.get("containers") or [])]:
        for port in container.get("ports") or []:
            _fill(port, protocol="TCP")
        for name in _PROBES:
            if name in container:
                _fill(container[name], **_PROBE)
    for volume in spec.get("volumes") or []:
        if len(volume) == 1:
            volume["emptyDir"] = {}


def _template(obj: Object) -> Object:
    spec: Object = obj.setdefault("spec", {})
    template = spec.setdefault("template", {})
    template.setdefault("metadata", {})
    _pod_spec(template.setdefault("spec", {}))
    return spec


def _stateful_set(obj: Object) -> None:
    _fill(_template(obj), replicas=1, podManagementPolicy="OrderedReady")


def _job(obj: Object) -> None:
    spec = _template(obj)
    _fill(spec, backoffLimit=6, completions=1, parallelism=1)


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
        _fill(webhook, failurePolicy="Fail", namespaceSelector={}, objectSelector={}, timeoutSeconds=10)


_DEFAULTS: dict[str, Callable[[Object], None]] = {
    "Namespace": _namespace,
    "Secret": _secret,
    "Pod": _pod,
    "StatefulSet": _stateful_set,
    "Job": _job,
    "ClusterRoleBinding": _binding,
    "RoleBinding": _binding,
    "ClusterRole": _role,
    "Role": _role,
    "MutatingWebhookConfiguration": _webhooks,
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
