"""What the user gave, and in which place: options, environment variables, pyproject.toml."""

import difflib
import tomllib
from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple, NoReturn

from harness.core.errors import UsageError

_PREFIX = "CONFORMANCE_"
# How the parts of a run tell each other where things are; nobody sets them by hand.
_INTERNAL_VARIABLES = frozenset(
    _PREFIX + name for name in ("ENVIRONMENT", "MOUNTS", "PLAN", "PYTHON", "RESULTS", "RUN")
)
DEFAULT_SOURCE = "default"
"""Source of a value that nobody gave."""
KUBEBUILDER_SOURCE = "environment variable KUBEBUILDER_ASSETS"
FILE_SOURCE = "[tool.conformance] of pyproject.toml"


class Given(NamedTuple):
    """What the user gave for a name in one place."""

    value: object
    source: str
    base: Path | None = None
    """Folder at which a relative path starts, where it is not the working directory."""


def option(name: str) -> str:
    """The option of a name that the user can give."""
    return "-k" if name == "keyword" else f"--{kebab(name)}"


def kebab(name: str) -> str:
    """A name as options and keys have it."""
    return name.replace("_", "-")


def everything(
    options: Mapping[str, object],
    environ: Mapping[str, str],
    pyproject: Path | None,
    names: Collection[str],
) -> dict[str, list[Given]]:
    """All that the user gave, by name; of each name the place of the lowest precedence first.

    Args:
        options: As of `harness.core.settings.load`.
        environ: The environment variables.
        pyproject: The working directory's pyproject.toml, there or not.
        names: What can be given.

    Raises:
        UsageError: A name is unknown, or the file is none.
    """
    given: dict[str, list[Given]] = {}
    for name, value in (
        *_from_kubebuilder(environ),
        *_from_pyproject(pyproject, names),
        *_from_environ(environ, names),
        *_from_options(options, names),
    ):
        given.setdefault(name, []).append(value)
    return given


def _from_kubebuilder(environ: Mapping[str, str]) -> Iterator[tuple[str, Given]]:
    if folder := environ.get("KUBEBUILDER_ASSETS"):
        yield "control_plane", Given(folder, KUBEBUILDER_SOURCE)


def _from_pyproject(pyproject: Path | None, names: Collection[str]) -> Iterator[tuple[str, Given]]:
    if pyproject is None or not pyproject.exists():
        return
    try:
        tools = tomllib.loads(pyproject.read_text()).get("tool", {})
    except (OSError, ValueError) as error:
        raise UsageError(
            expected=f"to read settings from {pyproject}", seen=str(error), remedy="correct the file"
        ) from None
    table = tools.get("conformance", {}) if isinstance(tools, dict) else tools
    if not isinstance(table, dict):
        raise UsageError(
            expected=f"a table [tool.conformance] in {pyproject}", seen=repr(table), remedy="correct the file"
        )
    known = {kebab(name): name for name in names}
    for key, value in table.items():
        if key not in known:
            _refuse_unknown(f"key {key!r} in {FILE_SOURCE}", key, known)
        yield known[key], Given(value, FILE_SOURCE, pyproject.parent)


def _from_environ(environ: Mapping[str, str], names: Collection[str]) -> Iterator[tuple[str, Given]]:
    known = {_PREFIX + name.upper(): name for name in names}
    for variable, value in environ.items():
        if not variable.startswith(_PREFIX) or variable in _INTERNAL_VARIABLES:
            continue
        if variable not in known:
            _refuse_unknown(f"environment variable {variable}", variable, known)
        if value:
            yield known[variable], Given(value, f"environment variable {variable}")


def _from_options(options: Mapping[str, object], names: Collection[str]) -> Iterator[tuple[str, Given]]:
    for name, value in options.items():
        if name not in names:
            _refuse_unknown(f"option {name!r}", name, names)
        if value is not None and value != ():
            yield name, Given(value, f"option {option(name)}")


def _refuse_unknown(seen: str, name: str, known: Iterable[str]) -> NoReturn:
    known = list(known)
    nearest = difflib.get_close_matches(name, known, n=1)
    raise UsageError(
        expected=f"one of {', '.join(known)}",
        seen=f"unknown {seen}",
        remedy=f"did you mean {nearest[0]}?" if nearest else "remove it",
    )
