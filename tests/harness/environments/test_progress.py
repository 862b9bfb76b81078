"""What a user sees of provisioning: drawn over itself on a terminal, plain lines everywhere else."""

from __future__ import annotations

import io
import os
import re
import sys
import threading
from typing import TYPE_CHECKING

import pexpect
import pytest

from harness.environments import progress

if TYPE_CHECKING:
    from pathlib import Path


class Terminal(io.StringIO):
    """A terminal that can move its cursor up and erase below it; nothing else."""

    def isatty(self) -> bool:
        return True

    def screen(self) -> list[str]:
        """What is left visible."""
        return visible(self.getvalue())


def visible(written: str) -> list[str]:
    lines: list[str] = [""]
    for piece in re.split(r"(\x1b\[\d*[A-Za-z]|\r?\n)", written):
        if piece.endswith("\n"):
            lines.append("")
        elif piece.startswith("\x1b["):
            assert piece[-1] in "FJ", piece
            if piece[-1] == "F":
                count = int(piece[2:-1])
                assert count < len(lines), "above the first line"
                del lines[len(lines) - count :]
                lines[-1] = ""
        else:
            lines[-1] += piece
    return [line for line in lines if line]


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture(autouse=True)
def wide(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in (("TERM", "xterm"), ("COLUMNS", "60"), ("LINES", "10")):
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)


@pytest.mark.parametrize("term", ["dumb", "", None])
def test_a_dumb_terminal_gets_lines_that_stay(monkeypatch: pytest.MonkeyPatch, term: str | None) -> None:
    if term is None:
        monkeypatch.delenv("TERM")
    else:
        monkeypatch.setenv("TERM", term)
    told: list[str] = []
    stream = Terminal()
    with progress.shown(told.append, stream) as shown:
        shown.say("starting Teleport")
        with shown.part("Teleport"):
            pass
    assert told == ["starting Teleport"]
    assert stream.getvalue() == ""


def test_a_file_gets_lines_that_stay() -> None:
    told: list[str] = []
    stream = io.StringIO()
    with progress.shown(told.append, stream) as shown, shown.part("Teleport"):
        shown.say("starting Teleport")
    assert (told, stream.getvalue()) == (["starting Teleport"], "")


def test_each_part_has_its_seconds_and_says_how_it_ended() -> None:
    clock, terminal = Clock(), Terminal()
    shown = progress.InPlace(terminal, clock)
    with shown.part("the launcher"):
        clock.now += 1.25
        shown.draw()
        assert terminal.screen() == ["starting   1.2 s  the launcher"]
    with shown.part("Teleport"), pytest.raises(ValueError, match="broken"), shown.part("the gateway"):  # noqa: PT012  # the block is what breaks
        clock.now += 0.5
        shown.draw()
        assert terminal.screen() == [
            "done       1.2 s  the launcher",
            "starting   0.5 s  Teleport",
            "starting   0.5 s  the gateway",
        ]
        raise ValueError("broken")
    clock.now += 10
    shown.end(keep=True)
    assert terminal.screen() == [
        "done       1.2 s  the launcher",
        "done       0.5 s  Teleport",
        "failed     0.5 s  the gateway",
    ]


def test_nothing_is_left_when_all_went_well_and_the_last_state_when_not() -> None:
    told: list[str] = []
    well, badly = Terminal(), Terminal()
    with progress.shown(told.append, well) as shown, shown.part("Teleport"):
        shown.say("not shown twice")
        assert isinstance(shown, progress.InPlace)
        shown.draw()
    assert (told, well.screen()) == ([], [])
    with (
        pytest.raises(OSError, match="x"),
        progress.shown(told.append, badly) as shown,
        shown.part("Teleport"),
    ):
        raise OSError("x")
    assert badly.screen() == ["failed     0.0 s  Teleport"]
    assert not [thread for thread in threading.enumerate() if thread.name == "progress"]


def test_no_line_is_wrapped_or_scrolls_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("LINES", "5")
    shown = progress.InPlace(Terminal(), Clock())
    for number in range(9):
        with shown.part(f"part {number} with a name that is long"):
            pass
    lines = shown.lines()
    assert len(lines) == 3
    assert [len(line) for line in lines] == [29] * 3
    assert "part 8" in lines[-1]


PROGRAM = """
import sys, threading
from harness.environments import progress
with progress.shown(print) as shown, shown.part("Teleport"):
    shown.say("starting Teleport")
    threading.Event().wait(0.35)
print("up")
"""


@pytest.mark.parametrize("term", ["xterm", "dumb"])
def test_on_a_terminal_of_the_systems(tmp_path: Path, term: str) -> None:
    environment = {"PYTHONPATH": os.pathsep.join(sys.path), "TERM": term, "NO_COLOR": "1"}
    child = pexpect.spawn(
        sys.executable, ["-c", PROGRAM], env=environment, cwd=str(tmp_path), encoding="utf-8", timeout=30
    )
    written = child.read()
    child.close()
    assert child.exitstatus == 0, written
    if term == "dumb":
        assert written == "starting Teleport\r\nup\r\n"
        return
    assert "starting   0.1 s  Teleport" in written
    assert "starting   0.2 s  Teleport" in written
    assert visible(written) == ["up"]
    # Of colours there are none to begin with.
    assert "m" not in "".join(re.findall(r"\x1b\[[\d;]*([A-Za-z])", written))
