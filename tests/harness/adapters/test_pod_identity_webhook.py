"""The official pod identity webhook: what is made of it, and when it is said to serve."""

from __future__ import annotations

import base64
import contextlib
import json
import ssl
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from harness.adapters import control_plane
from harness.adapters import pod_identity_webhook as webhook
from harness.adapters.kubernetes_api import COLLECTIONS, KubernetesAPI
from harness.core.errors import EnvironmentBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.adapters.certificates import Authority
    from tests.harness.adapters.conftest import Request, Site

IMAGE = "registry.example.com/eks/amazon-eks-pod-identity-webhook:v0.6.17"
HOOKS = COLLECTIONS["MutatingWebhookConfiguration"]
PODS = f"/api/v1/namespaces/{webhook.NAMESPACE}/pods"
PROBES = "/api/v1/namespaces/default/pods"


@dataclass
class Kubernetes:
    """An API server that keeps what it gets, and whose one pod of the webhook is as it is told.

    Attributes:
        status: Of the webhook's container.
        answers: To the pods that are made on trial, in order; the last one from then on.
    """

    status: dict[str, Any] = field(default_factory=lambda: {"ready": True, "state": {"running": {}}})
    answers: list[tuple[int, Any]] = field(default_factory=list)
    objects: dict[str, Any] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)

    def __call__(self, request: Request) -> tuple[int, Any]:
        path, _, query = request.path.partition("?")
        if request.method == "PATCH":
            self.objects[path] = request.json
            self.order.append(request.json["kind"])
            return 200, request.json
        if request.method == "DELETE":
            return 200, self.objects.pop(path)
        if path == PROBES:
            assert (request.method, query) == ("POST", "dryRun=All")
            return self._admitted(request.json)
        if path == PODS:
            status = {"containerStatuses": [{"name": "webhook", **self.status}]}
            return 200, {"items": [{"metadata": {"name": "webhook-1"}, "status": status}]}
        if path == f"{PODS}/webhook-1/log":
            return 200, "F1122 main.go:1] no certificate\n"
        return 404, {"message": f"{path} not found"}

    def _admitted(self, pod: dict[str, Any]) -> tuple[int, Any]:
        account = self.objects[
            f"/api/v1/namespaces/default/serviceaccounts/{pod['spec']['serviceAccountName']}"
        ]
        role = account["metadata"]["annotations"]["eks.amazonaws.com/role-arn"]
        if self.answers:
            status, answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if status != 200:
                return status, answer
            pod["spec"]["containers"][0]["env"] = answer
            return 200, pod
        if HOOKS + "/pod-identity-webhook" in self.objects:
            pod["spec"]["containers"][0]["env"] = [{"name": "AWS_ROLE_ARN", "value": role}]
        return 200, pod


@pytest.fixture
def kubernetes() -> Kubernetes:
    return Kubernetes()


@pytest.fixture
def deploy(
    serve: Callable[..., Site], authority: Authority, tmp_path: Path, kubernetes: Kubernetes
) -> Iterator[Callable[[], None]]:
    """Deploys the webhook into that cluster."""
    site = serve(kubernetes, tls=True)
    admin = authority.issue("webhook-admin", common_name="admin", organization="system:masters")
    kubeconfig = control_plane.kubeconfig(tmp_path / "admin.kubeconfig", site.url, authority, admin)
    with contextlib.closing(KubernetesAPI(kubeconfig)) as api:
        yield lambda: webhook.deploy(api, image=IMAGE, region="eu-west-1", authority=authority)


def objects(authority: Authority) -> dict[str, dict[str, Any]]:
    serving = authority.issue(webhook.NAME, webhook.HOST)
    made = webhook.manifests(image=IMAGE, region="eu-west-1", serving=serving)
    assert len({manifest["kind"] for manifest in made}) == len(made)
    return {manifest["kind"]: manifest for manifest in made}


