"""Messages and codes of the error hierarchy."""

import pytest

from harness.core.errors import (
    ConformanceError,
    EnvironmentBroken,
    MissingComponents,
    NotApplicable,
    NotApplicableCode,
    NothingSelected,
    NotObserved,
    UsageError,
    Withheld,
    WithheldCode,
)


def test_a_message_says_what_was_expected_what_was_seen_and_what_to_do() -> None:
    error = UsageError(expected="a folder", seen="a file", remedy="give the folder it lies in")
    assert str(error) == "expected: a folder\nseen: a file\nwhat to do: give the folder it lies in"


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ConformanceError, 2),
        (EnvironmentBroken, 2),
        (MissingComponents, 3),
        (UsageError, 4),
        (NothingSelected, 5),
    ],
)
def test_each_error_has_the_exit_code_of_the_table(kind: type[ConformanceError], code: int) -> None:
    assert issubclass(kind, ConformanceError)
    assert kind(expected="a", seen="b", remedy="c").exit_code == code


def test_what_was_not_observed_is_a_failed_assertion() -> None:
    assert issubclass(NotObserved, AssertionError)


def test_verdict_codes_come_from_the_fixed_lists() -> None:
    withheld = Withheld("oracle-missing", "no gateway log here")
    not_applicable = NotApplicable("tool-absent", "zsh is not installed")
    assert withheld.code is WithheldCode.ORACLE_MISSING
    assert not_applicable.code is NotApplicableCode.TOOL_ABSENT
    assert str(withheld) == "oracle-missing: no gateway log here"
    assert str(not_applicable) == "tool-absent: zsh is not installed"


@pytest.mark.parametrize("kind", [Withheld, NotApplicable])
def test_an_unknown_code_is_refused(kind: type[Withheld | NotApplicable]) -> None:
    with pytest.raises(ValueError, match="flaky"):
        kind("flaky", "it fails at times")


def test_a_verdict_is_neither_an_assertion_nor_an_error_of_the_command() -> None:
    for kind in (Withheld, NotApplicable):
        assert not issubclass(kind, AssertionError | ConformanceError)
