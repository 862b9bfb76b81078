"""What the user gave for one thing that another rules out: which gives way, and what is a mistake."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from harness.core import images
from harness.core.errors import UsageError
from harness.core.given import DEFAULT_SOURCE, FILE_SOURCE, KUBEBUILDER_SOURCE, Given, kebab

PINNED_ACCEPTS = "an image with its tag or digest"
TELEPORT_ACCEPTS = f"a VERSION such as 13.0.0, or {PINNED_ACCEPTS}"
NODE_ACCEPTS = f"a VERSION such as v1.32.2, or {PINNED_ACCEPTS}"

ONLY_KIND = (
    *("agent", "other_agent", "aws_backend", "localstack_image", "gateway_image", "webhook_image"),
    *("licence", "registry_secret", "kind"),
)
"""What only env kind has a use for."""

_CONTAINED = {"teleport": TELEPORT_ACCEPTS, "control_plane": NODE_ACCEPTS}
_NEEDED_BY_KIND = {"teleport": "--teleport VERSION|IMAGE", "chart": "--chart DIR|ARCHIVE"}

_MADE_WITH = (
    *("teleport", "control_plane", "chart", "helm", "kubectl", "guide_edition", "name", "keep", "fault"),
    "simulated_teleport",
    *ONLY_KIND,
)
"""Settings of an environment that is made; one that stands has them already."""


def _gives_way(place: Given, to: Given) -> bool:
    """Whether what was said for every run gives way to what was asked for explicitly."""
    return place.source in {KUBEBUILDER_SOURCE, FILE_SOURCE} - {to.source}


def settle_reuse(given: dict[str, list[Given]]) -> None:
    """A standing environment has its programs already, and whoever made it takes it down.

    What the project's pyproject.toml or KUBEBUILDER_ASSETS says for every run gives way to an
    explicit `--reuse`; what was asked for as explicitly as the reuse itself contradicts it.
    """
    if "reuse" not in given:
        return
    reuse = given["reuse"][-1]
    for name in _MADE_WITH:
        for place in reversed(given.get(name, ())):
            if not _gives_way(place, reuse):
                raise UsageError(
                    expected=f"either reuse or {kebab(name)}",
                    seen=f"reuse from {reuse.source}, {kebab(name)} from {place.source}",
                    remedy="leave one out: a reused environment has its programs and outlives the run",
                )
        given.pop(name, None)


def settle_environment(given: dict[str, list[Given]], env: str) -> None:
    """What is for another environment contradicts the one chosen, or gives way as with `settle_reuse`.

    KUBEBUILDER_ASSETS names programs of the lab wherever env kind was chosen.
    """
    chosen = given.get("env", [Given(env, DEFAULT_SOURCE)])[-1]
    for name, refuse in _MISFITS[env].items():
        fitting = []
        for place in given.get(name, ()):
            misfit = refuse(name, place)
            if misfit is None:
                fitting.append(place)
            elif chosen.source == DEFAULT_SOURCE or not _gives_way(place, chosen):
                raise UsageError(
                    expected=misfit[0],
                    seen=f"{kebab(name)} {str(place.value)!r} from {place.source}, env {env} from {chosen.source}",
                    remedy=misfit[1],
                )
        given.pop(name, None)
        if fitting:
            given[name] = fitting
    if env == "lab":
        _refuse_imitation_of_real(given)
    elif "reuse" not in given:
        _refuse_incomplete(given, chosen)


def _names_image(place: Given) -> bool:
    text = str(place.value)
    return images.version(text) is not None or images.is_pinned(text)


def _no_image(name: str, place: Given) -> tuple[str, str] | None:
    if _names_image(place) and place.source != KUBEBUILDER_SOURCE:
        return None
    return (
        f"{kebab(name)}: {_CONTAINED[name]}; env kind runs containers",
        "give a version or an image; the lab takes folders: leave --env out",
    )


def _no_folder(name: str, place: Given) -> tuple[str, str] | None:
    if not _names_image(place) or Path(place.base or "", str(place.value)).exists():
        return None
    return (
        f"{kebab(name)}: a folder with its programs; the lab runs processes",
        "name a folder, or add --env kind, which takes versions and images",
    )


def _only_kind(name: str, _: Given) -> tuple[str, str] | None:
    return f"env kind with {kebab(name)}", f"add --env kind, or leave {kebab(name)} out"


def _only_lab(name: str, _: Given) -> tuple[str, str] | None:
    return (
        f"the lab with {kebab(name)}: in env kind nothing is simulated",
        f"leave {kebab(name)} out, or leave --env out for the lab",
    )


# By environment and name: what a value there does not fit, and what to do; None where it fits.
_MISFITS: dict[str, dict[str, Callable[[str, Given], tuple[str, str] | None]]] = {
    "lab": {"teleport": _no_folder, "control_plane": _no_folder, **dict.fromkeys(ONLY_KIND, _only_kind)},
    "kind": {"teleport": _no_image, "control_plane": _no_image, "simulated_teleport": _only_lab},
}


def _refuse_incomplete(given: Mapping[str, Sequence[Given]], env: Given) -> None:
    absent = [name for name in _NEEDED_BY_KIND if name not in given]
    if absent:
        raise UsageError(
            expected=f"{' and '.join(_NEEDED_BY_KIND[name] for name in absent)} with env kind",
            seen=f"no {' and no '.join(absent)}; env kind from {env.source}",
            remedy="add what is missing: in env kind nothing is simulated. The lab needs nothing real: leave "
            "--env out",
        )


def _refuse_imitation_of_real(given: Mapping[str, Sequence[Given]]) -> None:
    if "teleport" in given and "simulated_teleport" in given:
        raise UsageError(
            expected="either teleport, which is real, or simulated-teleport",
            seen=f"teleport from {given['teleport'][-1].source}, simulated-teleport from "
            f"{given['simulated_teleport'][-1].source}",
            remedy="leave one out",
        )
