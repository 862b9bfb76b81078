"""Probes of a container, at the times and with the thresholds of a real kubelet, without jitter."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import aiohttp

from simulators.kubelet.objects import ADDRESS, Object
from simulators.kubelet.processes import StartError

if TYPE_CHECKING:
    from simulators.kubelet.decisions import Decisions

LONGEST_OUTPUT = 1024

Exec = Callable[[list[str], float], Awaitable[tuple[int, str]]]
"""Runs a command in the container (argv, seconds); gives exit code and output."""

Locate = Callable[[int | str], int]
"""The port of the host on which a port of the container is reached, by number or name."""


@dataclass(frozen=True)
class Attempt:
    """One result of a probe."""

    succeeded: bool
    message: str = ""


@dataclass(frozen=True)
class Target:
    """How a container is reached by its probes.

    Args:
        locate: its ports.
        execute: runs a command in it.
        session: for httpGet; it verifies no certificates, as a real kubelet's does not.
    """

    locate: Locate
    execute: Exec
    session: aiohttp.ClientSession

    async def attempt(self, probe: Object) -> Attempt:
        """Probe once.

        Args:
            probe: httpGet, tcpSocket or exec, and timeoutSeconds.
        """
        seconds = float(probe.get("timeoutSeconds") or 1)
        try:
            if "httpGet" in probe:
                return await asyncio.wait_for(self._http(probe["httpGet"]), seconds)
            if "tcpSocket" in probe:
                return await asyncio.wait_for(self._tcp(probe["tcpSocket"]), seconds)
            if "exec" in probe:
                code, output = await self.execute(probe["exec"]["command"], seconds)
                return Attempt(code == 0, output[:LONGEST_OUTPUT])
        except TimeoutError:
            return Attempt(succeeded=False, message=f"timed out after {seconds:g}s")
        except (aiohttp.ClientError, OSError, LookupError, StartError) as error:
            return Attempt(succeeded=False, message=str(error))
        return Attempt(succeeded=False, message="the lab's kubelet knows httpGet, tcpSocket and exec only")

    async def _http(self, action: Object) -> Attempt:
        scheme = (action.get("scheme") or "HTTP").lower()
        host = action.get("host") or ADDRESS
        path = "/" + (action.get("path") or "/").lstrip("/")
        url = f"{scheme}://{host}:{self.locate(action['port'])}{path}"
        headers = {"User-Agent": "kube-probe/lab", "Accept": "*/*"}
        headers |= {header["name"]: header["value"] for header in action.get("httpHeaders") or []}
        async with self.session.get(url, headers=headers, ssl=False) as response:
            if 200 <= response.status < 400:
                return Attempt(succeeded=True)
            return Attempt(succeeded=False, message=f"HTTP probe failed with statuscode: {response.status}")

    async def _tcp(self, action: Object) -> Attempt:
        host = action.get("host") or ADDRESS
        _, writer = await asyncio.open_connection(host, self.locate(action["port"]))
        writer.close()
        return Attempt(succeeded=True)


class Prober:
    """Follows one probe of one attempt of a container.

    Args:
        probe: its specification.
        initially: what it says before its thresholds are reached; None is undecided.
        attempt: probes once.
        decisions: of the kubelet.
    """

    def __init__(
        self,
        probe: Object,
        initially: bool | None,
        attempt: Callable[[Object], Awaitable[Attempt]],
        decisions: Decisions,
    ) -> None:
        self._probe = probe
        self._attempt = attempt
        self._decisions = decisions
        self._latest: bool | None = None
        self._in_a_row = 0
        self.says = initially

    async def run(
        self, started: float, failed: Callable[[str], None], said: Callable[[bool | None], None]
    ) -> None:
        """Probe for ever.

        Args:
            started: loop time at which the container's program started.
            failed: called with the message of each failed attempt.
            said: called after each attempt with what the probe says.
        """
        loop = asyncio.get_running_loop()
        period = float(self._probe.get("periodSeconds") or 10)
        due = max(started + float(self._probe.get("initialDelaySeconds") or 0), loop.time())
        while True:
            await asyncio.sleep(due - loop.time())
            attempt = await self._attempt(self._probe)
            self._count(attempt.succeeded)
            if not attempt.succeeded:
                failed(attempt.message)
            said(self.says)
            while due <= loop.time():  # a slow attempt skips the times it covers
                due += period

    def _count(self, succeeded: bool) -> None:
        self._in_a_row = self._in_a_row + 1 if succeeded == self._latest else 1
        self._latest = succeeded
        thresholds = (
            int(self._probe.get("successThreshold") or 1),
            int(self._probe.get("failureThreshold") or 3),
        )
        self.says = self._decisions.state_after_probe(self.says, succeeded, self._in_a_row, thresholds)
