"""Every fault: the decision that it replaces, the claims that it breaks, the scenarios that turn red.

The simulators have the functions (`faults.py` of each); a test compares the two. Which of the named scenarios
was seen red is in docs/faults.md.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import yaml

from harness.core.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.core.settings import Settings

VARIABLE = "CONFORMANCE_FAULT"
"""By which simulators are told the name."""

FAULT_MARK = "fault "
"""Beginning of the line about a fault among a report's additions."""


@dataclass(frozen=True)
class Fault:
    """A deliberate misbehaviour of one simulator.

    Attributes:
        name: As `--fault` takes it.
        component: Simulator that misbehaves: a package of `simulators`.
        decision: Field of its `Decisions` that is replaced.
        claims: Ids of claims of the guide that it breaks; empty where the guide says nothing of it.
        scenarios: Ids of scenarios that notice; empty while the scenario that would is still to come.
        text: What is wrong, in a sentence.
    """

    name: str
    component: Literal["aws", "kubelet", "apiserver", "teleport"]
    decision: str
    claims: tuple[str, ...]
    scenarios: tuple[str, ...]
    text: str


FAULTS = tuple(
    Fault(
        name=name,
        component=component,
        decision=row["decision"],
        claims=tuple(row["claims"]),
        scenarios=tuple(row["scenarios"]),
        text=row["text"],
    )
    for component, rows in yaml.safe_load(
        Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8")
    ).items()
    for name, row in rows.items()
)
"""All of them, by simulator."""


def check_fault(settings: Settings) -> None:
    """Checks the fault that the user chose, if any.

    Args:
        settings: What the user chose.

    Raises:
        UsageError: There is none of that name, or the component is real in this run.
    """
    name = settings.fault
    if name is None:
        return
    fault = _BY_NAME.get(name)
    if fault is None:
        nearest = difflib.get_close_matches(name, _BY_NAME, n=1)
        raise UsageError(
            expected="a fault that `./conformance faults list` shows",
            seen=f"unknown fault {name!r} from {settings.source('fault')}",
            remedy=f"did you mean {nearest[0]}?" if nearest else "choose one of the list",
        )
    real = {"apiserver": settings.control_plane, "teleport": settings.teleport}.get(fault.component)
    if real is not None:
        raise UsageError(
            expected=f"a simulated {fault.component} for fault {name}",
            seen=f"the real one in {real}",
            remedy="leave the real one out, or choose a fault of a component that is simulated",
        )


def announcement(settings: Settings) -> tuple[str, ...]:
    """What a report has to say of the chosen fault; nothing without one."""
    fault = _BY_NAME.get(settings.fault or "")
    if fault is None:
        return ()
    return (
        f"{FAULT_MARK}{fault.name}: {fault.component} misbehaves on purpose ({fault.decision}): {fault.text}",
    )


def lines() -> Iterator[str]:
    """The catalogue, a fault a line: name, component, decision, claims, scenarios."""
    for fault in FAULTS:
        claims = ",".join(fault.claims) or "-"
        scenarios = ",".join(fault.scenarios) or "unowned"
        yield f"{fault.name:<37} {fault.component:<9} {fault.decision:<25} {claims}  {scenarios}"


_BY_NAME = {fault.name: fault for fault in FAULTS}
