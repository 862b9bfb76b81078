"""Every Then step of `steps.failures_teleport` says yes to its failure, and no to what looks like it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from pytest_bdd.steps import step_function_context_registry

from harness.causes import teleport
from harness.environment import Completed, Joined, Routed
from harness.failures.table import failure_named
from steps import failures_teleport

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.scenario import Scenario

JOIN = {"event": "instance.join", "success": True}


def pod(restarts: int = 0, uid: str = "one") -> dict[str, Any]:
    return {"metadata": {"uid": uid}, "status": {"containerStatuses": [{"restartCount": restarts}]}}


def joined(method: str) -> Joined:
    return Joined("host-1", "13.0.0-dev", {"Kube": method, "Instance": "iam"}, ())


def routed(*codes: int) -> Routed:
    told = Completed("kubectl", 1, "", "Unable to connect to the server: EOF")
    return Routed(told, tuple({"response_code": code} for code in codes), ())


BACK = {"agent__deployed": pod(), "agent__joined": joined("iam"), "agent__pod": pod()}
JOINS = [JOIN | {"host_id": "host-1", "role": role} for role in ("Kube", "Instance")]
ROTATED = {
    "agent__served_by": "host-1",
    "agent__host_id": "host-1",
    "agent__pod": pod(),
    "teleport__audit": JOINS,
}
OFF = {
    "failure": "proxy-without-kubernetes",
    "workstation__kubectl": routed(),
    "workstation__pods_shown": ["pod-0"],
}

# Phrase -> (what is told when it holds, what is told when it does not).
STEPS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "it joins without a restart once Teleport is back": (
        [BACK],
        [
            BACK | {"agent__joined": joined("token")},
            BACK | {"agent__pod": pod(restarts=1)},
            BACK | {"agent__pod": pod(uid="two")},
        ],
    ),
    "the agent stays out until it starts without that identity": (
        [{"agent__out_until": []}],
        [{"agent__out_until": [JOIN]}],
    ),
    "it joins again and again and serves nobody until the cause is mended": (
        [{"failure": "tunnel-unreachable", "agent__unregistered_until": []}],
        [{"failure": "tunnel-unreachable", "agent__unregistered_until": ["host-1"]}],
    ),
    "it serves a user who signs in afterwards without a restart or another join": (
        [ROTATED],
        [
            ROTATED | {"agent__served_by": "host-2"},
            ROTATED | {"agent__pod": pod(restarts=1)},
            ROTATED | {"teleport__audit": [*JOINS, JOINS[0]]},
        ],
    ),
    "kubectl gets to nobody until the cause is mended": (
        [OFF],
        [
            OFF | {"workstation__kubectl": routed(200)},
            OFF | {"workstation__kubectl": routed(404)},
            OFF | {"workstation__pods_shown": []},
        ],
    ),
}


def run(world: Callable[..., Scenario], phrase: str, told: dict[str, Any]) -> None:
    ports = {key: value for key, value in told.items() if key != "failure"}
    scenario = world(**ports)
    given = {"failure": failure_named(told["failure"])} if "failure" in told else {}
    (step,) = (
        context.step_func
        for context in step_function_context_registry.values()
        if context.type == "then"
        and context.parser.name == phrase
        and context.step_func.__module__ == failures_teleport.__name__
    )
    wanted = inspect.signature(step).parameters
    step(**{name: value for name, value in {"scenario": scenario, **given}.items() if name in wanted})


@pytest.mark.parametrize(
    ("phrase", "told"), [(phrase, told) for phrase, (holds, _) in STEPS.items() for told in holds]
)
def test_it_holds(world: Callable[..., Scenario], phrase: str, told: dict[str, Any]) -> None:
    run(world, phrase, told)


@pytest.mark.parametrize(
    ("phrase", "told"), [(phrase, told) for phrase, (_, fails) in STEPS.items() for told in fails]
)
def test_it_does_not_hold(world: Callable[..., Scenario], phrase: str, told: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        run(world, phrase, told)


def test_every_then_step_is_here() -> None:
    phrases = {
        context.parser.name
        for context in step_function_context_registry.values()
        if context.type == "then" and context.step_func.__module__ == failures_teleport.__name__
    }
    assert phrases == STEPS.keys()


def test_every_cause_is_made_and_mended_by_what_the_table_says() -> None:
    assert {failure_named(name).besides for name in teleport.CAUSES} == {"nothing", "restart", "sign-in"}
