"""Real clients: kubectl, the `kubernetes` client, Helm's library, and the lab's kubelet."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
from kubernetes import client, config, watch
from kubernetes.stream import stream

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
Object = dict[str, Any]

MANIFEST = """
apiVersion: v1
kind: ConfigMap
metadata: {name: c}
data: {k: one}
"""
CHART = {
    "Chart.yaml": "apiVersion: v2\nname: tiny\nversion: 0.1.0\n",
    "values.yaml": "text: one\n",
    "templates/map.yaml": """
apiVersion: v1
kind: ConfigMap
metadata: {name: "{{ .Release.Name }}"}
data: {text: "{{ .Values.text }}"{{ if eq .Values.text "one" }}, only: first{{ end }}}
""",
    "templates/set.yaml": """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: "{{ .Release.Name }}"}
spec:
  serviceName: tiny
  selector: {matchLabels: {app: tiny}}
  template:
    metadata: {labels: {app: tiny}}
    spec:
      terminationGracePeriodSeconds: 1
      containers: [{name: main, image: "local:1", args: ["echo started; exec sleep 600"]}]
""",
    "templates/hook.yaml": """
apiVersion: batch/v1
kind: Job
metadata:
  name: "{{ .Release.Name }}-bye"
  annotations: {helm.sh/hook: post-delete, helm.sh/hook-delete-policy: hook-succeeded}
spec:
  template:
    spec:
      restartPolicy: Never
      containers: [{name: main, image: "local:1", args: ["true"]}]
""",
}


@pytest.fixture
def kubectl(run_client: Any, namespace: str) -> Any:
    def run(*arguments: str, stdin: str = "", code: int = 0) -> str:
        ended = run_client("kubectl", "--namespace", namespace, *arguments, stdin=stdin)
        assert ended.returncode == code, ended.stderr
        return str(ended.stdout if code == 0 else ended.stderr)

    return run


@pytest.fixture(scope="module")
def kubelet(server: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The lab's kubelet as a node of the server."""
    folder = tmp_path_factory.mktemp("kubelet")
    certificate, key = server.pair("kubelet", "127.0.0.1")
    ready = folder / "ready.json"
    document = {
        "run": "test",
        "node": "node-1",
        "kubeconfig": str(server.kubeconfig("kubelet-user")),
        "folder": str(folder / "pods"),
        "listen": "127.0.0.1:0",
        "serving_certificate": str(certificate),
        "serving_key": str(key),
        "client_ca": str(server.folder / "ca.pem"),
        "images": [{"name": "*", "entrypoint": ["sh", "-c"], "path": None}],
        "environment": {},
        "isolation": "none",
        "ready": str(ready),
    }
    (folder / "config.json").write_text(json.dumps(document))
    with (folder / "log").open("wb") as log:
        argv = [sys.executable, "-m", "simulators.kubelet", str(folder / "config.json")]
        process = subprocess.Popen(argv, cwd=ROOT, stdout=log, stderr=log)
    try:
        poll_file(ready, process, folder / "log")
        yield
    finally:
        process.terminate()
        process.wait(20)


def poll_file(path: Path, process: subprocess.Popen[bytes], log: Path) -> None:
    while not path.exists():
        try:
            process.wait(0.02)
        except subprocess.TimeoutExpired:
            continue
        pytest.fail(log.read_text())


def test_kubectl_creates_what_the_guide_does(kubectl: Any, namespace: str, admin: Any) -> None:
    assert kubectl("create", "sa", "a") == "serviceaccount/a created\n"
    assert 'serviceaccounts "a" already exists' in kubectl("create", "sa", "a", code=1)
    assert kubectl("annotate", "sa", "a", "x=y") == "serviceaccount/a annotated\n"
    assert kubectl("get", "sa", "a", "-o", "jsonpath={.metadata.annotations.x}") == "y"
    kubectl("create", "secret", "generic", "s", "--from-literal=k=v")
    assert admin.get(f"/api/v1/namespaces/{namespace}/secrets/s")["data"] == {"k": "dg=="}
    assert kubectl("create", "token", "a").count(".") == 2
    kubectl("create", "role", "r", "--verb=get,list", "--resource=pods")
    kubectl("create", "rolebinding", "b", "--role=r", "--user=amy")
    assert kubectl("auth", "can-i", "list", "pods", "--as", "amy") == "yes\n"
    assert kubectl("auth", "can-i", "list", "secrets", "--as", "amy", code=1) == ""
    assert "Forbidden" in kubectl("get", "secrets", "--as", "amy", code=1)
    assert kubectl("get", "pods", "--as", "amy") == ""
    assert "jane" in kubectl("auth", "whoami", "--as", "jane")


