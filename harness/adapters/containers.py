"""Networks and containers of a run, by the Docker engine's own API; `docker exec` where input is needed.

Everything that a run makes carries its mark as a label, and clean-up removes nothing without it. Ports are
published on loopback only.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import docker
import docker.errors
from docker.types import IPAMConfig, LogConfig, Mount

from harness.adapters import docker_engine, image_store, processes
from harness.core.errors import EnvironmentBroken
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.core.ledger import Ledger
    from harness.environment import Completed

STOP_SECONDS = 15
"""What a container's program has to end before it is killed, as a whole number; a node took 6 s."""

PORT_SECONDS = 10.0
"""Budget for the engine to publish a port of a container that runs."""


@dataclass(frozen=True)
class Wanted:
    """A container to start.

    Attributes:
        name: What it is called within the run (`aws-gateway`).
        image: Image that is there.
        command: Arguments; empty for the image's own.
        entrypoint: Program, in place of the image's own.
        environment: Its variables.
        folders: Folders and files of the host, mounted at the same path, and whether it may write there.
        ports: Container ports to publish on loopback, at ports of the engine's choice.
        published: Container ports to publish at loopback ports chosen beforehand: the engine's choice is another
            one after each start.
        aliases: Names by which others on the run's network find it.
        user: User and group ids that it runs as; the caller's where not given.
        working_dir: Where it starts.
    """

    name: str
    image: str
    command: Sequence[str] = ()
    entrypoint: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    folders: Mapping[Path, bool] = field(default_factory=dict)
    ports: Sequence[int] = ()
    published: Mapping[int, int] = field(default_factory=dict)
    aliases: Sequence[str] = ()
    user: str | None = None
    working_dir: str | None = None


class Container:
    """A container of the run."""

    def __init__(self, client: docker.DockerClient, name: str) -> None:
        """Binds to a container by its name."""
        self._client = client
        self.name = name

    def _found(self) -> Any:
        try:
            return self._client.containers.get(self.name)
        except docker_engine.GONE:
            raise
        except docker_engine.BROKEN as error:
            raise docker_engine.no_answer(error) from error

    def address(self, port: int) -> str:
        """Loopback `host:port` at which a container port is published.

        Raises:
            EnvironmentBroken: The container ended; with its last words.
            NotObserved: It never was.
        """

        def published() -> list[str]:
            self.must_be_alive()
            ports = self._found().attrs["NetworkSettings"]["Ports"].get(f"{port}/tcp") or []
            return [f"{entry['HostIp']}:{entry['HostPort']}" for entry in ports]

        return eventually(
            published, bool, expected=f"port {port} of {self.name} to be published", within=PORT_SECONDS
        )[0]

    def exited(self) -> str | None:
        """How it ended, or None while it runs."""
        try:
            state = self._found().attrs["State"]
        except docker_engine.GONE:
            return "it is gone"
        if state["Running"]:
            return None
        killed = " (out of memory)" if state.get("OOMKilled") else ""
        return f"exit status {state['ExitCode']}{killed} {state.get('Error', '')}".strip()

    def started(self) -> str:
        """When it was started last, as the engine writes it.

        Raises:
            EnvironmentBroken: It is gone, or the engine does not answer.
        """
        try:
            return str(self._found().attrs["State"]["StartedAt"])
        except docker_engine.GONE as error:
            raise EnvironmentBroken(
                expected=f"container {self.name} to be there", seen="it is gone", remedy="was it removed?"
            ) from error

    def log(self, lines: int | None = None) -> str:
        """What it printed; its last lines only, where a number is given."""
        try:
            text: bytes = self._found().logs(tail="all" if lines is None else lines)
        except EnvironmentBroken as error:
            return f"(no log: {error.seen})"
        except (*docker_engine.GONE, *docker_engine.BROKEN) as error:
            return f"(no log: {docker_engine.brief(error)})"
        return text.decode(errors="replace").strip()

    def last_words(self) -> str:
        """The last lines of its log."""
        return self.log(6) or "(it printed nothing)"

    def must_be_alive(self) -> None:
        """Checks that it still runs.

        Raises:
            EnvironmentBroken: It ended; with its last words.
        """
        ended = self.exited()
        if ended is not None:
            raise EnvironmentBroken(
                expected=f"container {self.name} to keep running",
                seen=f"{ended}; its last words:\n{self.last_words()}",
                remedy="after `run`, the report's folder `environment` has its whole log",
            )

    def stop(self) -> None:
        """Ends its program, which has some seconds for that; it can be started again.

        Raises:
            EnvironmentBroken: The engine refused.
        """
        self._told("stop", lambda found: found.stop(timeout=STOP_SECONDS))

    def start(self) -> None:
        """Starts it again, the same container with what it had written.

        Raises:
            EnvironmentBroken: The engine refused.
        """
        self._told("start", lambda found: found.start())

    def _told(self, what: str, do: Callable[[Any], None]) -> None:
        try:
            do(self._found())
        except (*docker_engine.GONE, *docker_engine.BROKEN) as error:
            raise EnvironmentBroken(
                expected=f"container {self.name} to {what}",
                seen=docker_engine.brief(error),
                remedy=docker_engine.way_out(error),
            ) from error

    def ip(self) -> str:
        """Its address on the run's network."""
        networks: dict[str, dict[str, str]] = self._found().attrs["NetworkSettings"]["Networks"]
        return next(network["IPAddress"] for network in networks.values())


