"""The official pod identity webhook, deployed into a cluster; pods reach it by admission, never by chart values.

Source: facts of the lab, section 5 (amazon-eks-pod-identity-webhook, `deploy/` and `main.go` of v0.6.17).
"""

from __future__ import annotations

import base64
import contextlib
from typing import TYPE_CHECKING, Any

from harness.adapters import simulators
from harness.adapters.kubernetes_api import RefusedError
from harness.core import images
from harness.core.errors import EnvironmentBroken, NotObserved, TransientOracleError
from harness.core.waiting import eventually
from harness.environment import Component

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from harness.adapters.certificates import Authority, KeyPair
    from harness.adapters.kubernetes_api import KubernetesAPI
    from harness.environment import JSON

NAME = "pod-identity-webhook"
NAMESPACE = NAME
HOST = f"{NAME}.{NAMESPACE}.svc"
"""By which the API server knows the Service."""

READY_SECONDS = 90.0
"""Budget for the pod to be ready; its image is in the node."""

MUTATES_SECONDS = 30.0
"""Budget from there until the API server asks it about new pods."""

REVIEWS = ("v1beta1", "v1")
"""Admission reviews in the order of choice.

Releases up to v0.6.17 answer without apiVersion and kind, which an API server takes in v1beta1 alone; what comes
after them speaks both.
"""

_PORT = 8443
_CERTIFICATES = "/etc/webhook/certs"
_LABELS = {"app": NAME}
_HOPELESS = frozenset(
    {
        *("CrashLoopBackOff", "CreateContainerError", "ErrImageNeverPull"),
        *("ErrImagePull", "ImagePullBackOff", "InvalidImageName"),
    }
)
"""Reasons to wait that do not pass by themselves."""

_PROBE = {"name": f"{NAME}-probe", "namespace": "default"}
_PROBE_ROLE = "arn:aws:iam::111122223333:role/probe"
_PODS = f"/api/v1/namespaces/{NAMESPACE}/pods"


def deploy(api: KubernetesAPI, *, image: str, region: str, authority: Authority) -> None:
    """Deploys the webhook, has the API server ask it, and waits until a pod is changed.

    Args:
        api: With the administrator's rights.
        image: Which the node has.
        region: Of the cluster, as pods are told it.
        authority: The run's certificate authority.

    Raises:
        EnvironmentBroken: It did not become ready, with the pod's own last words; or no pod is changed.
    """
    serving = authority.issue(NAME, HOST)
    for manifest in manifests(image=image, region=region, serving=serving):
        api.apply(manifest)
    _wait_until_ready(api, image)
    api.apply(configuration(authority.pair.certificate))
    _wait_until_it_changes_pods(api)


def component(image: str, detail: str) -> Component:
    """What a report has of it; it tells no version of its own, so that the tag stands for it.

    Args:
        image: Of the webhook.
        detail: For the reader of the report.
    """
    return Component(
        "amazon-eks-pod-identity-webhook", images.split(image)[1] or "", simulated=False, detail=detail
    )


def manifests(*, image: str, region: str, serving: KeyPair) -> list[dict[str, Any]]:
    """Everything that the webhook consists of, in the order in which it is made.

    Args:
        image: Of the webhook.
        region: For AWS_REGION and AWS_DEFAULT_REGION of the pods; EKS has regional STS endpoints with it.
        serving: Certificate for `HOST`, and its key.
    """
    metadata = {"name": NAME, "namespace": NAMESPACE}
    rbac = "rbac.authorization.k8s.io"
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRole",
            "metadata": {"name": NAME},
            "rules": [
                {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get", "list", "watch"]}
            ],
        },
        {
            "apiVersion": f"{rbac}/v1",
            "kind": "ClusterRoleBinding",
            "metadata": {"name": NAME},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": NAME},
            "subjects": [{"kind": "ServiceAccount", **metadata}],
        },
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": metadata,
            "type": "kubernetes.io/tls",
            "data": {"tls.crt": _encoded(serving.certificate), "tls.key": _encoded(serving.key)},
        },
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": metadata,
            "spec": {"selector": _LABELS, "ports": [{"port": 443, "targetPort": _PORT}]},
        },
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": metadata,
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": _LABELS},
                "template": {"metadata": {"labels": _LABELS}, "spec": _pod_spec(image, region)},
            },
        },
    ]


def _pod_spec(image: str, region: str) -> dict[str, Any]:
    container = {
        "name": NAME,
        "image": image,
        # The node has no way to a registry.
        "imagePullPolicy": "Never",
        "command": [
            "/webhook",
            # It asks a signer for its certificate otherwise, which certificates/v1 refuses.
            "--in-cluster=false",
            f"--tls-cert={_CERTIFICATES}/tls.crt",
            f"--tls-key={_CERTIFICATES}/tls.key",
            f"--port={_PORT}",
            "--annotation-prefix=eks.amazonaws.com",
            "--token-audience=sts.amazonaws.com",
            f"--aws-default-region={region}",
            "--sts-regional-endpoint=true",
            # It knows service accounts by a watch, which may come later than a pod of one.
            "--service-account-lookup-grace-period=2s",
            "--logtostderr",
            "-v=3",
        ],
        "ports": [{"containerPort": _PORT}],
        "readinessProbe": {
            "httpGet": {"path": "/healthz", "port": _PORT, "scheme": "HTTPS"},
            "periodSeconds": 1,
        },
        "volumeMounts": [{"name": "certificates", "mountPath": _CERTIFICATES, "readOnly": True}],
    }
    return {
        "serviceAccountName": NAME,
        "containers": [container],
        "volumes": [{"name": "certificates", "secret": {"secretName": NAME}}],
    }


