"""`python -m simulators.aws CONFIG.json`: the AWS gateway as a program."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import sys
from pathlib import Path

from .app import ABOUT, serve
from .config import Config, ConfigurationError, load
from .faults import chosen


async def _run(config: Config) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(config, chosen(os.environ), stop)


def main() -> int:
    """Run the gateway until SIGTERM or SIGINT.

    Returns:
        0 after a signal, 2 when the configuration cannot be used (one line on stderr says why).
    """
    parser = argparse.ArgumentParser(prog="python -m simulators.aws", description=__doc__)
    parser.add_argument("config", type=Path, help="the configuration file")
    parser.add_argument("--version", action="version", version=ABOUT)
    path = parser.parse_args().config
    try:
        asyncio.run(_run(load(path)))
    except (ConfigurationError, OSError) as error:
        sys.stderr.write(f"aws gateway: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
