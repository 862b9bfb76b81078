"""The Docker engine: networks and containers of a run, by its own API; `docker exec` where input is needed.

Everything that a run makes carries its mark as a label, and clean-up removes nothing without it. Ports are
published on loopback only.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import socket
import tarfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import docker
import docker.errors
import requests.exceptions
from docker.types import IPAMConfig, LogConfig, Mount

from harness.adapters import processes
from harness.core.errors import EnvironmentBroken
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from harness.core.ledger import Entry, Ledger
    from harness.environment import Completed

LABEL = "conformance.run"
"""Label of everything that a run makes; its value is the run id."""

KIND_LABEL = "io.x-k8s.kind.cluster"
"""Label that kind gives its nodes; its value is the cluster's name."""

CALL_SECONDS = 60.0
"""Budget for one call of the engine; making a container of an image that is there takes a second."""

ANSWER_SECONDS = 10.0
"""Budget for the engine's first answer; one that hangs is to be told of soon."""

STOP_SECONDS = 15
"""What a container's program has to end before it is killed, as a whole number; a node took 6 s."""

PORT_SECONDS = 10.0
"""Budget for the engine to publish a port of a container that runs."""

_SOCKET_FILE = "unix://"
_DEFAULT_ENDPOINT = f"{_SOCKET_FILE}/var/run/docker.sock"
_GONE = (docker.errors.NotFound,)
_BROKEN = (docker.errors.APIError, requests.exceptions.RequestException, OSError)


def endpoint() -> str | None:
    """Where the user's Docker engine listens: DOCKER_HOST, else the context; None for the default."""
    if told := os.environ.get("DOCKER_HOST"):
        return told
    configuration = Path(os.environ.get("DOCKER_CONFIG") or Path.home() / ".docker")
    context = os.environ.get("DOCKER_CONTEXT")
    with contextlib.suppress(OSError, ValueError, AttributeError):
        context = context or json.loads((configuration / "config.json").read_text()).get("currentContext")
    if not context:
        return None
    for file in (configuration / "contexts" / "meta").glob("*/meta.json"):
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            meta = json.loads(file.read_text())
            if meta["Name"] == context:
                return str(meta["Endpoints"]["docker"]["Host"])
    return None


def client_environment() -> dict[str, str]:
    """Variables by which the programs `docker` and `kind` find the engine that the harness uses."""
    found = endpoint()
    told = {name: value for name, value in os.environ.items() if name.startswith("DOCKER_")}
    return {**told, **({"DOCKER_HOST": found} if found else {})}


def command_environment() -> dict[str, str]:
    """Environment of the program `docker`: the engine and the credentials of the user, and nothing else."""
    return {"PATH": os.environ.get("PATH", ""), "HOME": str(Path.home()), **client_environment()}


def connect() -> docker.DockerClient:
    """A client of the user's engine.

    Raises:
        EnvironmentBroken: None answers.
    """
    where = endpoint()
    if where is not None and not _is_local(where):
        raise EnvironmentBroken(
            expected="a Docker engine on this machine, which shares folders and loopback ports with it",
            seen=f"one at {where}",
            remedy="choose a local one by DOCKER_HOST or `docker context use`, or use the lab: leave --env out",
        )
    variables = {**os.environ, **({"DOCKER_HOST": where} if where else {})}
    try:
        _knock(where or _DEFAULT_ENDPOINT)
        client = docker.from_env(environment=variables, timeout=ANSWER_SECONDS)
        client.ping()
        client.api.timeout = CALL_SECONDS
    except (docker.errors.DockerException, *_BROKEN) as error:
        raise EnvironmentBroken(
            expected="a Docker engine for the kind environment",
            seen=f"none answers at {where or _DEFAULT_ENDPOINT}: {_brief(error)}",
            remedy="start Docker, or set DOCKER_HOST; an ordinary user must be in the group docker. "
            "Without Docker, use the lab: leave --env out",
        ) from error
    return client