def configuration(ca_file: Path) -> dict[str, Any]:
    """The MutatingWebhookConfiguration that sends new pods to the Service; its own pod is left alone.

    Args:
        ca_file: The run's certificate authority.
    """
    service = {"name": NAME, "namespace": NAMESPACE, "path": "/mutate"}
    return simulators.pod_webhook(
        {"service": service}, ca_file, reviews=REVIEWS, spared=("kube-system", NAMESPACE)
    )


def _wait_until_ready(api: KubernetesAPI, image: str) -> None:
    try:
        eventually(
            lambda: _pods(api),
            lambda pods: any(_is_ready(pod) for pod in pods),
            expected="the pod identity webhook's pod to be ready",
            within=READY_SECONDS,
            failed=_hopeless,
        )
    except NotObserved as error:
        pods = _states(_pods(api)) or "no pod of it"
        raise EnvironmentBroken(
            expected=f"the pod identity webhook {image} to serve",
            seen=f"{pods}; its last words:\n{_last_words(api)}",
            remedy="name an image of amazon-eks-pod-identity-webhook with --webhook-image, or leave that out: the "
            "AWS gateway has one",
        ) from error


def _wait_until_it_changes_pods(api: KubernetesAPI) -> None:
    """Waits until a pod that is not meant to be has come back with an identity."""
    account = {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {**_PROBE, "annotations": {"eks.amazonaws.com/role-arn": _PROBE_ROLE}},
    }
    api.apply(account)
    try:
        eventually(
            lambda: _trouble(api),
            lambda trouble: not trouble,
            expected="a new pod of an annotated service account to get an identity",
            within=MUTATES_SECONDS,
        )
    except NotObserved as error:
        raise EnvironmentBroken(
            expected="the pod identity webhook to give a new pod an identity",
            seen=f"{error}\nits last words:\n{_last_words(api)}",
            remedy="is it an image of amazon-eks-pod-identity-webhook? Without --webhook-image the AWS gateway is it",
        ) from error
    finally:
        api.delete(f"{api.collection(account)}/{_PROBE['name']}")


def _trouble(api: KubernetesAPI) -> str:
    """Why a pod gets no identity yet; empty where it gets one."""
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": _PROBE,
        "spec": {"serviceAccountName": _PROBE["name"], "containers": [{"name": "probe", "image": "none"}]},
    }
    try:
        made = api.call("POST", f"{api.collection(pod)}?dryRun=All", pod)
    except (
        RefusedError
    ) as error:  # it fails closed: connection refused, wrong certificate, no answer that fits
        return error.message
    told = {
        variable["name"]: variable.get("value") for variable in made["spec"]["containers"][0].get("env", [])
    }
    return "" if told.get("AWS_ROLE_ARN") == _PROBE_ROLE else f"it has the variables {sorted(told) or 'none'}"


def _pods(api: KubernetesAPI) -> Sequence[JSON]:
    found: list[JSON] = (api.get(_PODS) or {}).get("items", [])
    return found


def _statuses(pods: Sequence[JSON]) -> list[Mapping[str, Any]]:
    return [status for pod in pods for status in pod.get("status", {}).get("containerStatuses", [])]


def _is_ready(pod: JSON) -> bool:
    return any(status["ready"] for status in _statuses([pod]))


def _hopeless(pods: Sequence[JSON]) -> str | None:
    reasons = [status.get("state", {}).get("waiting", {}).get("reason") for status in _statuses(pods)]
    return next((str(reason) for reason in reasons if reason in _HOPELESS), None)


def _states(pods: Sequence[JSON]) -> str:
    """What the containers do, and what they ended of."""
    return "; ".join(
        f"{kind} {what.get('reason', '')} {what.get('message', '')}".strip()
        for status in _statuses(pods)
        for kind, what in (*status.get("state", {}).items(), *status.get("lastState", {}).items())
    ) or "; ".join(
        f"{pod.get('status', {}).get('phase')}: {condition.get('message', condition['type'])}"
        for pod in pods
        for condition in pod.get("status", {}).get("conditions", [])
        if condition["status"] != "True"
    )


def _last_words(api: KubernetesAPI) -> str:
    """The last lines that its pods printed."""
    words = []
    for pod in _pods(api):
        with contextlib.suppress(RefusedError, TransientOracleError):
            words.append(api.text("GET", f"{_PODS}/{pod['metadata']['name']}/log?tailLines=6").strip())
    return "\n".join(filter(None, words)) or "(it printed nothing)"


def _encoded(file: Path) -> str:
    return base64.b64encode(file.read_bytes()).decode()
