"""The texts that users see when something fails, by failure and Teleport version (design rule 5).

A text that nobody measured at the version under test decides nothing: the check is withheld. No
text is ever matched by a looser pattern than its own words.
"""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import yaml
from packaging.specifiers import SpecifierSet
from packaging.version import InvalidVersion, Version

from harness.core.errors import ConformanceError, Withheld, WithheldCode

Place = Literal["agent-log", "auth-log", "readyz", "kubectl", "kubectl-raw", "tsh", "helm", "sts"]
"""Where a text is seen; `kubectl-raw` is `kubectl get --raw`, which does not hide the server's words."""

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


def _load(text: str) -> tuple[Text, ...]:
    rows = [
        Text(failure=group["failure"], **{**row, "versions": SpecifierSet(row["versions"])})
        for group in yaml.safe_load(text)
        for row in group["rows"]
    ]
    for row in rows:
        if row.place not in get_args(Place) or row.provenance not in get_args(Provenance):
            raise ConformanceError(
                expected=f"a place of {get_args(Place)} and a provenance of {get_args(Provenance)}",
                seen=f"{row.place}, {row.provenance} for {row.failure} in texts.yaml",
                remedy="Correct the row.",
            )
    return tuple(sorted(rows, key=lambda row: get_args(Provenance).index(row.provenance)))


TEXTS: tuple[Text, ...] = _load(Path(__file__).with_name("texts.yaml").read_text(encoding="utf-8"))
"""The table, best-known texts first."""


def text_for(failure: str, place: Place, version: str) -> Text | None:
    """Return the best-known text for a failure at a place, or None where none is known.

    Args:
        failure: a failure of the table.
        place: where it is looked for.
        version: the running Teleport's version, for instance `13.0.0-dev`. One that cannot be compared
            (`18.7.6-cloud.1`) has no text.

    Raises:
        ConformanceError: the table has no such failure (a misspelt one would be withheld for ever).
    """
    if failure not in {row.failure for row in TEXTS}:
        raise ConformanceError(
            expected=f"a failure with texts: {', '.join(sorted({row.failure for row in TEXTS}))}",
            seen=repr(failure),
            remedy="Correct the name, or add the failure to harness/guide/texts.yaml.",
        )
    try:
        running = Version(version)
    except InvalidVersion:
        return None
    rows = (row for row in TEXTS if row.failure == failure and row.place == place)
    return next((row for row in rows if row.versions.contains(running, prereleases=True)), None)


def measured_text(failure: str, place: Place, version: str) -> Text:
    """Return the text for a check that it decides.

    Raises:
        Withheld: no text was measured there at that version; its code is `TEXT_NOT_MEASURED`.
        ConformanceError: as `text_for`.
    """
    text = text_for(failure, place, version)
    if text is None or text.provenance != "measured":
        known = f"only {text.provenance} ({text.source})" if text else "unknown"
        raise Withheld(
            WithheldCode.TEXT_NOT_MEASURED,
            f"the text for {failure} at {place} in Teleport {version} is {known}",
        )
    return text
