"""Exit code, conformance and claim verdicts, over every set of verdicts there can be."""

from collections import Counter
from itertools import chain, combinations, product

import pytest

from harness.core.verdicts import (
    DECIDING_COMPONENTS,
    Verdict,
    claim_verdict,
    conformant,
    exit_code,
    is_all_real,
)

EVERY_SET = [
    set(chosen)
    for chosen in chain.from_iterable(combinations(Verdict, size) for size in range(len(Verdict) + 1))
]
FLAGS = ("usage", "environment_error", "interrupted", "missing_real", "nothing_selected")
ALL_REAL = dict.fromkeys(DECIDING_COMPONENTS, False)


def table(seen: set[Verdict], flags: dict[str, bool]) -> int:
    """The design's table, written out a second time."""
    if flags["usage"]:
        return 4
    if Verdict.FAILED in seen:
        return 1
    if Verdict.ERROR in seen or flags["environment_error"]:
        return 2
    if Verdict.NOT_RUN in seen or flags["missing_real"] or flags["interrupted"]:
        return 3
    if flags["nothing_selected"] or not seen & {Verdict.PASSED, Verdict.KNOWN_DEVIATION}:
        return 5
    return 0


def test_the_exit_code_follows_the_table_for_every_set_of_verdicts_and_flags() -> None:
    for seen in EVERY_SET:
        for values in product((False, True), repeat=len(FLAGS)):
            flags = dict(zip(FLAGS, values, strict=True))
            assert exit_code(seen, **flags) == table(seen, flags), (seen, flags)


@pytest.mark.parametrize(
    ("verdicts", "code"),
    [
        (["passed"], 0),
        (["passed", "known-deviation", "withheld", "not-applicable"], 0),
        (["passed", "failed", "error", "not-run"], 1),
        (["passed", "error", "not-run"], 2),
        (["passed", "not-run"], 3),
        (["withheld", "not-applicable"], 5),
        ([], 5),
    ],
)
def test_exit_codes_that_people_meet(verdicts: list[str], code: int) -> None:
    assert exit_code(verdicts) == code


@pytest.mark.parametrize(("verdicts", "code"), [(["passed"], 3), (["failed"], 1), (["error"], 2)])
def test_an_interrupted_run_is_incomplete_unless_something_failed_or_broke(
    verdicts: list[str], code: int
) -> None:
    assert exit_code(verdicts, interrupted=True) == code


def test_counts_are_verdicts_too_and_a_count_of_zero_is_none() -> None:
    assert exit_code(Counter({"passed": 3, "failed": 0})) == 0
    assert exit_code({"passed": 3, "failed": 1}) == 1


@pytest.mark.parametrize(
    "judge", [exit_code, claim_verdict, lambda seen: conformant(seen, all_real=True, complete=True)]
)
def test_an_unknown_verdict_is_never_taken_for_a_good_one(judge: object) -> None:
    assert callable(judge)
    with pytest.raises(ValueError, match="skipped"):
        judge(["passed", "skipped"])


def test_conformant_is_true_only_for_a_complete_real_run_that_passed() -> None:
    for seen in EVERY_SET:
        for all_real, complete in product((False, True), repeat=2):
            verdict = conformant(seen, all_real=all_real, complete=complete)
            deserved = (
                all_real and complete and seen in ({Verdict.PASSED}, {Verdict.PASSED, Verdict.NOT_APPLICABLE})
            )
            assert (verdict is True) == deserved, (seen, all_real, complete)


def test_conformant_is_false_when_a_scenario_did_otherwise_and_unknown_with_simulated_components() -> None:
    for seen in EVERY_SET:
        bad = bool(seen - {Verdict.PASSED, Verdict.NOT_APPLICABLE})
        assert (conformant(seen, all_real=True, complete=True) is False) == bad
        assert (conformant(seen, all_real=True, complete=False) is False) == bad
        assert conformant(seen, all_real=False, complete=True) is None


def test_a_profile_of_which_nothing_ran_has_no_verdict() -> None:
    assert conformant([], all_real=True, complete=True) is None
    assert conformant(["not-applicable"], all_real=True, complete=True) is None


def test_every_deciding_component_decides() -> None:
    assert is_all_real({**ALL_REAL, "aws": True})
    for component in DECIDING_COMPONENTS:
        assert not is_all_real({**ALL_REAL, component: True})
        assert not is_all_real(dict.fromkeys(DECIDING_COMPONENTS - {component}, False))


def test_a_claim_is_what_the_worst_of_its_scenarios_is() -> None:
    for seen in EVERY_SET:
        verdict = claim_verdict(seen)
        assert verdict in (seen or {Verdict.NOT_RUN})
        assert (verdict is Verdict.PASSED) == (
            seen in ({Verdict.PASSED}, {Verdict.PASSED, Verdict.NOT_APPLICABLE})
        ), seen


@pytest.mark.parametrize(
    ("verdicts", "claim"),
    [
        ([], "not-run"),
        (["not-run", "passed"], "not-run"),
        (["known-deviation", "passed"], "known-deviation"),
        (["withheld", "passed"], "withheld"),
        (["error", "failed"], "failed"),
        (["not-applicable"], "not-applicable"),
    ],
)
def test_claims_that_people_meet(verdicts: list[str], claim: str) -> None:
    assert claim_verdict(verdicts) == claim
