"""What a cause of a failure is made of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from harness.environment import JSON  # noqa: TC001  # beside the annotations of its dataclass, as below
from harness.scenario import Scenario

Act = Callable[[Scenario], None]


def nothing(_: Scenario) -> None:
    """Does nothing."""


def as_the_guide_says(_: Scenario) -> Mapping[str, str]:
    """No value of the chart in place of the guide's."""
    return MappingProxyType({})


@dataclass(frozen=True)
class Cause:
    """How a failure is brought about, and what mends it.

    Attributes:
        make: Arranges all that the agent needs, with what is wrong; the agent is deployed afterwards.
        mend: Does what the table has as `fix`, and nothing else.
        values: Values of the chart in place of the guide's, with which the agent is deployed.
        late: What belongs to the cause and is done once the agent is deployed.
    """

    make: Act
    mend: Act = nothing
    values: Callable[[Scenario], Mapping[str, str]] = as_the_guide_says
    late: Act = nothing


@dataclass(frozen=True)
class File:
    """A file with a resource that Teleport refuses, or does not take as it is written.

    Attributes:
        wrong: Makes the resource as the file has it.
        right: Makes it with what is wrong mended, as the table has it in `fix`.
        words: What differs in the words of the refusal, by placeholder.
    """

    wrong: Callable[[Scenario], JSON]
    right: Callable[[Scenario], JSON]
    words: Mapping[str, str] = field(default_factory=dict)
