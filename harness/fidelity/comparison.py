"""The differences between two runs, and which of them are explained."""

from __future__ import annotations

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from harness.fidelity.observations import FINDINGS, VERDICT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harness.fidelity.observations import Fields, SeenRun

EXPLANATIONS = Path(__file__).with_name("explanations.yaml")
MISSING = "not there"
"""Instead of a value, where a side has the observation and not the field."""
UNSEEN = "never observed"
"""Instead of a value, where a side has not the observation."""
_ANYTHING = re.compile(".*", re.DOTALL)
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
            at another moment. A field that is not there counts where the other side lacks it elsewhere, and
            the side that lacks it here has it elsewhere.
        scenario: Pattern of the scenario.
        alike: Only where the other side has the value as well, but for what this matches: in the same scenario,
            or with `elsewhere` in another one too.
        later: Only where the side that lacks the field has it in another scenario: for what comes later.
    """

    id: str
    reason: str
    key: re.Pattern[str]
    path: re.Pattern[str]
    simulated: re.Pattern[str] | None
    real: re.Pattern[str] | None
    elsewhere: bool = False
    scenario: re.Pattern[str] = _ANYTHING
    alike: re.Pattern[str] | None = None
    later: bool = False

    def explains(self, seen: Alone) -> bool:
        """Says whether a value seen on one side alone is expected.

        Args:
            seen: The value and its place.
        """
        pattern = self.simulated if seen.simulated else self.real
        return bool(
            pattern
            and self.scenario.fullmatch(seen.scenario)
            and self.key.fullmatch(seen.key)
            and self.path.fullmatch(seen.path)
            and pattern.fullmatch(seen.value)
            and (seen.has_field or not self.later)
            and self._other_side_has(seen)
        )

    def _other_side_has(self, seen: Alone) -> bool:
        if not self.elsewhere and self.alike is None:
            return True
        others = seen.elsewhere if self.elsewhere else seen.beside
        return self._bare(seen.value) in {self._bare(other) for other in others}

    def _bare(self, value: str) -> str:
        return self.alike.sub("", value) if self.alike else value


@dataclass(frozen=True)
class Alone:
    """A value that one side alone has.

    Attributes:
        scenario: Where.
        key: Of the observation.
        path: Of the field.
        value: What was seen there and not on the other side.
        simulated: Whether the simulated side has it.
        elsewhere: What the other side has at this place in any scenario.
        beside: What it has there in the same one.
        has_field: Whether this side has the field in any scenario.
    """

    scenario: str
    key: str
    path: str
    value: str
    simulated: bool
    elsewhere: frozenset[str]
    beside: frozenset[str]
    has_field: bool


@dataclass
class Comparison:
    """What came of comparing two runs.

    Attributes:
        compared: Scenarios that both runs have.
        observations: How many observations were laid beside each other.
        unexplained: Differences without a reason.
        explained: Differences with one.
        unused: Ids of explanations that explained nothing.
        bare: Compared scenarios of which neither run has anything but verdict and findings.
    """

    compared: list[str] = field(default_factory=list)
    observations: int = 0
    unexplained: list[Difference] = field(default_factory=list)
    explained: list[Difference] = field(default_factory=list)
    unused: list[str] = field(default_factory=list)
    bare: list[str] = field(default_factory=list)


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
            re.compile(entry["scenario"]) if "scenario" in entry else _ANYTHING,
            re.compile(entry["alike"]) if "alike" in entry else None,
            entry.get("later", False),
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
            if not {*ours, *theirs} - {VERDICT, FINDINGS}:
                result.bare.append(id_)
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
            there = frozenset((self._real, self._simulated)[side][id_].get(key, {}).get(path, set()))
            elsewhere, has_field = self._elsewhere(side, key, path)
            for value in sorted(values):
                alone = Alone(id_, key, path, value, side == 0, elsewhere, there, has_field)
                why = next((one for one in self._explanations if one.explains(alone)), None)
                if why:
                    self._used.add(why.id)
                parts[why.reason if why else None][side].append(value)
        for reason, (ours, theirs) in parts.items():
            self._found[key, path, tuple(ours), tuple(theirs), reason].append(id_)

    def _elsewhere(self, side: int, key: str, path: str) -> tuple[frozenset[str], bool]:
        """Gives what the other side has at a place in any scenario, and whether this one has the field in any.

        A field that this side never has is no question of the moment, whatever the other side lacks.
        """
        others = frozenset(self._anywhere[1 - side].get((key, path), set()))
        has_field = bool(self._anywhere[side].get((key, path), set()) - {MISSING})
        return others if has_field else others - {MISSING}, has_field


def _absent(scenario: object | None) -> _Values:
    return (MISSING,) if scenario is None else ()


def _anywhere(scenarios: Mapping[str, Mapping[str, Fields]]) -> dict[tuple[str, str], set[str]]:
    """Gives what a side saw at a key and path in any scenario; what one observation lacks is MISSING there."""
    all_fields: defaultdict[str, list[Fields]] = defaultdict(list)
    for observations in scenarios.values():
        for key, fields in observations.items():
            all_fields[key].append(fields)
    return {
        (key, path): set().union(*(fields.get(path, {MISSING}) for fields in every))
        for key, every in all_fields.items()
        for path in {path for fields in every for path in fields}
    }


def _differing(ours: Fields | None, theirs: Fields | None) -> Iterable[tuple[str, set[str], set[str]]]:
    """Gives path, and the values that one side alone has there; an observation that is missing is one."""
    if ours is None or theirs is None:
        yield "", {UNSEEN} if ours is None else set(), {UNSEEN} if theirs is None else set()
        return
    for path in sorted({*ours, *theirs}):
        left, right = ours.get(path), theirs.get(path)
        if left is None or right is None:
            yield path, left or {MISSING}, right or {MISSING}
        elif left != right:
            yield path, left - right, right - left
