"""Probes and ports, seen through the Kubernetes API."""

from __future__ import annotations

import asyncio
import json
import selectors
from typing import TYPE_CHECKING, Any

import pytest

from simulators.kubelet.decisions import Decisions
from simulators.kubelet.probes import Attempt, Prober

if TYPE_CHECKING:
    from tests.simulators.kubelet.conftest import Lab, Make

FOREVER = "trap 'exit 0' TERM; sleep 300 & wait"
SERVER = """
import http.server, sys
host, port = sys.argv[1].removeprefix("--addr=").rsplit(":", 1)
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/ok" else 503)
        self.send_header("Content-Length", "0")
        self.end_headers()
http.server.HTTPServer((host, int(port)), Handler).serve_forever()
"""


class TimeThatNobodyWaitsFor(asyncio.SelectorEventLoop):
    """A loop whose clock jumps to the next thing that is due."""

    def __init__(self) -> None:
        super().__init__(JumpingSelector(self))
        self.now = 0.0

    def time(self) -> float:
        return self.now


class JumpingSelector(selectors.DefaultSelector):
    """Never waits: what would be waited for is over at once."""

    def __init__(self, loop: TimeThatNobodyWaitsFor) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self._loop.now += timeout or 0
        return super().select(0)


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, [0, 10, 20]),
        ({"periodSeconds": 1}, [0, 1, 2]),
        ({"initialDelaySeconds": 1, "periodSeconds": 2}, [1, 3, 5]),
        ({"periodSeconds": 1, "successThreshold": 3}, [0, 1, 2]),
    ],
)
def test_a_probe_runs_after_its_delay_and_once_each_period(
    fields: dict[str, int], expected: list[float]
) -> None:
    runs: list[float] = []
    said: list[bool | None] = []

    async def probed() -> None:
        loop = asyncio.get_running_loop()
        enough = asyncio.Event()

        async def attempt(_: dict[str, Any]) -> Attempt:
            runs.append(loop.time())
            return Attempt(succeeded=True)

        def told(ready: bool | None) -> None:
            said.append(ready)
            if len(said) == len(expected):
                enough.set()

        prober = Prober(fields, False, attempt, Decisions())
        running = asyncio.create_task(prober.run(loop.time(), lambda _: None, told))
        await enough.wait()
        running.cancel()

    loop = TimeThatNobodyWaitsFor()
    try:
        loop.run_until_complete(probed())
    finally:
        loop.close()
    assert runs == pytest.approx(expected)
    successes = fields.get("successThreshold", 1)
    assert said == [number >= successes for number in range(1, len(expected) + 1)]


def test_readiness_waits_for_the_successes(lab: Lab, make: type[Make]) -> None:
    runs = lab.folder / "probe-runs"
    probe = {
        "exec": {"command": ["sh", "-c", f"echo run >> {runs}"]},
        "initialDelaySeconds": 1,
        "periodSeconds": 1,
        "successThreshold": 2,
    }
    pod = lab.pod(make.sh(FOREVER, readinessProbe=probe))
    lab.until(lambda: lab.running(pod))
    lab.until(lambda: lab.ready(pod))
    assert len(runs.read_text().splitlines()) >= 2


def test_readiness_comes_and_goes_without_a_restart(lab: Lab, make: type[Make]) -> None:
    switch = lab.folder / "readiness-switch"
    probe = {"exec": {"command": ["test", "-e", str(switch)]}, "periodSeconds": 1, "failureThreshold": 1}
    pod = lab.pod(make.sh(FOREVER, readinessProbe=probe))
    lab.until(lambda: "Unhealthy" in lab.reasons(pod))
    assert not lab.ready(pod)
    switch.touch()
    lab.until(lambda: lab.ready(pod))
    switch.unlink()
    lab.until(lambda: not lab.ready(pod))
    assert lab.container(pod)["restartCount"] == 0


def test_failed_liveness_restarts_the_container(lab: Lab, make: type[Make]) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 2}
    pod = lab.pod(make.sh("trap 'exit 9' TERM; echo up; sleep 300 & wait", livenessProbe=probe))
    lab.until(lambda: lab.container(pod)["restartCount"] == 1)
    assert lab.container(pod)["lastState"]["terminated"]["exitCode"] == 9
    lab.until(lambda: "Killing" in lab.reasons(pod))


