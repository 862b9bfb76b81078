"""Every setting of a run in one typed place, with where its value came from.

Precedence: option > environment variable `CONFORMANCE_<NAME>` > `[tool.conformance]` in the
working directory's pyproject.toml > default. Nothing unknown or contradictory is passed over
in silence.
"""

import difflib
import re
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, NoReturn, get_args

from harness.core.errors import UsageError

EnvironmentName = Literal["lab", "kind", "existing"]
Keep = Literal["never", "on-failure", "always"]
RealComponent = Literal["teleport", "kubernetes", "chart"]
Profile = Literal["guide", "robustness", "upgrade"]
SimulatedTeleport = Literal["13", "17"]

_PREFIX = "CONFORMANCE_"
# How the parts of a run tell each other where things are; nobody sets them by hand.
_INTERNAL_VARIABLES = frozenset(
    _PREFIX + name for name in ("ENVIRONMENT", "MOUNTS", "PLAN", "PYTHON", "RESULTS", "RUN")
)
DEFAULT_SOURCE = "default"
"""Source of a value that nobody gave."""
_KUBEBUILDER_SOURCE = "environment variable KUBEBUILDER_ASSETS"
_FILE_SOURCE = "[tool.conformance] of pyproject.toml"
_BOOLEANS = {
    **dict.fromkeys(("1", "true", "yes", "on"), True),
    **dict.fromkeys(("0", "false", "no", "off"), False),
}


class _Kind(NamedTuple):
    """What a setting accepts, in words, and the function that makes its value or raises ValueError."""

    accepts: str
    parse: Callable[[object], object]


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ValueError
    return value


def _path(value: object) -> Path:
    return value if isinstance(value, Path) else Path(_text(value)).expanduser()


def _name(value: object) -> str:
    # It becomes a folder's name.
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", text := _text(value)):
        raise ValueError
    return text


def _boolean(value: object) -> bool:
    return value if isinstance(value, bool) else _BOOLEANS[_text(value).lower()]


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int | str) or int(value) < 1:
        raise ValueError
    return int(value)


def _imitated(value: object) -> str:
    # TOML writes it without quotes as readily.
    majors = get_args(SimulatedTeleport)
    return str(majors[majors.index(str(value))])


def _texts(value: object) -> tuple[str, ...]:
    items = value.split(",") if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise ValueError  # noqa: TRY004 - every parser says "not this" with one exception type
    return tuple(dict.fromkeys(_text(item).strip() for item in items))


def _one_of(names: tuple[str, ...]) -> _Kind:
    return _Kind(f"one of {', '.join(names)}", lambda value: names[names.index(_text(value))])


def _some_of(names: tuple[str, ...]) -> _Kind:
    return _Kind(
        f"some of {', '.join(names)} (a list, or one text with commas)",
        lambda value: tuple(names[names.index(item)] for item in _texts(value)),
    )


_PATH = _Kind("a path", _path)
_TEXT = _Kind("a text that is not empty", _text)
_NAME = _Kind("a name of letters, digits, '-', '_' and '.' that starts with a letter or digit", _name)