class Engine:
    """What one run makes of containers."""

    def __init__(self, run: str, ledger: Ledger) -> None:
        """Connects to the user's engine.

        Args:
            run: Run id.
            ledger: The run's ledger.

        Raises:
            EnvironmentBroken: No engine answers.
        """
        self.client = docker_engine.connect()
        self.run = run
        self.network_name = network_of(run)
        self._ledger = ledger

    @property
    def labels(self) -> dict[str, str]:
        """Labels of everything that the run makes."""
        return {docker_engine.LABEL: self.run}

    def full_name(self, name: str) -> str:
        """A container's name with the engine, which all runs share."""
        return f"conformance-{self.run}-{name}"

    def make_network(self) -> None:
        """Makes the run's own network: AWS's names mean the gateway in it, and nobody else is there.

        Raises:
            EnvironmentBroken: The engine refused.
        """
        self._ledger.will_create("docker-network", name=self.network_name, run=self.run)
        try:
            self.client.networks.create(
                self.network_name, driver="bridge", labels=self.labels, ipam=IPAMConfig()
            )
        except docker_engine.BROKEN as error:
            raise EnvironmentBroken(
                expected=f"a Docker network {self.network_name}",
                seen=docker_engine.brief(error),
                remedy="`docker network prune` removes networks that nothing uses; an engine has room for "
                "about thirty with its default addresses",
            ) from error

    def will_start(self, name: str) -> str:
        """Enters a container in the ledger that is about to be started; its name with the engine."""
        full_name = self.full_name(name)
        self._ledger.will_create("container", name=full_name, run=self.run)
        return full_name

    def start(self, wanted: Wanted) -> Container:
        """Starts a container of an image that is there, entered in the ledger first.

        Raises:
            EnvironmentBroken: The engine refused.
        """
        name = self.will_start(wanted.name)
        mounts = [
            Mount(str(path), str(path), type="bind", read_only=not may_write)
            for path, may_write in wanted.folders.items()
        ]
        connection = self.client.api.create_endpoint_config(aliases=list(wanted.aliases))
        try:
            # Not `run`, which pulls an image that is absent.
            made = self.client.containers.create(
                wanted.image,
                list(wanted.command) or None,
                entrypoint=list(wanted.entrypoint) or None,
                name=name,
                hostname=wanted.name,
                labels=self.labels,
                environment=dict(wanted.environment),
                mounts=mounts,
                ports={
                    f"{port}/tcp": ("127.0.0.1", chosen)
                    for port, chosen in {**dict.fromkeys(wanted.ports), **wanted.published}.items()
                },
                user=wanted.user or f"{os.getuid()}:{os.getgid()}",
                working_dir=wanted.working_dir,
                network=self.network_name,
                networking_config={self.network_name: connection},
                # Names of the run's network are found all the same; none beyond it.
                dns=["127.0.0.1"],
                # Docker 20.10 gives no answer for those, and to ask for 10 s is the default.
                dns_opt=["timeout:1", "attempts:2"],
                dns_search=["."],
                # An ordinary user serves at 443, in the container's own network namespace.
                sysctls={"net.ipv4.ip_unprivileged_port_start": "0"},
                # With SELinux a container may not read the user's folders otherwise.
                security_opt=["label=disable"],
                # The proxies of the user's docker config.json lead to the real AWS, and may hold a password.
                use_config_proxy=False,
                log_config=LogConfig(type="json-file"),
            )
            made.start()
        except docker.errors.ImageNotFound as error:
            raise image_store.missing_images([wanted.image]) from error
        except docker_engine.BROKEN as error:
            raise EnvironmentBroken(
                expected=f"container {wanted.name} to start from {wanted.image}",
                seen=docker_engine.brief(error),
                remedy=docker_engine.way_out(error),
            ) from error
        return Container(self.client, name)

    def stop_all(self) -> None:
        """Kills every container of the run, so that whoever waits for one is told; removing is the ledger's."""
        # What there is to tell is why all is stopped, and not that the engine has gone as well.
        with contextlib.suppress(EnvironmentBroken):
            for container in all_of(self.client, self.run, self.network_name):
                with contextlib.suppress(*docker_engine.BROKEN):
                    container.kill()

    def container(self, name: str) -> Container:
        """A container of the run by its short name."""
        return Container(self.client, self.full_name(name))


def execute(
    container: str, *argv: str, stdin: str | None = None, within: float = docker_engine.CALL_SECONDS
) -> Completed:
    """Runs a program in a container to its end, recorded as evidence; never a secret among its arguments.

    Raises:
        EnvironmentBroken: It did not end in time, or there is no program `docker`.
    """
    interactive = ["-i"] if stdin is not None else []
    return processes.run(
        [docker_engine.program(), "exec", *interactive, container, *argv],
        env=docker_engine.command_environment(),
        cwd=Path("/"),
        within=within,
        stdin=stdin,
    )


def network_of(run: str) -> str:
    """Name of a run's network, and of its cluster."""
    return f"conformance-{run}"


def all_of(client: docker.DockerClient, run: str, cluster: str) -> list[Any]:
    """Containers of a run, and nodes of its cluster."""
    return [
        *labelled(client, f"{docker_engine.LABEL}={run}"),
        *labelled(client, f"{docker_engine.KIND_LABEL}={cluster}"),
    ]


def labelled(client: docker.DockerClient, label: str) -> list[Any]:
    """Containers with a label, ended ones among them.

    Raises:
        EnvironmentBroken: The engine does not answer.
    """
    try:
        found: list[Any] = client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    except docker_engine.BROKEN as error:
        raise docker_engine.no_answer(error) from error
    return found
