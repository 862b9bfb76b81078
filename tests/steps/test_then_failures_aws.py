"""Every Then step of `steps.failures_aws` says yes to what it is named after, and no to what looks like it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from pytest_bdd.steps import step_function_context_registry

from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.scenario import Scenario

NAMES = Names.unique("abc")
CALL = {"action": "AssumeRoleWithWebIdentity", "verdict": "allowed", "code": ""}
ASKED = {"action": "GetCallerIdentity", "verdict": "denied", "code": "X"}

# Phrase -> (what is told when it holds, what is told when it does not).
STEPS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "AWS was not asked for the agent's role": (
        [{"aws__calls": []}, {"aws__calls": ()}],
        [{"aws__calls": [CALL]}, {"aws__calls": [CALL | {"verdict": "denied"}]}],
    ),
    "AWS refused to tell Teleport who the agent is with {code}": (
        [{"code": "X", "aws__calls": [CALL, ASKED, ASKED]}],
        [
            {"code": "X", "aws__calls": []},
            {"code": "X", "aws__calls": [CALL]},
            {"code": "Y", "aws__calls": [CALL, ASKED]},
            {"code": "X", "aws__calls": [ASKED, ASKED | {"code": "Y"}]},
            {"code": "X", "aws__calls": [ASKED, ASKED | {"verdict": "allowed", "code": ""}]},
        ],
    ),
    "AWS told Teleport that the agent is its node": (
        [{"aws__told_of_node": [NAMES.node_role, NAMES.node_role]}],
        [
            {"aws__told_of_node": []},
            {"aws__told_of_node": [NAMES.role]},
            {"aws__told_of_node": [NAMES.node_role, NAMES.role]},
        ],
    ),
    "its pod has no group for its volumes": (
        [{"agent__deployed": {"spec": {}}}, {"agent__deployed": {"spec": {"securityContext": {}}}}],
        [{"agent__deployed": {"spec": {"securityContext": {"fsGroup": 9807}}}}],
    ),
    "AWS told nobody that it is the agent's node": (
        [{"aws__told_of_node": []}],
        [{"aws__told_of_node": [NAMES.node_role]}],
    ),
}


def then_steps() -> dict[str, Callable[..., Any]]:
    return {
        context.parser.name: context.step_func
        for context in step_function_context_registry.values()
        if context.type == "then" and context.step_func.__module__ == "steps.failures_aws"
    }


def carry_out(phrase: str, world: Callable[..., Scenario], told: dict[str, Any]) -> None:
    function = then_steps()[phrase]
    given = {name: value for name, value in told.items() if "__" not in name}
    given["scenario"] = world(**{name: value for name, value in told.items() if "__" in name})
    assert set(inspect.signature(function).parameters) == set(given)
    function(**given)


def test_every_then_step_is_here() -> None:
    assert set(STEPS) == set(then_steps())
    assert all(right and wrong for right, wrong in STEPS.values())


@pytest.mark.parametrize(
    ("phrase", "told"), [(phrase, told) for phrase in STEPS for told in STEPS[phrase][0]]
)
def test_what_holds_passes(world: Callable[..., Scenario], phrase: str, told: dict[str, Any]) -> None:
    carry_out(phrase, world, told)


@pytest.mark.parametrize(
    ("phrase", "told"), [(phrase, told) for phrase in STEPS for told in STEPS[phrase][1]]
)
def test_what_does_not_hold_fails(world: Callable[..., Scenario], phrase: str, told: dict[str, Any]) -> None:
    with pytest.raises(AssertionError):
        carry_out(phrase, world, told)
