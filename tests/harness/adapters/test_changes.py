"""What differs from a commit: steps and what they stand on are looked at, not features and faults alone."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from harness.adapters.changes import since
from harness.core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

STEP = '@then("it holds")\ndef holds():\n    assert True\n'


def git(clone: Path, *arguments: str) -> None:
    who = ("-c", "user.name=nobody", "-c", "user.email=nobody@example.com", "-c", "commit.gpgsign=false")
    subprocess.run(["git", "-C", str(clone), *who, *arguments], check=True, capture_output=True, timeout=60)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--quiet")
    for name in ("steps/access.py", "harness/scenario.py", "docs/steps.md"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_text(STEP)
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "--message=first")
    return tmp_path


def test_a_step_that_asserts_nothing_any_more_is_a_change(clone: Path) -> None:
    (clone / "steps/access.py").write_text(STEP.replace("assert True", "pass"))
    change = since("HEAD", clone)
    assert change.lines == {"steps/access.py": frozenset({3})}
    assert change.text == {"steps/access.py": "    assert True\n    pass"}


def test_what_is_new_or_gone_is_a_change_and_documents_are_none(clone: Path) -> None:
    (clone / "harness/scenario.py").unlink()
    (clone / "harness/premises.py").write_text(STEP)
    (clone / "docs/steps.md").write_text("")
    assert set(since("HEAD", clone).text) == {"harness/scenario.py", "harness/premises.py"}


def test_an_unknown_commit_is_the_users_mistake(clone: Path) -> None:
    with pytest.raises(UsageError, match="name a commit of this clone"):
        since("nothing-of-that-name", clone)
