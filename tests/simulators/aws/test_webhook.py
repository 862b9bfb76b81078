"""The pod identity webhook: what it does to a pod, asked as an API server asks."""

from __future__ import annotations

import base64
import contextlib
import http.server
import json
import ssl
import threading
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import pytest
import trustme
import urllib3
import yaml

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulators.aws.conftest import Lab

ROLE = "arn:aws:iam::210987654321:role/kube-iam-role"
MOUNT = {
    "name": "aws-iam-token",
    "readOnly": True,
    "mountPath": "/var/run/secrets/eks.amazonaws.com/serviceaccount",
}
INJECTED = [
    {"name": "AWS_STS_REGIONAL_ENDPOINTS", "value": "regional"},
    {"name": "AWS_DEFAULT_REGION", "value": "eu-west-1"},
    {"name": "AWS_REGION", "value": "eu-west-1"},
    {"name": "AWS_ROLE_ARN", "value": ROLE},
    {
        "name": "AWS_WEB_IDENTITY_TOKEN_FILE",
        "value": "/var/run/secrets/eks.amazonaws.com/serviceaccount/token",
    },
]


def volume(audience: str = "sts.amazonaws.com", seconds: int = 86400) -> dict[str, Any]:
    token = {"audience": audience, "expirationSeconds": seconds, "path": "token"}
    return {"name": "aws-iam-token", "projected": {"sources": [{"serviceAccountToken": token}]}}


class KubernetesApi(http.server.BaseHTTPRequestHandler):
    """Knows service accounts, and nothing else; wants a client certificate."""

    accounts: ClassVar[dict[str, dict[str, str] | None]] = {}
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        _, _, _, _, namespace, _, name = self.path.split("/")
        found = f"{namespace}/{name}" in self.accounts
        metadata = {"name": name, "annotations": self.accounts.get(f"{namespace}/{name}")}
        content = json.dumps({"kind": "ServiceAccount", "metadata": metadata}).encode()
        self.send_response(200 if found else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@pytest.fixture(scope="module")
def api(lab: Lab) -> Iterator[dict[str, dict[str, str] | None]]:
    """A Kubernetes API that the webhook's kubeconfig leads to; gives its service accounts."""
    authority = trustme.CA()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), KubernetesApi)
    server.daemon_threads = True
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    authority.issue_cert("127.0.0.1").configure_cert(context)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    client = authority.issue_cert("webhook@example.com")

    def encoded(content: bytes) -> str:
        return base64.b64encode(content).decode()

    kubeconfig = {
        "current-context": "lab",
        "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "webhook"}}],
        "clusters": [
            {
                "name": "lab",
                "cluster": {
                    "server": f"https://127.0.0.1:{server.server_port}",
                    "certificate-authority-data": encoded(authority.cert_pem.bytes()),
                },
            }
        ],
        "users": [
            {
                "name": "webhook",
                "user": {
                    "client-certificate-data": encoded(client.cert_chain_pems[0].bytes()),
                    "client-key-data": encoded(client.private_key_pem.bytes()),
                },
            }
        ],
    }
    (lab.folder / "kubeconfig").write_text(yaml.safe_dump(kubeconfig))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield KubernetesApi.accounts
    (lab.folder / "kubeconfig").unlink()
    server.shutdown()
    server.server_close()
    thread.join(5)


@pytest.fixture(scope="module")
def post(lab: Lab) -> Iterator[Callable[[Any], urllib3.BaseHTTPResponse]]:
    """Send a body to the webhook over TLS that the run's authority vouches for."""
    with contextlib.closing(_Closing(urllib3.PoolManager(ca_certs=lab.ca_file))) as pool:
        url = f"https://{lab.gateway.ready['webhook']}/mutate"
        yield lambda body: pool.manager.request("POST", url, json=body, retries=False, timeout=10.0)