def test_the_other_probes_wait_for_startup(lab: Lab, make: type[Make]) -> None:
    switch = lab.folder / "startup-switch"
    startup = {"exec": {"command": ["test", "-e", str(switch)]}, "periodSeconds": 1, "failureThreshold": 30}
    liveness = {"exec": {"command": ["test", "-e", str(switch)]}, "periodSeconds": 1, "failureThreshold": 1}
    pod = lab.pod(make.sh(FOREVER, startupProbe=startup, livenessProbe=liveness))

    def failed_startup() -> bool:
        return any("Startup probe failed" in event["message"] for event in lab.api.events(pod))

    lab.until(failed_startup)
    assert (lab.container(pod)["started"], lab.ready(pod)) == (False, False)
    switch.touch()
    lab.until(lambda: lab.ready(pod))
    assert lab.container(pod)["started"]
    assert lab.container(pod)["restartCount"] == 0


def test_a_container_that_does_not_start_up_is_restarted(lab: Lab, make: type[Make]) -> None:
    startup = {"exec": {"command": ["false"]}, "periodSeconds": 1, "failureThreshold": 1}
    pod = lab.pod(make.sh(FOREVER, startupProbe=startup))
    lab.until(lambda: lab.container(pod)["restartCount"] == 1)


@pytest.mark.parametrize("argument", ["--addr=0.0.0.0:8080", "--addr=:8080"])
def test_an_address_to_listen_on_is_moved_to_a_free_loopback_port(
    lab: Lab, make: type[Make], argument: str
) -> None:
    main = make.python(
        SERVER,
        argument,
        ports=[{"name": "web", "containerPort": 8080}],
        readinessProbe={"httpGet": {"path": "/ok", "port": "web"}, "periodSeconds": 1},
        livenessProbe={"tcpSocket": {"port": 8080}, "periodSeconds": 1},
    )
    pod = lab.pod(main)
    lab.until(lambda: lab.ready(pod))
    moved = json.loads(lab.api.get("pods", pod)["metadata"]["annotations"]["conformance/host-ports"])
    assert set(moved) == {"web"}
    mapped = [e["message"] for e in lab.api.events(pod) if e["reason"] == "PortMapped"]
    assert mapped == [f"port web (8080) is reached on 127.0.0.1:{moved['web']}"]
    listening = lab.listening()
    assert ("127.0.0.1", moved["web"]) in listening
    assert {ip for ip, _ in listening} == {"127.0.0.1"}


def test_a_failing_http_probe_names_the_status(lab: Lab, make: type[Make]) -> None:
    main = make.python(
        SERVER,
        "--addr=0.0.0.0:8081",
        readinessProbe={"httpGet": {"path": "/down", "port": 8081}, "periodSeconds": 1},
    )
    pod = lab.pod(main)

    def told() -> bool:
        return any(e["message"].endswith("failed with statuscode: 503") for e in lab.api.events(pod))

    lab.until(told)
    assert not lab.ready(pod)


def test_a_port_that_no_argument_names_stays_and_is_warned_of(lab: Lab, make: type[Make]) -> None:
    pod = lab.pod(make.sh(FOREVER, ports=[{"containerPort": 8082}]))
    lab.until(lambda: "PortNotMapped" in lab.reasons(pod))


def test_a_probe_that_hangs_fails_after_its_time(lab: Lab, make: type[Make]) -> None:
    probe = {"exec": {"command": ["sleep", "60"]}, "periodSeconds": 1, "timeoutSeconds": 1}
    pod = lab.pod(make.sh(FOREVER, readinessProbe=probe))
    lab.until(lambda: any("timed out after 1s" in event["message"] for event in lab.api.events(pod)))


def test_a_grpc_probe_fails_and_says_why(lab: Lab, make: type[Make]) -> None:
    pod = lab.pod(make.sh(FOREVER, readinessProbe={"grpc": {"port": 1}, "periodSeconds": 1}))
    lab.until(lambda: any("httpGet, tcpSocket and exec only" in e["message"] for e in lab.api.events(pod)))
    assert not lab.ready(pod)