@dataclass(frozen=True)
class Settings:
    """What the user asked for. Made by `load`; a default needs no source.

    Attributes:
        env: Where the scenarios run.
        teleport: Folder with `teleport`, `tctl` and `tsh`.
        control_plane: Folder with `etcd`, `kube-apiserver` and `kube-controller-manager`;
            falls back to KUBEBUILDER_ASSETS.
        chart: The `teleport-kube-agent` chart, a folder or an archive.
        helm: A Helm executable; without it the `helm` on PATH, else the library.
        kubectl: A kubectl executable; without it the one in `control_plane`, else the suite's own.
        guide_edition: The edition to judge by instead of the one of the Teleport major.
        report_dir: Folder for the reports.
        workers: How many scenarios run at once, 1 or more.
        keep: When the environment is left standing after the run.
        reuse: Name of a standing environment to run in.
        name: Name for the environment that `up` makes.
        require_real: Components whose simulation ends the run with exit code 3.
        profile: Run the scenarios of these profiles only.
        scenario: Run the scenarios of these ids only.
        keyword: Run what this expression selects (the `-k` of pytest).
        exit_first: Stop at the first scenario that failed or broke.
        fault: Name of a deliberate misbehaviour of a simulator, see `harness.faults`.
        simulated_teleport: Major version that a simulated Teleport imitates; None is 13, the measured one.
        sources: Where each value came from, by the name of the attribute.
    """

    env: EnvironmentName = "lab"
    teleport: Path | None = None
    control_plane: Path | None = None
    chart: Path | None = None
    helm: Path | None = None
    kubectl: Path | None = None
    guide_edition: str | None = None
    report_dir: Path = Path("conformance-report")
    workers: int = 2
    keep: Keep = "never"
    reuse: str | None = None
    name: str | None = None
    require_real: tuple[RealComponent, ...] = ()
    profile: tuple[Profile, ...] = ()
    scenario: tuple[str, ...] = ()
    keyword: str | None = None
    exit_first: bool = False
    fault: str | None = None
    simulated_teleport: SimulatedTeleport | None = None
    sources: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)

    def source(self, name: str) -> str:
        """Where the value of a setting came from, in words for the user.

        Args:
            name: The attribute's name, such as "teleport".

        Raises:
            KeyError: There is no setting of that name.
        """
        if name not in _KINDS:
            raise KeyError(name)
        return self.sources.get(name, DEFAULT_SOURCE)

    def command_line(self) -> list[str]:
        """The command that repeats this run, with every value that was given as an option of it."""
        words = ["./conformance", "run"]
        for name in _KINDS:
            value = getattr(self, name)
            given = self.source(name) != DEFAULT_SOURCE or value != getattr(Settings, name)
            if not given or value is None or value is False:
                continue
            option = _option(name)
            if value is True:
                words.append(option)
                continue
            for item in value if isinstance(value, tuple) else (value,):
                words += [option, str(item)]
        return words


# One entry per attribute of `Settings`, in its order; a test holds the two together.
_KINDS = {
    "env": _one_of(get_args(EnvironmentName)),
    "teleport": _PATH,
    "control_plane": _PATH,
    "chart": _PATH,
    "helm": _PATH,
    "kubectl": _PATH,
    "guide_edition": _TEXT,
    "report_dir": _PATH,
    "workers": _Kind("a whole number of at least 1", _count),
    "keep": _one_of(get_args(Keep)),
    "reuse": _NAME,
    "name": _NAME,
    "require_real": _some_of(get_args(RealComponent)),
    "profile": _some_of(get_args(Profile)),
    "scenario": _Kind("a list of texts, or one text with commas", _texts),
    "keyword": _TEXT,
    "exit_first": _Kind("true or false", _boolean),
    "fault": _TEXT,
    "simulated_teleport": _Kind("13 or 17", _imitated),
}


def load(
    options: Mapping[str, object], environ: Mapping[str, str], pyproject: Path | None = None
) -> Settings:
    """Settle every setting from the places that a user can give it in.

    Args:
        options: Option values by attribute name. None and () mean "not given", so a
            flag that was not given has to be None.
        environ: The environment variables; an empty one counts as not set.
        pyproject: The working directory's pyproject.toml. It need not exist; relative
            paths in it start at its folder.

    Returns:
        The settings, each with its source.

    Raises:
        UsageError: A name is unknown, a value is of the wrong type, or two contradict.
    """
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    # From the lowest precedence to the highest: a later value replaces an earlier one.
    for name, value, source in (
        *_from_kubebuilder(environ),
        *_from_pyproject(pyproject),
        *_from_environ(environ),
        *_from_options(options),
    ):
        values[name] = _value(name, value, source)
        sources[name] = source
    _settle_reuse(values, sources)
    _refuse_imitation_of_real(values, sources)
    _refuse_unavailable(values, sources)
    return Settings(**values, sources=sources)


def _option(name: str) -> str:
    return "-k" if name == "keyword" else f"--{_kebab(name)}"