def test_it_is_deployed_and_then_asked(deploy: Callable[[], None], kubernetes: Kubernetes) -> None:
    deploy()
    assert kubernetes.order == [
        *(
            "Namespace",
            "ServiceAccount",
            "ClusterRole",
            "ClusterRoleBinding",
            "Secret",
            "Service",
            "Deployment",
        ),
        "MutatingWebhookConfiguration",
        "ServiceAccount",
    ]
    # What was made on trial is gone.
    assert [path for path in kubernetes.objects if "/namespaces/default/" in path] == []


def test_the_manifests_fit_each_other(authority: Authority) -> None:
    made = objects(authority)
    pod = made["Deployment"]["spec"]["template"]
    (container,) = pod["spec"]["containers"]
    assert container["image"] == IMAGE
    assert container["imagePullPolicy"] == "Never"
    port = next(word.partition("=")[2] for word in container["command"] if word.startswith("--port="))
    assert made["Service"]["spec"]["ports"] == [{"port": 443, "targetPort": int(port)}]
    assert container["readinessProbe"]["httpGet"]["port"] == int(port)
    for selector in (
        made["Service"]["spec"]["selector"],
        made["Deployment"]["spec"]["selector"]["matchLabels"],
    ):
        assert selector.items() <= pod["metadata"]["labels"].items()
    account = made["ServiceAccount"]["metadata"]
    assert pod["spec"]["serviceAccountName"] == account["name"]
    assert made["ClusterRoleBinding"]["subjects"] == [{"kind": "ServiceAccount", **account}]
    assert made["ClusterRoleBinding"]["roleRef"]["name"] == made["ClusterRole"]["metadata"]["name"]
    assert {manifest["metadata"].get("namespace") for manifest in made.values()} == {
        None,
        made["Namespace"]["metadata"]["name"],
    }


def test_it_may_read_service_accounts_and_nothing_else(authority: Authority) -> None:
    assert objects(authority)["ClusterRole"]["rules"] == [
        {"apiGroups": [""], "resources": ["serviceaccounts"], "verbs": ["get", "list", "watch"]}
    ]


def test_its_flags_are_those_of_eks(authority: Authority) -> None:
    (container,) = objects(authority)["Deployment"]["spec"]["template"]["spec"]["containers"]
    program, *flags = container["command"]
    told = dict(flag.removeprefix("--").partition("=")[::2] for flag in flags)
    assert program == "/webhook"
    expected = {
        "in-cluster": "false",
        "token-audience": "sts.amazonaws.com",
        "aws-default-region": "eu-west-1",
        "sts-regional-endpoint": "true",
        "service-account-lookup-grace-period": "2s",
    }
    assert expected.items() <= told.items()
    assert container["volumeMounts"][0]["mountPath"] == "/etc/webhook/certs"
    assert (told["tls-cert"], told["tls-key"]) == ("/etc/webhook/certs/tls.crt", "/etc/webhook/certs/tls.key")


def test_its_certificate_is_the_runs_own_for_its_service(authority: Authority) -> None:
    made = objects(authority)
    (volume,) = made["Deployment"]["spec"]["template"]["spec"]["volumes"]
    secret = made["Secret"]
    assert volume["secret"]["secretName"] == secret["metadata"]["name"]
    pem = base64.b64decode(secret["data"]["tls.crt"])
    certificate = x509.load_pem_x509_certificate(pem)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    service = made["Service"]["metadata"]
    assert names.get_values_for_type(x509.DNSName) == [f"{service['name']}.{service['namespace']}.svc"]
    issuer = x509.load_pem_x509_certificate(authority.pair.certificate.read_bytes())
    certificate.verify_directly_issued_by(issuer)
    assert base64.b64decode(secret["data"]["tls.key"]).startswith(b"-----BEGIN")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(
        *(str(authority.pair.certificate.parent / f"{webhook.NAME}.{end}") for end in ("pem", "key"))
    )


