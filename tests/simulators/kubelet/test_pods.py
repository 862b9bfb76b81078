"""The life of pods, seen through the Kubernetes API."""

from __future__ import annotations

import signal
import time
from datetime import datetime
from typing import TYPE_CHECKING, Any

import psutil
import pytest

if TYPE_CHECKING:
    from tests.simulators.kubelet.conftest import Lab, Make


FOREVER = "trap 'exit 0' TERM; sleep 300 & wait"


def test_the_node_is_registered_ready_and_has_no_address_that_needs_a_resolver(lab: Lab) -> None:
    node = lab.api.get("nodes", "lab-node", "")
    conditions = {c["type"]: c["status"] for c in node["status"]["conditions"]}
    assert conditions["Ready"] == "True"
    assert node["status"]["addresses"] == [{"type": "InternalIP", "address": "127.0.0.1"}]
    assert node["status"]["daemonEndpoints"]["kubeletEndpoint"]["Port"] > 0
    assert "securityContext" in node["metadata"]["annotations"]["conformance/not-applied"]
    lease = lab.until(lambda: lab.api.get("leases", "lab-node", "kube-node-lease"))
    assert lease["spec"]["holderIdentity"] == "lab-node"


def test_an_unbound_pod_is_bound_and_runs_until_ready(lab: Lab, make: type[Make]) -> None:
    pod = lab.pod(make.sh(FOREVER))
    lab.until(lambda: lab.ready(pod))
    found = lab.api.get("pods", pod)
    assert found["spec"]["nodeName"] == "lab-node"
    assert found["status"]["phase"] == "Running"
    assert (found["status"]["podIP"], found["status"]["hostIP"]) == ("127.0.0.1", "127.0.0.1")
    status = lab.container(pod)
    assert status["started"]
    assert status["ready"]
    assert status["restartCount"] == 0
    assert status["containerID"].startswith("local://")
    times = {c["type"]: c["lastTransitionTime"] for c in found["status"]["conditions"]}
    assert set(times) == {"PodScheduled", "Initialized", "ContainersReady", "Ready"}
    # Events are written beside the status, in their own time.
    lab.until(lambda: {"Scheduled", "Pulled", "Started"} <= lab.reasons(pod))


def test_pods_of_other_nodes_and_gated_pods_are_left_alone(lab: Lab, make: type[Make]) -> None:
    other = lab.pod(make.sh(FOREVER), nodeName="another")
    gated = lab.pod(make.sh(FOREVER), schedulingGates=[{"name": "wait"}])
    control = lab.pod(make.sh(FOREVER))
    lab.until(lambda: lab.ready(control))
    assert lab.status(other) == lab.status(gated) == {}
    assert "nodeName" not in lab.api.get("pods", gated)["spec"]


@pytest.mark.parametrize(("script", "phase", "code"), [("exit 0", "Succeeded", 0), ("exit 7", "Failed", 7)])
def test_a_pod_that_is_never_restarted_ends_in_a_phase(
    lab: Lab, make: type[Make], script: str, phase: str, code: int
) -> None:
    pod = lab.pod(make.sh(script), restartPolicy="Never")
    lab.until(lambda: lab.phase(pod) == phase)
    end = lab.container(pod)["state"]["terminated"]
    assert (end["exitCode"], end["reason"]) == (code, "Error" if code else "Completed")
    assert end["startedAt"] <= end["finishedAt"]


def test_on_failure_restarts_until_success(lab: Lab, make: type[Make]) -> None:
    volume = {"name": "data", "emptyDir": {}}
    script = (
        'd=$(echo "$CONFORMANCE_MOUNTS" | cut -d\\" -f4); test -e $d/again || { touch $d/again; exit 1; }'
    )
    main = make.sh(script, volumeMounts=[{"name": "data", "mountPath": "/data"}])
    pod = lab.pod(main, restartPolicy="OnFailure", volumes=[volume])
    lab.until(lambda: lab.phase(pod) == "Succeeded")
    status = lab.container(pod)
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 1


