"""What was about to be created is known after any death, and undone in reverse."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from harness.core.errors import EnvironmentBroken
from harness.core.ledger import Entry, Ledger, replay


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "run" / "ledger.jsonl")


def names(entries: list[Entry]) -> list[object]:
    return [entry.what["name"] for entry in entries]


def test_open_entries_come_latest_first_and_survive_the_process(ledger: Ledger) -> None:
    ledger.will_create("namespace", name="a")
    middle = ledger.will_create("process", name="b", pid=7)
    ledger.will_create("role", name="c")
    ledger.undone(middle)
    assert names(Ledger(ledger.path).open_entries()) == ["c", "a"]
    assert names(ledger.open_entries()) == ["c", "a"]


def test_an_entry_is_read_back_as_it_was_written(ledger: Ledger) -> None:
    entry = ledger.will_create("process", name="b", pid=7, started=1.5, argv=["a", "b"])
    assert ledger.open_entries() == [entry]


def test_a_ledger_that_was_never_written_is_empty(ledger: Ledger) -> None:
    assert ledger.open_entries() == []
    assert replay(ledger, {}) == []
    assert not ledger.path.exists()


def test_the_entry_is_on_disk_before_the_creation(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    real = os.fsync

    def fsync(handle: int) -> None:
        synced.append("folder" if stat.S_ISDIR(os.fstat(handle).st_mode) else ledger.path.read_text())
        real(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    ledger.will_create("namespace", name="a")
    assert '"namespace"' in synced[0]
    assert synced[1:] == ["folder"]


def test_the_file_is_for_its_owner_only(ledger: Ledger) -> None:
    ledger.will_create("namespace", name="a")
    assert stat.S_IMODE(ledger.path.stat().st_mode) == 0o600


def test_a_torn_last_line_is_of_something_never_created(ledger: Ledger) -> None:
    ledger.will_create("namespace", name="a")
    with ledger.path.open("a") as stream:
        stream.write('\n{"id": "torn", "kind": "names')
    assert names(ledger.open_entries()) == ["a"]
    assert ledger.unreadable_lines() == []


def test_what_follows_a_torn_line_is_not_lost_with_it(ledger: Ledger) -> None:
    ledger.will_create("namespace", name="a")
    with ledger.path.open("a") as stream:
        stream.write('\n{"id": "torn", "kind": "names')
    ledger.will_create("namespace", name="b")
    assert names(ledger.open_entries()) == ["b", "a"]
    assert [leftover.entry.kind for leftover in replay(ledger, {"namespace": lambda _: None})] == [
        "unreadable-line"
    ]


@pytest.mark.parametrize(
    "line", ["[]", "7", '{"id": "x"}', '{"id": "x", "kind": "k", "what": 3, "at": ""}', "\x00\x00"]
)
def test_lines_that_make_no_sense_are_reported(ledger: Ledger, line: str) -> None:
    ledger.path.parent.mkdir()
    ledger.path.write_text(f"{line}\n")
    ledger.will_create("namespace", name="a")
    assert ledger.unreadable_lines() == [line]
    assert names(ledger.open_entries()) == ["a"]


def test_a_replay_undoes_in_reverse_and_a_second_one_has_nothing_to_do(ledger: Ledger) -> None:
    for name in ("a", "b", "c"):
        ledger.will_create("namespace", name=name)
    done: list[object] = []
    undo = {"namespace": lambda entry: done.append(entry.what["name"])}
    assert replay(ledger, undo) == []
    assert replay(ledger, undo) == []
    assert done == ["c", "b", "a"]


def test_what_cannot_be_undone_is_left_over_and_the_rest_goes_on(ledger: Ledger) -> None:
    for kind in ("namespace", "unheard-of", "process", "namespace"):
        ledger.will_create(kind, name=kind)
    done: list[object] = []

    def stubborn(_: Entry) -> None:
        raise TimeoutError("it does not end")

    undo = {"namespace": lambda entry: done.append(entry.id), "process": stubborn}
    leftovers = replay(ledger, undo)
    assert [(leftover.entry.kind, leftover.reason) for leftover in leftovers] == [
        ("process", "TimeoutError: it does not end"),
        ("unheard-of", "nothing here knows how to undo 'unheard-of'"),
    ]
    assert len(done) == 2
    undo["process"] = undo["unheard-of"] = lambda entry: done.append(entry.id)
    assert replay(ledger, undo) == []
    assert len(done) == 4


WRITER = """
import sys
from pathlib import Path
from harness.core.ledger import Ledger

ledger = Ledger(Path(sys.argv[1]))
for number in range(20):
    entry = ledger.will_create("namespace", name=f"{sys.argv[2]}-{number}", padding="x" * 3000)
    if number % 2:
        ledger.undone(entry)
"""


def test_several_processes_can_write_one_ledger(ledger: Ledger) -> None:
    root = Path(__file__).parents[3]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, ledger.path, str(number)], cwd=root)
        for number in range(3)
    ]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert ledger.unreadable_lines() == []
    assert {str(name) for name in names(ledger.open_entries())} == {
        f"{writer}-{number}" for writer in range(3) for number in range(0, 20, 2)
    }


def test_a_ledger_that_cannot_be_written_stops_the_creation(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentBroken, match="to write the ledger"):
        Ledger(tmp_path / "file" / "ledger.jsonl").will_create("namespace", name="a")


def test_a_disk_that_takes_only_a_part_stops_the_creation(
    ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:10]))
    with pytest.raises(EnvironmentBroken, match="only a part was written"):
        ledger.will_create("namespace", name="a")


def test_a_ledger_that_cannot_be_read_is_not_taken_for_an_empty_one(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentBroken, match="to read the ledger"):
        Ledger(tmp_path).open_entries()
