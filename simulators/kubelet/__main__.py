"""`python -m simulators.kubelet CONFIG.json`: one node of a Kubernetes cluster, its pods as local processes.

The configuration (see `config`) is a JSON object:

    run                  mark of the run: every container has it as CONFORMANCE_RUN
    node                 name of the Node
    kubeconfig           of the API server
    folder               pods lie below it
    listen               "127.0.0.1:0" or another loopback address
    serving_certificate, serving_key, client_ca
                         of the kubelet API, which is mutual TLS
    images               [{"name": glob, "entrypoint": [...], "path": folder before PATH}]
    environment          added to every container's, unless the container sets the name itself
    isolation            "mount-namespace" or "none"
    ready                file that is written once the node is registered: {"port": n, "pid": n}

Pending pods are bound to the node (there is no scheduler) and run: volumes, environment, init
containers, probes, restarts with back-off, termination, status, events and logs are as on a
real node. Not applied, and named in the Node's annotation `conformance/not-applied`:
securityContext, resources, network namespaces, nodeSelector, affinity, taints, postStart,
ephemeral containers, activeDeadlineSeconds. Volumes other than configMap, secret, projected,
downwardAPI and emptyDir, and sidecars, keep a pod Pending with an event that says so. All pods share
the host's network: an argument that listens on 0.0.0.0:PORT is moved to a free port of 127.0.0.1,
which the pod's annotation `conformance/host-ports` and an event tell.

Without isolation nothing is mounted: CONFORMANCE_MOUNTS has the folder for each mount path, and variables that
name a file below one name it in that folder.

`python -m simulators.kubelet --check` only tells whether this machine allows "mount-namespace".

`--version` tells what this is.

SIGTERM ends all pods' processes and then the kubelet (0). If the kubelet is killed, the kernel
kills its pods. Exit codes: 2 it broke, 3 this machine does not allow the isolation, 4 the
configuration is wrong.
"""

from __future__ import annotations

import asyncio
import logging
import os
import ssl
import sys
import tempfile
from pathlib import Path

from simulators.kubelet import processes
from simulators.kubelet.api import ApiError
from simulators.kubelet.config import ConfigError, load
from simulators.kubelet.faults import chosen
from simulators.kubelet.kubelet import CannotRunError, run

ABOUT = "simulated kubelet of the conformance suite: pods are local processes, no containers"
"""Told by --version and by the first line of the log."""


def main(arguments: list[str]) -> int:
    """Run the kubelet.

    Args:
        arguments: of the command line.

    Returns:
        The exit code.
    """
    if arguments in (["--version"], ["--check"]):
        return _check() if arguments == ["--check"] else _tell()
    if len(arguments) != 1:
        return _fail(
            4, "expected one argument, the configuration file: python -m simulators.kubelet CONFIG.json"
        )
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    try:
        config = load(Path(arguments[0]))
        logging.getLogger("simulators.kubelet").info(ABOUT)
        asyncio.run(run(config, chosen(os.environ)))
    except ConfigError as error:
        return _fail(4, str(error))
    except CannotRunError as error:
        return _fail(3, str(error))
    except (ApiError, OSError, ssl.SSLError, ValueError, KeyError) as error:
        return _fail(2, f"{type(error).__name__}: {error}")
    return 0


def _tell() -> int:
    sys.stdout.write(f"{ABOUT}\n")
    return 0


def _check() -> int:
    with tempfile.TemporaryDirectory() as folder:
        problem = asyncio.run(processes.check("mount-namespace", Path(folder)))
    return _fail(3, problem) if problem else 0


def _fail(code: int, text: str) -> int:
    sys.stderr.write(f"kubelet: {text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