def test_a_program_that_keeps_dying_is_backed_off(lab: Lab, make: type[Make]) -> None:
    pod = lab.pod(make.sh("echo last words; exit 3"))
    lab.until(lambda: lab.container(pod)["state"].get("waiting", {}).get("reason") == "CrashLoopBackOff")
    status = lab.container(pod)
    assert "back-off 10s" in status["state"]["waiting"]["message"]
    assert status["restartCount"] == 1
    assert status["lastState"]["terminated"]["exitCode"] == 3
    assert lab.phase(pod) == "Running"
    assert not lab.ready(pod)
    lab.until(lambda: "BackOff" in lab.reasons(pod))
    assert lab.logs(pod) == lab.logs(pod, previous="true") == "last words\n"


def test_init_containers_run_one_by_one_before_the_others(lab: Lab, make: type[Make]) -> None:
    init = [
        make.sh("sleep 0.2; date +%s.%N", name="first"),
        make.sh("date +%s.%N", name="second"),
    ]
    pod = lab.pod(make.sh(f"date +%s.%N; {FOREVER}"), initContainers=init)
    lab.until(lambda: lab.ready(pod) and lab.logs(pod))
    times = [float(lab.logs(pod, name)) for name in ("first", "second", "main")]
    assert times == sorted(times)
    ends = [lab.container(pod, i, "initContainerStatuses")["state"]["terminated"] for i in (0, 1)]
    assert [end["exitCode"] for end in ends] == [0, 0]


def test_a_failed_init_container_keeps_the_others_from_starting(lab: Lab, make: type[Make]) -> None:
    pod = lab.pod(make.sh("echo ran"), initContainers=[make.sh("exit 4", name="init")], restartPolicy="Never")
    lab.until(lambda: lab.phase(pod) == "Failed")
    assert lab.container(pod)["state"] == {"waiting": {"reason": "PodInitializing"}}
    assert "waiting to start" in lab.logs(pod)


def test_an_unknown_image_cannot_be_pulled_until_it_is_changed(lab: Lab, make: type[Make]) -> None:
    def reason() -> str:
        return str(lab.container(pod)["state"].get("waiting", {}).get("reason", ""))

    pod = lab.pod(make.sh(FOREVER) | {"image": "registry.example/nothing:1"})
    lab.until(lambda: reason() == "ErrImagePull")
    lab.until(lambda: reason() == "ImagePullBackOff")
    assert lab.phase(pod) == "Pending"
    failed = [event for event in lab.api.events(pod) if event["reason"] == "Failed"]
    assert 'image "registry.example/nothing:1"' in failed[0]["message"]
    lab.api.change("pods", pod, lambda found: found["spec"]["containers"][0].update(image="sh:2"))
    lab.until(lambda: lab.ready(pod))


def test_a_program_that_is_not_there_cannot_be_started(lab: Lab, make: type[Make]) -> None:
    pod = lab.pod(make.sh("") | {"command": ["no-such-program"]}, restartPolicy="Never")
    lab.until(lambda: lab.phase(pod) == "Failed")
    end = lab.container(pod)["state"]["terminated"]
    assert (end["reason"], end["exitCode"]) == ("StartError", 128)
    assert "no-such-program" in end["message"]


@pytest.mark.parametrize(("command", "head"), [(None, "image"), (["tool", "command"], "command")])
def test_arguments_follow_the_entrypoint_or_a_command(lab: Lab, command: list[str] | None, head: str) -> None:
    container: dict[str, Any] = {
        "name": "main",
        "image": "registry.example/team/tool:1.2",
        "command": command,
    }
    container["args"] = ["$(WHO)", "$(NOBODY)", "$$(WHO)"]
    container["env"] = [{"name": "WHO", "value": "me"}]
    pod = lab.pod(container, restartPolicy="Never")
    lab.until(lambda: lab.phase(pod) == "Succeeded")
    assert lab.logs(pod) == f"tool {head} me $(NOBODY) $(WHO)\n"


