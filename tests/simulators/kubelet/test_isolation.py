"""Mount namespaces: what a container sees, and what the host does not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.simulators.kubelet.conftest import Lab, Make


SANDBOX = Path(__file__).parents[3] / "simulators/kubelet/sandbox.py"
FOREVER = "trap 'exit 0' TERM; sleep 300 & wait"
NOBODY = 65534


def mounts() -> list[str]:
    return Path("/proc/self/mountinfo").read_text().splitlines()


def test_volumes_appear_at_their_paths_and_leave_no_trace_on_the_host(
    isolated: Lab, make: type[Make]
) -> None:
    before, host_etc = mounts(), {path.name for path in Path("/etc").iterdir()}
    isolated.api.put("configmaps", "cfg", {"data": {"app.yaml": "setting"}})
    volumes = [
        {"name": "cfg", "configMap": {"name": "cfg"}},
        {"name": "access", "projected": {"sources": [{"serviceAccountToken": {"path": "token"}}]}},
        {"name": "data", "emptyDir": {}},
    ]
    places = [
        {"name": "cfg", "mountPath": "/etc/lab-example"},
        {"name": "cfg", "mountPath": "/etc/hosts", "subPath": "app.yaml"},
        {"name": "access", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount", "readOnly": True},
        {"name": "data", "mountPath": "/var/lib/lab-example"},
        {"name": "data", "mountPath": "/lab-example/top", "subPath": "inner"},
    ]
    script = """
        cat /etc/lab-example/app.yaml /etc/hosts /var/run/secrets/kubernetes.io/serviceaccount/token; echo
        touch /etc/lab-example/new 2>/dev/null || echo read-only
        echo shared > /var/lib/lab-example/inner/file && cat /lab-example/top/file
        test -s /etc/passwd && test -d /usr/bin && test -d /etc/ssl -o -d /usr/share && echo host visible
        file=$(mktemp) && rm "$file" && echo tmp works
        uname -n
    """
    pod = isolated.pod(make.sh(script + FOREVER, volumeMounts=places), volumes=volumes)
    isolated.until(lambda: isolated.ready(pod) and isolated.printed(pod, pod))
    token = isolated.api.tokens[-1]
    lines = [f"settingsetting{token}", "read-only", "shared", "host visible", "tmp works", pod]
    assert isolated.logs(pod).splitlines() == lines
    assert mounts() == before
    assert {path.name for path in Path("/etc").iterdir()} == host_etc
    for path in ("/etc/lab-example", "/var/lib/lab-example", "/lab-example"):
        assert not Path(path).exists()


def test_probes_and_hooks_run_inside_the_container(isolated: Lab, make: type[Make]) -> None:
    volume = {"volumeMounts": [{"name": "data", "mountPath": "/lab-data"}]}
    probe = {
        "exec": {"command": ["sh", "-c", "test -e /lab-data/up -a $(uname -n) = $POD"]},
        "periodSeconds": 1,
    }
    env = [{"name": "POD", "valueFrom": {"fieldRef": {"fieldPath": "metadata.name"}}}]
    main = make.sh(f"touch /lab-data/up; {FOREVER}", readinessProbe=probe, env=env, **volume)
    pod = isolated.pod(main, volumes=[{"name": "data", "emptyDir": {}}])
    isolated.until(lambda: isolated.ready(pod))


def test_no_descendant_outlives_its_container(isolated: Lab, make: type[Make]) -> None:
    flag = isolated.folder / "end-flag"
    script = f"setsid sh -c ': runaway-mark; sleep 300 & wait' & until test -e {flag}; do sleep 0.05; done"
    pod = isolated.pod(make.sh(script), restartPolicy="Never")
    isolated.until(lambda: len(isolated.marked(": runaway-mark; sleep")) >= 2)
    flag.touch()
    isolated.until(lambda: isolated.phase(pod) == "Succeeded")
    isolated.until(lambda: not isolated.marked(": runaway-mark; sleep"), seconds=2)


@pytest.mark.parametrize(
    ("command", "code", "reason"),
    [
        (["sh", "-c", "exit 42"], 42, "Error"),
        (["sh", "-c", "kill -9 $$$$"], 0, "Completed"),  # a container's first process is immune to itself
        (["no-such-program"], 128, "StartError"),
    ],
)
def test_exit_codes_are_those_of_the_program(
    isolated: Lab, make: type[Make], command: list[str], code: int, reason: str
) -> None:
    pod = isolated.pod({"name": "main", "image": "sh:1", "command": command}, restartPolicy="Never")
    isolated.until(lambda: isolated.phase(pod) in {"Failed", "Succeeded"})
    end = isolated.container(pod)["state"]["terminated"]
    assert (end["exitCode"], end["reason"]) == (code, reason)


def test_a_program_without_a_handler_ignores_sigterm_as_in_a_real_container(
    isolated: Lab, make: type[Make]
) -> None:
    pod = isolated.pod(
        make.python("import time; print('up'); time.sleep(300)"), terminationGracePeriodSeconds=1
    )
    isolated.until(lambda: isolated.running(pod) and isolated.printed(pod, "up"))
    isolated.api.delete_pod(pod)
    isolated.until(lambda: isolated.gone(pod))
    last = isolated.api.seen("PATCH", f"{pod}/status")[-1]["status"]
    assert last["containerStatuses"][0]["state"]["terminated"]["exitCode"] == 128 + signal.SIGKILL


def test_a_renewed_token_is_seen_by_a_running_container(isolated: Lab, make: type[Make]) -> None:
    isolated.api.token_seconds = 1.5
    place = {"name": "t", "mountPath": "/lab-token"}
    sources = [{"serviceAccountToken": {"path": "token"}}]
    script = "trap 'exit 0' TERM; while :; do cat /lab-token/token; echo; sleep 0.1; done"
    volumes = [{"name": "t", "projected": {"sources": sources}}]
    pod = isolated.pod(make.sh(script, volumeMounts=[place]), volumes=volumes)
    isolated.until(lambda: isolated.running(pod) and len(set(isolated.logs(pod).splitlines())) > 1)
    isolated.api.token_seconds = 3600


@pytest.mark.usefixtures("namespaces")
def test_a_killed_kubelet_leaves_no_process_and_no_mount(own_lab: Lab, make: type[Make]) -> None:
    before = mounts()
    own_lab.config["isolation"] = "mount-namespace"
    own_lab.start()
    pod = own_lab.pod(make.sh("sh -c ': orphan-mark; sleep 300 & wait' & wait"))
    own_lab.until(lambda: own_lab.ready(pod) and own_lab.marked(": orphan-mark; sleep"))
    own_lab.process.kill()
    own_lab.process.wait()
    own_lab.until(lambda: not own_lab.marked(": orphan-mark; sleep"), seconds=3)
    assert mounts() == before


@pytest.mark.usefixtures("namespaces")
def test_an_ordinary_user_can_do_it_too() -> None:
    user: int | None = None
    python = sys.executable
    if os.getuid() == 0:  # whose virtual environment may lie where others cannot read it
        user, python = NOBODY, shutil.which("python3", path="/usr/local/bin:/usr/bin:/bin") or ""
        if not python:
            pytest.skip("no Python here that an ordinary user may run")
    folder = Path(tempfile.mkdtemp())
    try:
        folder.chmod(0o777)
        shutil.copy(SANDBOX, folder)
        for name in ("root", "volume"):
            (folder / name).mkdir(mode=0o777)
        (folder / "volume/file").write_text("seen")
        status, status_end = os.pipe()
        spec = {
            "parent": os.getpid(),
            "status": status_end,
            "argv": ["sh", "-c", "cat /etc/lab-example/file; id -u; test ! -w /etc/lab-example"],
            "environment": {"PATH": "/usr/bin:/bin"},
            "cwd": "/",
            "root": str(folder / "root"),
            "hostname": "pod",
            "stdin": None,
            "mounts": [{"source": str(folder / "volume"), "target": "/etc/lab-example", "read_only": True}],
            "enter": None,
        }
        done = subprocess.run(
            [python, "-I", "-S", str(folder / "sandbox.py")],
            input=json.dumps(spec).encode(),
            capture_output=True,
            pass_fds=[status_end],
            check=False,
            user=user,
            group=user,
            extra_groups=[] if os.getuid() == 0 else None,
        )
        os.close(status_end)
        report = os.read(status, 4096)
        os.close(status)
        if b"mount namespaces" in report:
            pytest.skip(f"this machine does not allow user namespaces: {report!r}")
        assert (done.returncode, done.stdout) == (0, b"seen0\n"), (report, done.stderr)
    finally:
        shutil.rmtree(folder)


@pytest.mark.usefixtures("namespaces")
def test_where_namespaces_are_not_allowed_one_line_says_what_to_do(own_lab: Lab) -> None:
    own_lab.config["isolation"] = "mount-namespace"
    forbid = 'echo 0 > /proc/sys/user/max_mnt_namespaces && exec "$@"'
    command = ["unshare", "--user", "--map-root-user", "sh", "-c", forbid, "sh", *own_lab.command()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=SANDBOX.parents[2])
    if done.stderr.startswith("unshare:"):
        pytest.skip("this machine does not allow user namespaces")
    assert done.returncode == 3, done.stderr
    line = done.stderr.splitlines()[-1]
    assert "sysctl kernel.unprivileged_userns_clone=1" in line
    assert "run as root" in line
