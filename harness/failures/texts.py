"""A text that users see when something fails, at a place and for some Teleport versions (design rule 5)."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from packaging.specifiers import SpecifierSet

from harness.core.errors import ConformanceError

Place = Literal[
    "agent-log", "auth-log", "answer", "readyz", "kubectl", "kubectl-raw", "tsh", "tctl", "helm", "sts", "pod"
]
"""Where a text is seen; `kubectl-raw` is `kubectl get --raw`, which does not hide the server's words; `answer` is
what Teleport says to who asks to join, which an agent writes into its log; `pod` is what
`kubectl describe` shows of the agent's pod or its StatefulSet."""

Provenance = Literal["measured", "read", "inferred"]
"""How a text is known, best first."""

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class Text:
    """One text of the table.

    Attributes:
        failure: what went wrong, for instance `wrong-account`.
        place: where the text is seen.
        versions: the Teleport versions that it holds for.
        text: the literal words, with `{name}` for what differs from run to run.
        provenance: how it is known.
        source: where it was seen or read.
    """

    failure: str
    place: Place
    versions: SpecifierSet
    text: str
    provenance: Provenance
    source: str

    @property
    def placeholders(self) -> frozenset[str]:
        """The names that `found_in` must be given."""
        return frozenset(_PLACEHOLDER.findall(self.text))

    def found_in(self, seen: str, **values: str) -> bool:
        """Tell whether `seen` contains the text, literally, with its placeholders filled.

        Args:
            seen: a log or a program's output.
            values: one non-empty value for each placeholder.

        Raises:
            ConformanceError: a value is missing, empty, or for no placeholder.
        """
        return self.filled(**values) in seen

    def filled(self, **values: str) -> str:
        """Return the text with its placeholders filled; raises as `found_in`."""
        given = {name for name, value in values.items() if value}
        if given != self.placeholders or len(given) != len(values):
            raise ConformanceError(
                expected=f"a value for each of {sorted(self.placeholders)} in the text of {self.failure}",
                seen=f"values for {sorted(given)}",
                remedy="Give each placeholder a value that is not empty, and nothing else.",
            )
        return _PLACEHOLDER.sub(lambda match: values[match[1]], self.text)

    def pattern(self) -> re.Pattern[str]:
        """What finds the text in a log, whatever stands for its placeholders."""
        parts = _PLACEHOLDER.split(self.text)
        # Every second part is the name of a placeholder.
        return re.compile(r"\S.*?".join(re.escape(part) for part in parts[::2]))


def texts_of(failure: str, rows: Sequence[Mapping[str, Any]]) -> tuple[Text, ...]:
    """Texts of one failure, as the table's file has them.

    Args:
        failure: its name.
        rows: of the file.

    Raises:
        ConformanceError: a place or a provenance is unknown.
    """
    for row in rows:
        if row["place"] not in get_args(Place) or row["provenance"] not in get_args(Provenance):
            raise ConformanceError(
                expected=f"a place of {get_args(Place)} and a provenance of {get_args(Provenance)}",
                seen=f"{row['place']}, {row['provenance']} for {failure} in the table of failures",
                remedy="Correct the row.",
            )
    return tuple(
        Text(failure=failure, **{**row, "versions": SpecifierSet(row["versions"])})
        for row in sorted(rows, key=lambda row: get_args(Provenance).index(row["provenance"]))
    )