def test_kubectl_applies_prints_and_deletes(kubectl: Any, namespace: str) -> None:
    assert kubectl("apply", "-f", "-", stdin=MANIFEST) == "configmap/c created\n"
    assert kubectl("apply", "-f", "-", stdin=MANIFEST) == "configmap/c unchanged\n"
    changed = MANIFEST.replace("k: one", "l: two")
    assert kubectl("apply", "-f", "-", stdin=changed) == "configmap/c configured\n"
    assert kubectl("get", "cm", "c", "-o", "jsonpath={.data}") == '{"l":"two"}'
    assert "serverside-applied" in kubectl("apply", "--server-side", "-f", "-", stdin=MANIFEST)
    lines = kubectl("get", "configmaps").splitlines()
    assert [line.split()[0] for line in lines] == ["NAME", "c", "kube-root-ca.crt"]
    assert kubectl("delete", "cm", "c").startswith('configmap "c" deleted')
    assert 'configmaps "c" not found' in kubectl("get", "cm", "c", code=1)
    assert "simulated" in kubectl("version")
    kubectl("delete", "namespace", namespace)


def test_the_python_client_lists_watches_and_deletes(server: Any, namespace: str) -> None:
    settings = client.Configuration()
    config.load_kube_config(str(server.kubeconfig()), client_configuration=settings, persist_config=False)
    settings.proxy = None
    with client.ApiClient(settings) as connection:
        core = client.CoreV1Api(connection)
        core.create_namespaced_config_map(namespace, {"metadata": {"name": "a"}, "data": {"k": "v"}})
        version = core.list_namespaced_config_map(namespace).metadata.resource_version
        core.patch_namespaced_config_map("a", namespace, {"data": {"k": "w"}})
        core.delete_namespaced_config_map("a", namespace)
        stream = watch.Watch().stream(
            core.list_namespaced_config_map, namespace, resource_version=version, timeout_seconds=1
        )
        seen = [(event["type"], event["object"].data["k"]) for event in stream]
    assert seen == [("MODIFIED", "w"), ("DELETED", "w")]


HELM = """
import json, sys
import helm_python
kubeconfig, namespace, chart = sys.argv[1:]
helm = helm_python.Config(kubeconfig_path=kubeconfig, namespace=namespace)
helm.install(chart, "r", {}, timeout=20, wait="watcher")
print(json.dumps([release["status"] for release in helm.list()]), flush=True)
input()
helm.upgrade(chart, "r", {"text": "two"}, timeout=20)
print("upgraded", flush=True)
input()
helm.uninstall("r", timeout=20)
print(json.dumps(helm.list()))
"""


