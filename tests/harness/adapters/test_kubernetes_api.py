"""The way to the Kubernetes API against a small server in its place."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from typing import TYPE_CHECKING, Any

import pytest

from harness.adapters import control_plane, daemons
from harness.adapters.certificates import Authority
from harness.adapters.kubernetes_api import KubernetesAPI, RefusedError
from harness.core.errors import EnvironmentBroken, TransientOracleError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.harness.adapters.conftest import Request, Site

POD = "/api/v1/namespaces/ns/pods/one"


def status(code: int, message: str) -> tuple[int, dict[str, Any]]:
    return code, {"kind": "Status", "status": "Failure", "message": message, "code": code}


def answer(request: Request) -> tuple[int, Any]:
    """What an API server says about these paths."""
    path = request.path.partition("?")[0]
    known: dict[str, tuple[int, Any]] = {
        POD: (200, {"kind": "Pod", "metadata": {"uid": "1"}}),
        "/refused": status(403, 'pods is forbidden: User "x" cannot list'),
        "/plain": (500, "out of order"),
        "/busy": (429, "Too many requests, please try again later."),
        "/ending": status(503, "apiserver is shutting down"),
        "/log": (200, "line 1\nline 2\n"),
    }
    return known.get(path, status(404, f'"{path}" not found') if request.method != "PATCH" else (200, {}))


@pytest.fixture
def site(serve: Callable[..., Site]) -> Site:
    return serve(answer, tls=True)


@pytest.fixture
def connect(authority: Authority, tmp_path: Path) -> Iterator[Callable[[str], KubernetesAPI]]:
    """Makes the API for a server's URL, as an administrator."""
    with contextlib.ExitStack() as stack:

        def make(url: str) -> KubernetesAPI:
            admin = authority.issue("test-admin", common_name="admin", organization="system:masters")
            api = KubernetesAPI(
                control_plane.kubeconfig(tmp_path / "admin.kubeconfig", url, authority, admin)
            )
            stack.callback(api.close)
            return api

        yield make


@pytest.fixture
def api(connect: Callable[[str], KubernetesAPI], site: Site) -> KubernetesAPI:
    return connect(site.url)


def test_an_object_is_read_and_one_that_is_not_there_is_none(api: KubernetesAPI) -> None:
    assert api.get(POD) == {"kind": "Pod", "metadata": {"uid": "1"}}
    assert api.get("/api/v1/namespaces/ns/pods/two") is None


def test_a_log_is_read_as_text(api: KubernetesAPI) -> None:
    assert api.text("GET", "/log?container=teleport") == "line 1\nline 2\n"


def test_a_refusal_is_told_in_the_api_servers_own_words(api: KubernetesAPI) -> None:
    for read in (api.get, lambda path: api.call("GET", path), lambda path: api.text("GET", path)):
        with pytest.raises(RefusedError) as caught:
            read("/refused")
        assert caught.value.status == 403
        assert caught.value.message == 'pods is forbidden: User "x" cannot list'
        assert caught.value.seen == '403: pods is forbidden: User "x" cannot list'
        assert caught.value.expected == "GET /refused to succeed"


def test_a_refusal_that_is_no_status_is_told_as_it_is(api: KubernetesAPI) -> None:
    with pytest.raises(RefusedError, match="500: out of order"):
        api.get("/plain")


def test_a_refusal_is_no_passing_failure(api: KubernetesAPI) -> None:
    # `eventually` looks again after a passing one: a refusal must end the wait.
    assert not issubclass(RefusedError, TransientOracleError)
    with pytest.raises(TransientOracleError, match=r"503: .*apiserver is shutting down"):
        api.get("/ending")
    with pytest.raises(TransientOracleError, match=r"429: Too many requests"):
        api.call("POST", "/busy", {})


