"""What differs in the clone from an earlier commit, by git, which is only read."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from harness.core.errors import UsageError
from harness.faults.touched import Change

CLONE = Path(__file__).resolve().parents[2]
WHERE = ("conftest.py", "features", "harness", "simulators", "steps")
"""What scenarios and faults are made of; `harness.faults.touched` tells what of it touches which."""

_FILE = re.compile(r"(?:\+\+\+|---) (?:/dev/null|[ab]/(.*))")
_HUNK = re.compile(r"@@ -\S+ \+(\d+)(?:,(\d+))? @@.*")


def since(commit: str, clone: Path = CLONE) -> Change:
    """What is new, changed or gone since a commit, files that git does not know yet included.

    Args:
        commit: As git names it.
        clone: Folder of the repository.

    Raises:
        UsageError: git knows no such commit, or there is no git.
    """
    lines: dict[str, set[int]] = {}
    text: dict[str, list[str]] = {}
    file = ""
    for line in _git(
        clone, "diff", "--unified=0", "--no-color", "--no-ext-diff", commit, "--", *WHERE
    ).splitlines():
        if named := _FILE.fullmatch(line):
            file = named[1] or file
        elif hunk := _HUNK.fullmatch(line):
            first, count = int(hunk[1]), int(hunk[2] if hunk[2] is not None else 1)
            # Where lines are gone, the one before them is touched.
            lines.setdefault(file, set()).update(range(first, first + max(count, 1)))
        elif line[:1] in "+-" and line[:1]:
            text.setdefault(file, []).append(line[1:])
    for name in _git(clone, "ls-files", "--others", "--exclude-standard", "--", *WHERE).splitlines():
        written = (clone / name).read_text(errors="replace").splitlines()
        lines[name], text[name] = set(range(1, len(written) + 1)), written
    return Change(
        {name: frozenset(numbers) for name, numbers in lines.items()},
        {name: "\n".join(content) for name, content in text.items()},
    )


def _git(clone: Path, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", str(clone), *arguments], capture_output=True, text=True, check=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        seen = getattr(error, "stderr", "") or str(error)
        raise UsageError(
            expected="git to tell what differs from that commit",
            seen=seen.strip(),
            remedy="name a commit of this clone",
        ) from error
    return done.stdout
