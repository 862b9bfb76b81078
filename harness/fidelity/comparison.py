"""The differences between two runs, and which of them are explained."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harness.fidelity.observations import Fields, SeenRun

EXPLANATIONS = Path(__file__).with_name("explanations.yaml")
MISSING = "not there"
_Values = tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """One field of one observation that was not the same on simulated and on real programs.

    Attributes:
        key: The command or oracle, without names that differ between runs.
        path: The field in it; empty for the whole.
        simulated: Values seen on simulated programs alone.
        real: Values seen on real programs alone.
        scenarios: Where.
        reason: Why it may be so; None where nobody has explained it.
    """

    key: str
    path: str
    simulated: tuple[str, ...]
    real: tuple[str, ...]
    scenarios: tuple[str, ...]
    reason: str | None = None


@dataclass(frozen=True)
class Explanation:
    """Why a difference is expected; each pattern has to match the whole of its part, and allows nothing else.

    Attributes:
        id: Its name.
        reason: For people.
        key: Pattern of the key.
        path: Pattern of the path.
        simulated: Pattern of each value seen on simulated programs alone; None allows none there.
        real: The same for real programs.
        elsewhere: Only where the other side has the value as well, in another scenario: for what was read
            at another moment.
    """

    id: str
    reason: str
    key: re.Pattern[str]
    path: re.Pattern[str]
    simulated: re.Pattern[str] | None
    real: re.Pattern[str] | None
    elsewhere: bool = False

    def explains(self, key: str, path: str, value: str, *, simulated: bool, elsewhere: bool) -> bool:
        """Says whether a value seen on one side alone is expected.

        Args:
            key: Of the observation.
            path: Of the field.
            value: What was seen there and not on the other side.
            simulated: Whether the simulated side has it.
            elsewhere: Whether the other side has it in another scenario.
        """
        pattern = self.simulated if simulated else self.real
        return bool(
            pattern
            and (elsewhere or not self.elsewhere)
            and self.key.fullmatch(key)
            and self.path.fullmatch(path)
            and pattern.fullmatch(value)
        )


@dataclass
class Comparison:
    """What came of comparing two runs.

    Attributes:
        compared: Scenarios that both runs have.
        observations: How many observations were laid beside each other.
        unexplained: Differences without a reason.
        explained: Differences with one.
        unused: Ids of explanations that explained nothing.
    """

    compared: list[str] = field(default_factory=list)
    observations: int = 0
    unexplained: list[Difference] = field(default_factory=list)
    explained: list[Difference] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)


@cache
def load_explanations() -> tuple[Explanation, ...]:
    """Reads the explanations that the project keeps."""
    document: list[dict[str, Any]] = yaml.safe_load(EXPLANATIONS.read_text())
    return tuple(
        Explanation(
            entry["id"],
            " ".join(entry["reason"].split()),
            re.compile(entry.get("key", ".*"), re.DOTALL),
            re.compile(entry.get("path", ".*"), re.DOTALL),
            re.compile(entry["simulated"], re.DOTALL) if "simulated" in entry else None,
            re.compile(entry["real"], re.DOTALL) if "real" in entry else None,
            entry.get("elsewhere", False),
        )
        for entry in document
    )


def compare(simulated: SeenRun, real: SeenRun, explanations: Sequence[Explanation]) -> Comparison:
    """Lays two runs beside each other.

    Args:
        simulated: The run on simulated programs.
        real: The run on real ones.
        explanations: What is expected to differ.

    Returns:
        Every difference once, with the scenarios that show it. A scenario that one run alone has is a
        difference.
    """
    return _Comparing(simulated, real, explanations).result()


class _Comparing:
    """The work of `compare`."""

    def __init__(self, simulated: SeenRun, real: SeenRun, explanations: Sequence[Explanation]) -> None:
        self._simulated, self._real = simulated.scenarios, real.scenarios
        self._anywhere = (_anywhere(self._simulated), _anywhere(self._real))
        self._explanations = explanations
        self._used: set[str] = set()
        self._found: defaultdict[tuple[str, str, _Values, _Values, str | None], list[str]]
        self._found = defaultdict(list)

    def result(self) -> Comparison:
        """Does it."""
        result = Comparison()
        for id_ in sorted({*self._simulated, *self._real}):
            ours, theirs = self._simulated.get(id_), self._real.get(id_)
            if ours is None or theirs is None:
                self._found["scenario", "", _absent(ours), _absent(theirs), None].append(id_)
                continue
            result.compared.append(id_)
            for key in sorted({*ours, *theirs}):
                result.observations += 1
                for path, left, right in _differing(ours.get(key), theirs.get(key)):
                    self._sort(id_, key, path, left, right)
        for (key, path, alone, real_alone, reason), ids in self._found.items():
            difference = Difference(key, path, alone, real_alone, tuple(ids), reason)
            (result.explained if reason else result.unexplained).append(difference)
        result.unused = [one.id for one in self._explanations if one.id not in self._used]
        return result

    def _sort(self, id_: str, key: str, path: str, left: set[str], right: set[str]) -> None:
        """Parts a difference by reason; values that nobody explained stay together."""
        parts: defaultdict[str | None, tuple[list[str], list[str]]] = defaultdict(lambda: ([], []))
        for side, values in enumerate((left, right)):
            others = self._anywhere[1 - side].get((key, path), set())
            for value in sorted(values):
                why = next(
                    (
                        one
                        for one in self._explanations
                        if one.explains(
                            key, path, value, simulated=side == 0, elsewhere=value in {*others, MISSING}
                        )
                    ),
                    None,
                )
                if why:
                    self._used.add(why.id)
                parts[why.reason if why else None][side].append(value)
        for reason, (ours, theirs) in parts.items():
            self._found[key, path, tuple(ours), tuple(theirs), reason].append(id_)


def _absent(scenario: object | None) -> _Values:
    return (MISSING,) if scenario is None else ()


def _anywhere(scenarios: Mapping[str, Mapping[str, Fields]]) -> dict[tuple[str, str], set[str]]:
    """Gives what a side saw at a key and path in any scenario."""
    seen: defaultdict[tuple[str, str], set[str]] = defaultdict(set)
    for observations in scenarios.values():
        for key, fields in observations.items():
            for path, values in fields.items():
                seen[key, path] |= values
    return seen


def _differing(ours: Fields | None, theirs: Fields | None) -> Iterable[tuple[str, set[str], set[str]]]:
    """Gives path, and the values that one side alone has there; an observation that is missing is one."""
    if ours is None or theirs is None:
        yield "", {MISSING} if ours is None else set(), {MISSING} if theirs is None else set()
        return
    for path in sorted({*ours, *theirs}):
        left, right = ours.get(path), theirs.get(path)
        if left is None or right is None:
            yield path, left or {MISSING}, right or {MISSING}
        elif left != right:
            yield path, left - right, right - left
