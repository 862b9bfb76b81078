"""The ports of a container on a network that all pods share with the host."""

from __future__ import annotations

import re
import socket

from simulators.kubelet.objects import ADDRESS, Object

PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def declared(container: Object) -> dict[int, str]:
    """Ports a container is known to listen on, with a name for each (its number when it has none).

    Ports that only a probe names count too: Kubernetes does not ask for them to be declared.
    """
    ports: dict[int, str] = {}
    for name in PROBES:
        probe = container.get(name) or {}
        port = (probe.get("httpGet") or probe.get("tcpSocket") or {}).get("port")
        if isinstance(port, int):
            ports[port] = str(port)
    for entry in container.get("ports") or []:
        ports[entry["containerPort"]] = entry.get("name") or str(entry["containerPort"])
    return ports


def free_port() -> int:
    """A TCP port of the loopback address that nothing listens on now."""
    with socket.socket() as probe:
        probe.bind((ADDRESS, 0))
        return int(probe.getsockname()[1])


def rewrite(arguments: list[str], chosen: dict[int, int]) -> tuple[list[str], set[int]]:
    """Move the addresses that a command line listens on to free ports of the loopback address.

    Args:
        arguments: the whole command line.
        chosen: the port to use for each port of the container.

    Returns:
        The new command line, and the ports of the container that it names.
    """
    seen: set[int] = set()

    def moved(argument: str, port: int, target: int) -> str:
        anywhere = rf"0\.0\.0\.0:{port}(?!\d)"
        unnamed = rf"(^|=):{port}$"
        result = re.sub(anywhere, f"{ADDRESS}:{target}", argument)
        result = re.sub(unnamed, rf"\g<1>{ADDRESS}:{target}", result)
        if result != argument:
            seen.add(port)
        return result

    rewritten = []
    for argument in arguments:
        result = argument
        for port, target in chosen.items():
            result = moved(result, port, target)
            if result != argument:  # or a port just chosen could be taken for another one's
                break
        rewritten.append(result)
    return rewritten, seen


def resolve(container: Object, port: int | str) -> int:
    """The number of a port that a probe names.

    Raises:
        LookupError: no port of the container has the name.
    """
    if isinstance(port, int) or port.isdecimal():
        return int(port)
    for entry in container.get("ports") or []:
        if entry.get("name") == port:
            return int(entry["containerPort"])
    raise LookupError(f"unable to find a port named {port}")
