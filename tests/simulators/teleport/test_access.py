"""Users: signing in, what they see, and kubectl by way of proxy, tunnel and agent."""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import websocket  # comes with the client of Kubernetes
import yaml

from simulators.teleport.decisions import Decisions
from simulators.teleport.kubernetes_proxy import KubernetesProxy

if TYPE_CHECKING:
    from collections.abc import Callable

PODS = "/api/v1/namespaces/teleport-agent/pods"
NO_GROUPS = "this user cannot request kubernetes access, has no assigned groups or users"


def test_status_has_the_form_of_the_real_one(
    lab: Any, viewer: tuple[str, Path], observed: Callable[[str], Any]
) -> None:
    name, home = viewer
    done = lab.tsh(home, "status", "-f", "json")
    real, seen = observed("tsh-status.json"), json.loads(done.stdout)
    assert set(seen["active"]) | {"kubernetes_cluster"} == set(real["active"])
    assert seen["active"]["username"] == name
    assert seen["active"]["kubernetes_groups"] == ["viewers"]


def test_wrong_password(lab: Any, outsider: tuple[str, Path]) -> None:
    name, _ = outsider
    home = lab.home()
    assert lab.sign_in(name, home, "wrong") == 1
    assert lab.tsh(home, "status").stderr == "\x1b[31mERROR: \x1b[0mNot logged in.\n\n"
    [event] = lab.audit("user.login", user=name, success=False)
    assert (event["code"], event["error"]) == ("T1000W", "invalid username or password")


def test_password_only_on_a_terminal(lab: Any) -> None:
    done = lab.tsh(lab.home(), "login", "--proxy=tele.example.com:443", "--user=nobody")
    assert done.returncode == 1
    assert "underlying reader is not a terminal" in done.stderr


def test_invitation_needs_the_page_that_it_came_from_and_counts_once(lab: Any) -> None:
    name = lab.unique("bob")
    done = lab.tctl("users", "add", name, "--roles=access", "--format=json")
    invitation = json.loads(done.stdout)["metadata"]["name"]
    assert lab.set_password(invitation, csrf="other")[0] == 403
    assert lab.set_password(invitation)[0] == 200
    assert lab.set_password(invitation)[0] == 403


def test_kubeconfig_has_the_form_of_the_real_one(
    lab: Any, joined: Any, viewer: tuple[str, Path], observed: Callable[[str], Any]
) -> None:
    _, home = viewer
    done = lab.tsh(home, "kube", "login", joined.cluster)
    assert done.stdout == (
        f"Logged into Kubernetes cluster \"{joined.cluster}\". Try 'kubectl version' to test the connection.\n"
    )
    seen, real = yaml.safe_load((home / "kubeconfig").read_text()), observed("kubeconfig-of-tsh.json")
    assert set(seen) == set(real)
    for kind in ("clusters", "contexts", "users"):
        assert [keys(entry) for entry in seen[kind]] == [keys(entry) for entry in real[kind]]
    assert seen["clusters"][0]["cluster"]["tls-server-name"] == "kube.tele.example.com"
    listed = json.loads(lab.tsh(home, "kube", "ls", "-f", "json").stdout)
    assert {"kube_cluster_name": joined.cluster, "labels": None, "selected": True} in listed


def test_unknown_cluster(lab: Any, viewer: tuple[str, Path], observed: Callable[[str], Any]) -> None:
    _, home = viewer
    done = lab.tsh(home, "kube", "login", "nosuch")
    assert (done.returncode, done.stderr) == (1, observed("tsh-kube-login-unknown.txt"))


def test_kubectl_reaches_the_cluster_as_the_user(
    lab: Any, joined: Any, viewer: tuple[str, Path], observed: Callable[[str], Any], wait: Callable[..., Any]
) -> None:
    name, home = viewer
    before = len(lab.kubernetes.seen)
    status, answer = lab.kubectl(home, joined.cluster, f"{PODS}?limit=500")
    assert (status, answer["items"][0]["metadata"]["name"]) == (200, "teleport-agent-0")
    [(_, path, headers, groups, _)] = lab.kubernetes.seen[before:]
    assert path == f"{PODS}?limit=500"
    assert headers["Authorization"] == "Bearer service-account-token"
    assert headers["Impersonate-User"] == name
    assert sorted(groups) == ["system:authenticated", "viewers"]
    [event] = wait(lambda: lab.audit("kube.request", user=name, request_path=PODS))
    events = observed("audit-events.json")
    real = next(one for one in events if one.get("request_path") == "/api/v1/namespaces/default/pods")
    assert list(event) == list(real)
    assert event["server_id"] == joined.host_id
    assert event["kubernetes_groups"] == ["system:authenticated", "viewers"]


