"""Sockets of a process on this machine, as the kernel tells them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import psutil

from harness.core.errors import NotObserved

if TYPE_CHECKING:
    from harness.environment import JSON

HOST_PORTS = "conformance/host-ports"
"""Annotation in which the lab's kubelet tells to which ports of the machine it moved those of a pod."""


@dataclass(frozen=True)
class Ends:
    """Sockets of one process.

    Attributes:
        listening: Ports that it listens on.
        connections: Own and other end, `host:port`, of each connection that it has dialled.
    """

    listening: frozenset[int]
    connections: frozenset[tuple[str, str]]


def of_pod(pod: JSON) -> tuple[frozenset[int], Ends]:
    """Ports that the kubelet probes, and sockets of a pod whose program runs on this machine.

    Args:
        pod: As the API has it; it runs.

    Raises:
        NotObserved: The pod tells of no such port, or no process listens there.
    """
    told = json.loads(pod["metadata"].get("annotations", {}).get(HOST_PORTS, "{}"))
    probed = frozenset(told.values())
    return probed, of_listener(probed)


def of_listener(ports: frozenset[int]) -> Ends:
    """Sockets of the one process that listens on these ports.

    Args:
        ports: Of this machine.

    Raises:
        NotObserved: No process listens there, or more than one.
    """
    everything = psutil.net_connections("inet")
    listeners = [one for one in everything if one.status == psutil.CONN_LISTEN and one.laddr]
    owners = {one.pid for one in listeners if one.laddr and one.laddr.port in ports}
    if len(owners) != 1 or None in owners:
        raise NotObserved(f"expected: one process that listens on ports {sorted(ports)}\nseen: {owners}")
    listening = frozenset(one.laddr.port for one in listeners if one.laddr and one.pid in owners)
    connections = frozenset(
        (f"{one.laddr.ip}:{one.laddr.port}", f"{one.raddr.ip}:{one.raddr.port}")
        for one in everything
        if one.pid in owners and one.status == psutil.CONN_ESTABLISHED and one.laddr and one.raddr
        # What was accepted is on a port that the process listens on.
        if one.laddr.port not in listening
    )
    return Ends(listening=listening, connections=connections)
