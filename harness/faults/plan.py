"""Which faults are tried on which scenarios."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from itertools import groupby
from typing import TYPE_CHECKING, Protocol, TypeVar

from harness.faults.labs import REAL

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from harness.faults.catalogue import Fault
    from harness.faults.labs import Lab

Item = TypeVar("Item")

SHARE = 10
"""Of the scenarios that do not rest on a fault's decision, one in so many is run with it all the same."""


FAILURE = "failure:"
"""What tells a failure mode among claims."""


@dataclass(frozen=True)
class Subject:
    """A scenario, as far as it matters here.

    Attributes:
        id: Of the scenario.
        claims: That it carries; its failure modes among them, each with `failure:` before it.
        feature: Its file, relative to the repository.
        lines: Lines of that file that make it, tags and Background included, from 1.
        steps: Phrases of its steps, those of the Background included.
    """

    id: str
    claims: tuple[str, ...]
    feature: str = ""
    lines: frozenset[int] = frozenset()
    steps: frozenset[str] = frozenset()


class _Step(Protocol):
    @property
    def line(self) -> int: ...

    @property
    def text(self) -> str: ...


class Record(Protocol):
    """What the catalogue of scenarios knows of one; attributes as there."""

    @property
    def id(self) -> str:
        """Of its tag."""

    @property
    def claims(self) -> tuple[str, ...]:
        """Of its tags."""

    @property
    def failures(self) -> tuple[str, ...]:
        """Of its tags."""

    @property
    def feature(self) -> str:
        """Its file."""

    @property
    def line(self) -> int:
        """Of its name, or of its row of examples."""

    @property
    def steps(self) -> Sequence[_Step]:
        """All, Background first."""


def subjects(records: Iterable[Record], chosen: Iterable[Record]) -> list[Subject]:
    """Scenarios as they matter here.

    Args:
        records: All of them, in the order of the catalogue.
        chosen: Those that are wanted.
    """
    wanted = {record.id for record in chosen}
    made = []
    for feature, there in groupby(records, key=lambda record: record.feature):
        end = 0
        for record in there:
            steps = {step.line for step in record.steps}
            phrases = frozenset(step.text for step in record.steps)
            # Its tags are between the scenario before it and its own name.
            lines = steps | set(range(end + 1 if end else record.line, record.line + 1))
            carried = (*record.claims, *(f"{FAILURE}{mode}" for mode in record.failures))
            made.append(Subject(record.id, carried, feature, frozenset(lines), phrases))
            end = max({*steps, record.line})
    return [subject for subject in made if subject.id in wanted]


@dataclass(frozen=True)
class Trial:
    """A fault and the scenarios that are run with it, in one lab.

    Attributes:
        fault: What misbehaves.
        aimed: Scenarios that may notice.
        bystanders: Scenarios that have nothing to do with it and must stay green.
    """

    fault: Fault
    aimed: tuple[str, ...]
    bystanders: tuple[str, ...] = ()

    @property
    def scenarios(self) -> tuple[str, ...]:
        """All that are run."""
        return (*self.aimed, *self.bystanders)


def by_decisions(faults: Iterable[Fault], clean: Mapping[str, Lab], seed: int) -> list[Trial]:
    """Each fault on all scenarios that rest on its decision, and on a random part of the others.

    Args:
        faults: To try.
        clean: Id of a scenario to what it showed alone and without a fault; those that passed.
        seed: Makes the random choice the same again.
    """
    trials = []
    for fault in faults:
        if fault.component in REAL:
            # A real program does not tell what it decides, nor that it was used.
            trials.append(Trial(fault, tuple(one for one in fault.scenarios if one in clean)))
            continue
        aimed = tuple(one for one, lab in clean.items() if lab.rests_on(fault.component, fault.decision))
        others = [one for one in clean if one not in aimed]
        trials.append(Trial(fault, aimed, sample(others, math.ceil(len(others) / SHARE), seed, fault.name)))
    return trials


def expanded(faults: Iterable[Fault], subjects: Iterable[Subject]) -> list[Fault]:
    """The faults, with the rows of an Outline where the catalogue names it as a whole.

    Args:
        faults: Of the catalogue.
        subjects: All scenarios.
    """
    rows: dict[str, list[str]] = {}
    for subject in subjects:
        outline = subject.id.partition("[")[0]
        if outline != subject.id:
            rows.setdefault(outline, []).append(subject.id)
    return [
        replace(
            fault,
            scenarios=tuple(dict.fromkeys(row for one in fault.scenarios for row in rows.get(one, [one]))),
        )
        for fault in faults
    ]


def by_catalogue(faults: Iterable[Fault], subjects: Iterable[Subject]) -> list[Trial]:
    """Each fault on the scenarios that the catalogue says notice it; those without any are left out.

    Args:
        faults: To try.
        subjects: Scenarios to try them on.
    """
    known = {subject.id for subject in subjects}
    trials = [Trial(fault, tuple(one for one in fault.scenarios if one in known)) for fault in faults]
    return [trial for trial in trials if trial.aimed]


def for_change(
    faults: Sequence[Fault],
    subjects: Sequence[Subject],
    touched: tuple[frozenset[str], frozenset[str]],
    *,
    seed: int,
    size: int,
) -> list[Trial]:
    """What a change asks for: all that proves its scenarios, its faults, and a random part of the rest.

    Args:
        faults: All of them.
        subjects: All scenarios.
        touched: Names of faults and ids of scenarios that the change touches.
        seed: Makes the random choice the same again.
        size: How many pairs of fault and scenario are taken of the rest.
    """
    names, ids = touched
    wanted: dict[str, list[str]] = {fault.name: [] for fault in faults}
    rest = []
    for trial in by_catalogue(faults, subjects):
        for scenario in trial.aimed:
            if trial.fault.name in names or scenario in ids:
                wanted[trial.fault.name].append(scenario)
            else:
                rest.append((trial.fault.name, scenario))
    for name, scenario in sample(rest, size, seed, "rest"):
        wanted[name].append(scenario)
    return [Trial(fault, tuple(wanted[fault.name])) for fault in faults if wanted[fault.name]]


def sample(items: Sequence[Item], size: int, seed: int, salt: str) -> tuple[Item, ...]:
    """So many of the items, in their order; the same ones for the same seed and salt."""
    chosen = random.Random(f"{seed}/{salt}").sample(range(len(items)), min(size, len(items)))  # noqa: S311  # no secret
    return tuple(items[index] for index in sorted(chosen))
