"""The user's Docker engine: where it listens, a client of it, and what is wrong where it refuses."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import socket
from pathlib import Path
from urllib.parse import urlsplit

import docker
import docker.errors
import requests.exceptions

from harness.core.errors import EnvironmentBroken

LABEL = "conformance.run"
"""Label of everything that a run makes; its value is the run id."""

KIND_LABEL = "io.x-k8s.kind.cluster"
"""Label that kind gives its nodes; its value is the cluster's name."""

CALL_SECONDS = 60.0
"""Budget for one call of the engine; making a container of an image that is there takes a second."""

ANSWER_SECONDS = 10.0
"""Budget for the engine's first answer; one that hangs is to be told of soon."""

_SOCKET_FILE = "unix://"
_DEFAULT_ENDPOINT = f"{_SOCKET_FILE}/var/run/docker.sock"
GONE = (docker.errors.NotFound,)
BROKEN = (docker.errors.APIError, requests.exceptions.RequestException, OSError)


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
    except (docker.errors.DockerException, *BROKEN) as error:
        raise EnvironmentBroken(
            expected="a Docker engine for the kind environment",
            seen=f"none answers at {where or _DEFAULT_ENDPOINT}: {brief(error)}",
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


def no_answer(error: Exception) -> EnvironmentBroken:
    """What to raise where the engine did not answer."""
    return EnvironmentBroken(
        expected="the Docker engine to answer", seen=brief(error), remedy="is Docker still running?"
    )


def brief(error: Exception) -> str:
    """What the engine said, shortened."""
    text = getattr(error, "explanation", None) or str(error)
    return str(text).strip()[:400]


def way_out(error: Exception) -> str:
    """What helps where the engine refused."""
    text = brief(error)
    if "no space left" in text:
        return "the engine's disk is full: `docker system df` shows by what, `docker system prune` frees some"
    if "port is already allocated" in text or "address already in use" in text:
        return "something took the port in between: try again"
    return "see what the engine says; `docker info` shows whether it is well"