def _kebab(name: str) -> str:
    return name.replace("_", "-")


def _value(name: str, value: object, source: str) -> object:
    kind = _KINDS[name]
    try:
        return kind.parse(value)
    except (ValueError, KeyError):
        raise UsageError(
            expected=f"{_kebab(name)}: {kind.accepts}",
            seen=f"{value!r}, from {source}",
            remedy=f"correct {source}",
        ) from None


def _from_kubebuilder(environ: Mapping[str, str]) -> Iterable[tuple[str, object, str]]:
    if folder := environ.get("KUBEBUILDER_ASSETS"):
        yield "control_plane", folder, _KUBEBUILDER_SOURCE


def _from_pyproject(pyproject: Path | None) -> Iterable[tuple[str, object, str]]:
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
    known = {_kebab(name): name for name in _KINDS}
    for key, value in table.items():
        if key not in known:
            _refuse_unknown(f"key {key!r} in {_FILE_SOURCE}", key, known)
        is_path = _KINDS[known[key]] is _PATH and isinstance(value, str)
        yield known[key], pyproject.parent / Path(value).expanduser() if is_path else value, _FILE_SOURCE


def _from_environ(environ: Mapping[str, str]) -> Iterable[tuple[str, object, str]]:
    known = {_PREFIX + name.upper(): name for name in _KINDS}
    for variable, value in environ.items():
        if not variable.startswith(_PREFIX) or variable in _INTERNAL_VARIABLES:
            continue
        if variable not in known:
            _refuse_unknown(f"environment variable {variable}", variable, known)
        if value:
            yield known[variable], value, f"environment variable {variable}"


def _from_options(options: Mapping[str, object]) -> Iterable[tuple[str, object, str]]:
    for name, value in options.items():
        if name not in _KINDS:
            _refuse_unknown(f"option {name!r}", name, _KINDS)
        if value is not None and value != ():
            yield name, value, f"option {_option(name)}"


def _refuse_unknown(seen: str, name: str, known: Iterable[str]) -> NoReturn:
    known = list(known)
    nearest = difflib.get_close_matches(name, known, n=1)
    raise UsageError(
        expected=f"one of {', '.join(known)}",
        seen=f"unknown {seen}",
        remedy=f"did you mean {nearest[0]}?" if nearest else "remove it",
    )


_MADE_WITH = (
    *("teleport", "control_plane", "chart", "helm", "kubectl", "guide_edition", "name", "keep", "fault"),
    "simulated_teleport",
)
"""Settings of an environment that is made; one that stands has them already."""


def _settle_reuse(values: dict[str, Any], sources: dict[str, str]) -> None:
    """A standing environment has its programs already, and whoever made it takes it down.

    What the project's pyproject.toml or KUBEBUILDER_ASSETS says for every run gives way to an
    explicit `--reuse`; what was asked for as explicitly as the reuse itself contradicts it.
    """
    if "reuse" not in values:
        return
    weaker = {_KUBEBUILDER_SOURCE, _FILE_SOURCE} - {sources["reuse"]}
    for name in _MADE_WITH:
        if name not in values:
            continue
        if sources[name] not in weaker:
            raise UsageError(
                expected=f"either reuse or {_kebab(name)}",
                seen=f"reuse from {sources['reuse']}, {_kebab(name)} from {sources[name]}",
                remedy="leave one out: a reused environment has its programs and outlives the run",
            )
        del values[name]
        del sources[name]


def _refuse_imitation_of_real(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    if "teleport" in values and "simulated_teleport" in values:
        raise UsageError(
            expected="either teleport, which is real, or simulated-teleport",
            seen=f"teleport from {sources['teleport']}, simulated-teleport from "
            f"{sources['simulated_teleport']}",
            remedy="leave one out",
        )


def _refuse_unavailable(values: Mapping[str, Any], sources: Mapping[str, str]) -> None:
    if values.get("env", "lab") != "lab":
        raise UsageError(
            expected="env lab",
            seen=f"env {values['env']} from {sources['env']}, which is not available yet",
            remedy="use the lab, which is the default",
        )
