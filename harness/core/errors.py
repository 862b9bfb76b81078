"""What can go wrong, in the words the user needs: expected, seen, what to do.

Two families. `ConformanceError` ends the command with an exit code. The others end one
scenario with a verdict: `AssertionError` (so `NotObserved` too) is "failed", `Withheld` and
`NotApplicable` are the verdicts of those names, anything else is "error".
"""

from enum import StrEnum
from typing import ClassVar


class ConformanceError(Exception):
    """The command cannot go on. Shown as three lines, never as a traceback.

    Args:
        expected: What should have been so.
        seen: What was so.
        remedy: What the user can do about it.
    """

    exit_code: ClassVar[int] = 2

    def __init__(self, *, expected: str, seen: str, remedy: str) -> None:
        super().__init__(expected, seen, remedy)
        self.expected = expected
        self.seen = seen
        self.remedy = remedy

    def __str__(self) -> str:
        return f"expected: {self.expected}\nseen: {self.seen}\nwhat to do: {self.remedy}"


class UsageError(ConformanceError):
    """An option, variable or file of the user's is wrong or contradicts another."""

    exit_code: ClassVar[int] = 4


class NothingSelected(ConformanceError):
    """The selection leaves no scenario to run."""

    exit_code: ClassVar[int] = 5


class MissingComponents(ConformanceError):
    """A real program that the run needs is not there."""

    exit_code: ClassVar[int] = 3


class EnvironmentBroken(ConformanceError):
    """The environment or the harness broke: nothing is said about the product."""

    exit_code: ClassVar[int] = 2


class TransientOracleError(Exception):
    """An oracle could not be read this time (connection refused, 503): looking again may help.

    Adapters raise it for a failure that a running system shows in passing. What will not
    pass by itself (forbidden, malformed) must be another exception.
    """


class NotObserved(AssertionError):
    """The behaviour was not seen in its time, or its opposite was: the verdict is failed."""


class WithheldCode(StrEnum):
    """Why a verdict can be withheld; the list is fixed."""

    ORACLE_MISSING = "oracle-missing"
    TEXT_NOT_MEASURED = "text-not-measured"
    CAPABILITY_MISSING = "capability-missing"


class NotApplicableCode(StrEnum):
    """Why a scenario can be not applicable; the list is fixed."""

    TOOL_ABSENT = "tool-absent"
    SSO_NEEDS_ENTERPRISE = "sso-needs-enterprise"
    NO_IDENTITY_PROVIDER = "no-identity-provider"
    PREREQUISITE_NOT_MET = "prerequisite-not-met"


class Withheld(Exception):
    """No verdict can be given here: an oracle, a text or a capability is missing.

    Args:
        code: One of `WithheldCode`.
        text: What is missing, for the reader of the report.

    Raises:
        ValueError: The code is not in the list, which makes the verdict "error".
    """

    def __init__(self, code: str, text: str) -> None:
        self.code = WithheldCode(code)
        self.text = text
        super().__init__(self.code, text)

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"


class NotApplicable(Exception):
    """The scenario does not apply here, for a reason of the fixed list.

    Args:
        code: One of `NotApplicableCode`.
        text: What makes it so, for the reader of the report.

    Raises:
        ValueError: The code is not in the list, which makes the verdict "error".
    """

    def __init__(self, code: str, text: str) -> None:
        self.code = NotApplicableCode(code)
        self.text = text
        super().__init__(self.code, text)

    def __str__(self) -> str:
        return f"{self.code}: {self.text}"
