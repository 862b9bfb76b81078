"""Every Then step of `steps.failures_agent` says yes to the failure that was arranged, and no to what looks like it."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pytest_bdd.steps import step_function_context_registry

from harness.causes import agent, pod
from harness.environment import Completed, Joined, Routed
from harness.failures.table import failure_named
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.scenario import Scenario

HOST, OTHER = "host-1", "host-2"
JOIN = {"event": "instance.join", "success": True, "token_name": Names.unique("abc").token}
STATE = {"data": {".host_uuid": HOST.encode()}}
RELEASE = Names.unique("abc").release


def routed(*codes: int) -> Routed:
    told = Completed("kubectl", 1, "", "forbidden")
    return Routed(told, tuple({"response_code": code} for code in codes), ())


def kubectl(told: str) -> Routed:
    return Routed(Completed("kubectl", 1, "", told), (), ())


def joined(host: str) -> Joined:
    return Joined(host, "13.0.0-dev", {"Kube": "iam"}, ())


def servers(*hosts: str) -> list[dict[str, Any]]:
    return [{"spec": {"host_id": host}} for host in hosts]


def secrets(*hosts: str) -> dict[str, dict[str, bytes]]:
    return {f"{RELEASE}-{number}-state": {".host_uuid": host.encode()} for number, host in enumerate(hosts)}


ENDS = {"failure": "state-role-missing"}
REFUSED = {
    "failure": "cluster-role-missing",
    "workstation__kubectl": routed(403),
    "workstation__pods_shown": ["pod-0"],
}
ON = {"host": HOST, "agent__served_by": HOST, "kubernetes__secret": None}
ANEW = {"host": HOST, "agent__joined": joined(OTHER), "agent__served_by": OTHER}
COPIED = {"other": HOST, "teleport__kube_servers": servers(HOST), "teleport__audit": []}
OWN = {"failure": "identity-copied", "other": HOST, "agent__joined": joined(OTHER)}
TWO = {"teleport__kube_servers": servers(HOST, OTHER), "kubernetes__secrets": secrets(HOST, OTHER)}

# Phrase -> (what is told when it holds, what is told when it does not).
STEPS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "the agent ends again and again until the cause is mended": (
        [ENDS | {"agent__ends_until": []}],
        [ENDS | {"agent__ends_until": [JOIN]}],
    ),
    "the user is refused until the cause is mended": (
        [REFUSED],
        [
            REFUSED | {"workstation__kubectl": routed(200)},
            REFUSED | {"workstation__kubectl": routed()},
            REFUSED | {"workstation__pods_shown": []},
        ],
    ),
    "the same host goes on serving without a Secret": (
        [ON],
        [ON | {"agent__served_by": OTHER}, ON | {"kubernetes__secret": STATE}],
    ),
    "another host serves once its pod was started anew": (
        [ANEW],
        [
            ANEW | {"agent__joined": joined(HOST), "agent__served_by": HOST},
            ANEW | {"agent__served_by": HOST},
            ANEW | {"agent__joined": joined(HOST)},
        ],
    ),
    "it registers as the other agent's host without a join": (
        [COPIED, COPIED | {"teleport__audit": [JOIN | {"token_name": "another"}]}],
        [
            COPIED | {"teleport__kube_servers": servers(OTHER)},
            COPIED | {"teleport__kube_servers": servers(HOST, OTHER)},
            COPIED | {"teleport__audit": [JOIN]},
        ],
    ),
    "it joins as a host of its own once the cause is mended": (
        [OWN],
        [OWN | {"agent__joined": joined(HOST)}],
    ),
    "the user is refused in the words of the table of failures": (
        [{"workstation__kubectl": kubectl("error: You must be logged in to the server (Unauthorized)")}],
        [{"workstation__kubectl": kubectl("")}, {"workstation__kubectl": kubectl("forbidden")}],
    ),
    "the same host serves again once its pod was started anew": (
        [{"host": HOST, "agent__served_by": HOST}],
        [{"host": HOST, "agent__served_by": OTHER}, {"host": "", "agent__served_by": ""}],
    ),
    "it joins by IAM as the version that its image is": (
        [{"agent__joined": replace(joined(HOST), version="12.0.0-alpha.2")}],
        [
            {"agent__joined": joined(HOST)},
            {"agent__joined": replace(joined(HOST), version="12.0.0-alpha.2", methods={"Kube": "token"})},
        ],
    ),
    "two hosts serve the cluster, each with a Secret of its own": (
        [TWO],
        [
            TWO | {"kubernetes__secrets": secrets(HOST, HOST)},
            TWO | {"kubernetes__secrets": secrets(HOST)},
            TWO | {"teleport__kube_servers": servers(HOST, "host-3")},
            TWO | {"teleport__kube_servers": servers(HOST)},
            TWO | {"teleport__kube_servers": servers(HOST, OTHER, "host-3")},
        ],
    ),
}


def then_steps() -> dict[str, Callable[..., object]]:
    return {
        context.parser.name: context.step_func
        for context in step_function_context_registry.values()
        if context.type == "then" and context.step_func.__module__ == "steps.failures_agent"
    }


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(agent, "TOLD_SECONDS", 0.1)


def carry_out(
    phrase: str, world: Callable[..., Scenario], told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    function = then_steps()[phrase]
    given = {name: value for name, value in told.items() if "__" not in name and name != "other"}
    given["scenario"] = world(**{name: value for name, value in told.items() if "__" in name})
    monkeypatch.setattr(agent, "copied_from", lambda _: told.get("other", ""))
    monkeypatch.setattr(pod, "other_version", lambda _: "12.0.0-alpha.2")
    if "failure" in given:
        given["failure"] = failure_named(given["failure"])
    function(**{name: given[name] for name in inspect.signature(function).parameters})


def test_every_then_step_is_here() -> None:
    assert set(STEPS) == set(then_steps())
    assert all(right and wrong for right, wrong in STEPS.values())


@pytest.mark.parametrize(
    ("phrase", "told"), [(phrase, told) for phrase in STEPS for told in STEPS[phrase][0]]
)
def test_the_failure_passes(
    world: Callable[..., Scenario], phrase: str, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    carry_out(phrase, world, told, monkeypatch)


@pytest.mark.parametrize(
    ("phrase", "told"), [(phrase, told) for phrase in STEPS for told in STEPS[phrase][1]]
)
def test_what_only_looks_like_it_fails(
    world: Callable[..., Scenario], phrase: str, told: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(AssertionError):
        carry_out(phrase, world, told, monkeypatch)
