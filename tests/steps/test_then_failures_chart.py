"""Every Then step of `steps.failures_chart` says yes to the failure that was arranged, and no to what looks like it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from pytest_bdd.steps import step_function_context_registry

from harness.causes import chart
from harness.core.errors import Withheld
from harness.core.findings import FindingsOfScenario, current_findings
from harness.environment import Completed, Joined
from harness.failures.table import failure_named
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.scenario import Scenario

HOST, OTHER = "host-1", "host-2"
NAMES = Names.unique("abc")
WORDS = "Error: INSTALLATION FAILED: execution error: proxyAddr is required in chart values"
UNKNOWN = 'error: no matches for kind "PodSecurityPolicy" in version "policy/v1beta1"'
RENDERED = {"failure": "rendered-without-cluster", "told": Completed("kubectl", 1, "", UNKNOWN)}
REFUSED = {"failure": "proxy-address-missing", "told": Completed("helm", 1, "", WORDS)}
STARTS = {"failure": "proxy-address-missing"}
LEFT = {
    "kubernetes__pods": [],
    "kubernetes__secrets": {},
    "kubernetes__service_accounts": ["default", NAMES.service_account],
    "teleport__get": {"kind": "token"},
    "teleport__kube_servers": [{"spec": {"host_id": HOST}}],
}
STATE = f"{NAMES.release}-0-state"


def joined(host: str) -> Joined:
    return Joined(host, "13.0.0-dev", {"Kube": "iam"}, ())


AGAIN = {
    "failure": "release-uninstalled",
    "host": HOST,
    "agent__joined": joined(OTHER),
    "agent__host_id": OTHER,
}
GONE: tuple[list[dict[str, Any]], list[dict[str, Any]]] = (
    [{"kubernetes__secrets": {"teleport-kube-agent-join-token": {}}}],
    [{"kubernetes__secrets": {STATE: {}}}, {"kubernetes__secrets": {"another-0-state": {}}}],
)

# Phrase -> (what is told when it holds, what is told when it does not).
STEPS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "Helm refuses in the words of the table of failures": (
        [REFUSED],
        [
            REFUSED | {"told": Completed("helm", 0, "", WORDS)},
            REFUSED | {"told": Completed("helm", 1, "", "Error: INSTALLATION FAILED: timed out")},
        ],
    ),
    "kubectl refuses an object in the words of the table of failures": (
        [RENDERED],
        [
            RENDERED | {"told": Completed("kubectl", 0, "", UNKNOWN)},
            RENDERED | {"told": Completed("kubectl", 1, "", "error: no matches for kind")},
        ],
    ),
    "all of it is applied once the cause is mended": (
        [{"agent__apply_rendered": Completed("kubectl", 0, "", "")}],
        [{"agent__apply_rendered": Completed("kubectl", 1, "", UNKNOWN)}],
    ),
    "no agent starts until the cause is mended": (
        [STARTS | {"agent__never_starts_until": []}],
        [STARTS | {"agent__never_starts_until": [{"state": {"running": {}}}]}],
    ),
    "nothing of it is left but what was made for it": (
        [LEFT],
        [
            LEFT | {"kubernetes__secrets": {STATE: {}}},
            LEFT | {"kubernetes__service_accounts": ["default"]},
            LEFT | {"kubernetes__service_accounts": [NAMES.service_account, "another"]},
            LEFT | {"teleport__get": None},
            LEFT | {"teleport__kube_servers": []},
            LEFT | {"kubernetes__pods": [{"metadata": {"name": "pod-0"}}]},
        ],
    ),
    "the identity of the agent is gone": GONE,
    "the identity of the agent is gone with it": GONE,
    "the identity of the first one is left as it was": (
        [{"host": HOST, "kubernetes__secrets": {STATE: {}}, "agent__host_id": HOST}],
        [
            {"host": HOST, "kubernetes__secrets": {}, "agent__host_id": ""},
            {"host": "", "kubernetes__secrets": {STATE: {}}, "agent__host_id": ""},
            {"host": HOST, "kubernetes__secrets": {STATE: {}}, "agent__host_id": OTHER},
            {"host": HOST, "kubernetes__secrets": {STATE: {}, "b-0-state": {}}, "agent__host_id": HOST},
        ],
    ),
    "installed again it joins as another host": (
        [AGAIN],
        [
            AGAIN | {"agent__joined": joined(HOST), "agent__host_id": HOST},
            AGAIN | {"agent__host_id": HOST},
        ],
    ),
    "the agent joins as another host once its pod was started anew": (
        [{"host": HOST, "agent__joined": joined(OTHER)}],
        [{"host": HOST, "agent__joined": joined(HOST)}],
    ),
}


def then_steps() -> dict[str, Callable[..., object]]:
    return {
        context.parser.name: context.step_func
        for context in step_function_context_registry.values()
        if context.type == "then" and context.step_func.__module__ == "steps.failures_chart"
    }


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chart, "GONE_SECONDS", 0.1)


def carry_out(phrase: str, world: Callable[..., Scenario], told: dict[str, Any]) -> None:
    function = then_steps()[phrase]
    given = {name: value for name, value in told.items() if "__" not in name}
    given["scenario"] = world(**{name: value for name, value in told.items() if "__" in name})
    if "failure" in given:
        given["failure"] = failure_named(given["failure"])
    function(**{name: given[name] for name in inspect.signature(function).parameters})


def test_every_then_step_is_here() -> None:
    assert set(STEPS) == set(then_steps())
    assert all(right and wrong for right, wrong in STEPS.values())


@pytest.mark.parametrize(
    ("phrase", "told"), [(phrase, told) for phrase in STEPS for told in STEPS[phrase][0]]
)
def test_the_failure_passes(world: Callable[..., Scenario], phrase: str, told: dict[str, Any]) -> None:
    carry_out(phrase, world, told)


@pytest.mark.parametrize(
    ("phrase", "told"), [(phrase, told) for phrase in STEPS for told in STEPS[phrase][1]]
)
def test_what_only_looks_like_it_fails(
    world: Callable[..., Scenario], phrase: str, told: dict[str, Any]
) -> None:
    with pytest.raises(AssertionError):
        carry_out(phrase, world, told)


def test_words_of_helm_that_nobody_measured_decide_nothing(world: Callable[..., Scenario]) -> None:
    with pytest.raises(Withheld):
        carry_out(
            "Helm refuses in the words of the table of failures",
            world,
            REFUSED | {"teleport__version": "13.9.9"},
        )


def test_a_lost_identity_is_a_finding_about_the_real_product(world: Callable[..., Scenario]) -> None:
    findings = FindingsOfScenario("s")
    token = current_findings.set(findings)
    try:
        seen: tuple[dict[str, Any], ...] = ({STATE: {}}, {})
        for secrets in seen:
            chart.identities_beside_another_release(world(kubernetes__secrets=secrets))
    finally:
        current_findings.reset(token)
    assert [finding.of for finding in findings.noted] == ["product"]


def test_of_a_version_whose_hook_nobody_watched_nothing_is_said(world: Callable[..., Scenario]) -> None:
    with pytest.raises(Withheld, match="was not measured"):
        chart.neighbours(world(teleport__version="13.9.9"), alike=True)