def test_the_api_server_asks_its_service_about_all_pods_but_its_own(authority: Authority) -> None:
    service = objects(authority)["Service"]["metadata"]
    (asked,) = webhook.configuration(authority.pair.certificate)["webhooks"]
    assert asked["clientConfig"] == {
        "service": {**service, "path": "/mutate"},
        "caBundle": base64.b64encode(authority.pair.certificate.read_bytes()).decode(),
    }
    assert asked["failurePolicy"] == "Fail"
    # A pod made on trial is shown to it only if it is said to change nothing else.
    assert asked["sideEffects"] == "None"
    # Releases answer v1 without saying so, and the API server takes that in v1beta1 alone.
    assert asked["admissionReviewVersions"] == ["v1beta1", "v1"]
    (spared,) = asked["namespaceSelector"]["matchExpressions"]
    assert spared["values"] == ["kube-system", service["namespace"]]
    assert asked["objectSelector"]["matchExpressions"] == [
        {"key": "eks.amazonaws.com/skip-pod-identity-webhook", "operator": "DoesNotExist"}
    ]


def test_a_pod_that_comes_back_unchanged_is_shown_again(
    deploy: Callable[[], None], kubernetes: Kubernetes
) -> None:
    role = {"name": "AWS_ROLE_ARN", "value": webhook._PROBE_ROLE}
    kubernetes.answers = [(200, []), (500, {"message": "connection refused"}), (200, [role])]
    deploy()
    assert len(kubernetes.answers) == 1


@pytest.mark.parametrize(
    ("answer", "seen"),
    [
        ((200, []), "it has the variables none"),
        ((200, [{"name": "AWS_ROLE_ARN", "value": "another"}]), "['AWS_ROLE_ARN']"),
        ((500, {"message": "failed calling webhook: x509: unknown authority"}), "x509: unknown authority"),
    ],
)
def test_one_that_changes_no_pod_does_not_serve(
    deploy: Callable[[], None],
    kubernetes: Kubernetes,
    monkeypatch: pytest.MonkeyPatch,
    answer: tuple[int, Any],
    seen: str,
) -> None:
    monkeypatch.setattr(webhook, "MUTATES_SECONDS", 0.1)
    kubernetes.answers = [answer]
    with pytest.raises(EnvironmentBroken) as raised:
        deploy()
    assert seen in raised.value.seen
    assert "no certificate" in raised.value.seen
    assert [path for path in kubernetes.objects if "/namespaces/default/" in path] == []


@pytest.mark.parametrize(
    ("status", "seen"),
    [
        (
            {"state": {"waiting": {"reason": "ErrImageNeverPull", "message": "image is not present"}}},
            "not present",
        ),
        (
            {
                "state": {"waiting": {"reason": "CrashLoopBackOff"}},
                "lastState": {"terminated": {"reason": "Error", "exitCode": 255, "message": "bad flag"}},
            },
            "terminated Error bad flag",
        ),
    ],
)
def test_one_that_can_not_start_is_told_with_its_last_words(
    deploy: Callable[[], None], kubernetes: Kubernetes, status: dict[str, Any], seen: str
) -> None:
    kubernetes.status = {"ready": False, **status}
    with pytest.raises(EnvironmentBroken) as raised:
        deploy()
    assert seen in raised.value.seen
    assert "F1122 main.go:1] no certificate" in raised.value.seen
    assert "--webhook-image" in raised.value.remedy
    # Pods go on being made as before.
    assert not [path for path in kubernetes.objects if path.startswith(HOOKS)]


def test_one_that_does_not_become_ready_is_told(
    deploy: Callable[[], None], kubernetes: Kubernetes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook, "READY_SECONDS", 0.1)
    kubernetes.status = {"ready": False, "state": {"waiting": {"reason": "ContainerCreating"}}}
    with pytest.raises(EnvironmentBroken, match="waiting ContainerCreating"):
        deploy()


def test_no_key_is_in_what_the_pod_is_told(authority: Authority) -> None:
    text = json.dumps(objects(authority)["Deployment"])
    assert "PRIVATE KEY" not in text


def test_the_report_names_it_by_its_tag() -> None:
    made = webhook.component(IMAGE, "image of the user's")
    assert (made.kind, made.version, made.simulated) == ("amazon-eks-pod-identity-webhook", "v0.6.17", False)
