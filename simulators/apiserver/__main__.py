"""`python -m simulators.apiserver CONFIG.json`: a simulated Kubernetes API server with its controllers.

The configuration (see `config`) is a JSON object:

    run                  mark of the run
    listen               "127.0.0.1:0" or another loopback address
    serving_certificate, serving_key
                         of the server
    client_ca            authority of client certificates: common name is the user, organizations the groups
    issuer, signing_key, public_key, audiences
                         of service account tokens; the first audience list is that of tokens that name none
    audit_log            JSON lines in the form of audit.k8s.io/v1 are appended to it
    kubelet_ca, kubelet_client_certificate, kubelet_client_key
                         for the logs of pods
    root_ca              content of the ConfigMap kube-root-ca.crt of each namespace
    version              optional; told by /version, says "simulated" after a plus sign
    ready                file that is written once it answers: {"server": url, "pid": n}

`--version` tells what this is. SIGTERM and SIGINT end it (0). Exit codes: 2 it broke, 4 the configuration
is wrong.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from simulators.apiserver.config import VERSION, Config, ConfigError, load
from simulators.apiserver.faults import chosen
from simulators.apiserver.server import serve


async def _run(config: Config) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(config, chosen(os.environ), stop)


def main() -> int:
    """Run the API server until SIGTERM or SIGINT.

    Returns:
        The exit code.
    """
    parser = argparse.ArgumentParser(prog="python -m simulators.apiserver", description=__doc__)
    parser.add_argument("config", type=Path, help="the configuration file")
    parser.add_argument("--version", action="version", version=f"simulated Kubernetes API server {VERSION}")
    path = parser.parse_args().config
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", level=logging.INFO)
    try:
        asyncio.run(_run(load(path)))
    except ConfigError as error:
        return _fail(4, str(error))
    except (OSError, ValueError) as error:
        return _fail(2, f"{type(error).__name__}: {error}")
    return 0


def _fail(code: int, text: str) -> int:
    sys.stderr.write(f"simulated API server: {text}\n")
    return code


if __name__ == "__main__":
    sys.exit(main())
