"""Simulated `teleport`: `start` of Auth and Proxy Service or of an agent, and the chart's `kube-state delete`."""

from __future__ import annotations

import asyncio
import sys
from typing import TYPE_CHECKING

from simulators.teleport import configuration
from simulators.teleport.command_line import Parser, commands, parser
from simulators.teleport.errors import ConfigurationError, TeleportError, UsageError
from simulators.teleport.files import mounted
from simulators.teleport.log import Log

if TYPE_CHECKING:
    import argparse
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from simulators.teleport.decisions import Decisions
    from simulators.teleport.texts import Imitation

CONFIGURATION = "/etc/teleport.yaml"


def _parser() -> Parser:
    top = parser("teleport")
    known = commands(top, "command", ["version", "start", "kube-state"])
    known["start"].add_argument("-c", "--config", default=CONFIGURATION)
    known["start"].add_argument("--diag-addr")
    known["start"].add_argument("--insecure", action="store_true")
    commands(known["kube-state"], "action", ["delete"])
    return top


PARSER = _parser()
"""Made once, since a launcher forks whoever has imported this."""


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """Read a command line.

    Raises:
        UsageError: something in it is not simulated.
    """
    return PARSER.parse_args(list(argv))


def main(
    argv: Sequence[str], environ: Mapping[str, str], cwd: Path, imitation: Imitation, decisions: Decisions
) -> int:
    """Run `teleport`.

    Args:
        argv: after the program's name.
        environ: of the program.
        cwd: of the program.
        imitation: the version.
        decisions: of the program.

    Returns:
        Exit status.
    """
    from simulators.teleport import agent  # noqa: PLC0415  # a third of a second that `version` need not wait

    try:
        arguments = parse(argv)
        if arguments.command == "version":
            sys.stdout.write(f"Teleport v{imitation.version} git: simulated\n")
        elif arguments.command == "kube-state":
            from simulators.teleport import kube_state  # noqa: PLC0415  # the same

            asyncio.run(kube_state.delete(environ, decisions))
        else:
            _start(arguments, environ, cwd, imitation, decisions)
    except UsageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    except (agent.InitializationError, ConfigurationError, TeleportError, OSError) as error:
        sys.stderr.write(f"error: {error} (simulated teleport)\n")
        return 1
    return 0


def _start(
    arguments: argparse.Namespace,
    environ: Mapping[str, str],
    cwd: Path,
    imitation: Imitation,
    decisions: Decisions,
) -> None:
    from simulators.teleport import agent, server  # noqa: PLC0415  # as above

    log = Log()
    log.banner(imitation.banner)
    read = configuration.read(arguments.config, cwd / mounted(arguments.config, environ))
    log.inform(
        "", f'Starting Teleport v{imitation.version} with a config file located at "{arguments.config}"'
    )
    serves = [read.enabled(name) for name in ("auth_service", "proxy_service")]
    if read.enabled("ssh_service"):
        raise ConfigurationError("ssh_service: this service is not simulated")
    if any(serves) and (read.services or not all(serves)):
        raise ConfigurationError(
            "expected auth_service and proxy_service together, or an agent's services alone"
        )
    if all(serves):
        asyncio.run(server.run(read, environ, decisions=decisions, imitation=imitation, log=log))
        return
    if not read.services:
        raise ConfigurationError("expected a service that is enabled, seen none")
    one = agent.Agent(
        read, environ, decisions=decisions, imitation=imitation, log=log, verify=not arguments.insecure
    )
    asyncio.run(one.run(arguments.diag_addr))