@pytest.mark.usefixtures("kubelet")
def test_helm_installs_upgrades_and_uninstalls(
    server: Any, admin: Any, namespace: str, tmp_path: Path, poll: Any
) -> None:
    for name, text in CHART.items():
        path = tmp_path / "tiny" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    argv = [sys.executable, "-c", HELM, str(server.kubeconfig()), namespace, str(tmp_path / "tiny")]
    env = {"HOME": str(tmp_path)}
    core, sets = f"/api/v1/namespaces/{namespace}", f"/apis/apps/v1/namespaces/{namespace}/statefulsets/r"
    with subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as helm:
        assert helm.stdin
        assert helm.stdout
        assert helm.stdout.readline() == '["deployed"]\n'
        assert admin.get(sets)["status"]["readyReplicas"] == 1, "it waited for the pod"
        assert admin.get(f"{core}/configmaps/r")["data"] == {"text": "one", "only": "first"}
        poll(lambda: admin.raw("GET", f"{core}/pods/r-0/log") == (200, "started\n"))
        helm.stdin.write("\n")
        helm.stdin.flush()
        assert helm.stdout.readline() == "upgraded\n"
        assert admin.get(f"{core}/configmaps/r")["data"] == {"text": "two"}, "what is applied no more goes"
        helm.stdin.write("\n")
        helm.stdin.flush()
        assert helm.stdout.readline() == "[]\n"
    assert helm.returncode == 0
    assert admin.call("GET", sets)[0] == 404
    assert admin.get(f"/apis/batch/v1/namespaces/{namespace}/jobs")["items"] == [], "the hook ran and is gone"
    hooks = [
        r
        for r in server.audited()
        if r["requestURI"].startswith(f"/apis/batch/v1/namespaces/{namespace}/jobs")
    ]
    assert any(record["responseStatus"]["code"] == 201 for record in hooks)


def test_a_job_s_pod_runs_and_its_log_is_read(admin: Any, namespace: str, poll: Any, kubelet: None) -> None:
    jobs, core = f"/apis/batch/v1/namespaces/{namespace}/jobs", f"/api/v1/namespaces/{namespace}"
    container = {"name": "main", "image": "local:1", "args": ["echo one; echo two"]}
    pod = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    admin.do("POST", jobs, {"metadata": {"name": "j"}, "spec": {"template": pod}})
    poll(lambda: any(c["type"] == "Complete" for c in admin.get(f"{jobs}/j")["status"].get("conditions", [])))
    name = admin.get(f"{core}/pods")["items"][0]["metadata"]["name"]
    assert admin.raw("GET", f"{core}/pods/{name}/log?tailLines=1") == (200, "two\n")
    status, refused = admin.call("GET", f"{core}/pods/{name}/log?container=other")
    assert (status, refused["message"]) == (400, f"container other is not valid for pod {name}")
    assert admin.call("GET", f"{core}/pods/zz/log")[0] == 404


@pytest.fixture
def shell(admin: Any, namespace: str, poll: Any, kubelet: None) -> str:
    """A running pod with a shell."""
    pods = f"/api/v1/namespaces/{namespace}/pods"
    environment = [{"name": "GREETING", "value": "hello"}]
    container = {"name": "main", "image": "local:1", "args": ["exec sleep 600"], "env": environment}
    spec = {"terminationGracePeriodSeconds": 0, "containers": [container]}
    admin.do("POST", pods, {"metadata": {"name": "shell"}, "spec": spec})
    poll(lambda: "running" in admin.get(f"{pods}/shell")["status"]["containerStatuses"][0]["state"])
    return "shell"


def test_kubectl_runs_a_command_in_a_pod(
    run_client: Any, server: Any, namespace: str, shell: str, poll: Any
) -> None:
    def execute(*argv: str, stdin: str = "") -> tuple[int, str, str]:
        ended = run_client("kubectl", "-n", namespace, "exec", *argv, stdin=stdin)
        return ended.returncode, ended.stdout, ended.stderr

    assert execute(shell, "--", "sh", "-c", "echo $GREETING; echo no >&2") == (0, "hello\n", "no\n")
    assert execute("-i", shell, "--", "sort", stdin="b\na\n") == (0, "a\nb\n", "")
    assert execute(shell, "--", "cat", stdin="is not passed") == (0, "", "")
    assert execute(shell, "--", "sh", "-c", "exit 3") == (3, "", "command terminated with exit code 3\n")
    many = execute(shell, "--", "sh", "-c", "yes | head -c 3000000")
    assert (many[0], len(many[1])) == (0, 3_000_000), "all of it comes, though the command ended long before"
    code, _, told = execute(shell, "--", "no-such-program")
    assert (code, 'exec: "no-such-program": executable file not found in $PATH' in told) == (1, True), told
    code, _, told = execute(shell, "-c", "other", "--", "true")
    assert (code, "container other is not valid for pod shell" in told) == (1, True), told
    code, _, told = execute(shell, "--as", "amy", "--", "true")
    assert (code, "Forbidden" in told) == (1, True), told
    path = f"/api/v1/namespaces/{namespace}/pods/shell/exec?command=sort"

    def stages() -> list[tuple[str, int]]:
        records = [record for record in server.audited() if record["requestURI"].startswith(path)]
        return [(record["stage"], record["responseStatus"]["code"]) for record in records]

    assert poll(stages) == [("ResponseStarted", 101), ("ResponseComplete", 101)]


