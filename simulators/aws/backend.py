"""`python -m simulators.aws.backend --ready PATH`: moto as the gateway's backend."""

from __future__ import annotations

import argparse
import json
import logging
import os
import signal
import sys
from functools import cache
from importlib.metadata import version
from pathlib import Path

from .config import Address


def main() -> int:
    """Serve moto until SIGTERM or SIGINT.

    Returns:
        0 after a signal.
    """
    parser = argparse.ArgumentParser(prog="python -m simulators.aws.backend", description=__doc__)
    parser.add_argument("--ready", type=Path, required=True, help="written when moto answers")
    about = f"simulated AWS: moto {version('moto')} as the backend of the conformance suite's gateway"
    parser.add_argument("--version", action="version", version=about)
    parser.add_argument(
        "--listen", type=Address.parse, default=Address("127.0.0.1", 0), help="host:port; loopback by default"
    )
    told = parser.parse_args()
    ready: Path = told.ready
    sys.stderr.write(f"{about}\n")
    # Settings of the machine would change what moto does; MOTO_ACCOUNT_ID even beats the account header.
    for name in [name for name in os.environ if name.startswith(("MOTO_", "AWS_"))]:
        del os.environ[name]
    # moto picks its data up when it is imported, and must not ask for AWS's addresses or images.
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    from moto.server import ThreadedMotoServer  # noqa: PLC0415 - only after the environment is set

    _remember()
    signals = {signal.SIGTERM, signal.SIGINT}
    # Blocked before moto's thread starts, which inherits the mask, so that only sigwait gets them.
    signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    # One line for every request would be all that stderr shows.
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(told.listen.host, told.listen.port, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    partial = ready.with_name(f".{ready.name}.{os.getpid()}")
    partial.write_text(json.dumps({"url": f"http://{host}:{port}", "pid": os.getpid()}), encoding="utf-8")
    partial.replace(ready)
    signal.sigwait(signals)
    server.stop()
    return 0


def _remember() -> None:
    """Have moto find out once what it finds out for each call, a third of its time: its services and their methods."""
    from moto import backends  # noqa: PLC0415 - only after the environment is set
    from moto.core import responses  # noqa: PLC0415 - the same

    modules = tuple(backends.list_of_moto_modules())
    backends.list_of_moto_modules = lambda: modules
    responses.method_names_from_class = cache(responses.method_names_from_class)  # type: ignore[attr-defined]  # imported there, not made


if __name__ == "__main__":
    sys.exit(main())
