"""What follows from the scenarios' verdicts alone: summary, claims, conformance.

Used to build a report and, by anyone who doubts one, to recompute it.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

from harness.core.verdicts import Verdict, claim_verdict, conformant
from harness.report.model import ClaimEntry

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence


@dataclass(frozen=True)
class Judged:
    """The four fields of a scenario that everything else follows from."""

    id: str
    verdict: str
    profiles: tuple[str, ...]
    claims: tuple[str, ...]


def summary(scenarios: Iterable[Judged]) -> dict[str, int]:
    """Counts scenarios per verdict; every verdict is named, also with 0.

    Args:
        scenarios: All scenarios of the report.
    """
    counts = Counter(scenario.verdict for scenario in scenarios)
    return {verdict.value: counts[verdict.value] for verdict in Verdict}


def claims(scenarios: Sequence[Judged], known: Iterable[str]) -> list[ClaimEntry]:
    """Judges the claims; one without a scenario in the report is not-run.

    Args:
        scenarios: All scenarios of the report.
        known: Ids of all claims, in the guide's order.
    """
    by_claim: dict[str, list[Judged]] = {claim: [] for claim in known}
    for scenario in scenarios:
        for claim in scenario.claims:
            by_claim.setdefault(claim, []).append(scenario)
    return [
        ClaimEntry(
            claim, claim_verdict(each.verdict for each in carrying).value, [each.id for each in carrying]
        )
        for claim, carrying in by_claim.items()
    ]


def conformance(
    scenarios: Sequence[Judged], profiles: Mapping[str, Sequence[str]], *, all_real: bool
) -> dict[str, bool | None]:
    """Says per profile whether the product conforms.

    Args:
        scenarios: All scenarios of the report.
        profiles: Profile to the ids of all scenarios that the suite has for it.
        all_real: Whether Teleport, chart, Kubernetes and kubelet are all real.

    Returns:
        Profile to true, false, or None when nothing can be said (something simulated, or only a
        part of the profile planned and nothing wrong in it).
    """
    planned = {scenario.id for scenario in scenarios}
    return {
        profile: conformant(
            [scenario.verdict for scenario in scenarios if profile in scenario.profiles],
            all_real=all_real,
            complete=set(ids) <= planned,
        )
        for profile, ids in profiles.items()
    }
