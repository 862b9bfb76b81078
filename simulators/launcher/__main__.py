"""`python -m simulators.launcher --socket PATH --ready PATH`: imports the simulators once, then forks them.

With `--program NAME=MODULE` it does the same for other programs, which then are all that it serves.
"""

from __future__ import annotations

import argparse
import gc
import importlib
import json
import os
import sys
from pathlib import Path

from simulators.launcher.server import Launcher

PROGRAMS = {
    "backend": "simulators.aws.backend",
    "gateway": "simulators.aws",
    "kubelet": "simulators.kubelet",
    "apiserver": "simulators.apiserver",
    "teleport": "simulators.teleport",
}
"""Name of a program -> module to run."""

IMPORTED = (
    "aiohttp.web",
    "botocore.auth",
    "cryptography.x509",
    "jwt",
    "moto.server",
    "trustme",
    "yaml",
    "simulators.apiserver.server",
    "simulators.aws.app",
    "simulators.kubelet.kubelet",
    "simulators.teleport.agent",
    "simulators.teleport.faults",
    "simulators.teleport.kubeconfig",
    "simulators.teleport.server",
    "simulators.teleport.tctl",
    "simulators.teleport.teleport",
    "simulators.teleport.texts",
    "simulators.teleport.tsh",
)
"""What the programs import; whatever they want besides costs each of them anew."""


COLLECTED_AFTER = (20_000, 20, 20)
"""Thresholds of the garbage collector, for the launcher and its forks."""

ABOUT = "launcher of the conformance suite: everything that it starts is simulated"
"""Told by --version and by the first line of the log."""

ABOUT_OTHERS = "launcher of the conformance suite: starts programs that are not simulated: "
"""The same where it was given programs."""


def main() -> int:
    """Serves until SIGTERM or SIGINT.

    Returns:
        0 after a signal, 2 when the socket cannot be made.
    """
    parser = argparse.ArgumentParser(prog="python -m simulators.launcher", description=__doc__)
    parser.add_argument("--socket", type=Path, required=True, help="Unix socket to listen on")
    parser.add_argument("--ready", type=Path, required=True, help="written when it listens")
    parser.add_argument(
        "--program", action="append", metavar="NAME=MODULE", help="to serve in place of the simulators"
    )
    parser.add_argument(
        "--import", action="append", metavar="MODULE", dest="imported", help="what those programs import"
    )
    parser.add_argument("--version", action="version", version=ABOUT)
    arguments = parser.parse_args()
    programs, imported, about = PROGRAMS, IMPORTED, ABOUT
    if arguments.program:
        programs = dict(program.partition("=")[::2] for program in arguments.program)
        imported, about = tuple(arguments.imported or ()), ABOUT_OTHERS + ", ".join(programs)
    sys.stderr.write(f"{about}\n")
    # moto reads these when it is imported, and must not ask for AWS's addresses or images.
    os.environ["MOTO_EC2_LOAD_DEFAULT_AMIS"] = "false"
    for name in imported:
        importlib.import_module(name)
    try:
        launcher = Launcher(arguments.socket, programs)
    except OSError as error:
        sys.stderr.write(f"launcher: cannot listen on {arguments.socket}: {error}\n")
        return 2
    partial = arguments.ready.with_name(f".{arguments.ready.name}.{os.getpid()}")
    partial.write_text(json.dumps({"socket": str(arguments.socket), "pid": os.getpid()}), encoding="utf-8")
    partial.replace(arguments.ready)
    # What is there already is never collected, so that no fork copies its pages.
    gc.collect()
    gc.freeze()
    # Most forks end before there is anything to collect.
    gc.set_threshold(*COLLECTED_AFTER)
    launcher.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