def test_discovery_is_not_recorded(
    lab: Any, joined: Any, viewer: tuple[str, Path], wait: Callable[..., Any]
) -> None:
    name, home = viewer
    known = len(lab.audit("kube.request", user=name))
    for path in ("/api", "/apis/apps/v1", "/version"):
        assert lab.kubectl(home, joined.cluster, path)[0] == 200
    # The last one is recorded, so those before it would be.
    wait(lambda: lab.audit("kube.request", user=name)[known:])
    assert [event["request_path"] for event in lab.audit("kube.request", user=name)[known:]] == ["/version"]


def test_a_role_that_fits_no_pod_lists_none(lab: Any, joined: Any) -> None:
    role = lab.unique("kube-access")
    only = [{"kind": "pod", "namespace": "nowhere", "name": "*"}]
    allow = {"kubernetes_labels": {"*": "*"}, "kubernetes_groups": ["viewers"], "kubernetes_resources": only}
    lab.create("role", role, {"allow": allow, "deny": {}}, version="v6")
    _, home = lab.user(role)
    status, answer = lab.kubectl(home, joined.cluster, PODS)
    assert (status, answer["items"]) == (200, [])
    status, answer = lab.kubectl(home, joined.cluster, f"{PODS}/teleport-agent-0")
    assert (status, answer["reason"]) == (403, "Forbidden")
    assert lab.kubectl(home, joined.cluster, f"{PODS}?watch=1")[0] == 400
    # A session of this role forwards no SSH agent (measured); one of role access does.
    assert "permit-agent-forwarding" not in lab.tsh(home, "status", "--format=json").stdout


def test_user_without_groups_is_told_so(lab: Any, joined: Any, outsider: tuple[str, Path]) -> None:
    name, home = outsider
    before = len(lab.kubernetes.seen)
    assert lab.kubectl(home, joined.cluster, PODS) == (
        404,
        {
            "kind": "Status",
            "apiVersion": "v1",
            "metadata": {},
            "status": "Failure",
            "message": NO_GROUPS,
            "reason": "NotFound",
            "code": 404,
        },
    )
    assert len(lab.kubernetes.seen) == before
    assert lab.audit("kube.request", user=name) == []
    assert joined.cluster in lab.tsh(home, "kube", "ls").stdout


def test_roles_count_from_the_next_sign_in_on(lab: Any, joined: Any, viewer: tuple[str, Path]) -> None:
    roles = lab.get(f"user/{viewer[0]}")[0]["spec"]["roles"]
    name, home = lab.user("access")
    assert lab.tctl("users", "update", name, f"--set-roles={','.join(roles)}").returncode == 0
    assert lab.kubectl(home, joined.cluster, PODS)[1]["message"] == NO_GROUPS
    assert lab.tsh(home, "logout").returncode == 0
    assert lab.sign_in(name, home) == 0
    assert lab.kubectl(home, joined.cluster, PODS)[0] == 200


def test_impersonation_beyond_the_roles(lab: Any, joined: Any, viewer: tuple[str, Path]) -> None:
    _, home = viewer
    for header, told in (
        ("Impersonate-User", 'user header "somebody" is not allowed in roles'),
        ("Impersonate-Group", 'group header "somebody" value is not allowed in roles'),
    ):
        status, answer = lab.kubectl(home, joined.cluster, PODS, **{header: "somebody"})
        assert status == 403
        assert told in answer["message"]


def test_role_whose_labels_do_not_match(lab: Any, joined: Any) -> None:
    role = lab.unique("elsewhere")
    allow = {"kubernetes_labels": {"env": "prod"}, "kubernetes_groups": ["viewers"]}
    lab.create("role", role, {"allow": allow}, version="v5")
    _, home = lab.user(role)
    assert joined.cluster not in lab.tsh(home, "kube", "ls").stdout
    done = lab.tsh(
        home, "kube", "credentials", f"--kube-cluster={joined.cluster}", "--teleport-cluster=tele.example.com"
    )
    assert (done.returncode, done.stdout) == (1, "")


