"""Evidence: what was run and what was read while a scenario ran, one JSON file each.

The process runner and the oracle reader call `record_command` and `record_oracle`; which
scenario it belongs to is known by a ContextVar, never by a parameter. Redaction happens here.
"""

import json
import re
import textwrap
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from harness.core.errors import EnvironmentBroken
from harness.core.files import write_atomically
from harness.core.redaction import redact

INDEX = "index.json"
_INDEX_SECONDS = 1.0


class EvidenceEntry(TypedDict):
    """One piece of evidence as the report lists it.

    Attributes:
        number: Position in the scenario, from 1.
        kind: "command" or "oracle".
        title: The command's line, or the oracle's name and query.
        file: Name of the JSON file in the recorder's folder.
        seconds: How long the command ran (all its repetitions together), or from the first
            to the last time that the oracle read this.
    """

    number: int
    kind: str
    title: str
    file: str
    seconds: float


@dataclass
class _Record:
    """An entry, and what is needed to fold an equal one into it."""

    entry: EvidenceEntry
    content: Mapping[str, Any]
    first: str
    last: str
    started: float
    count: int = 1

    def indexed(self) -> dict[str, object]:
        return {**self.entry, "count": self.count, "first": self.first, "last": self.last}


@dataclass
class Recorder:
    """Collects the evidence of one scenario.

    Polling would write hundreds of equal files, so a reading that equals the one before it of
    the same oracle and query (or the same command with the same outcome) only counts up in
    `index.json`, which has count, first and last time of each file. Counting alone is written at most
    once a second, and by `flush`.

    Args:
        folder: Where the files go; made if it is not there. It must hold no evidence yet.
        scenario: The scenario's id.

    Raises:
        EnvironmentBroken: The folder holds the evidence of another run, or cannot be made.
    """

    folder: Path
    scenario: str
    _records: list[_Record] = field(default_factory=list, init=False, repr=False)
    _latest: dict[str, _Record] = field(default_factory=dict, init=False, repr=False)
    _indexed: float = field(default=0.0, init=False, repr=False)
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if (self.folder / INDEX).exists():
            raise EnvironmentBroken(
                expected=f"a folder without evidence for scenario {self.scenario}",
                seen=f"{self.folder / INDEX} of an earlier run",
                remedy="remove that folder, or give each run a folder of its own",
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise EnvironmentBroken(
                expected=f"to make the evidence folder {self.folder}",
                seen=str(error.strerror or error),
                remedy="give a report folder that you may write to",
            ) from error
        self._write_index()

    def entries(self) -> list[EvidenceEntry]:
        """What was recorded so far, in order, for the report."""
        with self._lock:
            return [record.entry.copy() for record in self._records]

    def record(self, kind: str, title: str, content: Mapping[str, object], *, seconds: float = 0.0) -> None:
        """Write one piece of evidence; the choke points' own way in.

        Args:
            kind: "command" or "oracle".
            title: What tells it from others of its kind.
            content: What was seen. Redacted here.
            seconds: How long it took; repetitions add up.

        Raises:
            EnvironmentBroken: It could not be written: without evidence no verdict counts.
        """
        clean_title, clean = redact(title), redact(content)
        now, moment = datetime.now(UTC).isoformat(timespec="milliseconds"), time.monotonic()
        with self._lock:
            latest = self._latest.get(f"{kind} {clean_title}")  # the whole title, however long
            folded = latest is not None and latest.content == clean
            if latest and folded:
                latest.count, latest.last = latest.count + 1, now
                total = latest.entry["seconds"] + seconds if kind == "command" else moment - latest.started
                latest.entry["seconds"] = round(total, 3)
            else:
                self._add(kind, clean_title, clean, now, moment, seconds)
            if not folded or moment - self._indexed >= _INDEX_SECONDS:
                self._write_index()

    def flush(self) -> None:
        """Bring the index up to date, once nothing is recorded any more."""
        with self._lock:
            self._write_index()

    def _add(  # noqa: PLR0917 - the parts of one record, named where it is called
        self, kind: str, title: str, content: Mapping[str, Any], now: str, moment: float, seconds: float
    ) -> None:
        number = len(self._records) + 1
        slug = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:40].rstrip("-")
        entry = EvidenceEntry(
            number=number,
            kind=kind,
            title=textwrap.shorten(title, 160, placeholder=" …"),
            file=f"{number:03}-{kind}-{slug or 'untitled'}.json",
            seconds=round(seconds, 3),
        )
        document = {"scenario": self.scenario, "number": number, "kind": kind, "at": now}
        write_atomically(self.folder / entry["file"], _json({**document, **content}))
        record = _Record(entry, content, now, now, moment)
        self._records.append(record)
        self._latest[f"{kind} {title}"] = record

    def _write_index(self) -> None:
        records = [record.indexed() for record in self._records]
        write_atomically(self.folder / INDEX, _json({"scenario": self.scenario, "records": records}))
        self._indexed = time.monotonic()


current_recorder: ContextVar[Recorder | None] = ContextVar("current_recorder", default=None)


@contextmanager
def recording(recorder: Recorder) -> Iterator[Recorder]:
    """Make a recorder the current one for a block. A new thread does not inherit it.

    Args:
        recorder: Of the scenario that runs in the block.
    """
    token = current_recorder.set(recorder)
    try:
        yield recorder
    finally:
        current_recorder.reset(token)
        recorder.flush()


def record_command(
    argv: Sequence[str],
    *,
    exit_code: int | None,
    stdout: str | bytes,
    stderr: str | bytes,
    seconds: float,
    cwd: Path | str | None = None,
) -> None:
    """Record a command that ran; called by the process runner only.

    Args:
        argv: Program and arguments.
        exit_code: What it ended with; None when it was given up.
        stdout: What it wrote, whole: cutting before redaction would leave halves of secrets.
        stderr: The same.
        seconds: How long it ran.
        cwd: Where it ran, if that matters.

    Raises:
        EnvironmentBroken: The evidence could not be written.
    """
    if (recorder := current_recorder.get()) is None:
        return
    words = [str(word) for word in argv]
    program = Path(words[0]).name if words else ""
    recorder.record(
        "command",
        " ".join([program, *words[1:]]),
        {
            "argv": words,
            "cwd": None if cwd is None else str(cwd),
            "exit_code": exit_code,
            "stdout": stdout,
            "stderr": stderr,
        },
        seconds=seconds,
    )


def record_oracle(name: str, query: object, value: object) -> None:
    """Record what an oracle read; called by the oracle reader only.

    Args:
        name: The oracle, such as "audit log" or "kube_servers".
        query: What it was asked, as JSON knows it; None when there is nothing to ask.
        value: What it answered.

    Raises:
        EnvironmentBroken: The evidence could not be written.
    """
    if (recorder := current_recorder.get()) is None:
        return
    asked = "" if query is None else json.dumps(redact(query), ensure_ascii=False)
    recorder.record("oracle", f"{name} {asked}".strip(), {"oracle": name, "query": query, "value": value})


def _json(document: Mapping[str, object]) -> str:
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"