def test_a_command_ends_with_its_client(admin: Any, server: Any, namespace: str, shell: str) -> None:
    kubectl = ["kubectl", "--kubeconfig", str(server.kubeconfig()), "-n", namespace]
    script = "echo $$; exec sleep 600"
    with subprocess.Popen(
        [BIN / kubectl[0], *kubectl[1:], "exec", shell, "--", "sh", "-c", script], stdout=subprocess.PIPE
    ) as process:
        assert process.stdout
        command = psutil.Process(int(process.stdout.readline()))
        process.kill()
    with suppress(psutil.NoSuchProcess):
        command.wait(10)
    assert not command.is_running()


def test_the_python_client_runs_a_command_in_a_pod(server: Any, namespace: str, shell: str) -> None:
    settings = client.Configuration()
    config.load_kube_config(str(server.kubeconfig()), client_configuration=settings, persist_config=False)
    settings.proxy = None
    with client.ApiClient(settings) as connection:
        session = stream(
            client.CoreV1Api(connection).connect_get_namespaced_pod_exec,
            shell,
            namespace,
            command=["sh", "-c", "read line; echo got $line; exit 4"],
            stdin=True,
            stdout=True,
            stderr=True,
            tty=False,
            _preload_content=False,
        )
        session.write_stdin("a line\n")
        session.run_forever(timeout=10)
        session.sock.shutdown()  # its own close leaves the socket open once the server has closed
        assert (session.read_stdout(), session.returncode) == ("got a line\n", 4)


def test_a_terminal_is_refused_and_so_is_spdy(
    admin: Any, server: Any, namespace: str, shell: str, run_client: Any
) -> None:
    path = f"/api/v1/namespaces/{namespace}/pods/{shell}/exec?command=true&stdout=true"
    upgrade = {"Connection": "Upgrade", "Upgrade": "SPDY/3.1"}
    status, told = admin.call("POST", path, **upgrade)
    assert (status, "over WebSockets" in told["message"], "SPDY/3.1" in told["message"]) == (400, True, True)
    terminal = run_client(
        sys.executable, "-c", TERMINAL, "kubectl", "-n", namespace, "exec", "-it", shell, "--", "true"
    )
    assert "without a terminal only" in terminal.stdout


TERMINAL = """
import pexpect, sys
child = pexpect.spawn(sys.argv[1], sys.argv[2:], timeout=20)
print(child.read().decode())
"""


def test_a_pod_reads_its_token_and_authority(
    server: Any, admin: Any, namespace: str, poll: Any, kubelet: None
) -> None:
    core = f"/api/v1/namespaces/{namespace}"
    place = '$(printf %s "$CONFORMANCE_MOUNTS" | sed \'s/.*serviceaccount": "\\([^"]*\\)".*/\\1/\')'
    script = f'cat "{place}/token"'
    container = {"name": "main", "image": "local:1", "args": [script]}
    admin.do(
        "POST",
        f"{core}/pods",
        {"metadata": {"name": "p"}, "spec": {"restartPolicy": "Never", "containers": [container]}},
    )
    poll(lambda: admin.get(f"{core}/pods/p")["status"]["phase"] == "Succeeded")
    token = admin.raw("GET", f"{core}/pods/p/log")[1].strip()
    review = server.client(token=token).do("POST", "/apis/authentication.k8s.io/v1/selfsubjectreviews", {})
    info = review["status"]["userInfo"]
    assert info["username"] == f"system:serviceaccount:{namespace}:default"
    assert info["extra"]["authentication.kubernetes.io/pod-name"] == ["p"]
    assert info["extra"]["authentication.kubernetes.io/node-name"] == ["node-1"]
