"""Every Then step of `steps.failures` says yes to the failure that was arranged, and no to what looks like it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from pytest_bdd.steps import step_function_context_registry

from harness.core.errors import NotObserved, Withheld
from harness.failures.table import failure_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.scenario import Scenario

DENIED = "AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity"
SHOWN = {"failure": "trust-subject-differs", "agent__logs": f"ERRO {DENIED}"}
JOIN = {"event": "instance.join", "success": True}


def call(verdict: str, code: str = "") -> dict[str, Any]:
    return {"action": "AssumeRoleWithWebIdentity", "verdict": verdict, "code": code}


# Phrase -> (what is told when it holds, what is told when it does not).
STEPS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "it shows where and as the table of failures says": (
        [SHOWN],
        [
            SHOWN | {"agent__logs": "ERRO AccessDenied: not authorized"},
            SHOWN | {"agent__logs": ""},
        ],
    ),
    "AWS denied the agent its role with {code}": (
        [{"code": "AccessDenied", "aws__calls": [call("denied", "AccessDenied")]}],
        [
            {"code": "AccessDenied", "aws__calls": []},
            {"code": "AccessDenied", "aws__calls": [call("allowed")]},
            {"code": "AccessDenied", "aws__calls": [call("denied", "InvalidIdentityToken")]},
            {"code": "AccessDenied", "aws__calls": [call("denied", "AccessDenied"), call("denied", "X")]},
        ],
    ),
    "the agent stays out until the cause is mended": (
        [{"failure": "trust-subject-differs", "agent__out_until": []}],
        [{"failure": "trust-subject-differs", "agent__out_until": [JOIN]}],
    ),
}


def then_steps() -> dict[str, Callable[..., None]]:
    return {
        context.parser.name: context.step_func
        for context in step_function_context_registry.values()
        if context.type == "then" and context.step_func.__module__ == "steps.failures"
    }


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


def test_what_nobody_measured_decides_nothing(world: Callable[..., Scenario]) -> None:
    with pytest.raises(Withheld):
        carry_out(
            "it shows where and as the table of failures says", world, SHOWN | {"teleport__version": "13.9.9"}
        )


def test_what_was_not_observed_is_not_swallowed(world: Callable[..., Scenario]) -> None:
    told = {"failure": "trust-subject-differs", "agent__out_until__each": NotObserved("nothing")}
    with pytest.raises(NotObserved):
        carry_out("the agent stays out until the cause is mended", world, told)