def check_users(client: docker.DockerClient) -> None:
    """Checks that a user of a container is the same user on this machine, whose folders the containers share.

    Raises:
        EnvironmentBroken: The engine is rootless, or maps users.
    """
    options: list[str] = client.info().get("SecurityOptions") or []
    for name, what in (("rootless", "it runs without root"), ("userns", "it maps users (userns-remap)")):
        if any(f"name={name}" in option.split(",") for option in options):
            raise EnvironmentBroken(
                expected="a Docker engine in whose containers this user owns the same files as outside",
                seen=f"{what}: {', '.join(options)}",
                remedy="choose another engine by DOCKER_HOST or `docker context use`; the lab needs none: leave "
                "--env out",
            )


def _is_local(where: str) -> bool:
    """Whether an engine's address is one of this machine."""
    parts = urlsplit(where)
    return parts.scheme == "unix" or parts.hostname in {"localhost", "127.0.0.1", "::1"}


def _knock(where: str) -> None:
    """Connects to a socket file: the client's own failure would be many words, and leave a socket open."""
    if where.startswith(_SOCKET_FILE):
        with socket.socket(socket.AF_UNIX) as knocking:
            knocking.settimeout(ANSWER_SECONDS)
            knocking.connect(where.removeprefix(_SOCKET_FILE))


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
        except _GONE:
            raise
        except _BROKEN as error:
            raise _no_answer(error) from error

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
        except _GONE:
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
        except _GONE as error:
            raise EnvironmentBroken(
                expected=f"container {self.name} to be there", seen="it is gone", remedy="was it removed?"
            ) from error

    def log(self, lines: int | None = None) -> str:
        """What it printed; its last lines only, where a number is given."""
        try:
            text: bytes = self._found().logs(tail="all" if lines is None else lines)
        except EnvironmentBroken as error:
            return f"(no log: {error.seen})"
        except (*_GONE, *_BROKEN) as error:
            return f"(no log: {_brief(error)})"
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
        except (*_GONE, *_BROKEN) as error:
            raise EnvironmentBroken(
                expected=f"container {self.name} to {what}", seen=_brief(error), remedy=_way_out(error)
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
        self.client = connect()
        self.run = run
        self.network_name = _network_of(run)
        self._ledger = ledger

    @property
    def labels(self) -> dict[str, str]:
        """Labels of everything that the run makes."""
        return {LABEL: self.run}

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
        except _BROKEN as error:
            raise EnvironmentBroken(
                expected=f"a Docker network {self.network_name}",
                seen=_brief(error),
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
            raise missing_images([wanted.image]) from error
        except _BROKEN as error:
            raise EnvironmentBroken(
                expected=f"container {wanted.name} to start from {wanted.image}",
                seen=_brief(error),
                remedy=_way_out(error),
            ) from error
        return Container(self.client, name)

    def stop_all(self) -> None:
        """Kills every container of the run, so that whoever waits for one is told; removing is the ledger's."""
        # What there is to tell is why all is stopped, and not that the engine has gone as well.
        with contextlib.suppress(EnvironmentBroken):
            for container in _all_of(self.client, self.run, self.network_name):
                with contextlib.suppress(*_BROKEN):
                    container.kill()

    def container(self, name: str) -> Container:
        """A container of the run by its short name."""
        return Container(self.client, self.full_name(name))


def must_all_be_alive(run: str, cluster: str) -> None:
    """Checks that every container of a run still runs, and every node of its cluster.

    Raises:
        EnvironmentBroken: One ended, with its last words; or the engine does not answer.
    """
    client = connect()
    with contextlib.closing(client):
        found = _all_of(client, run, cluster)
        if not found:
            raise EnvironmentBroken(
                expected=f"the containers of run {run}",
                seen="none",
                remedy="they were removed; `./conformance cleanup --all` removes the rest",
            )
        for container in found:
            # Of one that was made to copy a file out nothing ever runs.
            if container.status not in ("running", "created"):
                Container(client, container.name).must_be_alive()


def identities(run: str, cluster: str) -> dict[str, str]:
    """Ids of a run's containers and of its cluster's nodes, by name: another one of that name has another id."""
    client = connect()
    with contextlib.closing(client):
        found = _all_of(client, run, cluster)
        return {str(container.name): str(container.id) for container in found}


def addresses(run: str) -> dict[str, str]:
    """Address of each container of a run on the run's network, by name."""
    client = connect()
    with contextlib.closing(client):
        return {str(one.name): Container(client, one.name).ip() for one in _of(client, f"{LABEL}={run}")}


def logs(run: str) -> Iterator[tuple[str, str]]:
    """Name and log of each container of a run."""
    client = connect()
    with contextlib.closing(client):
        for container in _of(client, f"{LABEL}={run}"):
            yield container.name.removeprefix(f"conformance-{run}-"), Container(client, container.name).log()


def execute(container: str, *argv: str, stdin: str | None = None, within: float = CALL_SECONDS) -> Completed:
    """Runs a program in a container to its end, recorded as evidence; never a secret among its arguments.

    Raises:
        EnvironmentBroken: It did not end in time, or there is no program `docker`.
    """
    interactive = ["-i"] if stdin is not None else []
    return processes.run(
        [program(), "exec", *interactive, container, *argv],
        env=command_environment(),
        cwd=Path("/"),
        within=within,
        stdin=stdin,
    )


def program() -> str:
    """Path of the program `docker`.

    Raises:
        EnvironmentBroken: There is none.
    """
    found = shutil.which("docker")
    if found is None:
        raise EnvironmentBroken(
            expected="the program docker on PATH",
            seen="none",
            remedy="install Docker's command line; without Docker, use the lab: leave --env out",
        )
    return found


def copy_out(client: docker.DockerClient, image: str, path: str, target: Path, *, run: str) -> bool:
    """Copies a file out of an image, through a container that never runs; whether it is there.

    Args:
        client: Of the engine.
        image: Which is there.
        path: Absolute, in the image.
        target: File to write, executable.
        run: Run id, for the container's label.

    Raises:
        EnvironmentBroken: The engine does not have the image, or refused.
    """
    try:
        container = client.containers.create(
            image, entrypoint=["/"], labels={LABEL: run}, use_config_proxy=False
        )
    except docker.errors.ImageNotFound as error:
        raise missing_images([image]) from error
    except _BROKEN as error:
        raise _not_copied(path, image, error) from error
    try:
        stream, _ = container.get_archive(path)
        with tarfile.open(fileobj=io.BytesIO(b"".join(stream))) as archive:
            # A link in an image's file system means a file of the image.
            member = archive.getmembers()[0]
            if member.issym():
                return copy_out(client, image, str(Path(path).parent / member.linkname), target, run=run)
            content = archive.extractfile(member)
            target.write_bytes(content.read() if content else b"")
    except _GONE:
        return False
    except _BROKEN as error:
        raise _not_copied(path, image, error) from error
    finally:
        container.remove(force=True, v=True)
    target.chmod(0o755)
    return True


def _not_copied(path: str, image: str, error: Exception) -> EnvironmentBroken:
    return EnvironmentBroken(
        expected=f"{path} to be copied out of {image}", seen=_brief(error), remedy=_way_out(error)
    )


def absent(client: docker.DockerClient, images: Sequence[str]) -> list[str]:
    """Which of these images the engine does not have.

    Raises:
        EnvironmentBroken: The engine does not answer.
    """
    missing = []
    for image in dict.fromkeys(images):
        try:
            client.images.get(image)
        except docker.errors.ImageNotFound:
            missing.append(image)
        except _BROKEN as error:
            raise _no_answer(error) from error
    return missing


def provide(
    client: docker.DockerClient,
    images: Sequence[str],
    *,
    credentials: Callable[[str], Mapping[str, str] | None] | None = None,
    tell: Callable[[str], None] | None = None,
) -> list[str]:
    """Has the engine pull what it does not have of these images; returns what it pulled.

    Args:
        client: Of the engine.
        images: Names.
        credentials: Those for an image; None for it, or without this, the user's own of `docker login` serve.
        tell: Gets a line for the user before each pull.

    Raises:
        EnvironmentBroken: Some can not be had; all of them are named.
    """
    wanting = absent(client, images)
    refused: dict[str, str] = {}
    for image in wanting:
        if tell is not None:
            tell(f"pulling {image}")
        known = credentials and credentials(image)
        try:
            client.images.pull(image, auth_config=dict(known) if known else None)
        except _BROKEN as error:
            refused[image] = _brief(error)
    if refused:
        raise missing_images(list(refused), next(iter(refused.values())))
    return wanting


def missing_images(
    images: Sequence[str],
    seen: str = "the Docker engine does not have them",
    *,
    remedy: str = "check the name and version for a slip; a private registry wants `docker login` or "
    "--registry-secret. For a machine without a network, `./conformance images save` and `load` bring them",
) -> EnvironmentBroken:
    """The error that names images which can not be had, with the way out."""
    return EnvironmentBroken(expected=f"the images {', '.join(images)}", seen=seen, remedy=remedy)


def identity(client: docker.DockerClient, image: str) -> str:
    """The digest by which a registry knows an image that is there, else its id: what a tag stood for."""
    found = client.images.get(image)
    digests: list[str] = found.attrs.get("RepoDigests") or []
    return digests[0].rpartition("@")[2] if digests else str(found.id)


def undo_container(entry: Entry) -> None:
    """Ledger undo: removes the container that the entry names, if the run made it."""
    client = connect()
    with contextlib.closing(client):
        try:
            container = client.containers.get(str(entry.what["name"]))
        except _GONE:
            return
        _must_be_marked(container.labels, entry)
        # Somebody else, or an ending engine, may remove it at the same time.
        with contextlib.suppress(*_GONE):
            container.remove(force=True, v=True)


def undo_network(entry: Entry) -> None:
    """Ledger undo: removes the network that the entry names, if the run made it, and what is left of the run.

    No entry names a container that was made to copy a file out, and a node may come after its cluster was undone:
    the engine goes on with what a killed `kind` asked for. The network is the first thing made, and undone last.
    """
    run, name = str(entry.what["run"]), str(entry.what["name"])
    client = connect()
    with contextlib.closing(client):
        # Only of the network that goes by the run: its name is the cluster's, too.
        for container in _all_of(client, run, name) if name == _network_of(run) else ():
            with contextlib.suppress(*_GONE):
                container.remove(force=True, v=True)
        try:
            network = client.networks.get(name)
        except _GONE:
            return
        _must_be_marked(network.attrs.get("Labels") or {}, entry)
        with contextlib.suppress(*_GONE):
            network.remove()


def undo_cluster(entry: Entry) -> None:
    """Ledger undo: removes the nodes of the kind cluster that the entry names; its name carries the run's id."""
    name = str(entry.what["name"])
    if str(entry.what["run"]) not in name:
        raise EnvironmentBroken(
            expected=f"the name of a cluster of run {entry.what['run']}",
            seen=name,
            remedy=f"if it is yours, leave it; else `kind delete cluster --name {name}`",
        )
    client = connect()
    with contextlib.closing(client):
        for node in _of(client, f"{KIND_LABEL}={name}"):
            with contextlib.suppress(*_GONE):
                node.remove(force=True, v=True)


def _must_be_marked(labels: Mapping[str, str], entry: Entry) -> None:
    if labels.get(LABEL) != entry.what["run"]:
        raise EnvironmentBroken(
            expected=f"{entry.what['name']} with the label {LABEL}={entry.what['run']}",
            seen=f"{LABEL}={labels.get(LABEL)}",
            remedy="something else has taken the name: remove it by hand if it is yours",
        )


def _network_of(run: str) -> str:
    return f"conformance-{run}"


def _all_of(client: docker.DockerClient, run: str, cluster: str) -> list[Any]:
    """Containers of a run, and nodes of its cluster."""
    return [*_of(client, f"{LABEL}={run}"), *_of(client, f"{KIND_LABEL}={cluster}")]


def _of(client: docker.DockerClient, label: str) -> list[Any]:
    try:
        found: list[Any] = client.containers.list(all=True, filters={"label": label}, ignore_removed=True)
    except _BROKEN as error:
        raise _no_answer(error) from error
    return found


def _no_answer(error: Exception) -> EnvironmentBroken:
    return EnvironmentBroken(
        expected="the Docker engine to answer", seen=_brief(error), remedy="is Docker still running?"
    )


def _brief(error: Exception) -> str:
    text = getattr(error, "explanation", None) or str(error)
    return str(text).strip()[:400]


def _way_out(error: Exception) -> str:
    text = _brief(error)
    if "no space left" in text:
        return "the engine's disk is full: `docker system df` shows by what, `docker system prune` frees some"
    if "port is already allocated" in text or "address already in use" in text:
        return "something took the port in between: try again"
    return "see what the engine says; `docker info` shows whether it is well"
