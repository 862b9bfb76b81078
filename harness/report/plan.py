"""The plan: which scenarios a pytest run shall run, written before the first of them."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from harness.core.errors import EnvironmentBroken
from harness.core.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = ("./conformance", "run")


@dataclass(frozen=True)
class Plan:
    """What one pytest run is to do. A run of the command may take two: `@alone` scenarios, then the rest.

    Attributes:
        scenarios: Ids, in the order to run them.
        first: Number of the first one in the whole run of the command, from 1.
        of: How many the whole run has.
        command: The argv that repeats the whole run; with `--scenario ID` it repeats one.
    """

    scenarios: tuple[str, ...]
    first: int = 1
    of: int = 0
    command: tuple[str, ...] = COMMAND

    def write(self, path: Path) -> None:
        """Writes the plan, whole or not at all.

        Args:
            path: The file; its folder must exist.

        Raises:
            EnvironmentBroken: It cannot be written.
        """
        write_atomically(path, json.dumps(asdict(self), indent=2) + "\n")

    @classmethod
    def read(cls, path: Path) -> Plan:
        """Reads a plan; `scenarios` is all that must be in it.

        Args:
            path: The file.

        Raises:
            EnvironmentBroken: It is not there, or no plan.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            scenarios = tuple(str(scenario) for scenario in content["scenarios"])
            return cls(
                scenarios=scenarios,
                first=int(content.get("first", 1)),
                of=int(content.get("of", len(scenarios))),
                command=tuple(content.get("command", COMMAND)),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise EnvironmentBroken(
                expected=f"a plan in {path}",
                seen=f"{type(error).__name__}: {error}",
                remedy="let ./conformance run write it, or unset CONFORMANCE_PLAN",
            ) from error
