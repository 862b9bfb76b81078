"""A small Kubernetes API over HTTP, and kubelets that serve it as a program of its own."""

from __future__ import annotations

import base64
import copy
import http.client
import http.server
import itertools
import json
import os
import queue
import re
import shutil
import ssl
import subprocess
import sys
import tempfile
import threading
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
import tenacity
import trustme

Object = dict[str, Any]
Until = Callable[..., Any]
ROOT = Path(__file__).parents[3]
PATHS = re.compile(
    r"/(?:api/v1|apis/[^/]+/[^/]+)(?:/namespaces/(?P<ns>[^/]+))?/(?P<kind>[a-z]+)"
    r"(?:/(?P<name>[^/]+))?(?:/(?P<sub>\w+))?"
)


def until(read: Callable[[], Any], seconds: float = 10) -> Any:
    """Poll until something is true, and give it; on a time-out show what was seen last."""

    def give_up(state: tenacity.RetryCallState) -> Any:
        assert state.outcome is not None
        seen = state.outcome.exception() or state.outcome.result()
        pytest.fail(f"not seen within {seconds} s; last: {seen!r}")

    return tenacity.Retrying(
        retry=tenacity.retry_if_result(lambda seen: not seen) | tenacity.retry_if_exception_type(LookupError),
        stop=tenacity.stop_after_delay(seconds),
        wait=tenacity.wait_fixed(0.02),
        retry_error_callback=give_up,
    )(read)


def now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


class QuietServer(http.server.ThreadingHTTPServer):
    """Says nothing of clients that hang up."""

    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exception(), OSError):
            super().handle_error(request, client_address)


