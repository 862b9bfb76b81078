"""Each environment assembles adapters; only the command and the plugin import these."""

from __future__ import annotations

import contextlib
import fcntl
import shutil
from typing import TYPE_CHECKING

from harness.adapters import processes
from harness.core.errors import UsageError
from harness.core.ledger import Ledger, replay
from harness.core.redaction import redact
from harness.environments import lab, lab_provisioning, state

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from harness.core.ledger import Leftover
    from harness.core.settings import Settings
    from harness.environment import Environment

OWNER = "owner.lock"
STANDING = "standing"
LAST_BYTES = 2_000_000
"""How much of a component's log is kept with a report; the end tells what happened."""


def attach(path: Path) -> Environment:
    """Attaches to the environment that an `environment.json` describes.

    Args:
        path: The file.

    Raises:
        UsageError: There is none, or another version of the suite wrote it.
    """
    written, secrets = state.read(path)
    return lab.Lab(written, secrets)


@contextlib.contextmanager
def owned(settings: Settings, report: Callable[[str], None]) -> Iterator[Provisioned]:
    """An environment in the making, whose folder this process owns until it leaves.

    Args:
        settings: What the user chose.
        report: Told, in a few words, what is being done.

    Raises:
        MissingComponents: A real program is missing.
        UsageError: The name is taken.
    """
    making = lab_provisioning.Provisioning(settings, report)
    try:
        making.begin()
    except FileExistsError:
        raise UsageError(
            expected="a name that no environment has",
            seen=f"{making.name} is there already",
            remedy=f"reuse it (--reuse {making.name}), end it (./conformance down {making.name}) or choose another",
        ) from None
    with (making.folder / OWNER).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Provisioned(making)


class Provisioned:
    """What `owned` gives: starts the environment, and leaves it standing or ends it."""

    def __init__(self, making: lab_provisioning.Provisioning) -> None:
        """Wraps an environment in the making."""
        self._making = making
        self.name = making.name
        self.run = making.run

    def start(self) -> state.State:
        """Starts everything. Raises EnvironmentBroken."""
        return self._making.provision()

    def stand(self) -> None:
        """Leaves it standing: `cleanup` spares it, `down` ends it."""
        (self._making.folder / STANDING).touch()

    def end(self) -> list[Leftover]:
        """Ends and removes it; what could not be removed."""
        return end(self._making.folder)


def folder(name: str) -> Path:
    """Folder of the environment of that name.

    Raises:
        UsageError: There is none.
    """
    found = state.RUNS / name
    if not found.is_dir():
        known = ", ".join(names()) or "none"
        raise UsageError(
            expected=f"an environment called {name}",
            seen=f"there are: {known}",
            remedy="`./conformance status` lists them",
        )
    return found


def names() -> list[str]:
    """Names of all environments of this clone, standing or left over."""
    return sorted(found.name for found in state.RUNS.glob("*") if found.is_dir())


def is_owned(found: Path) -> bool:
    """Whether a living command owns that environment."""
    try:
        with (found / OWNER).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except BlockingIOError:
        return True
    return False


def is_standing(found: Path) -> bool:
    """Whether it was left standing on purpose."""
    return (found / STANDING).exists()


def end(found: Path) -> list[Leftover]:
    """Undoes everything in the ledger of an environment, newest first; what could not be undone.

    The folder goes last, and only when nothing is left: the ledger in it tells what still has to be done.
    """
    leftovers = replay(Ledger(found / state.LEDGER_FILE), {"process": processes.undo_process})
    if not leftovers:
        shutil.rmtree(found)
    return leftovers


def keep_logs(written: state.State, target: Path) -> None:
    """Copies the ends of the components' logs, redacted, beside a report.

    Args:
        written: The environment.
        target: Folder to make.
    """
    target.mkdir(parents=True, exist_ok=True)
    logs = [
        *written.folder.glob("*/*.log"),
        *written.folder.glob("*/calls.jsonl"),
        written.path("teleport_audit"),
    ]
    for log in logs:
        if log.is_file():
            with log.open("rb") as stream:
                stream.seek(max(0, log.stat().st_size - LAST_BYTES))
                text = stream.read().decode(errors="replace")
            (target / f"{log.parent.name}-{log.name}").write_text(str(redact(text)))
