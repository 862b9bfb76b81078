"""Programs that stand in for what a lab has not for real; each knows only itself, and what stands here."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from _typeshed import DataclassInstance

    Decisions = TypeVar("Decisions", bound=DataclassInstance)

TAKEN = "CONFORMANCE_DECISIONS"
"""Environment variable: folder in which a decision that is taken leaves an empty file of its name."""


FAULT = "CONFORMANCE_FAULT"
"""Environment variable: name of a fault; one that a simulator does not know is another's and changes nothing."""


def always(answer: object) -> Callable[..., object]:
    """A decision that is taken in one way, whatever it is asked.

    Args:
        answer: The way.
    """
    return lambda *_: answer


def replaced(decision: str, function: Any) -> Callable[[Decisions], Decisions]:
    """A fault: the decisions with one of them replaced.

    Args:
        decision: Name of the field.
        function: What takes its place.
    """
    return lambda decisions: dataclasses.replace(decisions, **{decision: function})


def settled(
    decisions: Decisions,
    faults: Mapping[str, Callable[[Decisions], Decisions]],
    component: str,
    environ: Mapping[str, str],
) -> Decisions:
    """The decisions to run with: a program's own, or with the fault that the environment names; noted.

    Args:
        decisions: Its own.
        faults: Its faults by name.
        component: Its package.
        environ: Of the program.
    """
    return noted(faults.get(environ.get(FAULT, ""), dataclasses.replace)(decisions), component, environ)


def noted(decisions: Decisions, component: str, environ: Mapping[str, str]) -> Decisions:
    """The same decisions; where the environment names a folder, each leaves its name there when it is taken.

    So a scenario shows which decisions its verdict rests on (docs/faults.md).

    Args:
        decisions: of a program.
        component: its package.
        environ: of the program.
    """
    folder = environ.get(TAKEN)
    if not folder:
        return decisions
    noting = {
        field.name: _noting(getattr(decisions, field.name), f"{folder}/{component}.{field.name}")
        for field in dataclasses.fields(decisions)
    }
    return dataclasses.replace(decisions, **noting)


def _noting(decide: Callable[..., Any], mark: str) -> Callable[..., Any]:
    def decided(*arguments: Any) -> Any:
        # Looked at each time: whoever wants to know what is taken from now on empties the folder. Decisions are
        # taken a hundred times a second, and pathlib would take ten times as long.
        if not os.access(mark, os.F_OK):
            Path(mark).touch()
        return decide(*arguments)

    return decided
