"""Each environment assembles adapters; only the command and the plugin import these."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
from typing import TYPE_CHECKING

from harness.adapters import daemons, processes, simulated_product
from harness.core.errors import EnvironmentBroken, UsageError
from harness.core.ledger import Ledger, replay
from harness.core.redaction import redact
from harness.environments import progress, state
from harness.faults.catalogue import DECISIONS_FOLDER, DECISIONS_NAME, check_fault
from harness.guide.editions import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from harness.core.ledger import Leftover
    from harness.core.settings import Settings
    from harness.environment import Environment
    from harness.environments.provisioning import Provisioning

OWNER = state.OWNER_FILE
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
    # `pytest features/x.feature` comes here without the command, with all of the user's variables.
    processes.seal(os.environ)
    # Slow to load, and not every command attaches.
    if written.description.name == "kind":
        from harness.environments import kind  # noqa: PLC0415

        return kind.Kind(written, secrets)
    from harness.environments import lab  # noqa: PLC0415

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
    making = _making(settings)
    try:
        making.begin()
    except FileExistsError:
        raise _taken(making.name) from None
    with (making.folder / OWNER).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Provisioned(making, report)


def _making(settings: Settings) -> Provisioning:
    # Slow to load: workers only attach.
    if settings.env == "kind":
        from harness.environments import kind_provisioning  # noqa: PLC0415

        return kind_provisioning.KindProvisioning(settings)
    from harness.environments import lab_provisioning  # noqa: PLC0415

    return lab_provisioning.LabProvisioning(settings)


@contextlib.contextmanager
def in_use(found: Path) -> Iterator[None]:
    """Keeps `cleanup` off a standing environment for a block; several runs may use one."""
    with (found / OWNER).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH)
        yield


def check(settings: Settings) -> None:
    """Checks what the user chose, as far as it can be told before anything is begun.

    Raises:
        UsageError: The environment to reuse is not there, a new one's name is taken, the guide has no
            such edition, or no simulator of the run such a fault.
    """
    if settings.guide_edition is not None:
        blocks(settings.guide_edition)
    check_fault(settings)
    if settings.licence is not None and not settings.licence.is_file():
        raise UsageError(
            expected="--licence to name a file", seen=f"no file {settings.licence}", remedy="check the path"
        )
    if settings.reuse is not None:
        state.read(folder(settings.reuse) / state.STATE_FILE)
    elif settings.name is not None and (state.RUNS / settings.name).exists():
        raise _taken(settings.name)


def _taken(name: str) -> UsageError:
    return UsageError(
        expected="a name that no environment has",
        seen=f"{name} is there already",
        remedy=f"reuse it (--reuse {name}), end it (./conformance down {name}) or choose another",
    )


class Provisioned:
    """What `owned` gives: starts the environment, and leaves it standing or ends it."""

    def __init__(self, making: Provisioning, report: Callable[[str], None]) -> None:
        """Wraps an environment in the making.

        Args:
            making: The environment.
            report: Prints one line for the user.
        """
        self.making = making
        self._report = report
        self.name = making.name
        self.run = making.run
        self.folder = making.folder

    def start(self) -> state.State:
        """Starts everything. Raises EnvironmentBroken."""
        with progress.shown(self._report) as shown:
            return self.making.provision(shown)

    def start_quietly(self) -> state.State:
        """The same beside something that the user looks at. Raises EnvironmentBroken."""
        return self.making.provision(progress.Lines(lambda _: None))

    def stand(self) -> None:
        """Leaves it standing: `cleanup` spares it, `down` ends it."""
        (self.folder / STANDING).touch()

    def end(self) -> list[Leftover]:
        """Ends and removes it; what could not be removed."""
        return end(self.folder)


def folder(name: str) -> Path:
    """Folder of the environment of that name.

    Raises:
        UsageError: There is none.
    """
    # By its name alone: a path would name a folder that no run made.
    if name not in names():
        known = ", ".join(names()) or "none"
        raise UsageError(
            expected=f"an environment called {name}",
            seen=f"there are: {known}",
            remedy="`./conformance status` lists them",
        )
    return state.RUNS / name


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
    if found.resolve().parent != state.RUNS.resolve() or not (found / OWNER).exists():
        raise EnvironmentBroken(
            expected=f"a folder that a run made, below {state.RUNS}",
            seen=f"{found}, without the file {OWNER} that every run begins with",
            remedy=f"if nothing of yours is in it, remove {found} by hand",
        )
    ledger = Ledger(found / state.LEDGER_FILE)
    undo = {"process": daemons.undo_process, "folder": simulated_product.undo_folder}
    if any(entry.kind not in undo for entry in ledger.open_entries()):
        from harness.adapters import run_containers  # noqa: PLC0415  # slow to load, and the lab has none

        undo |= {
            "container": run_containers.undo_container,
            "docker-network": run_containers.undo_network,
            "kind-cluster": run_containers.undo_cluster,
        }
    leftovers = replay(ledger, undo)
    if not leftovers:
        try:
            shutil.rmtree(found)
        except OSError as error:
            raise EnvironmentBroken(
                expected=f"to remove {found}", seen=str(error), remedy=f"remove {found} by hand"
            ) from error
    return leftovers


def _fetch_container_logs(found: Path) -> None:
    """Brings what containers printed beside the logs of processes."""
    entries = Ledger(found / state.LEDGER_FILE).open_entries()
    runs = {str(entry.what["run"]) for entry in entries if entry.kind == "container"}
    if not runs:
        return
    from harness.adapters import run_containers  # noqa: PLC0415  # slow to load, and the lab has none

    folder = found / "containers"
    folder.mkdir(exist_ok=True)
    try:
        for run in runs:
            for name, text in run_containers.logs(run):
                (folder / f"{name}.log").write_text(text)
    except EnvironmentBroken as error:
        # The other logs are kept all the same, and what went wrong before is what the user is told.
        (folder / "not-fetched.log").write_text(f"{error}\n")


def described(leftovers: Iterable[Leftover]) -> list[str]:
    """What could not be undone, one text each."""
    return [f"{left.entry.kind} {left.entry.what}: {left.reason}" for left in leftovers]


def keep_logs(found: Path, target: Path) -> None:
    """Copies the ends of the components' logs, redacted, beside a report, and which decisions were taken.

    Args:
        found: The environment's folder; one that did not come up has logs too.
        target: Folder to make.
    """
    target.mkdir(parents=True, exist_ok=True)
    _fetch_container_logs(found)
    taken = sorted(mark.name for mark in (found / DECISIONS_FOLDER).glob("*.*"))
    (target / DECISIONS_NAME).write_text(json.dumps(taken, indent=1) + "\n")
    logs = [
        log
        for pattern in ("*/*.log", "*/calls.jsonl", "*/data/log/events.log")
        for log in found.glob(pattern)
    ]
    for log in logs:
        if log.is_file():
            with log.open("rb") as stream:
                stream.seek(max(0, log.stat().st_size - LAST_BYTES))
                text = stream.read().decode(errors="replace")
            (target / f"{log.parent.name}-{log.name}").write_text(str(redact(text)))
