"""What new objects pass: service accounts and webhooks."""

from __future__ import annotations

import base64
import http.server
import json
import ssl
import threading
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HOOKS = "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
POD = {"containers": [{"name": "c", "image": "i:1"}]}
Object = dict[str, Any]


class Webhook:
    """An admission webhook; `answer` makes its response from a request."""

    def __init__(self, server: Any) -> None:
        self.seen: list[Object] = []
        self.answer: Object = {"allowed": True}
        self.status = 200
        certificate, key = server.pair("webhook", "127.0.0.1")
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        tls.load_cert_chain(certificate, key)
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.socket = tls.wrap_socket(self._server.socket, server_side=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self._thread.start()
        self.url = f"https://127.0.0.1:{self._server.server_port}/mutate"
        self.bundle = base64.b64encode((server.folder / "ca.pem").read_bytes()).decode()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def configuration(self, name: str, **changes: Any) -> Object:
        rule = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
        webhook = {
            "name": f"{name}.example.com",
            "admissionReviewVersions": ["v1"],
            "sideEffects": "None",
            "clientConfig": {"url": self.url, "caBundle": self.bundle},
            "rules": [rule],
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}},
        }
        return {"metadata": {"name": name}, "webhooks": [webhook | changes]}

    def patch(self, *operations: Object) -> None:
        patch = base64.b64encode(json.dumps(operations).encode()).decode()
        self.answer = {"allowed": True, "patchType": "JSONPatch", "patch": patch}

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.seen.append(review["request"])
                response = outer.answer | {"uid": review["request"]["uid"]}
                body = json.dumps({"response": response}).encode()
                self.send_response(outer.status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        return Handler


@pytest.fixture
def webhook(server: Any, admin: Any, namespace: str) -> Iterator[Webhook]:
    hook = Webhook(server)
    yield hook
    admin.call("DELETE", f"{HOOKS}/{namespace}")
    hook.close()


@pytest.fixture
def pods(namespace: str) -> str:
    return f"/api/v1/namespaces/{namespace}/pods"


def test_a_pod_gets_its_account_s_token(admin: Any, pods: str) -> None:
    spec = admin.do("POST", pods, {"metadata": {"name": "p"}, "spec": POD})["spec"]
    assert (spec["serviceAccountName"], spec["serviceAccount"]) == ("default", "default")
    volume = spec["volumes"][0]
    assert volume["name"].startswith("kube-api-access-")
    assert [next(iter(source)) for source in volume["projected"]["sources"]] == [
        "serviceAccountToken",
        "configMap",
        "downwardAPI",
    ]
    mount = {
        "name": volume["name"],
        "readOnly": True,
        "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount",
    }
    assert spec["containers"][0]["volumeMounts"] == [mount]


def test_a_pod_that_mounts_something_there_or_wants_no_token_gets_none(admin: Any, pods: str) -> None:
    mount = {"name": "own", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}
    container = {"name": "c", "image": "i:1", "volumeMounts": [mount]}
    own = {"containers": [container], "volumes": [{"name": "own", "emptyDir": {}}]}
    made = admin.do("POST", pods, {"metadata": {"name": "p"}, "spec": own})["spec"]
    assert [volume["name"] for volume in made["volumes"]] == ["own"]
    none = {"metadata": {"name": "q"}, "spec": POD | {"automountServiceAccountToken": False}}
    assert "volumes" not in admin.do("POST", pods, none)["spec"]


def test_a_pod_of_an_account_that_is_not_there_is_refused(admin: Any, namespace: str, pods: str) -> None:
    body = {"metadata": {"name": "p"}, "spec": POD | {"serviceAccountName": "zz"}}
    status, refused = admin.call("POST", pods, body)
    assert (status, refused["reason"]) == (403, "Forbidden")
    assert refused["message"] == (
        f'pods "p" is forbidden: error looking up service account {namespace}/zz: serviceaccount "zz" not found'
    )


def test_a_pod_that_mounts_a_volume_that_it_has_not_is_refused(admin: Any, pods: str) -> None:
    first = {"name": "f", "image": "i:1", "volumeMounts": [{"name": "data", "mountPath": "/d"}]}
    spec = POD | {"initContainers": [first]}
    body = {"metadata": {"name": "p"}, "spec": spec}
    status, refused = admin.call("POST", pods, body)
    assert (status, refused["reason"]) == (422, "Invalid")
    assert refused["message"] == (
        'Pod "p" is invalid: spec.initContainers[0].volumeMounts[0].name: Not found: "data"'
    )
    whole = body | {"spec": spec | {"volumes": [{"name": "data", "emptyDir": {}}]}}
    assert admin.do("POST", pods, whole)["spec"]["initContainers"]


def test_what_is_left_open_is_filled_in(admin: Any, pods: str) -> None:
    container = {
        "name": "c",
        "image": "i",
        "ports": [{"containerPort": 80}],
        "readinessProbe": {"httpGet": {"port": 80}},
        "command": None,
    }
    made = admin.do("POST", pods, {"metadata": {"name": "p"}, "spec": {"containers": [container]}})
    spec, found = made["spec"], made["spec"]["containers"][0]
    assert (spec["restartPolicy"], spec["terminationGracePeriodSeconds"]) == ("Always", 30)
    assert found["ports"] == [{"containerPort": 80, "protocol": "TCP"}]
    assert found["readinessProbe"] == {
        "httpGet": {"port": 80},
        "timeoutSeconds": 1,
        "periodSeconds": 10,
        "successThreshold": 1,
        "failureThreshold": 3,
    }
    assert "command" not in found
    assert made["status"] == {"phase": "Pending"}


def test_a_webhook_changes_what_it_selects(admin: Any, namespace: str, pods: str, webhook: Webhook) -> None:
    webhook.patch({"op": "add", "path": "/metadata/annotations", "value": {"seen": "yes"}})
    admin.do("POST", HOOKS, webhook.configuration(namespace))
    made = admin.do("POST", pods, {"metadata": {"name": "p"}, "spec": POD})
    assert made["metadata"]["annotations"] == {"seen": "yes"}
    (request,) = webhook.seen
    assert (request["operation"], request["namespace"], request["name"]) == ("CREATE", namespace, "p")
    assert request["kind"] == {"group": "", "version": "v1", "kind": "Pod"}
    assert request["userInfo"]["username"] == "admin"
    assert request["object"]["spec"]["volumes"], "the service account's volume is there already"
    admin.do("POST", f"/api/v1/namespaces/{namespace}/configmaps", {"metadata": {"name": "c"}})
    admin.do("POST", "/api/v1/namespaces/default/pods", {"metadata": {"name": namespace}, "spec": POD})
    admin.do("DELETE", f"/api/v1/namespaces/default/pods/{namespace}")
    assert len(webhook.seen) == 1


def test_a_webhook_denies(admin: Any, namespace: str, pods: str, webhook: Webhook) -> None:
    webhook.answer = {"allowed": False, "status": {"message": "not today", "code": 403}}
    admin.do("POST", HOOKS, webhook.configuration(namespace))
    status, refused = admin.call("POST", pods, {"metadata": {"name": "p"}, "spec": POD})
    assert status == 403
    assert refused["message"] == f'admission webhook "{namespace}.example.com" denied the request: not today'
    assert admin.call("GET", f"{pods}/p")[0] == 404


def test_a_failing_webhook_refuses_by_default(
    admin: Any, namespace: str, pods: str, webhook: Webhook
) -> None:
    webhook.status = 503
    admin.do("POST", HOOKS, webhook.configuration(namespace))
    code, answer = admin.call("POST", pods, {"metadata": {"name": "p"}, "spec": POD})
    assert code == 500
    assert answer["message"] == (
        f'Internal error occurred: failed calling webhook "{namespace}.example.com": failed to call webhook: '
        "the server is currently unable to handle the request"
    )


def test_a_failing_webhook_may_be_ignored(admin: Any, namespace: str, pods: str, webhook: Webhook) -> None:
    webhook.status = 503
    admin.do("POST", HOOKS, webhook.configuration(namespace, failurePolicy="Ignore"))
    admin.do("POST", pods, {"metadata": {"name": "p"}, "spec": POD})
    assert len(webhook.seen) == 1


def test_a_webhook_of_another_authority_is_not_trusted(
    admin: Any, namespace: str, pods: str, webhook: Webhook
) -> None:
    client = {"url": webhook.url}
    admin.do("POST", HOOKS, webhook.configuration(namespace, clientConfig=client))
    status, refused = admin.call("POST", pods, {"metadata": {"name": "p"}, "spec": POD})
    assert status == 500
    assert "failed to call webhook" in refused["message"]
    assert webhook.seen == []