def test_one_that_does_not_answer_may_later(connect: Callable[[str], KubernetesAPI]) -> None:
    with pytest.raises(TransientOracleError, match="did not answer"):
        connect(f"https://127.0.0.1:{daemons.free_port()}").get(POD)
    with pytest.raises(TransientOracleError, match="did not answer"):
        connect(f"https://127.0.0.1:{daemons.free_port()}").impersonating("alice", "/version")


def test_one_that_breaks_off_may_answer_later(connect: Callable[[str], KubernetesAPI]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        api = connect(f"https://127.0.0.1:{listening.getsockname()[1]}")
        listening.settimeout(10)

        def hang_up() -> None:
            listening.accept()[0].close()

        thread = threading.Thread(target=hang_up)
        thread.start()
        with pytest.raises(TransientOracleError, match="did not answer"):
            api.get(POD)
        thread.join()


def test_neither_the_users_proxy_nor_kubeconfig_is_used(
    serve: Callable[..., Site],
    connect: Callable[[str], KubernetesAPI],
    site: Site,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    proxy = serve(lambda _: (200, {"kind": "not the cluster's"}))
    for name in ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "ALL_PROXY"):
        monkeypatch.setenv(name, proxy.url)
    other = tmp_path / "config"
    other.write_text(json.dumps({"clusters": [{"name": "x", "cluster": {"server": proxy.url}}]}))
    monkeypatch.setenv("KUBECONFIG", str(other))
    before = other.read_bytes()
    assert (connect(site.url).get(POD) or {})["kind"] == "Pod"
    assert proxy.requests == []
    assert other.read_bytes() == before


def test_a_server_of_another_authority_is_never_asked(
    serve: Callable[..., Site], tmp_path: Path, site: Site
) -> None:
    other = Authority(tmp_path)
    admin = other.issue("admin")
    api = KubernetesAPI(control_plane.kubeconfig(tmp_path / "other.kubeconfig", site.url, other, admin))
    with contextlib.closing(api), pytest.raises(EnvironmentBroken, match="certificate verify failed"):
        api.get(POD)
    assert site.requests == []


@pytest.mark.parametrize(
    ("manifest", "path"),
    [
        ({"kind": "Namespace", "metadata": {"name": "ns"}}, "/api/v1/namespaces/ns"),
        (
            {"kind": "ServiceAccount", "metadata": {"name": "sa", "namespace": "ns"}},
            "/api/v1/namespaces/ns/serviceaccounts/sa",
        ),
        (
            {"kind": "ClusterRoleBinding", "metadata": {"name": "crb"}},
            "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/crb",
        ),
    ],
)
def test_applying_is_a_patch_on_the_servers_side(
    api: KubernetesAPI, site: Site, manifest: dict[str, Any], path: str
) -> None:
    api.apply(manifest)
    (request,) = site.requests
    assert request.method == "PATCH"
    assert request.path == f"{path}?fieldManager=conformance&force=true"
    assert request.headers["Content-Type"] == "application/apply-patch+yaml"
    assert request.json == manifest


def test_deleting_what_is_gone_is_fine(api: KubernetesAPI, site: Site) -> None:
    api.delete("/api/v1/namespaces/ns/pods/two", grace=1)
    (request,) = site.requests
    assert request.method == "DELETE"
    assert request.json == {"propagationPolicy": "Background", "gracePeriodSeconds": 1}
    api.delete(POD)
    assert site.requests[1].json == {"propagationPolicy": "Background"}


def test_deleting_what_may_not_be_deleted_is_told(api: KubernetesAPI) -> None:
    with pytest.raises(RefusedError, match="forbidden"):
        api.delete("/refused")


def test_a_request_in_anothers_name_carries_the_id_that_it_returns(api: KubernetesAPI, site: Site) -> None:
    first, second = api.impersonating("alice", "/version"), api.impersonating("alice", "/version")
    assert first != second
    assert [request.headers["Audit-ID"] for request in site.requests] == [first, second]
    assert {request.headers["Impersonate-User"] for request in site.requests} == {"alice"}