def test_role_of_version_6_reaches_no_pods_by_itself(lab: Any, joined: Any) -> None:
    role = lab.unique("v6")
    allow = {"kubernetes_labels": {"*": "*"}, "kubernetes_groups": ["viewers"]}
    lab.create("role", role, {"allow": allow}, version="v6")
    _, home = lab.user(role)
    assert lab.kubectl(home, joined.cluster, f"{PODS}/teleport-agent-0")[0] == 403
    assert lab.kubectl(home, joined.cluster, "/api/v1/namespaces/teleport-agent/services")[0] == 200


def test_watch_blocks_nobody_and_is_recorded_when_it_ends(
    lab: Any, joined: Any, viewer: tuple[str, Path], wait: Callable[..., Any]
) -> None:
    name, home = viewer
    identity = lab.kubernetes_identity(home, joined.cluster)
    watching = lab.connection(identity, "kube.tele.example.com")
    watching.request("GET", f"{PODS}?watch=true")
    answer = watching.getresponse()
    assert answer.read(16) == b'{"type":"ADDED"}'
    known = len(lab.audit("kube.request", user=name, request_path=PODS))
    assert lab.kubectl(home, joined.cluster, "/version")[0] == 200
    assert len(lab.audit("kube.request", user=name, request_path=PODS)) == known
    watching.close()
    answer.close()
    wait(lambda: len(lab.audit("kube.request", user=name, request_path=PODS)) == known + 1)


def execute(lab: Any, home: Path, cluster: str, query: str) -> tuple[bytes, dict[str, Any]]:
    """What `kubectl exec` does: one line goes in; what comes out, and the end."""
    connection = lab.connection(lab.kubernetes_identity(home, cluster), "kube.tele.example.com")
    socket = websocket.create_connection(
        f"wss://kube.tele.example.com{PODS}/run/exec?{query}",
        socket=connection.sock,
        subprotocols=["v5.channel.k8s.io"],
    )
    printed, status = b"", b""
    with closing(connection), closing(socket):
        socket.send_binary(b"\x00line")
        while not status:
            message = socket.recv()
            assert isinstance(message, bytes)
            printed += message[1:] if message[0] == 1 else b""
            status = message[1:] if message[0] == 3 else b""
    return printed, json.loads(status)


@pytest.mark.parametrize(
    "example",
    [
        ("succeed", b"line", "Success", ("T3002I", None, None)),
        ("exit", b"line", "Failure", ("T3002E", "3", "command terminated with exit code 3")),
        ("break", b"line", "Failure", ("T3002E", None, "it broke")),
        ("forbidden", b"", "Failure", ("T3002E", "403", "pods is forbidden: no")),
    ],
)
def test_command_is_passed_on_and_recorded(
    lab: Any,
    joined: Any,
    viewer: tuple[str, Path],
    wait: Callable[..., Any],
    example: tuple[str, bytes, str, tuple[str, str | None, str | None]],
) -> None:
    (name, home), (command, printed, status, recorded) = viewer, example
    known = len(lab.audit("session.end", user=name))
    seen, end = execute(lab, home, joined.cluster, f"command={command}&command=a+b&stdin=true&stdout=true")
    assert (seen, end["status"]) == (printed, status)
    wait(lambda: len(lab.audit("session.end", user=name)) == known + 1)
    [event] = lab.audit("exec", user=name)[-1:]
    assert (event["code"], event.get("exitCode"), event.get("exitError")) == recorded
    assert event["command"] == f"{command} a b"
    place = ("kubernetes_pod_name", "kubernetes_container_name", "kubernetes_container_image")
    assert [event[field] for field in place] == ["run", "first", "one:1"]
    assert (event["server_id"], event["kubernetes_node_name"]) == (joined.host_id, "node-1")
    sessions = {lab.audit(kind, user=name)[-1]["sid"] for kind in ("session.start", "exec", "session.end")}
    assert sessions == {event["sid"]}
    [asked] = [seen for seen in lab.kubernetes.seen if f"command={command}&" in seen[1]][-1:]
    assert asked[2]["Impersonate-User"] == name


