"""The diagnostics address of an agent: `/healthz` and `/readyz`, which the chart's probes ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from simulators.teleport.texts import Imitation


class Diagnostics:
    """Answers probes.

    Args:
        imitation: the version.

    Attributes:
        ready: whether a service of the agent has joined and is connected.
    """

    def __init__(self, imitation: Imitation) -> None:
        self.ready = False
        self._imitation = imitation
        self._runner: web.AppRunner | None = None

    async def start(self, host: str, port: int) -> None:
        """Listen.

        Raises:
            OSError: the address is taken.
        """
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port, shutdown_timeout=0.1).start()

    async def stop(self) -> None:
        """Stop listening."""
        if self._runner:
            await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return web.json_response({"status": "ok"})

    async def _readyz(self, _: web.Request) -> web.Response:
        if self.ready:
            return web.json_response({"status": "ok"})
        return web.json_response({"status": self._imitation.text("not-joined")}, status=400)
