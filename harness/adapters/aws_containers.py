"""AWS of a run as containers: the gateway under AWS's own names on the run's network, and moto behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from harness.adapters.chart import HOST as CHART_HOST
from harness.adapters.containers import Wanted
from harness.adapters.simulators import LISTENERS, START_SECONDS, gateway_document
from harness.core.errors import EnvironmentBroken, NotObserved
from harness.core.files import write_secret
from harness.core.waiting import eventually
from harness.faults.catalogue import TAKEN_VARIABLE

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.adapters.certificates import KeyPair
    from harness.adapters.containers import Container, Engine

NAME = "aws-gateway"
"""What the gateway is called on the run's network; its certificates are for that name, too."""

PORTS = {"proxy": 3128, "https": 443, "control": 8080, "metadata": 8081, "webhook": 8443}
"""Listener -> its port in the container; AWS's clients know of no other than 443."""

PUBLISHED = ("proxy", "control")
"""Listeners that the harness and the workstation's programs reach, on loopback."""

MOTO = "moto"
MOTO_PORT = 5000

GITHUB_HOST = "github.com"
CHINA = "cn-north-1"
"""Region of the other partition that step 1 speaks of."""

NEWER_REGION = "ap-southeast-5"
"""Region that Teleport 12 and 13 do not know (failure region-new)."""


def host_names(region: str, issuer: str) -> list[str]:
    """Host names that lead to the gateway on the run's network, none of which may ever lead to the real one.

    Args:
        region: Of the EKS cluster.
        issuer: Of the cluster, with `https://`.
    """
    names = [
        "sts.amazonaws.com",
        # Where the global endpoint lies, which SDKs take for their default region.
        *(f"sts.{each}.amazonaws.com" for each in ("us-east-1", region, NEWER_REGION)),
        "iam.amazonaws.com",
        f"eks.{region}.amazonaws.com",
        *(f"{service}.{CHINA}.amazonaws.com.cn" for service in ("sts", "iam")),
        str(urlsplit(issuer).hostname),
        CHART_HOST,
        GITHUB_HOST,
    ]
    return list(dict.fromkeys(names))


def start_gateway(
    engine: Engine,
    folder: Path,
    *,
    image: str,
    authority: KeyPair,
    configuration: Mapping[str, Any],
    backend: str,
    told: Mapping[str, str],
) -> dict[str, str]:
    """Starts the AWS gateway; returns its addresses by listener.

    `proxy` and `control` are at loopback ports of the host, the others where the run's network has them. The
    kubeconfig may appear later, in a folder that is there.

    Args:
        engine: The run's containers.
        folder: Working folder to make, for the call log.
        image: Of the gateway, which is there.
        authority: The run's certificate authority; the gateway mints its certificates.
        configuration: As for the lab's `start_gateway`, but for `proxy`.
        backend: URL of the AWS emulator on the run's network.
        told: Variables that name a fault, and the folder for decisions that are taken.

    Raises:
        EnvironmentBroken: It died or did not become ready.
    """
    folder.mkdir(parents=True)
    document = gateway_document(
        folder,
        run=engine.run,
        authority=authority,
        configuration=configuration,
        listen={listener: f"0.0.0.0:{PORTS[listener]}" for listener in LISTENERS},
        backend=backend,
        host=NAME,
    )
    config = folder / "gateway.json"
    write_secret(config, json.dumps(document, indent=1))
    read = [
        authority.certificate,
        authority.key,
        Path(configuration["jwks"]),
        Path(configuration["charts"]),
        Path(configuration["kubeconfig"]).parent,
    ]
    written = [folder, *(Path(told[name]) for name in (TAKEN_VARIABLE,) if name in told)]
    container = engine.start(
        Wanted(
            name=NAME,
            image=image,
            entrypoint=["python", "-m", "simulators.aws"],
            command=[str(config)],
            environment=told,
            folders=dict.fromkeys(read, False) | dict.fromkeys(written, True),
            ports=[PORTS[listener] for listener in PUBLISHED],
            aliases=[NAME, *host_names(configuration["region"], configuration["issuer"])],
        )
    )
    _wait_until_ready(container, folder / "gateway.ready", "the AWS gateway")
    return {
        listener: container.address(port) if listener in PUBLISHED else f"{NAME}:{port}"
        for listener, port in PORTS.items()
    }


def start_moto(engine: Engine, folder: Path, *, image: str) -> str:
    """Starts moto; returns its URL on the run's network.

    Args:
        engine: The run's containers.
        folder: Working folder to make.
        image: Of the gateway with moto, which is there.

    Raises:
        EnvironmentBroken: It died or did not become ready.
    """
    folder.mkdir(parents=True)
    ready = folder / "backend.ready"
    container = engine.start(
        Wanted(
            name=MOTO,
            image=image,
            entrypoint=["python", "-m", "simulators.aws.backend"],
            command=["--ready", str(ready), "--listen", f"0.0.0.0:{MOTO_PORT}"],
            folders={folder: True},
            aliases=[MOTO],
        )
    )
    _wait_until_ready(container, ready, "moto")
    return f"http://{MOTO}:{MOTO_PORT}"


def _wait_until_ready(container: Container, ready: Path, what: str) -> None:
    try:
        eventually(
            ready.exists,
            bool,
            expected=f"{what} to be ready",
            within=START_SECONDS,
            failed=lambda _ready: container.exited(),
            interval=0.05,
        )
    except NotObserved as error:
        container.must_be_alive()
        raise EnvironmentBroken(
            expected=f"{what} to be ready within {START_SECONDS:g} s",
            seen=f"it runs and is not; its last words:\n{container.last_words()}",
            remedy="a slow machine may need a second try; an image of your own must be one of this suite's",
        ) from error
