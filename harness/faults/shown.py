"""Notes in the guide's data when scenarios were last shown red, which `./conformance coverage` reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

from harness.core.documents import read_yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

SAME = ("environment", "scenario", "by")
"""What two notes have in common of which the later one counts."""


def environment(env: str, real: Sequence[str]) -> str:
    """Name of the environment that faults were tried in.

    Args:
        env: `lab` or `kind`.
        real: In the lab, of `apiserver`, `teleport` and `chart`.
    """
    if env != "lab":
        return env
    return {0: "lab-simulated", 3: "lab-real"}.get(len(real), "lab-mixed")


def notes(pairs: Mapping[tuple[str, str], Iterable[str]], where: str, day: str) -> list[dict[str, Any]]:
    """A note for each scenario and each fault that violates claims of it and turned it red.

    Args:
        pairs: Scenario and claim to the faults that were noticed.
        where: The environment.
        day: As YYYY-MM-DD.
    """
    claims: dict[tuple[str, str], list[str]] = {}
    for (scenario, claim), faults in pairs.items():
        for fault in faults:
            claims.setdefault((scenario, fault), []).append(claim)
    return [
        {"environment": where, "scenario": scenario, "claims": violated, "by": fault, "day": day}
        for (scenario, fault), violated in claims.items()
    ]


def merged(text: str, new: Sequence[dict[str, Any]]) -> str:
    """The file with these notes, each in the place of an earlier one of the same.

    Args:
        text: The file as it is: comments, then a list.
        new: What to note.
    """
    head = "".join(line for line in text.splitlines(keepends=True) if line.startswith("#"))
    known = {tuple(one[name] for name in SAME): one for one in (read_yaml(text) or [])}
    for one in new:
        known[tuple(one[name] for name in SAME)] = one
    listed = yaml.safe_dump(list(known.values()), sort_keys=False, default_flow_style=None, width=110)
    return f"{head}\n{listed}"
