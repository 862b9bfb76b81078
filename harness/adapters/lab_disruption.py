"""Teleport of a lab stopped and started again: a process, real or simulated."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from harness.adapters import daemons, teleport_server
from harness.adapters.teleport_disruption import TeleportDisruption
from harness.core.errors import EnvironmentBroken

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from harness.core.ledger import Ledger


class LabDisruption(TeleportDisruption):
    """`harness.environment.Disruption` over the processes of a lab; its node cannot be stopped."""

    def __init__(self, *, address: str, log: Path, ca_file: Path, ledger: Ledger) -> None:
        """Binds to a lab.

        Args:
            address: Loopback `host:port` of the proxy.
            log: What Teleport writes.
            ca_file: The run's certificate authority.
            ledger: Of the run.
        """
        super().__init__(away=self._stopped, log=log)
        self._address = address
        self._log = log
        self._ca_file = ca_file
        self._ledger = ledger

    @contextlib.contextmanager
    def _stopped(self) -> Iterator[None]:
        """Stops the process for a block, whatever becomes of it; starts it as it was and waits for it."""
        with contextlib.ExitStack() as undoing:
            again = daemons.stop(self._log)
            undoing.callback(lambda: self._wait(again(self._ledger)))
            yield

    def _wait(self, daemon: daemons.Daemon) -> None:
        daemons.wait_until(
            lambda: teleport_server.ping(self._address, self._ca_file) is not None,
            daemon=daemon,
            what="Teleport's proxy to answer again",
            within=teleport_server.READY_SECONDS,
        )

    @contextlib.contextmanager
    def node_away(self) -> Iterator[None]:
        """There is no node to stop.

        Raises:
            EnvironmentBroken: Always.
        """
        raise EnvironmentBroken(
            expected="a node that can be stopped",
            seen="a lab, whose node is a process beside the harness",
            remedy="the scenario wants the tag @needs:restart-node",
        )
        yield