class FakeApi:
    """Objects with watches, bindings, graceful deletion, status patches and token requests."""

    def __init__(self) -> None:
        self.objects: dict[tuple[str, str, str], Object] = {}
        self.requests: list[tuple[str, str, Object]] = []
        self.token_seconds = 3600.0
        self.tokens: list[str] = []
        self.down = False
        self.refused: list[str] = []
        self._version = itertools.count(1)
        self._watches: list[queue.Queue[Object | None]] = []
        self._lock = threading.RLock()
        self._server = QuietServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self) -> None:
        self.break_watches()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def get(self, kind: str, name: str, ns: str = "default") -> Object:
        with self._lock:
            return copy.deepcopy(self.objects[kind, ns, name])

    def put(self, kind: str, name: str, content: Object, ns: str = "default") -> Object:
        """Create or replace an object; a pod of that name keeps nothing of the old one's."""
        with self._lock:
            meta = {
                "name": name,
                "namespace": ns,
                "uid": str(uuid.uuid4()),
                "creationTimestamp": now(),
            } | content.get("metadata", {})
            found = {**copy.deepcopy(content), "metadata": meta}
            known = (kind, ns, name) in self.objects
            self._store((kind, ns, name), found, "MODIFIED" if known else "ADDED")
            return copy.deepcopy(found)

    def change(self, kind: str, name: str, edit: Callable[[Object], None], ns: str = "default") -> None:
        with self._lock:
            found = self.get(kind, name, ns)
            edit(found)
            self._store((kind, ns, name), found, "MODIFIED")

    def delete_pod(self, name: str, grace: int | None = None) -> None:
        """What `kubectl delete pod` does: mark it, or remove it when the grace period is 0."""
        with self._lock:
            pod = self.get("pods", name)
            given = pod["spec"].get("terminationGracePeriodSeconds", 30) if grace is None else grace
            if given == 0 or not pod["spec"].get("nodeName"):
                self._remove(("pods", "default", name))
                return
            marks = {"deletionTimestamp": now(), "deletionGracePeriodSeconds": given}
            self.change("pods", name, lambda found: found["metadata"].update(marks))

    def break_watches(self, code: int | None = None) -> None:
        """End all watches: silently, or with an ERROR event."""
        with self._lock:
            for watch in self._watches:
                if code:
                    error = {"kind": "Status", "code": code, "message": "too old resource version"}
                    watch.put({"type": "ERROR", "object": error})
                watch.put(None)
            self._watches.clear()

    def events(self, pod: str) -> list[Object]:
        with self._lock:
            found = [copy.deepcopy(o) for (kind, _, _), o in self.objects.items() if kind == "events"]
        return [event for event in found if event["involvedObject"]["name"] == pod]

    def seen(self, method: str, end: str) -> list[Object]:
        """Bodies of the requests with that method whose path ends so."""
        with self._lock:
            return [body for verb, path, body in self.requests if verb == method and path.endswith(end)]

    def _store(self, key: tuple[str, str, str], found: Object, change: str) -> None:
        found["metadata"]["resourceVersion"] = str(next(self._version))
        self.objects[key] = found
        self._tell(key[0], change, found)

    def _remove(self, key: tuple[str, str, str]) -> None:
        found = self.objects.pop(key)
        found["metadata"]["resourceVersion"] = str(next(self._version))
        self._tell(key[0], "DELETED", found)

    def _tell(self, kind: str, change: str, found: Object) -> None:
        if kind == "pods":
            for watch in self._watches:
                watch.put({"type": change, "object": copy.deepcopy(found)})

    def answer(self, method: str, path: str, body: Object) -> tuple[int, Object]:
        with self._lock:
            self.requests.append((method, path, body))
            match = PATHS.fullmatch(path)
            assert match, path
            ns = match["ns"] or ("" if match["kind"] == "nodes" else "default")
            kind, name, sub = match["kind"], match["name"], match["sub"]
            key = (kind, ns, name or body.get("metadata", {}).get("name", ""))
            if sub == "token":
                return self._token(body)
            if method == "POST" and name is None:
                if key in self.objects:
                    return 409, {"message": f"{kind} {key[2]} already exists"}
                return 201, self.put(kind, key[2], body, ns)
            if method == "GET" and name is None:
                items = [copy.deepcopy(o) for (k, _, _), o in self.objects.items() if k == kind]
                return 200, {"items": items, "metadata": {"resourceVersion": str(next(self._version))}}
            if key not in self.objects:
                return 404, {"message": f"{kind} {name} not found"}
            return self._on_one(method, key, sub, body)

    def _on_one(
        self, method: str, key: tuple[str, str, str], sub: str | None, body: Object
    ) -> tuple[int, Object]:
        found = self.get(key[0], key[2], key[1])
        uid = body.get("preconditions", {}).get("uid") or body.get("metadata", {}).get("uid")
        if uid and uid != found["metadata"]["uid"]:
            return 409, {"message": "the UID in the precondition does not match"}
        if sub == "binding":
            if found["spec"].get("nodeName"):
                return 409, {"message": "pod is already assigned to a node"}
            found["spec"]["nodeName"] = body["target"]["name"]
            self._store(key, found, "MODIFIED")
        elif method == "DELETE":
            assert body["gracePeriodSeconds"] == 0, "the kubelet deletes only what has ended"
            self._remove(key)
        elif method == "PATCH" and sub == "status":
            status = found.setdefault("status", {})
            old = {c["type"]: c for c in status.get("conditions", [])}
            merged = old | {c["type"]: c for c in body["status"].get("conditions", [])}
            status.update(body["status"] | {"conditions": list(merged.values())})
            self._store(key, found, "MODIFIED")
        elif method == "PATCH":
            for field, value in body.items():
                found.setdefault(field, {}).update(value) if isinstance(value, dict) else found.update(
                    {field: value}
                )
            self._store(key, found, "MODIFIED")
        return 200, found

    def _token(self, body: Object) -> tuple[int, Object]:
        self.tokens.append(f"token-{len(self.tokens) + 1}")
        expires = datetime.now(UTC) + timedelta(seconds=self.token_seconds)
        return 201, {"status": {"token": self.tokens[-1], "expirationTimestamp": expires.isoformat()}}

    def watch(self) -> queue.Queue[Object | None]:
        """Changes from now on, and first all there is: nothing between a list and a watch is missed."""
        with self._lock:
            changes: queue.Queue[Object | None] = queue.Queue()
            for (kind, _, _), found in self.objects.items():
                if kind == "pods":
                    changes.put({"type": "ADDED", "object": copy.deepcopy(found)})
            self._watches.append(changes)
            return changes

    def _handler(self) -> type[http.server.BaseHTTPRequestHandler]:
        api = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True
            wbufsize = -1

            def log_message(self, *_: Any) -> None:
                pass

            def do(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = json.loads(self.rfile.read(length) or b"{}")
                url = urllib.parse.urlsplit(self.path)
                if api.down:
                    api.refused.append(self.path)
                    self.close_connection = True
                elif "watch=1" in url.query:
                    self.stream()
                else:
                    self.reply(*api.answer(self.command, url.path, body))

            def reply(self, code: int, content: Object) -> None:
                data = json.dumps(content).encode()
                self.send_response(code)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def stream(self) -> None:
                self.close_connection = True
                self.send_response(200)
                self.end_headers()
                self.wfile.flush()
                changes = api.watch()
                with suppress(OSError):
                    while (change := changes.get()) is not None:
                        self.wfile.write(json.dumps(change).encode() + b"\n")
                        self.wfile.flush()

            def __getattr__(self, name: str) -> Any:
                if name in {"do_GET", "do_POST", "do_PATCH", "do_DELETE"}:
                    return self.do
                raise AttributeError(name)

        return Handler


class Lab:
    """A fake API, a kubelet on it, and what tests ask of them."""

    def __init__(self, folder: Path, isolation: str) -> None:
        self.api = FakeApi()
        self.folder = folder
        self.until = until
        self.isolation = isolation
        self.config = self._configuration()
        self.process: subprocess.Popen[bytes]  # once it is started

    def _configuration(self) -> Object:
        authority, serving = trustme.CA(), self.folder / "serving.pem"
        authority.cert_pem.write_to_path(self.folder / "ca.pem")
        authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(serving)
        authority.issue_cert("caller").private_key_and_cert_chain_pem.write_to_path(
            self.folder / "caller.pem"
        )
        kubeconfig = {
            "current-context": "lab",
            "contexts": [{"name": "lab", "context": {"cluster": "lab", "user": "lab"}}],
            "clusters": [{"name": "lab", "cluster": {"server": self.api.url}}],
            "users": [{"name": "lab", "user": {"token": "invented"}}],
        }
        (self.folder / "kubeconfig").write_text(json.dumps(kubeconfig))
        tools = self.folder / "tools"
        tools.mkdir()
        (tools / "tool").write_text('#!/bin/sh\necho "tool $*"\n')
        (tools / "tool").chmod(0o755)
        return {
            "run": "a1b2c3",
            "node": "lab-node",
            "kubeconfig": str(self.folder / "kubeconfig"),
            "folder": str(self.folder / "pods"),
            "listen": "127.0.0.1:0",
            "serving_certificate": str(serving),
            "serving_key": str(serving),
            "client_ca": str(self.folder / "ca.pem"),
            "images": [
                {"name": "sh:*", "entrypoint": ["sh"], "path": None},
                {"name": "python:*", "entrypoint": [sys.executable, "-IS", "-u"], "path": None},
                {"name": "registry.example/*/tool:*", "entrypoint": ["tool", "image"], "path": str(tools)},
            ],
            "environment": {"NODE": "addition", "BOTH": "node"},
            "isolation": self.isolation,
            "ready": str(self.folder / "ready"),
        }

    def command(self) -> list[str]:
        path = self.folder / "kubelet.json"
        path.write_text(json.dumps(self.config))
        path.chmod(0o600)
        return [sys.executable, "-m", "simulators.kubelet", str(path)]

    def start(self) -> None:
        (self.folder / "ready").unlink(missing_ok=True)
        with (self.folder / "kubelet.log").open("wb") as log:
            self.process = subprocess.Popen(self.command(), cwd=ROOT, stdout=log, stderr=log)
        until(lambda: (self.folder / "ready").exists() or self.process.poll() is not None)
        assert self.process.poll() is None, (self.folder / "kubelet.log").read_text()

    def close(self) -> None:
        if hasattr(self, "process"):
            self.process.terminate()
            self.process.wait(10)
        self.api.close()

    def pod(self, *containers: Object, name: str = "", **spec: Any) -> str:
        """Create a pod and give its name."""
        name = name or f"pod-{uuid.uuid4().hex[:8]}"
        spec = {"terminationGracePeriodSeconds": 2, "containers": list(containers)} | spec
        self.api.put("pods", name, {"kind": "Pod", "spec": spec})
        return name

    def status(self, pod: str) -> Object:
        status: Object = self.api.get("pods", pod).get("status", {})
        return status

    def container(self, pod: str, index: int = 0, kind: str = "containerStatuses") -> Object:
        status: Object = self.status(pod)[kind][index]
        return status

    def reasons(self, pod: str) -> set[str]:
        return {event["reason"] for event in self.api.events(pod)}

    def ready(self, pod: str) -> bool:
        conditions = {c["type"]: c["status"] for c in self.status(pod).get("conditions", [])}
        return conditions.get("Ready") == "True"

    def running(self, pod: str) -> bool:
        return "running" in self.container(pod)["state"]

    def phase(self, pod: str) -> str:
        phase: str = self.status(pod).get("phase", "")
        return phase

    def call(self, path: str, method: str = "GET", *, certificate: bool = True) -> http.client.HTTPResponse:
        """Call the kubelet API as the API server does."""
        context = ssl.create_default_context(cafile=str(self.folder / "ca.pem"))
        if certificate:
            context.load_cert_chain(self.folder / "caller.pem")
        port = json.loads((self.folder / "ready").read_text())["port"]
        connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
        connection.request(method, path, headers={"Connection": "close"})
        return connection.getresponse()

    def logs(self, pod: str, container: str = "main", **query: Any) -> str:
        path = f"/containerLogs/default/{pod}/{container}?{urllib.parse.urlencode(query)}"
        with self.call(path) as response:
            return response.read().decode()

    def printed(self, pod: str, text: str, container: str = "main") -> bool:
        return text in self.logs(pod, container)

    def listening(self) -> set[tuple[str, int]]:
        """Addresses that the kubelet and its pods listen on."""
        kubelet = psutil.Process(self.process.pid)
        found = set()
        for process in [kubelet, *kubelet.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                for connection in process.net_connections("inet"):
                    if connection.status == psutil.CONN_LISTEN:
                        found.add((connection.laddr.ip, connection.laddr.port))
        return found

    def gone(self, pod: str) -> bool:
        return ("pods", "default", pod) not in self.api.objects

    def clear(self) -> None:
        """Remove all pods, as `kubectl delete --force` does."""
        for kind, _, name in list(self.api.objects):
            if kind == "pods":
                self.api.delete_pod(name, grace=0)

    def marked(self, mark: str) -> list[psutil.Process]:
        """Processes of this machine whose command line or environment has a mark."""
        found = []
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                words = [*process.cmdline(), *process.environ().values()]
                if any(mark in word for word in words) and process.status() != psutil.STATUS_ZOMBIE:
                    found.append(process)
        return found


class Make:
    """Builds containers and Secrets."""

    @staticmethod
    def sh(script: str, **fields: Any) -> Object:
        """A container that runs a shell script."""
        return {"name": "main", "image": "sh:1", "args": ["-c", script]} | fields

    @staticmethod
    def python(script: str, *arguments: str, **fields: Any) -> Object:
        """A container that runs a Python program."""
        return {"name": "main", "image": "python:3", "args": ["-c", script, *arguments]} | fields

    @staticmethod
    def secret(**entries: str) -> Object:
        """A Secret's content."""
        return {"data": {key: base64.b64encode(value.encode()).decode() for key, value in entries.items()}}


@pytest.fixture(scope="session")
def make() -> type[Make]:
    return Make


@pytest.fixture(scope="session")
def namespaces() -> None:
    """Skip where this machine lets nobody make mount namespaces."""
    program = shutil.which("unshare")
    command = [
        program or "unshare",
        "--mount",
        *([] if os.getuid() == 0 else ["--user", "--map-root-user"]),
        "true",
    ]
    if program is None or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("this machine does not allow mount namespaces")


def _lab(isolation: str) -> Iterator[Lab]:
    folder = Path(tempfile.mkdtemp(prefix="kubelet-test-"))
    lab = Lab(folder, isolation)
    try:
        yield lab
    finally:
        lab.close()
        shutil.rmtree(folder)


@pytest.fixture(scope="session")
def shared_lab() -> Iterator[Lab]:
    for lab in _lab("none"):
        lab.start()
        yield lab


@pytest.fixture(scope="session")
def shared_isolated(namespaces: None) -> Iterator[Lab]:
    for lab in _lab("mount-namespace"):
        lab.start()
        yield lab


@pytest.fixture
def lab(shared_lab: Lab) -> Iterator[Lab]:
    """A kubelet without isolation that other tests use too."""
    yield shared_lab
    shared_lab.clear()


@pytest.fixture
def isolated(shared_isolated: Lab) -> Iterator[Lab]:
    """A kubelet with mount namespaces that other tests use too."""
    yield shared_isolated
    shared_isolated.clear()


@pytest.fixture
def own_lab() -> Iterator[Lab]:
    """A kubelet of the test's own, not started yet."""
    yield from _lab("none")
