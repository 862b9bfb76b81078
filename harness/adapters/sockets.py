"""Sockets of a process on this machine, as the kernel tells them."""

from __future__ import annotations

import psutil

from harness.core.errors import NotObserved
from harness.environment import Sockets


def of_listener(ports: frozenset[int]) -> Sockets:
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
    connected = [
        (one.laddr.port, one.raddr.port)
        for one in everything
        if one.pid in owners and one.status == psutil.CONN_ESTABLISHED and one.laddr and one.raddr
    ]
    # What was accepted is on a port that the process listens on.
    dialled = frozenset(remote for own, remote in connected if own not in listening)
    return Sockets(listening=listening, probed=ports, dialled=dialled)