def test_container_that_is_named_is_recorded(
    lab: Any, joined: Any, viewer: tuple[str, Path], wait: Callable[..., Any]
) -> None:
    name, home = viewer
    execute(lab, home, joined.cluster, "command=succeed&container=second&stdout=true")
    wait(lambda: lab.audit("exec", user=name, kubernetes_container_image="two:2"))


def test_commands_over_spdy_and_port_forwards_are_refused(
    lab: Any, joined: Any, viewer: tuple[str, Path]
) -> None:
    _, home = viewer
    status, answer = lab.kubectl(home, joined.cluster, f"{PODS}/x/exec", "POST", Upgrade="SPDY/3.1")
    assert (status, "seen: SPDY/3.1" in answer["message"]) == (400, True)
    status, answer = lab.kubectl(home, joined.cluster, f"{PODS}/x/portforward", "POST", Upgrade="SPDY/3.1")
    assert (status, answer["message"]) == (501, "attach and port-forward are not simulated")


def test_agent_that_is_gone(lab: Any, viewer: tuple[str, Path], wait: Callable[..., Any]) -> None:
    role, cluster = lab.role(), lab.unique("cluster")
    agent = lab.agent(lab.pod(role, lab.token(role), cluster))
    wait(lambda: lab.servers(cluster))
    agent.stop()
    status, answer = lab.kubectl(viewer[1], cluster, "/version")
    assert (status, answer["reason"]) == (504, "Timeout")
    assert answer["message"].startswith('Teleport proxy failed to connect to "kube" agent')
    assert (
        lab.tctl("rm", f"kube_server/{cluster}").stdout == f'kubernetes server "{cluster}" has been deleted\n'
    )
    status, answer = lab.kubectl(viewer[1], cluster, "/version")
    assert (status, "is not registered in this teleport cluster" in answer["message"]) == (400, True)


def test_of_several_agents_one_is_drawn_and_of_its_tunnels_the_newest() -> None:
    servers = [{"spec": {"host_id": host}} for host in ("a", "b", "gone")]
    auth: Any = SimpleNamespace(servers_of=lambda _: servers, decisions=Decisions())
    proxy = KubernetesProxy(auth)
    tunnels: Any = [
        SimpleNamespace(host_id=host, number=number)
        for number, host in enumerate(("a", "a", "b", "stranger"))
    ]
    proxy._tunnels = tunnels
    drawn = [proxy._agent_of("iam-cluster") for _ in range(100)]
    assert {vars(one)["number"] for one in drawn} == {1, 2}


def test_no_certificate_no_answer(lab: Any, viewer: tuple[str, Path]) -> None:
    _, home = viewer
    assert lab.https("GET", "/version", name="kube.tele.example.com")[0] == 403
    assert lab.call("get", {"kind": "token"})[0] == 403
    # A user's certificate is no host's.
    profile = Path(home / ".tsh" / "keys" / "tele.example.com")
    identity = "".join((profile / f"{viewer[0]}{end}").read_text() for end in ("-x509.pem", ""))
    assert lab.call("hello", {"role": "Kube"}, identity=identity)[0] == 403


def keys(document: Any) -> Any:
    """The keys of a document, all the way down."""
    if isinstance(document, dict):
        return {key: keys(value) for key, value in document.items()}
    return [keys(value) for value in document] if isinstance(document, list) else None


def test_audit_events_have_the_form_of_the_real_ones(
    lab: Any, joined: Any, viewer: tuple[str, Path], observed: Callable[[str], Any]
) -> None:
    real = {(event["event"], event["code"]): list(event) for event in observed("audit-events.json")}
    name, _ = viewer
    lab.sign_in(name, lab.home(), "wrong")
    seen = {
        (event["event"], event["code"]): list(event)
        for kind in ("role.created", "user.create", "user.login", "instance.join", "cert.create")
        for event in lab.audit(kind)
    }
    assert seen == {key: real[key] for key in seen}
    assert len(seen) == 6  # signing in succeeded and failed
    [joins] = [lab.audit("instance.join", host_id=joined.host_id, role="Kube")]
    assert joins[0]["token_name"] == joined.token