def test_the_environment_starts_empty(lab: Lab, make: type[Make]) -> None:
    lab.api.put("secrets", "env-secret", make.secret(password="s3", BOTH="all"))
    lab.api.put("configmaps", "env-config", {"data": {"FROM_MAP": "m", "not a name": "x"}})
    env: list[dict[str, Any]] = [
        {"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}},
        {"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": "env-secret", "key": "password"}}},
        {"name": "ABSENT", "valueFrom": {"secretKeyRef": {"name": "none", "key": "k", "optional": True}}},
        {"name": "GREETING", "value": "$(POD) has $(PASSWORD) on $(NODE)"},
    ]
    sources = [{"configMapRef": {"name": "env-config"}}, {"secretRef": {"name": "env-secret"}}]
    pod = lab.pod(make.sh("env | sort", env=env, envFrom=sources), restartPolicy="Never")
    lab.until(lambda: lab.phase(pod) == "Succeeded")
    seen = dict(line.split("=", 1) for line in lab.logs(pod).splitlines())
    server, port = lab.api.url.removeprefix("http://").split(":")
    assert seen.pop("PATH").endswith("/usr/bin:/sbin:/bin")
    assert seen.pop("PWD") == "/"
    seen.pop("_", None)  # these two are the shell's own
    seen.pop("OLDPWD", None)
    assert seen == {
        "HOME": "/",
        "HOSTNAME": pod,
        "KUBERNETES_SERVICE_HOST": server,
        "KUBERNETES_SERVICE_PORT": port,
        "KUBERNETES_SERVICE_PORT_HTTPS": port,
        "CONFORMANCE_RUN": "a1b2c3",
        "CONFORMANCE_MOUNTS": "{}",
        "NODE": "addition",
        "BOTH": "all",
        "FROM_MAP": "m",
        "password": "s3",
        "POD": pod,
        "PASSWORD": "s3",
        "GREETING": f"{pod} has s3 on addition",
    }


def test_a_missing_secret_holds_the_container_back_until_it_is_there(lab: Lab, make: type[Make]) -> None:
    env = [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "late-env", "key": "a"}}}]
    pod = lab.pod(make.sh(FOREVER, env=env))
    lab.until(lambda: "waiting" in lab.container(pod)["state"])
    lab.until(
        lambda: (
            lab.container(pod)["state"]["waiting"]
            == {"reason": "CreateContainerConfigError", "message": 'secret "late-env" not found'}
        )
    )
    lab.api.put("secrets", "late-env", make.secret(a="b"))
    lab.until(lambda: lab.ready(pod))


