"""Every Then step of `steps.failures_user` says yes to the failure that was arranged, and no to what looks like it."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from pytest_bdd.steps import step_function_context_registry

from harness.causes import commands, user
from harness.causes.user import Told
from harness.core.errors import Withheld
from harness.environment import Completed, Routed
from harness.failures.table import FAILURES, failure_named
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.scenario import Scenario

DENIED = (
    'Error from server (Forbidden): impersonation request has been denied, user header "somebody-else" is not '
    "allowed in roles"
)
ANOTHER = {"failure": "impersonated-user-not-allowed"}
SIGNED_OUT = {"failure": "not-signed-in"}


def ran(code: int) -> Completed:
    return Completed("tsh kube ls", code, "", "")


def request(code: int, subresource: str = "exec") -> dict[str, Any]:
    reference = {"resource": "pods", **({"subresource": subresource} if subresource else {})}
    return {"objectRef": reference, "responseStatus": {"code": code}}


DISCOVERY = {"objectRef": {}, "responseStatus": {"code": 403}}
NAMES = Names.unique("abc")
VERSION = {"spec": {"version": "13.0.0-dev"}}
COMMAND = {
    "user": NAMES.user,
    "command": "teleport version",
    "kubernetes_pod_name": f"{NAMES.release}-0",
    "exitError": None,
}
EXEC = {"resource": "pods/exec"}
NOT_BOUND = EXEC | {"failure": "exec-not-bound", "workstation__kubectl": Routed(ran(1), (), ())}


# Phrase -> (what is told when it holds, what is told when it does not).
STEPS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "it fails in the words of the table of failures": (
        [
            ANOTHER | {"outcome": Told(answered=False, words=DENIED)},
            SIGNED_OUT
            | {"outcome": Told(answered=False, words="No proxy address specified, missed --proxy flag?")},
        ],
        [
            ANOTHER | {"outcome": Told(answered=True, words=DENIED)},
            ANOTHER | {"outcome": Told(answered=False, words=DENIED.replace("somebody-else", "alice"))},
            ANOTHER | {"outcome": Told(answered=False, words="")},
            SIGNED_OUT | {"outcome": Told(answered=False, words=DENIED)},
        ],
    ),
    "the API server recorded {resource} alone as forbidden": (
        [EXEC | {"kubernetes__audit": [request(200, ""), request(403), DISCOVERY]}],
        [
            EXEC | {"kubernetes__audit": []},
            EXEC | {"kubernetes__audit": [request(200)]},
            EXEC | {"kubernetes__audit": [request(403), request(403, "")]},
            EXEC | {"kubernetes__audit": [request(403, "log")]},
        ],
    ),
    "the user is given what the command printed": (
        [{"printed": "Teleport v13.0.0-dev git:", "teleport__kube_servers": [VERSION]}],
        [
            {"printed": "", "teleport__kube_servers": [VERSION]},
            {"printed": "Teleport v12.0.0", "teleport__kube_servers": [VERSION]},
            {"printed": "Teleport v13.0.0-dev git:", "teleport__kube_servers": []},
        ],
    ),
    "Teleport recorded the command as that user's": (
        [{"teleport__audit": [COMMAND]}],
        [
            {"teleport__audit": []},
            {"teleport__audit": [COMMAND | {"user": "somebody"}]},
            {"teleport__audit": [COMMAND | {"exitError": "command terminated with exit code 1"}]},
            {"teleport__audit": [COMMAND | {"command": "true"}]},
            {"teleport__audit": [COMMAND | {"kubernetes_pod_name": "another"}]},
        ],
    ),
    "the API server let {resource} alone through as that user": (
        [EXEC | {"kubernetes__audit": [request(101), request(403), request(200, ""), DISCOVERY]}],
        [
            EXEC | {"kubernetes__audit": []},
            EXEC | {"kubernetes__audit": [request(403)]},
            EXEC | {"kubernetes__audit": [request(101), request(200, "log")]},
        ],
    ),
    "it lets {resource} through once the cause is mended": (
        [NOT_BOUND | {"kubernetes__audit": [request(403), request(501)]}],
        [
            NOT_BOUND | {"kubernetes__audit": [request(403), request(200, "")]},
            NOT_BOUND | {"kubernetes__audit": [request(403)]},
        ],
    ),
    "the same call is answered once the cause is mended": (
        [
            SIGNED_OUT | {"workstation__run": ran(0)},
            SIGNED_OUT | {"workstation__run__each": [ran(1), ran(0)]},
        ],
        [SIGNED_OUT | {"workstation__run": ran(1)}],
    ),
}


def then_steps() -> dict[str, Callable[..., object]]:
    return {
        context.parser.name: context.step_func
        for context in step_function_context_registry.values()
        if context.type == "then" and context.step_func.__module__ == "steps.failures_user"
    }


def carry_out(phrase: str, world: Callable[..., Scenario], told: dict[str, Any]) -> None:
    function = then_steps()[phrase]
    given = {name: value for name, value in told.items() if "__" not in name}
    given["scenario"] = world(**{name: value for name, value in told.items() if "__" in name})
    if "failure" in given:
        given["failure"] = failure_named(given["failure"])
    function(**{name: given[name] for name in inspect.signature(function).parameters})


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(user, "ANSWERED_SECONDS", 0.3)
    monkeypatch.setattr(commands, "RECORDED_SECONDS", 0.1)


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
    phrase = "it fails in the words of the table of failures"
    with pytest.raises(Withheld):
        carry_out(phrase, world, STEPS[phrase][0][0] | {"teleport__version": "13.9.9"})


@pytest.mark.parametrize("failure", user.TROUBLES)
def test_the_words_of_each_trouble_can_be_filled(world: Callable[..., Scenario], failure: str) -> None:
    scenario = world()
    assert failure in FAILURES
    assert not user.told_as_known(
        scenario, failure_named(failure), Told(answered=False, words="anything else")
    )


@pytest.mark.parametrize("failure", user.TROUBLES)
def test_a_call_tells_whether_it_was_answered(world: Callable[..., Scenario], failure: str) -> None:
    for code in (0, 1):
        done = Completed("call", code, "", "words")
        scenario = world(workstation__kubectl=Routed(done, (), ()), workstation__run=done)
        assert user.call(scenario, failure_named(failure)) == Told(answered=code == 0, words="words")
