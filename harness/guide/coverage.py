"""Which scenarios check which claim of the guide, and whether they were seen to fail."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness.core.documents import read_yaml
from harness.core.errors import ConformanceError
from harness.core.verdicts import claim_verdict
from harness.guide.claims import CLAIMS, Claim
from harness.guide.editions import EDITIONS

ENVIRONMENTS = ("lab-simulated", "lab-real", "kind")
"""Where every claim is to be shown red."""

SHOWN_RED = Path(__file__).with_name("shown_red.yaml")
"""When scenarios were shown red."""

_OTHER_ENVIRONMENTS = ("lab-mixed", "existing")


@dataclass(frozen=True)
class Carrier:
    """A scenario that carries a claim's id.

    Attributes:
        scenario: its id.
        claim: the claim's id, as tagged.
        revision: the newest revision of the claim that the scenario checks.
    """

    scenario: str
    claim: str
    revision: int = 1


@dataclass(frozen=True)
class ShownRed:
    """A scenario seen to fail where a claim was violated on purpose.

    Attributes:
        environment: where: `lab-simulated`, `lab-mixed`, `lab-real`, `kind` or `existing`.
        scenario: the scenario's id.
        claims: ids of the claims that were violated, and that the scenario carries.
        by: name of the fault, or what was done.
        day: as YYYY-MM-DD.
    """

    environment: str
    scenario: str
    claims: tuple[str, ...]
    by: str
    day: str


@dataclass(frozen=True)
class Covered:
    """What is known of one claim.

    Attributes:
        claim: the claim.
        scenarios: ids of the scenarios that carry it.
        verdicts: environment -> the claim's verdict there.
        shown_red: environment -> when it was last shown red there.
    """

    claim: Claim
    scenarios: tuple[str, ...]
    verdicts: Mapping[str, str]
    shown_red: Mapping[str, ShownRed]


@dataclass(frozen=True)
class Coverage:
    """The whole table.

    Attributes:
        rows: every claim once, in the guide's order.
        problems: what makes `coverage` fail, a sentence each.
    """

    rows: tuple[Covered, ...]
    problems: tuple[str, ...]


def coverage(
    carriers: Sequence[Carrier],
    outcomes: Mapping[str, Mapping[str, str]],
    shown_red: Sequence[ShownRed],
    claims: Mapping[str, Claim] = CLAIMS,
) -> Coverage:
    """Put together what is known of every claim.

    Args:
        carriers: every pair of a scenario and a claim id that it is tagged with.
        outcomes: environment -> scenario -> verdict; a scenario that is missing did not run.
        shown_red: in any order.
        claims: by id, in the guide's order.
    """
    rows = tuple(_covered(claim, carriers, outcomes, shown_red) for claim in claims.values())
    problems = [
        *_unknown(carriers, claims),
        *(problem for row in rows for problem in _of_claim(row, carriers)),
        *_without_carrier(shown_red, carriers),
    ]
    return Coverage(rows, tuple(problems))


def _covered(
    claim: Claim,
    carriers: Iterable[Carrier],
    outcomes: Mapping[str, Mapping[str, str]],
    shown_red: Iterable[ShownRed],
) -> Covered:
    scenarios = tuple(dict.fromkeys(c.scenario for c in carriers if c.claim == claim.id))
    verdicts = {
        environment: claim_verdict(seen.get(scenario, "not-run") for scenario in scenarios).value
        for environment, seen in outcomes.items()
        if scenarios
    }
    last: dict[str, ShownRed] = {}
    for shown in shown_red:
        counts = claim.id in shown.claims and shown.scenario in scenarios
        if counts and (shown.environment not in last or shown.day > last[shown.environment].day):
            last[shown.environment] = shown
    return Covered(claim, scenarios, verdicts, last)


def _unknown(carriers: Iterable[Carrier], claims: Mapping[str, Claim]) -> Iterator[str]:
    for carrier in carriers:
        if carrier.claim not in claims:
            yield f"{carrier.scenario} carries {carrier.claim}, which is no claim of the guide"


def _of_claim(row: Covered, carriers: Iterable[Carrier]) -> Iterator[str]:
    claim = row.claim
    if not row.scenarios:
        if claim.untestable is None:
            yield f"{claim.id} has neither a scenario nor a reason why none can check it"
        return
    if claim.untestable is not None:
        yield f"{claim.id} is declared untestable, but carried: {', '.join(row.scenarios)}"
    checked = max(carrier.revision for carrier in carriers if carrier.claim == claim.id)
    if checked < claim.revision:
        edition = next(e for e in EDITIONS if claim.revision_in(e) > checked)
        yield (
            f"{claim.id} has revision {claim.revision_in(edition)} from edition {edition} on, "
            f"but is checked as of revision {checked}: {', '.join(row.scenarios)}"
        )


def _without_carrier(shown_red: Iterable[ShownRed], carriers: Iterable[Carrier]) -> Iterator[str]:
    carried = {(carrier.scenario, carrier.claim) for carrier in carriers}
    for shown in shown_red:
        for claim in shown.claims:
            if (shown.scenario, claim) not in carried:
                yield f"shown_red.yaml has {claim} by {shown.scenario}, which does not carry it"


def load_shown_red(path: Path = SHOWN_RED) -> tuple[ShownRed, ...]:
    """Read when scenarios were shown red.

    Args:
        path: a list of mappings with the fields of `ShownRed`.

    Raises:
        ConformanceError: a row is not of that form, or of an unknown environment.
    """
    rows = []
    for row in read_yaml(path.read_text(encoding="utf-8")):
        try:
            shown = ShownRed(**{**row, "claims": tuple(row["claims"]), "day": str(row["day"])})
        except (KeyError, TypeError) as error:
            raise _malformed(path, f"{row!r}: {error}") from error
        if shown.environment not in (*ENVIRONMENTS, *_OTHER_ENVIRONMENTS):
            raise _malformed(path, f"environment {shown.environment!r}")
        rows.append(shown)
    return tuple(rows)


def _malformed(path: Path, seen: str) -> ConformanceError:
    return ConformanceError(
        expected=f"rows of environment, scenario, claims, by and day in {path.name}",
        seen=seen,
        remedy=f"Correct the row; environments are {', '.join((*ENVIRONMENTS, *_OTHER_ENVIRONMENTS))}.",
    )