def test_deletion_lets_the_program_end_and_then_removes_the_pod(lab: Lab, make: type[Make]) -> None:
    pod = lab.pod(make.sh("trap 'exit 0' TERM; echo up; sleep 300 & wait"))
    lab.until(lambda: lab.ready(pod) and lab.printed(pod, "up"))
    uid = lab.api.get("pods", pod)["metadata"]["uid"]
    lab.api.delete_pod(pod)
    lab.until(lambda: lab.gone(pod))
    last = lab.api.seen("PATCH", f"{pod}/status")[-1]["status"]
    assert last["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 0
    assert last["phase"] == "Succeeded"
    assert lab.api.seen("DELETE", pod) == [{"gracePeriodSeconds": 0, "preconditions": {"uid": uid}}]
    lab.until(lambda: not (lab.folder / "pods" / uid).exists())


def test_a_program_that_ignores_sigterm_is_killed_after_the_grace_period(lab: Lab, make: type[Make]) -> None:
    pod = lab.pod(make.sh("trap '' TERM; echo up; sleep 300 & wait"), terminationGracePeriodSeconds=1)
    lab.until(lambda: lab.ready(pod) and lab.printed(pod, "up"))
    begun = time.monotonic()
    lab.api.delete_pod(pod)
    lab.until(lambda: lab.gone(pod))
    assert 0.9 < time.monotonic() - begun < 5
    last = lab.api.seen("PATCH", f"{pod}/status")[-1]["status"]
    assert last["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 128 + signal.SIGKILL
    assert last["phase"] == "Failed"


def test_a_pod_that_vanishes_is_killed_at_once(lab: Lab, make: type[Make]) -> None:
    pod = lab.pod(
        make.sh(f"trap '' TERM; : {(mark := 'vanishing-pod')}; sleep 300 & wait"),
        terminationGracePeriodSeconds=60,
    )
    lab.until(lambda: lab.ready(pod))
    assert lab.marked(mark)
    lab.api.delete_pod(pod, grace=0)
    lab.until(lambda: not lab.marked(mark), seconds=5)


def test_a_finished_pod_is_removed_when_deleted(lab: Lab, make: type[Make]) -> None:
    pod = lab.pod(make.sh("exit 0"), restartPolicy="Never")
    lab.until(lambda: lab.phase(pod) == "Succeeded")
    lab.api.delete_pod(pod)
    lab.until(lambda: lab.gone(pod))


def test_pre_stop_runs_before_sigterm(lab: Lab, make: type[Make]) -> None:
    hook = {"preStop": {"exec": {"command": ["sh", "-c", "touch $0", str(lab.folder / "pre-stop")]}}}
    script = f"trap 'test -e {lab.folder}/pre-stop && exit 5' TERM; echo up; sleep 300 & wait"
    pod = lab.pod(make.sh(script, lifecycle=hook))
    lab.until(lambda: lab.ready(pod) and lab.printed(pod, "up"))
    lab.api.delete_pod(pod)
    lab.until(lambda: lab.gone(pod))
    last = lab.api.seen("PATCH", f"{pod}/status")[-1]["status"]
    assert last["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 5


def test_an_expired_watch_and_an_absent_api_are_survived(lab: Lab, make: type[Make]) -> None:
    before = lab.pod(make.sh(FOREVER))
    lab.until(lambda: lab.ready(before))
    lab.api.break_watches(410)
    after_expiry = lab.pod(make.sh(FOREVER))
    lab.until(lambda: lab.ready(after_expiry))
    lab.api.down = True
    lab.api.break_watches()
    hidden = lab.pod(make.sh(FOREVER))
    with lab.api._lock:
        lab.api._remove(("pods", "default", before))  # nobody tells the kubelet
    # A refused heartbeat is not enough, nor a refused watch: the client repeats that once by itself, and where it is
    # let in then no list is made, and the deletion missed. A refused list becomes a list.
    lab.until(lambda: "/api/v1/pods" in lab.api.refused)
    lab.api.down = False
    lab.until(lambda: lab.ready(hidden))
    uid_folder = lab.folder / "pods" / lab.api.get("pods", after_expiry)["metadata"]["uid"]
    assert uid_folder.exists()
    assert lab.container(after_expiry)["restartCount"] == 0
    assert lab.running(after_expiry)

    def told() -> str:
        with lab.call("/pods") as response:
            text: str = response.read().decode()
            return text

    # The pod that vanished is ended beside the others, in its own time.
    lab.until(lambda: before not in told())


def test_equal_events_are_counted_on_one_object(lab: Lab, make: type[Make]) -> None:
    probe = {"exec": {"command": ["false"]}, "periodSeconds": 1}
    pod = lab.pod(make.sh(FOREVER, readinessProbe=probe))

    def repeated() -> bool:
        unhealthy = [e for e in lab.api.events(pod) if e["reason"] == "Unhealthy"]
        return len(unhealthy) == 1 and unhealthy[0]["count"] >= 2

    lab.until(repeated)


def test_readiness_gates_hold_back_readiness(lab: Lab, make: type[Make]) -> None:
    pod = lab.pod(make.sh(FOREVER), readinessGates=[{"conditionType": "example/gate"}])
    lab.until(lambda: lab.running(pod) and lab.container(pod)["ready"])
    assert not lab.ready(pod)

    def open_gate(found: dict[str, Any]) -> None:
        found["status"]["conditions"].append({"type": "example/gate", "status": "True"})

    lab.api.change("pods", pod, open_gate)
    lab.until(lambda: lab.ready(pod))


def test_sidecars_are_refused_aloud(lab: Lab, make: type[Make]) -> None:
    pod = lab.pod(make.sh(FOREVER), initContainers=[make.sh(FOREVER, name="side", restartPolicy="Always")])
    lab.until(lambda: "Unsupported" in lab.reasons(pod))
    assert lab.phase(pod) in {"", "Pending"}


def test_sigterm_ends_all_pods_and_then_the_kubelet(own_lab: Lab, make: type[Make]) -> None:
    own_lab.start()
    polite = own_lab.pod(make.sh(f": sigterm-test; {FOREVER}"))
    stubborn = own_lab.pod(
        make.sh("trap '' TERM; : sigterm-test; sleep 300 & wait"),
        terminationGracePeriodSeconds=60,
    )
    own_lab.until(lambda: own_lab.ready(polite) and own_lab.ready(stubborn))
    children = psutil.Process(own_lab.process.pid).children(recursive=True)
    assert len(own_lab.marked("sigterm-test")) >= 2
    own_lab.process.terminate()
    assert own_lab.process.wait(8) == 0
    assert not own_lab.marked("sigterm-test")
    zombie = psutil.STATUS_ZOMBIE
    assert not [child for child in children if child.is_running() and child.status() != zombie]
    assert own_lab.api.seen("DELETE", polite) == []


def test_a_killed_kubelet_takes_its_programs_along(own_lab: Lab, make: type[Make]) -> None:
    own_lab.start()
    pod = own_lab.pod(make.python("import time; time.sleep(300)  # sigkill-test"))
    own_lab.until(lambda: own_lab.ready(pod))
    assert own_lab.marked("sigkill-test")
    own_lab.process.kill()
    own_lab.process.wait()
    own_lab.until(lambda: not own_lab.marked("sigkill-test"), seconds=3)


def test_pods_that_were_bound_before_the_kubelet_started_are_run(own_lab: Lab, make: type[Make]) -> None:
    bound = own_lab.pod(make.sh(FOREVER), nodeName="lab-node")
    over = own_lab.pod(make.sh("echo again"), nodeName="lab-node")
    own_lab.api.change("pods", over, lambda found: found.update(status={"phase": "Succeeded"}))
    own_lab.start()
    own_lab.until(lambda: own_lab.ready(bound))
    assert own_lab.status(over) == {"phase": "Succeeded"}


def test_times_are_those_of_the_last_change(lab: Lab, make: type[Make]) -> None:
    probe = {"exec": {"command": ["test", "-e", str(lab.folder / "times-ready")]}, "periodSeconds": 1}
    pod = lab.pod(make.sh(FOREVER, readinessProbe=probe))
    lab.until(lambda: lab.running(pod))
    begun = {c["type"]: c["lastTransitionTime"] for c in lab.status(pod)["conditions"]}
    lab.until(lambda: "Unhealthy" in lab.reasons(pod))
    (lab.folder / "times-ready").touch()
    lab.until(lambda: lab.ready(pod))
    after = {c["type"]: c["lastTransitionTime"] for c in lab.status(pod)["conditions"]}
    assert after["Initialized"] == begun["Initialized"]
    assert datetime.fromisoformat(after["Ready"]) > datetime.fromisoformat(begun["Ready"])
