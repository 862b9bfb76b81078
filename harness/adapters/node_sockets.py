"""Sockets of a pod, read in the network namespace that the pod has on a node of kind."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from harness.adapters import containers
from harness.adapters.sockets import Ends
from harness.core.errors import NotObserved

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.environment import JSON

LISTEN, ESTABLISHED = "0A", "01"
"""States in /proc/net/tcp (linux/include/net/tcp_states.h)."""

# Whichever process of the pod comes first: all of them share the namespace.
_SCRIPT = """for process in /proc/[0-9]*; do
  if grep -q -e "$0" -e "$1" $process/cgroup 2>/dev/null; then
    cat $process/net/tcp $process/net/tcp6; exit 0
  fi
done
exit 1
"""


class NodeSockets:
    """Reads sockets of pods, and calls the other ends by the names under which pods reach them."""

    def __init__(self, node: str, names: Callable[[], Mapping[str, str]]) -> None:
        """Binds to a node.

        Args:
            node: Its container.
            names: Gives `address:port` to the `host:port` that a pod names to reach it.
        """
        self._node = node
        self._names = names

    def __call__(self, pod: JSON) -> tuple[frozenset[int], Ends]:
        """Ports that the kubelet probes, and sockets of a pod.

        Args:
            pod: As the API has it; it runs.

        Raises:
            NotObserved: The node has no process of it.
        """
        uid = pod["metadata"]["uid"]
        # The one is how systemd writes it, the other how the kubelet's own driver does.
        arguments = ("sh", "-c", _SCRIPT, uid.replace("-", "_"), uid)
        completed = containers.execute(self._node, *arguments)
        if completed.exit_code != 0:
            raise NotObserved(f"expected: a process of pod {pod['metadata']['name']} on its node\nseen: none")
        return probed(pod), parse(completed.stdout, self._names())


def probed(pod: JSON) -> frozenset[int]:
    """Ports that the probes of a pod's containers name, by number or by the port's name."""
    found = set()
    for container in pod["spec"]["containers"]:
        ports = {port.get("name"): port["containerPort"] for port in container.get("ports", [])}
        for kind in ("livenessProbe", "readinessProbe", "startupProbe"):
            port = container.get(kind, {}).get("httpGet", {}).get("port")
            if port is not None:
                found.add(int(ports.get(port, port)))
    return frozenset(found)


def parse(text: str, names: Mapping[str, str]) -> Ends:
    """What the lines of /proc/net/tcp and tcp6 say.

    Args:
        text: Of both.
        names: `address:port` to `host:port`; an address without a name stays itself.
    """
    listening: set[int] = set()
    connected: set[tuple[str, int, str]] = set()
    for line in text.splitlines():
        fields = line.split()
        if len(fields) < 4 or not fields[0].rstrip(":").isdecimal():
            continue
        own, other, state = fields[1:4]
        if state == LISTEN:
            listening.add(int(own.rpartition(":")[2], 16))
        elif state == ESTABLISHED:
            there = _end(other)
            connected.add((_end(own), int(own.rpartition(":")[2], 16), names.get(there, there)))
    dialled = {(own, other) for own, port, other in connected if port not in listening}
    return Ends(listening=frozenset(listening), connections=frozenset(dialled))


def _end(text: str) -> str:
    """`address:port` of its hexadecimal form, whose words are in the byte order of the machine."""
    address, _, port = text.partition(":")
    raw = b"".join(bytes.fromhex(address[start : start + 8])[::-1] for start in range(0, len(address), 8))
    found = ipaddress.ip_address(raw)
    mapped = getattr(found, "ipv4_mapped", None)
    return f"{mapped or found}:{int(port, 16)}"