class _Closing:
    def __init__(self, manager: urllib3.PoolManager) -> None:
        self.manager = manager

    def close(self) -> None:
        self.manager.clear()


def review(pod: dict[str, Any], **changes: Any) -> dict[str, Any]:
    request = {
        "uid": "uid-1",
        "operation": "CREATE",
        "kind": {"group": "", "version": "v1", "kind": "Pod"},
        "namespace": "teleport-agent",
        "object": pod,
        **changes,
    }
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


def pod_of(
    *containers: dict[str, Any], annotations: dict[str, str] | None = None, **spec: Any
) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "generateName": "teleport-agent-",
            **({"annotations": annotations} if annotations else {}),
        },
        "spec": {"serviceAccountName": "agent", "containers": list(containers) or [{"name": "main"}], **spec},
    }


@pytest.fixture
def mutate(
    api: dict[str, dict[str, str] | None], post: Callable[[Any], urllib3.BaseHTTPResponse]
) -> Callable[..., list[dict[str, Any]] | None]:
    """Have a pod reviewed whose service account has annotations; gives the patch, or None."""

    def call(
        pod: dict[str, Any], annotations: dict[str, str] | None = None, **changes: Any
    ) -> list[dict[str, Any]] | None:
        api["teleport-agent/agent"] = (
            {"eks.amazonaws.com/role-arn": ROLE} if annotations is None else annotations
        )
        answer = post(review(pod, **changes))
        assert answer.status == 200, answer.data
        document = answer.json()
        assert (document["apiVersion"], document["kind"]) == ("admission.k8s.io/v1", "AdmissionReview")
        response = document["response"]
        assert (response["uid"], response["allowed"]) == ("uid-1", True)
        if "patch" not in response:
            return None
        assert response["patchType"] == "JSONPatch"
        return list(json.loads(base64.b64decode(response["patch"])))

    return call


def test_a_plain_pod_gets_volume_and_variables(mutate: Callable[..., Any]) -> None:
    assert mutate(pod_of({"name": "teleport", "image": "t"})) == [
        {"op": "add", "path": "/spec/volumes", "value": [volume()]},
        {
            "op": "add",
            "path": "/spec/containers",
            "value": [{"name": "teleport", "image": "t", "env": INJECTED, "volumeMounts": [MOUNT]}],
        },
    ]


