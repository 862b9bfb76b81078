"""What a lab says of its own parts: which are real, which are simulated, and what those leave out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.adapters import chart as charts
from harness.adapters import clients
from harness.environment import Component
from harness.environments import state

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

KUBELET_DETAIL = (
    "simulated by the suite: pods are local processes in mount, process and host-name namespaces of their own "
    "(with a simulated Teleport, in none): no pod network, no securityContext; the diagnostics address of the "
    "agent's pod is rewritten to a free loopback port"
)
_SIMULATED_DETAILS = {
    "kubernetes": "simulated by the suite: an API server with its controllers in memory; no etcd, no "
    "kube-apiserver",
    "teleport": "simulated by the suite: teleport, tctl, tsh and the agent; nothing of Teleport runs, its "
    "texts are listed below with how each is known",
    "chart": "simulated by the suite: a stand-in with the values that the guide names; not Teleport's chart",
}

ADDITIONS = (
    "clients and Teleport reach AWS host names and tele.example.com through HTTPS_PROXY, the AWS gateway",
    "all children trust the run's own certificate authority (SSL_CERT_FILE) and no other",
    "the node gives every container HTTPS_PROXY, SSL_CERT_FILE and a dead AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "the gateway answers for github.com, which Teleport asks before it takes a GitHub connector",
    "a MutatingWebhookConfiguration sends new pods to the gateway's pod identity webhook",
    "an IAM OIDC provider for the cluster is there before the guide begins (claim pre.oidc-provider)",
)
LAUNCHER_ADDITION = "the simulated programs are forks of one process, the suite's launcher"
CLIENTS_ADDITION = "the AWS CLI, a real one, is a fork of a process of the suite that has imported it"


@dataclass(frozen=True)
class Given:
    """The real programs that the user gave; what is None is simulated.

    Attributes:
        teleport: Folder with `teleport`, `tctl`, `tsh`.
        control_plane: Folder with `etcd`, `kube-apiserver`, `kube-controller-manager`.
        chart: The chart, a folder or an archive.
    """

    teleport: Path | None
    control_plane: Path | None
    chart: Path | None


def components(
    given: Given, *, kubernetes: str, teleport: str, chart: str, tools: Mapping[str, str]
) -> dict[str, Component]:
    """The parts of a lab as a report has them.

    Args:
        given: Which are real.
        kubernetes: Version that the API server tells.
        teleport: Version that the proxy tells.
        chart: Version of the chart.
        tools: Versions of the workstation's other programs by name.
    """

    def part(name: str, kind: str, version: str, real: Path | None) -> Component:
        detail = "" if real else _SIMULATED_DETAILS[name]
        return Component(kind, version, simulated=real is None, detail=detail)

    return {
        "aws": Component(
            "AWS gateway over moto",
            clients.package_version("moto"),
            simulated=True,
            detail="simulated by the suite: IAM, STS, EKS",
        ),
        "kubernetes": part("kubernetes", "control plane", kubernetes, given.control_plane),
        "kubelet": Component(
            "the lab's kubelet", f"of suite {state.SUITE_VERSION}", simulated=True, detail=KUBELET_DETAIL
        ),
        "teleport": part("teleport", "teleport", teleport, given.teleport),
        "chart": part("chart", charts.NAME, chart, given.chart),
        "clients": Component(
            "aws, kubectl, helm",
            ", ".join(f"{name} {version}" for name, version in tools.items()),
            simulated=False,
        ),
    }
