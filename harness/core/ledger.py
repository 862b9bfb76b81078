"""The ledger of a run: what it is about to create, written before it creates it.

The file outlives the process: after a SIGKILL `./conformance cleanup` replays it. Entries say
what to undo (process id and start time, namespace, role name), never a secret.
"""

import json
import os
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from harness.core.errors import EnvironmentBroken


@dataclass(frozen=True)
class Entry:
    """One thing that was, or was about to be, created.

    Attributes:
        id: Unique in every ledger.
        kind: Selects the function that undoes it.
        what: What that function needs to know, as JSON knows it.
        at: When it was written, RFC 3339.
    """

    id: str
    kind: str
    what: Mapping[str, object]
    at: str


@dataclass(frozen=True)
class Leftover:
    """Something that a replay could not undo.

    Attributes:
        entry: What is left.
        reason: Why, for the user.
    """

    entry: Entry
    reason: str


class Ledger:
    """An append-only file of JSON lines; several processes may write to one.

    Args:
        path: The file; it and its folder are made when the first entry is written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def will_create(self, kind: str, **what: object) -> Entry:
        """Write down what is going to be created; on disk when this returns.

        Args:
            kind: Selects the function that undoes it.
            **what: What that function needs; no secrets.

        Returns:
            The entry, for `undone`.

        Raises:
            EnvironmentBroken: It could not be written: then nothing may be created.
        """
        entry = Entry(uuid.uuid4().hex, kind, what, datetime.now(UTC).isoformat(timespec="milliseconds"))
        self._append({"id": entry.id, "kind": kind, "what": what, "at": entry.at})
        return entry

    def undone(self, entry: Entry) -> None:
        """Write down that the thing is gone.

        Raises:
            EnvironmentBroken: It could not be written.
        """
        self._append({"undone": entry.id})

    def open_entries(self) -> list[Entry]:
        """What is not undone yet, the latest first."""
        return self._read()[0]

    def unreadable_lines(self) -> list[str]:
        """Lines that make no sense, save a torn last one: whoever was to write that created nothing."""
        return self._read()[1]

    def _read(self) -> tuple[list[Entry], list[str]]:
        try:
            lines = [line for line in self.path.read_text(errors="replace").splitlines() if line]
        except FileNotFoundError:
            return [], []
        except OSError as error:
            raise _broken(self.path, "read", error) from error
        entries: dict[str, Entry] = {}
        unreadable: list[str] = []
        for position, line in enumerate(lines, start=1):
            try:
                record = json.loads(line)
                if "undone" in record:
                    entries.pop(record["undone"], None)
                else:
                    entries[record["id"]] = Entry(
                        record["id"], record["kind"], dict(record["what"]), record["at"]
                    )
            except (ValueError, TypeError, KeyError):
                if position < len(lines):
                    unreadable.append(line)
        return list(reversed(entries.values())), unreadable

    def _append(self, record: Mapping[str, object]) -> None:
        # The newline in front ends a line that a killed process left torn. One write with
        # O_APPEND is not mixed with the writes of others.
        line = f"\n{json.dumps(record)}\n".encode()
        try:
            is_new = not self.path.exists()
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if os.write(handle, line) != len(line):
                    raise OSError("only a part was written")
                os.fsync(handle)
            finally:
                os.close(handle)
            if is_new:
                _sync_folder(self.path.parent)
        except OSError as error:
            raise _broken(self.path, "write", error) from error


def replay(ledger: Ledger, undo: Mapping[str, Callable[[Entry], None]]) -> list[Leftover]:
    """Undo what is open, the latest first; what cannot be undone does not stop the rest.

    Args:
        ledger: Of a run that ended, in whatever way.
        undo: Kind to function. A function must accept that the thing is gone already or was
            never made, and raises when it is still there afterwards.

    Returns:
        What is left, with the reason. Replaying again tries that again, and only that.

    Raises:
        EnvironmentBroken: The ledger cannot be read or written.
    """
    leftovers: list[Leftover] = []
    for entry in ledger.open_entries():
        function = undo.get(entry.kind)
        if function is None:
            leftovers.append(Leftover(entry, f"nothing here knows how to undo {entry.kind!r}"))
            continue
        try:
            function(entry)
        except Exception as error:  # noqa: BLE001 - whatever it is, the rest must be undone too
            leftovers.append(Leftover(entry, f"{type(error).__name__}: {error}"))
            continue
        ledger.undone(entry)
    unreadable = [Entry("", "unreadable-line", {"line": line}, "") for line in ledger.unreadable_lines()]
    return [*leftovers, *(Leftover(entry, f"a line of {ledger.path} makes no sense") for entry in unreadable)]


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _broken(path: Path, action: str, error: OSError) -> EnvironmentBroken:
    return EnvironmentBroken(
        expected=f"to {action} the ledger {path}",
        seen=error.strerror or str(error),
        remedy="free space or mend the permissions; without its ledger a run could not clean up",
    )
