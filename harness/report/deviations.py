"""Known deviations: scenarios that are expected to fail for certain Teleport versions.

They are declared in one file, each with a link to the issue that will end it. A declared scenario still
runs and still fails; only its verdict says that the failure is known.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import yaml
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from harness.catalogue import nearest
from harness.core.errors import ConformanceError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable
    from pathlib import Path

DEVIATIONS_NAME = "known-deviations.yaml"
_FIELDS = {"id", "versions", "issue"}


@dataclass(frozen=True)
class Deviation:
    """One declaration.

    Attributes:
        id: Id of the scenario.
        versions: Teleport versions it holds for.
        issue: Link to the issue.
    """

    id: str
    versions: SpecifierSet
    issue: str

    def holds_for(self, teleport: str) -> bool:
        """Tells whether it holds for a Teleport version; a pre-release counts as its release.

        Args:
            teleport: Version as the running Teleport reports it. One that is no version (`unknown`)
                matches nothing, so that the failure stays a failure.
        """
        try:
            return Version(Version(teleport).base_version) in self.versions
        except InvalidVersion:
            return False


def load_deviations(path: Path, known: Collection[str]) -> list[Deviation]:
    """Reads the declarations.

    Args:
        path: The YAML file: a list of {id, versions, issue}. A file that is not there declares nothing.
        known: Ids of all scenarios.

    Raises:
        ConformanceError: The file is malformed, or a declaration names an unknown scenario.
    """
    if not path.exists():
        return []
    try:
        entries = yaml.safe_load(path.read_text(encoding="utf-8")) or []
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise _wrong(path, str(error)) from error
    if not isinstance(entries, list):
        raise _wrong(path, f"a {type(entries).__name__} instead of a list")
    return [_deviation(path, entry, known) for entry in entries]


def find(deviations: Iterable[Deviation], scenario_id: str, teleport: str) -> Deviation | None:
    """Gives the declaration that holds for a scenario with a Teleport version, or None.

    Args:
        deviations: All declarations.
        scenario_id: Id of the scenario.
        teleport: Version as the running Teleport reports it.
    """
    return next((each for each in deviations if each.id == scenario_id and each.holds_for(teleport)), None)


def _deviation(path: Path, entry: Any, known: Collection[str]) -> Deviation:
    if (
        not isinstance(entry, dict)
        or set(entry) != _FIELDS
        or not all(isinstance(v, str) for v in entry.values())
    ):
        raise _wrong(path, f"{entry!r} instead of the texts id, versions and issue")
    if entry["id"] not in known:
        raise _wrong(path, f"unknown scenario {entry['id']!r}, {nearest(entry['id'], known)}")
    if not entry["issue"].startswith("https://"):
        raise _wrong(path, f"{entry['id']}: {entry['issue']!r} instead of the issue's link")
    try:
        versions = SpecifierSet(entry["versions"])
    except InvalidSpecifier as error:
        raise _wrong(path, f"{entry['id']}: {error}") from error
    if not str(versions):
        raise _wrong(
            path, f"{entry['id']}: no versions: a deviation of every version is not known, it is a failure"
        )
    return Deviation(entry["id"], versions, entry["issue"])


def _wrong(path: Path, seen: str) -> ConformanceError:
    return ConformanceError(
        expected=f"{path.name} to list known deviations as {{id, versions, issue}}",
        seen=seen,
        remedy="correct the file, for example: {id: s3.install, versions: '>=17,<18', issue: 'https://…'}",
    )
