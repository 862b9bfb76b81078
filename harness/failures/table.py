"""The table of failures: what breaks, where it shows and in which words, what it means, what mends it.

Scenarios, `./conformance explain` and docs/failures.md read it. A text that nobody measured at the version under
test decides nothing: the check is withheld. No text is ever matched by a looser pattern than its own words.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, get_args

from packaging.version import InvalidVersion, Version

from harness.core.documents import read_yaml
from harness.core.errors import ConformanceError, Withheld, WithheldCode
from harness.failures.texts import Text, texts_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.failures.texts import Place

FOLDER = Path(__file__).with_name("table")
"""One file for each family of failures."""

Besides = Literal["nothing", "restart", "reinstall", "sign-in"]
"""What mending the cause needs besides, to take effect: the agent's pod anew, the release anew, signing in again."""


@dataclass(frozen=True)
class Failure:
    """One way in which it breaks.

    Attributes:
        name: as in `@failure:` tags.
        family: `aws`, `token`, `impostor`, `teleport`, `agent`, `chart` or `user`.
        cause: what is wrong, as a clause; scenarios say it in these words.
        diagnosis: what it means, and how to tell it from others with the same words.
        fix: what mends it.
        besides: what mending needs to take effect.
        passes: whether it goes away by itself once the cause has gone.
        texts: what users see, best known first; none where it shows in no words.
        source: issue, or where it was seen, for a failure without texts.
    """

    name: str
    family: str
    cause: str
    diagnosis: str
    fix: str
    besides: Besides
    texts: tuple[Text, ...]
    passes: bool = False
    source: str = ""


def _load(folder: Path) -> Mapping[str, Failure]:
    found: dict[str, Failure] = {}
    for file in sorted(folder.glob("*.yaml")):
        rows: dict[str, dict[str, Any]] = read_yaml(file.read_text(encoding="utf-8"))
        for name, row in rows.items():
            if name in found or row["besides"] not in get_args(Besides):
                raise ConformanceError(
                    expected=f"each failure once, and `besides` of {get_args(Besides)}",
                    seen=f"{name} in {file.name}: {row['besides']}",
                    remedy="Correct the table of failures.",
                )
            texts = texts_of(name, row.get("texts", []))
            found[name] = Failure(name=name, family=file.stem, **{**row, "texts": texts})
    return MappingProxyType(found)


FAILURES: Mapping[str, Failure] = _load(FOLDER)
"""The table, by name."""

TEXTS: tuple[Text, ...] = tuple(text for failure in FAILURES.values() for text in failure.texts)
"""All texts of it."""


def failure_named(name: str) -> Failure:
    """Return a failure of the table.

    Raises:
        ConformanceError: it has none of that name (a misspelt one would be withheld for ever).
    """
    if name not in FAILURES:
        raise ConformanceError(
            expected=f"a failure of the table: {', '.join(sorted(FAILURES))}",
            seen=repr(name),
            remedy=f"Correct the name, or add the failure to {FOLDER.name}/ in harness/failures.",
        )
    return FAILURES[name]


def failure_with_cause(cause: str) -> Failure:
    """Return the failure with that cause, in the table's words.

    Raises:
        ConformanceError: it has none, or several.
    """
    found = [failure for failure in FAILURES.values() if failure.cause == cause]
    if len(found) != 1:
        raise ConformanceError(
            expected="one failure of the table with this cause",
            seen=f"{len(found)} with {cause!r}",
            remedy="Use the words of `cause` in harness/failures/table, each for one failure.",
        )
    return found[0]


def text_for(failure: str, place: Place, version: str) -> Text | None:
    """Return the best-known text for a failure at a place, or None where none is known.

    Args:
        failure: a failure of the table.
        place: where it is looked for.
        version: the running Teleport's version, for instance `13.0.0-dev`. One that cannot be compared
            (`18.7.6-cloud.1`) has no text.

    Raises:
        ConformanceError: the table has no such failure.
    """
    texts = failure_named(failure).texts
    try:
        running = Version(version)
    except InvalidVersion:
        return None
    rows = (row for row in texts if row.place == place)
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


def measured_texts(failure: str, version: str) -> tuple[Text, ...]:
    """Return every text of a failure that was measured at a version, one for each place.

    Raises:
        Withheld: none was.
        ConformanceError: as `text_for`.
    """
    places = dict.fromkeys(text.place for text in failure_named(failure).texts)
    known = [text_for(failure, place, version) for place in places]
    measured = tuple(text for text in known if text is not None and text.provenance == "measured")
    if not measured:
        raise Withheld(
            WithheldCode.TEXT_NOT_MEASURED,
            f"no text for {failure} was measured in Teleport {version}, at any place",
        )
    return measured
