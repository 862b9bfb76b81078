"""One container of a pod: image, configuration, attempts, probes, back-off, and its end."""

from __future__ import annotations

import asyncio
import json
import secrets
import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from simulators.kubelet import ports, processes
from simulators.kubelet.api import ApiError, UnreachableError
from simulators.kubelet.environment import ConfigurationError, Environment, command_line, relocated
from simulators.kubelet.health import Health
from simulators.kubelet.logs import Log
from simulators.kubelet.objects import ContainerStatus, Object, Running, Terminated, Waiting
from simulators.kubelet.probes import Target

if TYPE_CHECKING:
    from pathlib import Path

    import aiohttp

    from simulators.kubelet.config import Config, Image
    from simulators.kubelet.decisions import Decisions
    from simulators.kubelet.volumes import Volumes

PULL_ERROR_SECONDS = 1.0  # how long ErrImagePull is shown before ImagePullBackOff

Note = Callable[[str, str, bool, str], None]
"""Records an event about the pod: reason, message, whether it is a warning, container."""


@dataclass(frozen=True)
class Surroundings:
    """What a container needs of its pod and of the node.

    Args:
        config: of the node.
        decisions: of the kubelet.
        folder: of the pod, for logs and roots.
        volumes: of the pod.
        environment: builds environments of the pod's containers.
        session: for probes.
        note: records events.
        changed: to be called when the container's status has changed.
        moved: takes the ports that a new attempt is reached on: name -> port of the host.
        current: the container's specification as the API has it now, by name.
        label: of the pod, for messages.
    """

    config: Config
    decisions: Decisions
    folder: Path
    volumes: Volumes
    environment: Environment
    session: aiohttp.ClientSession
    note: Note
    changed: Callable[[], None]
    moved: Callable[[dict[str, int]], None]
    current: Callable[[str], Object]
    label: str


