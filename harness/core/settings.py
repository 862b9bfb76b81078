"""Every setting of a run in one typed place, with where its value came from.

Precedence: option > environment variable `CONFORMANCE_<NAME>` > `[tool.conformance]` in the
working directory's pyproject.toml > default. Nothing unknown or contradictory is passed over
in silence.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, get_args

from harness.core import images
from harness.core.contradictions import (
    NODE_ACCEPTS,
    PINNED_ACCEPTS,
    TELEPORT_ACCEPTS,
    settle_environment,
    settle_reuse,
)
from harness.core.errors import UsageError
from harness.core.given import DEFAULT_SOURCE, Given, everything, kebab, option

EnvironmentName = Literal["lab", "kind", "existing"]
Keep = Literal["never", "on-failure", "always"]
RealComponent = Literal["teleport", "kubernetes", "chart"]
Profile = Literal["guide", "robustness", "upgrade"]
SimulatedTeleport = Literal["13", "17"]
AwsBackend = Literal["localstack", "moto"]

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


def _image(value: object) -> str:
    if not images.is_pinned(text := _text(value)):
        raise ValueError
    return text


def _tagged(value: object) -> str:
    # An archive, by which it gets into a node, keeps no digest.
    if "@" in (text := _image(value)):
        raise ValueError
    return text


_PATH = _Kind("a path", _path)
_TEXT = _Kind("a text that is not empty", _text)
_IMAGE = _Kind(PINNED_ACCEPTS, _image)
_NAME = _Kind("a name of letters, digits, '-', '_' and '.' that starts with a letter or digit", _name)


@dataclass(frozen=True)
class Settings:
    """What the user asked for. Made by `load`; a default needs no source.

    Attributes:
        env: Where the scenarios run.
        teleport: Folder with `teleport`, `tctl` and `tsh`; in the lab.
        teleport_image: Image of the Teleport that serves; with env kind, by the same option.
        agent_image: Image of the agent; None is the one that the chart asks for.
        other_agent_image: Image of an agent of another major, for the scenarios of such; None leaves them out.
        control_plane: Folder with `etcd`, `kube-apiserver` and `kube-controller-manager`;
            falls back to KUBEBUILDER_ASSETS; in the lab.
        node_image: Image of kind's node; with env kind, by the same option; None is `images.LATEST_NODE`.
        aws_backend: What answers behind the AWS gateway of env kind; the lab's is moto.
        localstack_image: Image of LocalStack; None is `images.LOCALSTACK`.
        gateway_image: Image of the AWS gateway; None is built.
        webhook_image: Image of the pod identity webhook; None is the gateway's own.
        licence: File with the licence of an Enterprise Teleport.
        registry_secret: A docker config.json with the credentials of a private registry.
        kind: A kind executable; without it the `kind` on PATH.
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
    teleport_image: str | None = None
    agent_image: str | None = None
    other_agent_image: str | None = None
    control_plane: Path | None = None
    node_image: str | None = None
    aws_backend: AwsBackend = "localstack"
    localstack_image: str | None = None
    gateway_image: str | None = None
    webhook_image: str | None = None
    licence: Path | None = None
    registry_secret: Path | None = None
    kind: Path | None = None
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
            word = option(_GIVEN_AS.get(name, name))
            if value is True:
                words.append(word)
                continue
            for item in value if isinstance(value, tuple) else (value,):
                words += [word, str(item)]
        return words


# One entry per attribute of `Settings`, in its order; a test holds the two together.
_KINDS = {
    "env": _one_of(get_args(EnvironmentName)),
    "teleport": _PATH,
    "teleport_image": _Kind(TELEPORT_ACCEPTS, lambda value: images.teleport_image(_text(value))),
    "agent_image": _Kind(
        "a VERSION such as 13.0.0, or an image with its tag", lambda value: images.agent_image(_text(value))
    ),
    "other_agent_image": _Kind(
        "a VERSION such as 13.0.0, or an image with its tag", lambda value: images.agent_image(_text(value))
    ),
    "control_plane": _PATH,
    "node_image": _Kind(NODE_ACCEPTS, lambda value: images.node_image(_text(value))),
    "aws_backend": _one_of(get_args(AwsBackend)),
    "localstack_image": _IMAGE,
    "gateway_image": _IMAGE,
    "webhook_image": _Kind("an image with its tag, and no digest", _tagged),
    "licence": _PATH,
    "registry_secret": _PATH,
    "kind": _PATH,
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

_GIVEN_AS = {
    "teleport_image": "teleport",
    "node_image": "control_plane",
    "agent_image": "agent",
    "other_agent_image": "other_agent",
}
"""What the user calls an attribute, where it is not the attribute's own name."""

_NAMES = tuple(dict.fromkeys(_GIVEN_AS.get(attribute, attribute) for attribute in _KINDS))
"""What the user can give: option, variable and key."""

_IN_KIND = {name: attribute for attribute, name in _GIVEN_AS.items()}
"""Attributes that a name means with env kind, where it is not the one of that name."""


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
    given = everything(options, environ, pyproject, _NAMES)
    env = _environment(given)
    settle_reuse(given)
    settle_environment(given, env)
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for name, places in given.items():
        attribute = _attribute(name, env)
        for place in places:
            values[attribute] = _value(attribute, place)
            sources[attribute] = place.source
    return Settings(**values, sources=sources)


def _attribute(name: str, env: str) -> str:
    """Which attribute a name means."""
    if name in _KINDS and env != "kind":
        return name
    return _IN_KIND.get(name, name)


def _value(attribute: str, given: Given) -> object:
    kind = _KINDS[attribute]
    try:
        value = kind.parse(given.value)
    except (ValueError, KeyError):
        raise UsageError(
            expected=f"{kebab(_GIVEN_AS.get(attribute, attribute))}: {kind.accepts}",
            seen=f"{given.value!r}, from {given.source}",
            remedy=f"correct {given.source}",
        ) from None
    return given.base / value if given.base is not None and isinstance(value, Path) else value


def _environment(given: Mapping[str, Sequence[Given]]) -> EnvironmentName:
    """Where the scenarios run, on which it depends what some other values mean.

    Raises:
        UsageError: A value is wrong, or that environment is not available yet.
    """
    env: Any = Settings.env
    for place in given.get("env", ()):
        env = _value("env", place)
    if env == "existing":
        raise UsageError(
            expected="env lab or kind",
            seen=f"env existing from {given['env'][-1].source}, which is not available yet",
            remedy="use the lab, which is the default, or kind",
        )
    return env  # type: ignore[no-any-return]  # parsed by the rule of env
