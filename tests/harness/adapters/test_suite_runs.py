"""Runs of the suite within a command, and what git tells of a change."""

from __future__ import annotations

import subprocess
import sys
import threading
from typing import TYPE_CHECKING

import pytest

from harness.adapters import changes, suite_runs
from harness.core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path


def test_a_run_ends_with_the_commands_exit_code_and_keeps_what_it_printed(tmp_path: Path) -> None:
    runs = suite_runs.SuiteRuns()
    assert runs.run(["--scenario", "no-such-scenario"], tmp_path / "lab") == 4
    assert "no-such-scenario" in (tmp_path / "lab" / "output.log").read_text()


def test_settings_of_the_caller_are_no_settings_of_the_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CONFORMANCE_FAULT", "no-such-fault")
    runs = suite_runs.SuiteRuns()
    runs.run(["--scenario", "no-such-scenario"], tmp_path)
    assert "no-such-fault" not in (tmp_path / "output.log").read_text()


def test_runs_end_when_told_and_none_begins_afterwards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A program that ends by a signal alone, in the place of the suite.
    program = tmp_path / "program"
    program.write_text('#!/bin/sh\ntouch "$PWD/begun"\nexec sleep 100\n')
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))
    runs = suite_runs.SuiteRuns()
    codes: list[int] = []
    thread = threading.Thread(target=lambda: codes.append(runs.run([], tmp_path / "lab")))
    thread.start()
    while not (tmp_path / "lab" / "begun").exists():
        thread.join(0.02)
    runs.end()
    thread.join(10)
    assert codes == [-15]
    assert runs.run([], tmp_path / "other") == 3
    assert not (tmp_path / "other" / "begun").exists()


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "a.feature").write_text("one\ntwo\nthree\nfour\n")
    (tmp_path / "simulators").mkdir()
    (tmp_path / "simulators" / "gone.py").write_text("was here\n")
    _git(tmp_path, "init", "--quiet")
    _git(tmp_path, "add", ".")
    _git(tmp_path, "-c", "user.name=a", "-c", "user.email=a@b", "commit", "--quiet", "--message=first")
    return tmp_path


def _git(clone: Path, *arguments: str) -> None:
    subprocess.run(["git", "-C", str(clone), *arguments], check=True, timeout=20)


def test_new_and_changed_lines_have_their_numbers(clone: Path) -> None:
    (clone / "features" / "a.feature").write_text("one\nTWO\nthree\nfour\nfive\n")
    change = changes.since("HEAD", clone)
    assert change.lines["features/a.feature"] == {2, 5}
    assert change.text["features/a.feature"].splitlines() == ["two", "TWO", "five"]


def test_what_is_gone_is_told_too(clone: Path) -> None:
    (clone / "features" / "a.feature").write_text("one\nfour\n")
    (clone / "simulators" / "gone.py").unlink()
    change = changes.since("HEAD", clone)
    assert change.lines["features/a.feature"] == {1}
    assert change.text["features/a.feature"] == "two\nthree"
    assert change.text["simulators/gone.py"] == "was here"


def test_files_that_git_does_not_know_yet_count(clone: Path) -> None:
    (clone / "simulators" / "new.py").write_text("a\nb\n")
    (clone / "elsewhere.py").write_text("a\n")
    change = changes.since("HEAD", clone)
    assert change.lines == {"simulators/new.py": {1, 2}}
    assert change.text == {"simulators/new.py": "a\nb"}


def test_an_unknown_commit_is_a_usage_error(clone: Path) -> None:
    with pytest.raises(UsageError, match="no-such-commit"):
        changes.since("no-such-commit", clone)