class Container:
    """A container, from its image to its last end.

    Args:
        spec: its specification.
        policy: Always, OnFailure or Never.
        grace: seconds between SIGTERM and SIGKILL when a probe has it restarted.
        around: its pod and node.
    """

    def __init__(self, spec: Object, policy: str, grace: float, around: Surroundings) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self.status = ContainerStatus(self.name, spec["image"], Waiting("ContainerCreating"))
        self.logs: list[Log] = []
        self._policy = policy
        self._grace = grace
        self._around = around
        self._attempts = 0
        self._process: processes.Process | None = None
        self._command: processes.Command | None = None
        self._target: Target | None = None
        self._ended = asyncio.Event()
        self._stopping = asyncio.Event()
        self._restarting: asyncio.Task[None] | None = None

    async def run(self) -> Terminated | None:
        """Run the container until it ends for good.

        Returns:
            How it ended; None when it was stopped without ever being started.
        """
        decisions, failures = self._around.decisions, 0
        ended: Terminated | None = None
        while not self._stopping.is_set():
            image = await self._pulled()
            command = await self._configured(image) if image else None
            if command is None:
                break
            ended = await self._attempt(command)
            if self._stopping.is_set() or not decisions.restart_after_exit(self._policy, ended.exit_code):
                break
            if decisions.back_off_forgotten((ended.finished_at - ended.started_at).total_seconds()):
                failures = 0
            self.status.last = ended
            await self._back_off(decisions.back_off(failures))
            failures += 1
            if not self._stopping.is_set():
                self.status.restarts += 1
        return ended

    async def stop(self, grace: float) -> None:
        """End the container for good: preStop, SIGTERM, and after the grace period SIGKILL.

        Args:
            grace: seconds for all of it; 0 kills at once.
        """
        self._stopping.set()
        if self._process:
            self._note("Killing", f"Stopping container {self.name}")
            await self._terminate(self._process, grace)

    def kill(self) -> None:
        """End the container for good and at once."""
        self._stopping.set()
        if self._process:
            self._process.kill()

    def inside(self, argv: list[str]) -> processes.Command:
        """A command that sees what the running program sees.

        Args:
            argv: of the command.

        Raises:
            LookupError: the container does not run; with the text that a real kubelet shows.
        """
        if self._process is None or self._command is None:
            raise LookupError(f'container not found ("{self.name}")')
        return _within(self._process, self._command, argv)

    def log(self, *, previous: bool) -> Log:
        """What it printed.

        Args:
            previous: in the attempt before.

        Raises:
            LookupError: there was no such attempt; with the text that a real kubelet shows.
        """
        pod = self._around.environment.pod["metadata"]["name"]
        label = f'container "{self.name}" in pod "{pod}"'
        if not previous:
            if not self.logs:
                reason = self.status.state.reason if isinstance(self.status.state, Waiting) else "starting"
                raise LookupError(f"{label} is waiting to start: {reason}")
            return self.logs[-1]
        if isinstance(self.status.state, Waiting) and self.status.last:
            return self.logs[-1]
        if len(self.logs) < 2:
            raise LookupError(f"previous terminated {label} not found")
        return self.logs[-2]

    def _note(self, reason: str, message: str, *, warning: bool = False) -> None:
        self._around.note(reason, message, warning, self.name)

    def _wait(self, reason: str, message: str = "") -> None:
        self.status.state = Waiting(reason, message)
        self._around.changed()

    async def _pause(self, seconds: float) -> None:
        """Wait that long, or until the container is to stop."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), seconds)

    async def _back_off(self, seconds: float) -> None:
        if seconds:
            text = f"back-off {seconds:g}s restarting failed container={self.name} pod={self._around.label}"
            self._wait("CrashLoopBackOff", text)
            self._note("BackOff", f"Back-off restarting failed container {self.name}", warning=True)
            await self._pause(seconds)

    async def _pulled(self) -> Image | None:
        """The program that the image stands for; as long as there is none, say so and try again."""
        around, failures = self._around, 0
        while not self._stopping.is_set():
            self.spec = around.current(self.name)
            reference = self.status.image = self.spec["image"]
            for image in around.config.images:
                if around.decisions.image_known(reference, image.name):
                    self._note("Pulled", f'Container image "{reference}" already present on machine')
                    return image
            failures += 1
            text = f'Failed to pull image "{reference}": no local program stands for it'
            self._note("Failed", text, warning=True)
            self._wait("ErrImagePull", text)
            await self._pause(PULL_ERROR_SECONDS)
            self._note("BackOff", f'Back-off pulling image "{reference}"', warning=True)
            self._wait("ImagePullBackOff", f'Back-off pulling image "{reference}": {text}')
            loop = asyncio.get_running_loop()
            due = loop.time() + around.decisions.back_off(failures)
            while loop.time() < due and not self._stopping.is_set():
                await self._pause(0.5)
                if around.current(self.name)["image"] != reference:
                    break
        return None

    async def _configured(self, image: Image) -> processes.Command | None:
        """What to start; as long as the environment refers to something missing, say so and try again."""
        around, failures = self._around, 0
        while not self._stopping.is_set():
            try:
                variables = await around.environment.build(self.spec, image.path)
            except (ConfigurationError, ApiError, UnreachableError) as error:
                failures += 1
                self._wait("CreateContainerConfigError", str(error))
                self._note("Failed", f"Error: {error}", warning=True)
                await self._pause(around.decisions.setup_delay(failures))
                continue
            mounts = around.volumes.mounts(self.spec, variables)
            argv = command_line(self.spec, image.entrypoint, variables)
            if around.config.isolation == "none":
                places = {mount.target: mount.source for mount in mounts}
                variables = relocated(variables, places) | {"CONFORMANCE_MOUNTS": json.dumps(places)}
            root = around.folder / "roots" / self.name
            root.mkdir(parents=True, exist_ok=True)
            return processes.Command(
                argv=argv,
                environment=variables,
                cwd=self.spec.get("workingDir") or "/",
                isolation=around.config.isolation,
                root=str(root),
                hostname=variables["HOSTNAME"],
                mounts=mounts,
            )
        return None

    async def _attempt(self, command: processes.Command) -> Terminated:
        """Run the program once."""
        identity, started = secrets.token_hex(32), datetime.now(UTC)
        self.status.container_id = identity
        output = self._new_log()
        command, located = self._on_free_ports(command)
        self._ended.clear()
        try:
            process = await processes.start(command, output.write)
        except processes.StartError as error:
            output.close()
            self._note("Failed", f"Error: {error}", warning=True)
            return self._over(Terminated(128, "StartError", str(error), started, datetime.now(UTC), identity))
        self._note("Started", f"Started container {self.name}")
        self._process, self._command = process, command
        if self._stopping.is_set():
            process.kill()
        self.status.state = Running(started, identity)
        self._target = self._reach(process, command, located)
        health = asyncio.create_task(self._health(process, self._target).follow())
        code = await process.wait()
        health.cancel()
        await asyncio.wait({health})
        self._process = None
        self._ended.set()
        output.close()
        reason = "Error" if code else "Completed"
        return self._over(Terminated(code, reason, "", started, datetime.now(UTC), identity))

    def _over(self, end: Terminated) -> Terminated:
        self.status.state = end
        self.status.started = self.status.ready = False
        self._around.changed()
        return end

    def _new_log(self) -> Log:
        folder = self._around.folder / "logs" / self.name
        folder.mkdir(parents=True, exist_ok=True)
        self.logs.append(Log(folder / f"{self._attempts}.log"))
        self._attempts += 1
        while len(self.logs) > 2:
            self.logs.pop(0).path.unlink()
        return self.logs[-1]

    def _on_free_ports(self, command: processes.Command) -> tuple[processes.Command, dict[int, int]]:
        names = ports.declared(self.spec)
        chosen = {port: ports.free_port() for port in names}
        argv, moved = ports.rewrite(command.argv, chosen)
        located = {port: chosen[port] if port in moved else port for port in names}
        for port, name in names.items():
            if port in moved:
                self._note("PortMapped", f"port {name} ({port}) is reached on 127.0.0.1:{located[port]}")
            else:
                text = f"port {name} ({port}) stays as it is: no argument names it as an address to listen on"
                self._note("PortNotMapped", text, warning=True)
        if names:
            self._around.moved({name: located[port] for port, name in names.items()})
        return replace(command, argv=argv), located

    def _health(self, process: processes.Process, target: Target) -> Health:
        def failed(kind: str, message: str) -> None:
            self._note("Unhealthy", f"{kind.capitalize()} probe failed: {message}", warning=True)

        def dead(kind: str, probe: Object) -> None:
            self._restart(process, kind, probe)

        return Health(self.spec, target, self._around.decisions, failed, self._judge, dead)

    def _judge(self, started: bool, readiness: bool) -> None:
        """Take what the probes say into the status."""
        running = isinstance(self.status.state, Running)
        self.status.started = running and started
        self.status.ready = self._around.decisions.ready_after_probes(running, started, readiness)
        self._around.changed()

    def _reach(
        self, process: processes.Process, command: processes.Command, located: dict[int, int]
    ) -> Target:
        """How probes and hooks reach this attempt."""

        def locate(port: int | str) -> int:
            number = ports.resolve(self.spec, port)
            return located.get(number, number)

        async def execute(argv: list[str], seconds: float) -> tuple[int, str]:
            return await processes.run(_within(process, command, argv), seconds)

        return Target(locate, execute, self._around.session)

    def _restart(self, process: processes.Process, probe: str, spec: Object) -> None:
        if self._restarting and not self._restarting.done():
            return
        self._note("Killing", f"Container {self.name} failed {probe} probe, will be restarted")
        grace = float(spec.get("terminationGracePeriodSeconds") or self._grace)
        self._restarting = asyncio.create_task(self._terminate(process, grace))

    async def _terminate(self, process: processes.Process, grace: float) -> None:
        """End one attempt."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + grace
        if grace > 0:
            await self._before_stop(grace)
            process.signal(signal.SIGTERM)
            with suppress(TimeoutError):
                await asyncio.wait_for(self._ended.wait(), max(0.0, deadline - loop.time()))
        if not self._ended.is_set():
            process.kill()
            await self._ended.wait()

    async def _before_stop(self, grace: float) -> None:
        """Run preStop within the grace period; its failure does not hold up the end."""
        hook = (self.spec.get("lifecycle") or {}).get("preStop") or {}
        if hook and self._target:
            attempt = await self._target.attempt({**hook, "timeoutSeconds": grace})
            if not attempt.succeeded:
                self._note("FailedPreStopHook", f"PreStopHook failed: {attempt.message}", warning=True)


def _within(process: processes.Process, command: processes.Command, argv: list[str]) -> processes.Command:
    """A command beside a running program: same variables, folder and, where it has some, namespaces."""
    inside = process.pid if command.isolation == "mount-namespace" else None
    return replace(command, argv=argv, enter=inside)
