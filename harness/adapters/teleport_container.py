"""Auth and Proxy Service of Teleport as a container, and the administrator's `tctl` inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import yaml

from harness.adapters import (
    containers,
    daemons,
    image_store,
    processes,
    teleport_server,
)
from harness.adapters.containers import Wanted
from harness.adapters.teleport_server import HOST, Administrator, Server
from harness.core.errors import EnvironmentBroken, NotObserved
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from harness.adapters.certificates import Authority
    from harness.adapters.containers import Container, Engine
    from harness.environment import Completed

NAME = "teleport"
WEB_PORT = 443
AUTH_PORT = 3025
PROGRAM_FOLDERS = ("/usr/local/bin", "/usr/bin", "/opt/teleport/system/bin")
"""Where images of Teleport have their programs."""


def clients(engine: Engine, image: str, folder: Path) -> Path:
    """Copies `tsh` and `tctl` out of an image of Teleport; returns the folder.

    Args:
        engine: The run's containers.
        image: Which is there.
        folder: Folder to make.

    Raises:
        EnvironmentBroken: The image has none.
    """
    folder.mkdir(parents=True)
    for program in ("tsh", "tctl"):
        found = any(
            image_store.copy_out(engine.client, image, f"{place}/{program}", folder / program, run=engine.run)
            for place in PROGRAM_FOLDERS
        )
        if not found:
            raise EnvironmentBroken(
                expected=f"the program {program} in the image {image}",
                seen=f"none in {', '.join(PROGRAM_FOLDERS)}",
                remedy="name an image of Teleport with --teleport, not one of another program",
            )
    return folder


def must_run(tsh: Path, *, env: Mapping[str, str]) -> None:
    """Checks that this machine runs a `tsh` that came out of an image: an image is of Linux, and of one platform.

    Args:
        tsh: The program.
        env: Environment of the child.

    Raises:
        EnvironmentBroken: It does not run.
    """
    remedy = "the image must be of this machine's platform; the suite runs on Linux with glibc"
    try:
        completed = processes.run([str(tsh), "version"], env=env, cwd=tsh.parent, within=30)
    except EnvironmentBroken as error:
        raise EnvironmentBroken(
            expected="tsh of the image to run on this machine", seen=error.seen, remedy=remedy
        ) from error
    if completed.exit_code != 0:
        raise EnvironmentBroken(
            expected="tsh of the image to run on this machine",
            seen=f"exit status {completed.exit_code}: {completed.stderr.strip()[-300:]}",
            remedy=remedy,
        )


def start(
    engine: Engine,
    folder: Path,
    *,
    image: str,
    authority: Authority,
    env: Mapping[str, str],
    licence: Path | None = None,
) -> Server:
    """Starts the container and waits until the proxy answers `/v1/webapi/ping` (claim pre.ping).

    Args:
        engine: The run's containers.
        folder: Working folder for data and logs; the container has it at the same path.
        image: Which is there.
        authority: The run's certificate authority.
        env: Environment of the container.
        licence: Licence file of an Enterprise image.

    Raises:
        EnvironmentBroken: It died or did not answer in time.
    """
    folder.mkdir(parents=True)
    serving = authority.issue("teleport-proxy", HOST, f"*.{HOST}")
    log = folder / "teleport.log"
    configuration = teleport_server.configuration(
        folder / "data",
        auth=f"127.0.0.1:{AUTH_PORT}",
        web=f"0.0.0.0:{WEB_PORT}",
        certificate=serving.certificate,
        key=serving.key,
    )
    # A file of the folder: the Auth Service's log outlives the container, and is read as in the lab.
    configuration["teleport"]["log"]["output"] = str(log)
    if licence is not None:
        configuration["auth_service"]["license_file"] = str(licence)
    config = folder / "teleport.yaml"
    config.write_text(yaml.safe_dump(configuration))
    # Whoever reads a configuration begins its log anew: tctl must not be told of that file.
    beside = {**configuration, "teleport": {**configuration["teleport"], "log": {"output": "stderr"}}}
    for_tctl = folder / "tctl.yaml"
    for_tctl.write_text(yaml.safe_dump(beside))
    container = engine.start(
        Wanted(
            name=NAME,
            image=image,
            entrypoint=["teleport"],
            command=["start", "-c", str(config)],
            environment=env,
            folders={
                folder: True,
                serving.certificate: False,
                serving.key: False,
                authority.pair.certificate: False,
                **({licence: False} if licence else {}),
            },
            # The harness knows it for good, also after the container was stopped and started.
            published={WEB_PORT: daemons.free_port()},
            aliases=[HOST],
        )
    )
    address = container.address(WEB_PORT)
    version = wait_until_answering(container, log, address, authority.pair.certificate)
    return Server(
        address=address,
        configuration=for_tctl,
        audit_log=folder / "data" / "log" / "events.log",
        log=log,
        version=version,
    )


def wait_until_answering(container: Container, log: Path, address: str, ca_file: Path) -> str:
    """Waits until the proxy answers; the version that it tells.

    Args:
        container: Of Teleport.
        log: What it writes.
        address: Loopback `host:port` of the proxy.
        ca_file: The run's certificate authority.

    Raises:
        EnvironmentBroken: It ended, or did not answer in time.
    """

    def last_words() -> str:
        lines = log.read_text(errors="replace").strip().splitlines()[-6:] if log.exists() else []
        return "\n".join(lines) or container.last_words()

    try:
        answer = eventually(
            lambda: teleport_server.ping(address, ca_file),
            lambda seen: seen is not None,
            expected="Teleport's proxy to answer",
            within=teleport_server.READY_SECONDS,
            failed=lambda _seen: container.exited(),
            last_words=last_words,
        )
    except NotObserved as error:
        ended = container.exited()
        raise EnvironmentBroken(
            expected="Teleport's proxy to answer",
            seen=f"{ended or 'it runs and does not answer'}; its last words:\n{last_words()}",
            remedy=f"the whole log is {log}; check the image, and the licence where it needs one",
        ) from error
    return str((answer or {})["server_version"])


class ContainerAdministrator(Administrator):
    """`tctl` inside the Auth Service's container (claim pre.tctl-on-auth-host)."""

    def __init__(self, container: str, server_configuration: Path) -> None:
        """Binds `tctl` to a container.

        Args:
            container: Its full name.
            server_configuration: `teleport.yaml`, at the same path inside.
        """
        super().__init__(server_configuration.parent, server_configuration, {})
        self._container = container
        self._inside = server_configuration

    def run(self, *arguments: str, stdin: str | None = None) -> Completed:
        """Runs one `tctl` command; `stdin` is where resources go, never argv."""
        return containers.execute(
            self._container, "tctl", "-c", str(self._inside), *arguments, stdin=stdin, within=60
        )
