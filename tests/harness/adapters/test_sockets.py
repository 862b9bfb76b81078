"""Sockets of a process that listens, on this machine."""

import socket

import pytest

from harness.adapters import sockets
from harness.core.errors import NotObserved


def listener() -> socket.socket:
    made = socket.socket()
    made.bind(("127.0.0.1", 0))
    made.listen()
    return made


def port(of: socket.socket) -> int:
    number: int = of.getsockname()[1]
    return number


def test_who_listens_for_probes_is_seen_with_all_its_sockets() -> None:
    with (
        listener() as probed,
        listener() as more,
        socket.create_connection(probed.getsockname()) as dialled,
        probed.accept()[0] as accepted,
    ):
        seen = sockets.of_listener(frozenset({port(probed)}))
        assert {port(probed), port(more)} <= seen.listening
        # Both ends are this process's; one was dialled, the other accepted.
        ends = [
            tuple(f"{host}:{number}" for host, number in (one.getsockname(), one.getpeername()))
            for one in (dialled, accepted)
        ]
        assert ends[0] in seen.connections
        assert ends[1] not in seen.connections


def test_without_a_listener_nothing_is_known() -> None:
    with listener() as gone:
        free = port(gone)
    with pytest.raises(NotObserved, match=rf"listens on ports \[{free}\]"):
        sockets.of_listener(frozenset({free}))
    with pytest.raises(NotObserved, match="one process"):
        sockets.of_listener(frozenset())
