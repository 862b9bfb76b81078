"""Every fault: the decision that it replaces, the claims that it breaks, the scenarios that turn red.

The simulators have the functions (`faults.py` of each); a test compares the two. Which of the named scenarios
was seen red is in docs/faults.md.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal

from harness.core.documents import read_yaml
from harness.core.errors import UsageError
from harness.faults.misconfigurations import MISCONFIGURATIONS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from harness.core.settings import Settings

VARIABLE = "CONFORMANCE_FAULT"
"""By which simulators are told the name."""

TAKEN_VARIABLE = "CONFORMANCE_DECISIONS"
"""By which simulators are told the folder in which each decision that they take leaves an empty file."""

DECISIONS_FOLDER = "decisions"
"""That folder's name in the run's folder."""

DECISIONS_NAME = "decisions.json"
"""File beside the kept logs: `component.decision` of each that the scenarios of the run rest on."""

FAULT_MARK = "fault "
"""Beginning of the line about a fault among a report's additions."""


@dataclass(frozen=True)
class Fault:
    """A deliberate misbehaviour of one simulator.

    Attributes:
        name: As `--fault` takes it.
        component: Simulator that misbehaves: a package of `simulators`; `clients` for a program of the workstation,
            `real` for a real chart or program.
        decision: Field of its `Decisions` that is replaced; name of the chart's template, or of the program.
        claims: Ids of claims of the guide that it breaks; empty where the guide says nothing of it.
        scenarios: Ids of scenarios that notice; empty where none does.
        text: What is wrong, in a sentence.
        unowned: Why no scenario notices, and which one to come will; empty where one does.
        at: Steps beside those of a Then where its being noticed proves its claims, and why: what they do is what
            the claim is about.
    """

    name: str
    component: Literal["aws", "kubelet", "apiserver", "teleport", "chart", "clients", "real"]
    decision: str
    claims: tuple[str, ...]
    scenarios: tuple[str, ...]
    text: str
    unowned: str = ""
    at: tuple[tuple[str, str], ...] = ()


CATALOGUE = Path(__file__).with_suffix(".yaml")
"""The file."""

FAULTS = tuple(
    Fault(
        name=name,
        component=component,
        decision=row["decision"],
        claims=tuple(row["claims"]),
        scenarios=tuple(row["scenarios"]),
        text=row["text"],
        unowned=row.get("unowned", ""),
        at=tuple(row.get("at", {}).items()),
    )
    for component, rows in read_yaml(CATALOGUE.read_text(encoding="utf-8")).items()
    for name, row in rows.items()
)
"""All of them, by simulator."""


_ENTRIES = read_yaml(CATALOGUE.with_name("otherwise.yaml").read_text(encoding="utf-8"))


def _pairs(entries: Mapping[str, Any]) -> Mapping[tuple[str, str], str]:
    return MappingProxyType(
        {(scenario, claim): entry["why"] for scenario, entry in entries.items() for claim in entry["claims"]}
    )


OTHERWISE = _pairs(_ENTRIES["no-program"])
"""Pairs of scenario and claim that no fault of a program can prove, and why."""

NOT_APPLICABLE = _pairs(_ENTRIES["not-applicable"])
"""Pairs that nothing can prove where the scenario is not-applicable, and why; elsewhere they are to be proven."""

WITHHELD = _pairs(_ENTRIES["withheld"])
"""The same where the scenario is withheld for want of a capability of the environment."""


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
    if name in MISCONFIGURATIONS:
        _check_misconfiguration(name, settings)
        return
    fault = _BY_NAME.get(name)
    if fault is None:
        nearest = difflib.get_close_matches(name, (*_BY_NAME, *MISCONFIGURATIONS), n=1)
        raise UsageError(
            expected="a fault that `./conformance faults list` shows",
            seen=f"unknown fault {name!r} from {settings.source('fault')}",
            remedy=f"did you mean {nearest[0]}?" if nearest else "choose one of the list",
        )
    imitated = real_parts(settings)
    real = imitated.get(fault.component) or imitated.get(fault.decision)
    if real is not None:
        raise UsageError(
            expected=f"a simulated {fault.component} for fault {name}",
            seen=f"the real one in {real}",
            remedy="leave the real one out, or choose a fault of a component that is simulated",
        )


def real_parts(settings: Settings) -> dict[str, object]:
    """What is real of components and decisions that simulators imitate; env kind simulates nothing but AWS."""
    if settings.env == "kind":
        return {
            "apiserver": "a kind cluster",
            "kubelet": "a kind cluster",
            "teleport": settings.teleport_image,
            "chart": settings.chart,
            # Decisions of the gateway, which has a webhook of its own.
            "containers_passed_over": settings.webhook_image,
            "webhook_injects": settings.webhook_image,
        }
    return {
        "apiserver": settings.control_plane,
        "teleport": settings.teleport,
        "chart": settings.chart,
    }


def _check_misconfiguration(name: str, settings: Settings) -> None:
    component = MISCONFIGURATIONS[name].component
    if settings.env == "kind" and not MISCONFIGURATIONS[name].fits_images:
        raise UsageError(
            expected="a bad configuration of the chart, of tctl or of tsh: `teleport` is an image with kind",
            seen=name,
            remedy="choose another, or try it in the lab (leave --env out)",
        )
    if real_parts(settings)[component] is None:
        raise UsageError(
            expected=f"a real {component} for fault {name}",
            seen="a simulated one",
            remedy=f"give --{component}, or choose a fault of a simulator",
        )


def named(name: str | None) -> Fault | None:
    """The fault of that name, if there is one."""
    return _BY_NAME.get(name or "")


def announcement(settings: Settings) -> tuple[str, ...]:
    """What a report has to say of the chosen fault; nothing without one."""
    fault = named(settings.fault) or MISCONFIGURATIONS.get(settings.fault or "")
    if fault is None:
        return ()
    return (
        f"{FAULT_MARK}{fault.name}, {fault.component} misbehaves on purpose ({fault.decision}): {fault.text}",
    )


def lines() -> Iterator[str]:
    """The catalogue, a fault a line: name, component, decision, claims; scenarios, or why none notices."""
    for fault in FAULTS:
        claims = ",".join(fault.claims) or "-"
        scenarios = ",".join(fault.scenarios) or f"unowned: {fault.unowned}"
        yield f"{fault.name:<37} {fault.component:<9} {fault.decision:<25} {claims}  {scenarios}"
    for wrong in MISCONFIGURATIONS.values():
        yield (
            f"{wrong.name:<37} {wrong.component:<9} {wrong.decision:<25} {','.join(wrong.claims)}  "
            f"{','.join(wrong.scenarios)}"
        )


_BY_NAME = {fault.name: fault for fault in FAULTS}
