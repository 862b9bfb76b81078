"""The command over a lab of fake programs, in a project of its own: `python fake_lab.py PROJECT run …`.

Only three things are put in place of the real ones: where features lie, where runs lie, and what a lab
starts. Everything between the command's line and pytest's end is the suite's own.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from harness import cli, running
from harness.adapters import daemons, processes, scenario_runner
from harness.core.errors import EnvironmentBroken, UsageError
from harness.core.waiting import eventually
from harness.environment import Component, Description, SimulatedText
from harness.environments import lab_provisioning, state

PROGRAMS = ("teleport", "tctl", "tsh", "etcd", "kube-apiserver", "kube-controller-manager")
MARKS = ("starting", "hanging")
"""Files that a lab, and a scenario, makes when it has come to where it stays."""


def replacements(project: Path) -> list[tuple[Any, str, object]]:
    """What is put in place of what: module or class, attribute, value."""

    def provision(making: lab_provisioning.LabProvisioning) -> state.State:
        return _provision(making, project)

    return [
        (running, "CLONE", project),
        (scenario_runner, "CLONE", project),
        (state, "RUNS", project / ".conformance" / "runs"),
        (lab_provisioning.LabProvisioning, "_provision", provision),
    ]


def _provision(making: lab_provisioning.LabProvisioning, project: Path) -> state.State:
    behaviour = (project / "lab.txt").read_text()
    folder = making.folder / "teleport"
    folder.mkdir()
    daemons.start(
        "teleport",
        ["sh", "-c", "echo Teleport is starting; exec sleep 600"],
        env=processes.base_environment(making._home("services"), making.run),
        cwd=folder,
        log=folder / "teleport.log",
        ledger=making.ledger,
    )
    eventually((folder / "teleport.log").read_text, bool, expected="the fake Teleport to speak", within=10)
    if behaviour == "breaks":
        raise EnvironmentBroken(expected="etcd to start", seen="no space left", remedy="make room")
    if behaviour == "refuses the chart":
        raise UsageError(expected="chart teleport-kube-agent", seen="chart nginx", remedy="name another")
    if behaviour == "has a defect":
        raise KeyError("a defect of the suite")
    if behaviour == "hangs":
        (project / "starting").touch()
        eventually(lambda: False, bool, expected="the end", within=60)
    if behaviour == "leaves something":
        making.ledger.will_create("mount", path="/mnt/left-behind")
    written = _state(making, simulated=behaviour == "is simulated")
    written.write({"administrator": making.secret})
    return written


def _state(making: lab_provisioning.LabProvisioning, *, simulated: bool) -> state.State:
    real = {name: Component(name, version, simulated=simulated) for name, version in VERSIONS.items()}
    components = real | {"aws": Component("AWS gateway over moto", "5", simulated=True)}
    return state.State(
        run=making.run,
        name=making.name,
        description=Description(
            name="lab",
            run=making.run,
            components=components,
            capabilities=frozenset({"aws-call-log"}),
            guide_edition="13",
            texts=(SimulatedText("a text", "13", "measured"),) if simulated else (),
        ),
        addresses={},
        account_id=making.account_id,
        region="eu-west-1",
        issuer=making.issuer,
        paths={"kubeconfig": str(making.folder / "kubeconfig")},
        chart_version="13.0.0",
        chart_app_version="13.0.0",
        teleport_version=VERSIONS["teleport"],
        seconds={"total": 0.1},
        administrator=making.key_id,
    )


VERSIONS = {
    "teleport": "13.0.0-dev",
    "kubernetes": "v1.32.0",
    "kubelet": "v1.32.0",
    "chart": "13.0.0",
    "clients": "1",
}


def main() -> None:
    """Runs the command in the project that the first argument names."""
    project = Path(sys.argv.pop(1))
    for place, name, value in replacements(project):
        setattr(place, name, value)
    cli.entry()


if __name__ == "__main__":
    main()
