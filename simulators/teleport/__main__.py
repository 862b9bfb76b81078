"""`python -m simulators.teleport PROGRAM ARGUMENT…`: simulated `teleport`, `tctl` or `tsh`.

PROGRAM `texts` prints, as JSON, the texts that the imitated version shows, with where each is known from.
`--version` alone tells what this is.

CONFORMANCE_SIMULATED_TELEPORT chooses the imitated version, 13 (the default) or 17. Nothing else is told by
environment save what the real programs read there (HTTPS_PROXY, SSL_CERT_FILE, TELEPORT_HOME, KUBECONFIG,
TELEPORT_REPLICA_NAME, KUBE_NAMESPACE, RELEASE_NAME, AWS_…), CONFORMANCE_MOUNTS of the lab's kubelet and
CONFORMANCE_FAULT (see `faults`).

Exit status: 1 for everything that is refused or fails, as with the real programs.
"""

from __future__ import annotations

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from simulators.teleport.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from simulators.teleport.decisions import Decisions

PROGRAMS = ("teleport", "tctl", "tsh", "texts")


def main(
    argv: Sequence[str], environ: Mapping[str, str], cwd: Path, decisions: Decisions | None = None
) -> int:
    """Run one of the programs; nothing global is read or changed but the standard streams.

    Args:
        argv: the program's name and its arguments.
        environ: of the program.
        cwd: its working folder.
        decisions: in place of Teleport's own, to prove that a scenario notices.

    Returns:
        Exit status.
    """
    # Each program loads what it needs: `tctl` and `tsh` start often.
    from simulators.teleport.texts import TEXTS, imitated  # noqa: PLC0415  # see above

    program = argv[0] if argv else ""
    if program not in PROGRAMS:
        sys.stderr.write(f"simulated Teleport: expected one of {', '.join(PROGRAMS)}, seen {program!r}\n")
        return 1
    try:
        imitation = imitated(environ)
    except UsageError as error:
        sys.stderr.write(f"simulated Teleport: {error}\n")
        return 1
    # The real ones have a command for their version only; nobody may have to guess what this is.
    if program == "texts" or list(argv[1:]) == ["--version"]:
        shown = {name: dataclasses.asdict(rows[imitation.major]) for name, rows in TEXTS.items()}
        texts = json.dumps({"version": imitation.version, "texts": shown}, indent=1)
        about = f"simulated {program} v{imitation.version}. {imitation.banner}"
        sys.stdout.write(f"{texts if program == 'texts' else about}\n")
        return 0
    if program == "tctl":
        from simulators.teleport import tctl  # noqa: PLC0415  # see above

        return tctl.main(argv[1:], environ, cwd, imitation)
    if program == "tsh":
        from simulators.teleport import tsh  # noqa: PLC0415  # see above
        from simulators.teleport.faults import chosen  # noqa: PLC0415  # see above

        return tsh.main(argv[1:], environ, cwd, imitation, decisions or chosen(environ))
    from simulators.teleport import teleport  # noqa: PLC0415  # see above
    from simulators.teleport.faults import chosen  # noqa: PLC0415  # see above

    return teleport.main(argv[1:], environ, cwd, imitation, decisions or chosen(environ))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], dict(os.environ), Path.cwd()))
