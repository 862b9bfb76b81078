"""Every Then step of `steps.failures_token` says yes to the failure that was arranged, and no to what looks like it."""

from __future__ import annotations

import inspect
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
from pytest_bdd.steps import step_function_context_registry

from harness.causes import files
from harness.causes import token as causes
from harness.causes.token import token
from harness.core.errors import EnvironmentBroken, NotObserved, Withheld
from harness.environment import Completed
from harness.failures.table import FAILURES, failure_named
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.scenario import Scenario

NAMES = Names.unique("abc")
ACCOUNT = "111111111111"
ROLE = f"arn:aws:sts::{ACCOUNT}:assumed-role/{NAMES.role}"
DONE = Completed("script", 0, "", "")
REFUSED = Completed("script", 1, "", 'ERROR: the "iam" join method requires defined token allow rules')
WITHOUT_RULES = {"failure": "token-without-rules"}
JOIN = {"event": "instance.join", "success": True, "role": "Kube"}


def made(**spec: Any) -> dict[str, Any]:
    return {"version": "v2", "metadata": {"name": "t"}, "spec": spec}


def printed() -> dict[str, Any]:
    rule = {"aws_account": ACCOUNT, "aws_arn": f"{ROLE}/*"}
    return made(roles=["Kube"], join_method="iam", allow=[rule])


def living(minutes: float | None) -> Callable[..., dict[str, Any]]:
    """What `Teleport.becomes` does with a token that lives so long from when it is asked for."""

    def becomes(*_: object) -> dict[str, Any]:
        if minutes is None:
            return {"metadata": {}}
        expires = datetime.now(UTC) + timedelta(minutes=minutes)
        return {"metadata": {"expires": f"{expires:%Y-%m-%dT%H:%M:%S.%f}123Z"}}

    return becomes


def told(arn: str, *, account: str = ACCOUNT, pattern: str = "") -> dict[str, Any]:
    rule = {"aws_account": ACCOUNT, "aws_arn": pattern or f"arn:aws:iam::{ACCOUNT}:role/{NAMES.role}"}
    return {"agent__answered": [(account, arn)], "teleport__get": made(allow=[rule])}


def once(resource: dict[str, Any]) -> Callable[..., dict[str, Any]]:
    """What `Teleport.becomes` does with a resource that stays as it is."""

    def becomes(_: str, ready: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        if not ready(resource):
            raise NotObserved("expected: otherwise")
        return resource

    return becomes


# Phrase -> (what is told when it holds, what is told when it does not).
STEPS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "tctl refuses it in the words of the table of failures": (
        [WITHOUT_RULES | {"outcome": REFUSED}],
        [
            WITHOUT_RULES | {"outcome": DONE},
            WITHOUT_RULES | {"outcome": Completed("script", 0, "", REFUSED.stderr)},
            WITHOUT_RULES | {"outcome": Completed("script", 1, "", "ERROR: access denied")},
        ],
    ),
    "it is taken once the file is mended": (
        [WITHOUT_RULES | {"teleport__administer": DONE, "teleport__becomes__each": once(printed())}],
        [
            WITHOUT_RULES | {"teleport__administer": REFUSED},
            WITHOUT_RULES
            | {
                "teleport__administer": DONE,
                "teleport__becomes__each": once(made(roles=["Kube"], allow=[]) | {}),
            },
            {
                "failure": "role-version-unknown",
                "teleport__administer": DONE,
                "teleport__becomes__each": once({"version": "v9", "spec": {}}),
            },
        ],
    ),
    "the token lives for half an hour": (
        [{"teleport__becomes__each": living(29.9)}],
        [{"teleport__becomes__each": living(minutes)} for minutes in (None, -1.0, 5.0, 60.0, 60.0 * 24)],
    ),
    "it lives as long as the file says once that is mended": (
        [
            {
                "failure": "expiry-omitted",
                "teleport__administer": DONE,
                "teleport__becomes__each": once({"metadata": {"expires": "3000-01-01T00:00:00Z"}}),
            }
        ],
        [
            {
                "failure": "expiry-omitted",
                "teleport__administer": DONE,
                "teleport__becomes__each": once(living(29.9)()),
            }
        ],
    ),
    "what AWS told of the agent fits the token but for its role": (
        [told(f"{ROLE}/session")],
        [
            told(f"{ROLE}/session", pattern=f"{ROLE}/*"),
            told(f"{ROLE}/session", account="222222222222"),
            told(f"{ROLE}/session") | {"agent__answered": []},
        ],
    ),
    "the token's rule is not the one of step 2": (
        [
            {"teleport__get": made(allow=[{"aws_account": ACCOUNT, "aws_arn": "*"}])},
            {"teleport__get": made(allow=[{"aws_arn": f"{ROLE}/*"}])},
        ],
        [{"teleport__get": printed()}, {"teleport__get": None}],
    ),
    "the Kubernetes Service stays out until the cause is mended": (
        [{"agent__out_until": []}],
        [{"agent__out_until": [JOIN]}, {"agent__out_until__each": NotObserved("it joined")}],
    ),
}


def then_steps() -> dict[str, Callable[..., object]]:
    return {
        context.parser.name: context.step_func
        for context in step_function_context_registry.values()
        if context.type == "then" and context.step_func.__module__ == "steps.failures_token"
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


@pytest.mark.parametrize("phrase", [*list(STEPS)[:1], "the token lives for half an hour"])
def test_what_nobody_measured_decides_nothing(world: Callable[..., Scenario], phrase: str) -> None:
    with pytest.raises(Withheld):
        carry_out(phrase, world, STEPS[phrase][0][0] | {"teleport__version": "13.9.9"})


@pytest.mark.parametrize("failure", files.FILES)
def test_a_file_differs_from_the_right_one_in_what_is_wrong_alone(
    world: Callable[..., Scenario], failure: str
) -> None:
    scenario, file = world(), files.FILES[failure]
    wrong, right = file.wrong(scenario), file.right(scenario)
    assert failure in FAILURES
    assert wrong != right
    assert wrong["metadata"]["name"] == right["metadata"]["name"]
    assert right["kind"] == "role" or right == token(scenario)


def test_the_token_of_the_causes_is_that_of_the_guide(world: Callable[..., Scenario]) -> None:
    scenario = world()
    scenario.make_token()
    assert scenario.teleport.create.call_args.args == (token(scenario),)  # type: ignore[attr-defined]  # a mock


def kept(expires: str | None) -> dict[str, Any] | None:
    return {"metadata": {"expires": expires}} if expires else None


@pytest.mark.parametrize(("first", "made"), [(None, 1), ("3000-01-01T00:00:00Z", 2)])
def test_an_expiry_that_teleport_did_not_take_is_asked_for_again(
    world: Callable[..., Scenario], monkeypatch: pytest.MonkeyPatch, first: str | None, made: int
) -> None:
    monkeypatch.setattr(causes, "SHORT_LIVES", (timedelta(seconds=0.01), timedelta(seconds=0.02)))
    scenario = world(teleport__get__each=[kept(first), None])
    causes.CAUSES["token-expired"].make(scenario)
    assert scenario.teleport.create.call_count == made  # type: ignore[attr-defined]  # a mock


def test_where_teleport_takes_no_expiry_nothing_is_known(world: Callable[..., Scenario]) -> None:
    with pytest.raises(EnvironmentBroken, match="Teleport to take an expiry"):
        causes.CAUSES["token-expired"].make(world(teleport__get=kept("3000-01-01T00:00:00Z")))
