"""The health of one attempt of a container: its startup, liveness and readiness probes together."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

from simulators.kubelet.probes import Prober, Target

if TYPE_CHECKING:
    from collections.abc import Callable

    from simulators.kubelet.decisions import Decisions
    from simulators.kubelet.objects import Object


@dataclass(frozen=True)
class Health:
    """Follows the probes of one attempt.

    Args:
        spec: of the container.
        target: reaches the container.
        decisions: of the kubelet.
        failed: takes the kind of a probe and why one attempt of it failed.
        judged: takes whether the container has started up, and what its readiness probe says.
        dead: takes the kind and the specification of a probe that asks for a restart.
    """

    spec: Object
    target: Target
    decisions: Decisions
    failed: Callable[[str, str], None]
    judged: Callable[[bool, bool], None]
    dead: Callable[[str, Object], None]

    async def follow(self) -> None:
        """Probe until cancelled; liveness and readiness wait for startup."""
        begun = asyncio.get_running_loop().time()
        readiness = not self.spec.get("readinessProbe")
        if self.spec.get("startupProbe"):
            self.judged(False, False)
            await self._started_up(begun)
        self.judged(True, readiness)
        async with asyncio.TaskGroup() as group:
            if self.spec.get("livenessProbe"):
                group.create_task(self._probe("liveness", begun, initially=True, heard=lambda _: None))
            if self.spec.get("readinessProbe"):
                group.create_task(
                    self._probe(
                        "readiness",
                        begun,
                        initially=False,
                        heard=lambda healthy: self.judged(True, bool(healthy)),
                    )
                )

    async def _started_up(self, begun: float) -> None:
        up = asyncio.Event()

        def heard(healthy: bool | None) -> None:
            if healthy:
                up.set()

        probing = asyncio.create_task(self._probe("startup", begun, initially=None, heard=heard))
        try:
            await up.wait()
        finally:
            probing.cancel()

    async def _probe(
        self, kind: str, begun: float, *, initially: bool | None, heard: Callable[[bool | None], None]
    ) -> None:
        probe = self.spec[f"{kind}Probe"]

        def said(healthy: bool | None) -> None:
            heard(healthy)
            if healthy is False and kind != "readiness":
                self.dead(kind, probe)

        prober = Prober(probe, initially, self.target.attempt, self.decisions)
        await prober.run(begun, lambda message: self.failed(kind, message), said)