def test_what_a_pod_has_is_kept_and_init_containers_are_changed_too(mutate: Callable[..., Any]) -> None:
    env = [{"name": "KUBE_NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}}]
    mount = {"name": "data", "mountPath": "/var/lib/teleport"}
    pod = pod_of(
        {"name": "a", "env": env, "volumeMounts": [mount]},
        {"name": "b"},
        initContainers=[{"name": "i"}],
        volumes=[{"name": "data", "emptyDir": {}}],
    )
    volumes, containers, init_containers = mutate(pod)
    assert volumes == {"op": "add", "path": "/spec/volumes/0", "value": volume()}
    assert containers["path"] == "/spec/containers"
    first, second = containers["value"]
    assert first == {"name": "a", "env": [*env, *INJECTED], "volumeMounts": [mount, MOUNT]}
    assert second == {"name": "b", "env": INJECTED, "volumeMounts": [MOUNT]}
    assert init_containers == {
        "op": "add",
        "path": "/spec/initContainers",
        "value": [{"name": "i", "env": INJECTED, "volumeMounts": [MOUNT]}],
    }


@pytest.mark.parametrize(
    ("present", "left_out"),
    [
        ("AWS_STS_REGIONAL_ENDPOINTS", {"AWS_STS_REGIONAL_ENDPOINTS"}),
        ("AWS_REGION", {"AWS_REGION", "AWS_DEFAULT_REGION"}),
        ("AWS_DEFAULT_REGION", {"AWS_REGION", "AWS_DEFAULT_REGION"}),
        ("AWS_ROLE_ARN", {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"}),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", {"AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"}),
    ],
)
def test_variables_that_are_set_are_left_alone(
    mutate: Callable[..., Any], present: str, left_out: set[str]
) -> None:
    own = {"name": present, "value": "own"}
    patch = mutate(pod_of({"name": "a", "env": [own]}))
    expected = [variable for variable in INJECTED if variable["name"] not in left_out]
    assert patch[-1]["value"][0]["env"] == [own, *expected]


@pytest.mark.parametrize(
    ("written", "skipped"),
    [
        ("sidecar,other", {"sidecar", "other"}),
        # The official one reads CSV, in which a blank belongs to the name.
        ("sidecar, other", {"sidecar"}),
        ('"sidecar",other', {"sidecar", "other"}),
        ('"sidecar,other', set()),
        ("\nsidecar\nother", {"sidecar"}),
        ("", set()),
    ],
)
def test_skipped_containers_are_not_changed(
    mutate: Callable[..., Any], written: str, skipped: set[str]
) -> None:
    annotations = {"eks.amazonaws.com/skip-containers": written}
    patch = mutate(pod_of({"name": "sidecar"}, {"name": "main"}, {"name": "other"}, annotations=annotations))
    containers = {container["name"]: container for container in patch[-1]["value"]}
    assert {name for name, container in containers.items() if "env" not in container} == skipped
    for name in containers.keys() - skipped:
        assert containers[name] == {"name": name, "env": INJECTED, "volumeMounts": [MOUNT]}


def test_the_token_is_mounted_unless_all_variables_are_there(mutate: Callable[..., Any]) -> None:
    own = [{"name": name, "value": "own"} for name in ("AWS_ROLE_ARN", "AWS_REGION")]
    not_regional = {
        "eks.amazonaws.com/role-arn": ROLE,
        "eks.amazonaws.com/sts-regional-endpoints": "false",
    }
    (_, containers) = mutate(pod_of({"name": "a", "env": own}), not_regional)
    assert containers["value"] == [{"name": "a", "env": own, "volumeMounts": [MOUNT]}]
    own.append({"name": "AWS_STS_REGIONAL_ENDPOINTS", "value": "own"})
    (only,) = mutate(pod_of({"name": "a", "env": own}), not_regional)
    assert only["path"] == "/spec/volumes"


@pytest.mark.parametrize("label", ["kubernetes.io/os", "beta.kubernetes.io/os"])
def test_on_windows_the_token_file_has_a_path_of_windows(mutate: Callable[..., Any], label: str) -> None:
    (_, containers) = mutate(pod_of(nodeSelector={label: "windows"}))
    assert containers["value"][0]["env"][-1] == {
        "name": "AWS_WEB_IDENTITY_TOKEN_FILE",
        "value": r"C:\var\run\secrets\eks.amazonaws.com\serviceaccount\token",
    }
    assert containers["value"][0]["volumeMounts"] == [MOUNT]


@pytest.mark.parametrize(
    ("account", "pod", "expected"),
    [
        ({"audience": "other"}, {}, volume("other")),
        ({"token-expiration": "3600"}, {}, volume(seconds=3600)),
        ({"token-expiration": "3600"}, {"token-expiration": "7200"}, volume(seconds=7200)),
        ({"token-expiration": "60"}, {}, volume(seconds=600)),
        ({"token-expiration": "-60"}, {}, volume(seconds=600)),
        # It is for the API server to have a maximum.
        ({"token-expiration": "100000"}, {}, volume(seconds=100000)),
        ({"token-expiration": "soon"}, {}, volume()),
        ({"token-expiration": "3600"}, {"token-expiration": "soon"}, volume(seconds=3600)),
        ({"token-expiration": "3600"}, {"token-expiration": "1" * 40}, volume(seconds=3600)),
    ],
)
def test_annotations_of_audience_and_expiration(
    mutate: Callable[..., Any], account: dict[str, str], pod: dict[str, str], expected: dict[str, Any]
) -> None:
    def prefixed(annotations: dict[str, str]) -> dict[str, str]:
        return {f"eks.amazonaws.com/{name}": value for name, value in annotations.items()}

    patch = mutate(pod_of(annotations=prefixed(pod)), prefixed({"role-arn": ROLE, **account}))
    assert patch[0]["value"] == [expected]


@pytest.mark.parametrize(("written", "off"), [("false", True), ("0", True), ("no", False), ("1", False)])
def test_regional_endpoints_can_be_turned_off(mutate: Callable[..., Any], written: str, off: bool) -> None:
    annotations = {
        "eks.amazonaws.com/role-arn": ROLE,
        "eks.amazonaws.com/sts-regional-endpoints": written,
    }
    assert mutate(pod_of(), annotations)[-1]["value"][0]["env"] == INJECTED[1 if off else 0 :]


def test_a_service_account_without_the_annotation_changes_nothing(mutate: Callable[..., Any]) -> None:
    assert mutate(pod_of(), {}) is None
    assert mutate(pod_of(), {"eks.amazonaws.com/audience": "x"}) is None
    assert mutate(pod_of(), {"eks.amazonaws.com/role-arn": ""}) is None


def test_the_annotation_counts_from_the_next_pod_on(mutate: Callable[..., Any]) -> None:
    assert mutate(pod_of(), {}) is None
    assert mutate(pod_of()) is not None


def test_an_absent_service_account_changes_nothing(mutate: Callable[..., Any]) -> None:
    assert mutate(pod_of(serviceAccountName="absent")) is None


def test_a_pod_that_names_no_service_account_has_the_default_one(
    mutate: Callable[..., Any], api: dict[str, dict[str, str] | None]
) -> None:
    api["other/default"] = {"eks.amazonaws.com/role-arn": ROLE}
    pod = pod_of(serviceAccountName="")
    assert mutate(pod) is None
    assert mutate(pod, namespace="other") is not None


def test_only_new_pods_are_changed(mutate: Callable[..., Any]) -> None:
    assert mutate(pod_of(), operation="UPDATE") is None
    assert mutate(pod_of(), kind={"group": "apps", "version": "v1", "kind": "StatefulSet"}) is None


def test_a_changed_pod_is_not_changed_again(mutate: Callable[..., Any]) -> None:
    volumes, containers = mutate(pod_of({"name": "a"}))
    again = pod_of(*containers["value"], volumes=volumes["value"])
    assert mutate(again) is None


@pytest.mark.parametrize(
    "body",
    [
        {},
        [],
        {"apiVersion": "admission.k8s.io/v1beta1", "kind": "AdmissionReview", "request": {}},
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview"},
        {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": {"uid": "1"}},
    ],
)
def test_what_is_no_review_is_an_error(post: Callable[[Any], urllib3.BaseHTTPResponse], body: Any) -> None:
    assert post(body).status == 400


def test_an_api_that_does_not_answer_lets_no_pod_through(
    lab: Lab, post: Callable[[Any], urllib3.BaseHTTPResponse], api: dict[str, dict[str, str] | None]
) -> None:
    file = lab.folder / "kubeconfig"
    before = file.read_text()
    server = urlsplit(yaml.safe_load(before)["clusters"][0]["cluster"]["server"])
    try:
        file.write_text(before.replace(f":{server.port}", ":1"))
        answer = post(review(pod_of()))
        assert (answer.status, "teleport-agent/agent" in answer.data.decode()) == (503, True)
        # Half of it, which whoever makes the cluster is still writing.
        file.write_text(before[: before.index("server:")] + "'")
        assert post(review(pod_of())).status == 503
        file.unlink()
        assert post(review(pod_of())).status == 503
    finally:
        file.write_text(before)
    api["teleport-agent/agent"] = {}
    assert post(review(pod_of())).status == 200
