"""Coverage tells what is missing, and fails on it."""

from pathlib import Path

import pytest

from harness.core.errors import ConformanceError
from harness.guide.claims import CLAIMS, Claim
from harness.guide.coverage import Carrier, Coverage, ShownRed, coverage, load_shown_red

CLAIM = Claim("a.one", "A", "One.")
NEWER = Claim("a.two", "A", "Two.", revisions={"17": 2})
UNTESTABLE = Claim("a.three", "A", "Three.", untestable="nobody can see it")
KNOWN = {claim.id: claim for claim in (CLAIM, NEWER, UNTESTABLE)}
SOUND = [Carrier("s.one", "a.one"), Carrier("s.two", "a.two", 2)]


def covered(
    carriers: list[Carrier] = SOUND,
    outcomes: dict[str, dict[str, str]] | None = None,
    shown_red: list[ShownRed] | None = None,
) -> Coverage:
    return coverage(carriers, outcomes or {}, shown_red or [], KNOWN)


def red(environment: str, scenario: str, day: str, *claims: str) -> ShownRed:
    return ShownRed(environment, scenario, claims, "a fault", day)


def test_with_a_scenario_or_a_reason_for_each_there_is_no_problem() -> None:
    found = covered()
    assert found.problems == ()
    assert [row.scenarios for row in found.rows] == [("s.one",), ("s.two",), ()]


@pytest.mark.parametrize(
    ("carriers", "problem"),
    [
        pytest.param(SOUND[1:], "a.one has neither a scenario nor a reason", id="neither"),
        pytest.param(
            [*SOUND, Carrier("s.x", "a.four")], "s.x carries a.four, which is no claim", id="unknown claim"
        ),
        pytest.param(
            [SOUND[0], Carrier("s.two", "a.two")],
            "a.two has revision 2 from edition 17 on, but is checked as of revision 1: s.two",
            id="stale",
        ),
        pytest.param(
            [*SOUND, Carrier("s.x", "a.three")],
            "a.three is declared untestable, but carried: s.x",
            id="both",
        ),
    ],
)
def test_each_defect_is_a_problem(carriers: list[Carrier], problem: str) -> None:
    [found] = covered(carriers).problems
    assert found.startswith(problem)


def test_one_scenario_of_the_newest_revision_is_enough() -> None:
    assert covered([*SOUND, Carrier("s.old", "a.two", 1)]).problems == ()


def test_a_record_of_a_scenario_that_does_not_carry_the_claim_is_a_problem() -> None:
    [problem] = covered(shown_red=[red("kind", "s.one", "2026-01-01", "a.one", "a.two")]).problems
    assert problem == "shown_red.yaml has a.two by s.one, which does not carry it"


def test_the_verdict_is_the_worst_of_the_claims_scenarios_in_each_environment() -> None:
    carriers = [*SOUND, Carrier("s.more", "a.one")]
    outcomes = {"x": {"s.one": "passed", "s.more": "failed"}, "y": {"s.one": "passed"}}
    one, two, three = covered(carriers, outcomes).rows
    assert one.verdicts == {"x": "failed", "y": "not-run"}
    assert two.verdicts == {"x": "not-run", "y": "not-run"}
    assert three.verdicts == {}


def test_the_last_day_counts_per_environment() -> None:
    records = [
        red("lab-real", "s.one", "2026-01-02", "a.one"),
        red("lab-real", "s.one", "2026-01-01", "a.one"),
        red("kind", "s.one", "2025-01-01", "a.one"),
    ]
    one, two, _ = covered(shown_red=records).rows
    assert {environment: shown.day for environment, shown in one.shown_red.items()} == {
        "lab-real": "2026-01-02",
        "kind": "2025-01-01",
    }
    assert two.shown_red == {}


def test_revisions_hold_from_an_edition_on() -> None:
    claim = Claim("a.x", "A", "X.", revisions={"17": 2, "18": 3})
    assert [claim.revision_in(edition) for edition in ("13", "17", "18")] == [1, 2, 3]
    assert claim.revision == 3
    assert CLAIM.revision == CLAIM.revision_in("18") == 1


def test_the_records_name_claims_and_environments() -> None:
    records = load_shown_red()
    assert records
    assert {claim for shown in records for claim in shown.claims} <= set(CLAIMS)
    assert all(shown.claims for shown in records)


@pytest.mark.parametrize(
    "row",
    [
        "{environment: moon, scenario: s, claims: [a], by: b, day: '2026-01-01'}",
        "{environment: kind, scenario: s, claims: [a], day: '2026-01-01'}",
        "{environment: kind, scenario: s, claims: [a], by: b, day: '2026-01-01', more: x}",
        "{environment: kind}",
        "text",
    ],
)
def test_a_malformed_record_is_an_error(row: str, tmp_path: Path) -> None:
    (tmp_path / "red.yaml").write_text(f"- {row}\n", encoding="utf-8")
    with pytest.raises(ConformanceError, match=r"red\.yaml"):
        load_shown_red(tmp_path / "red.yaml")
