"""Every Then step of `steps.failures_impostor` says yes to a refusal, and no to what only looks like one."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import pytest
from pytest_bdd.steps import step_function_context_registry

from harness.causes import impostor
from harness.core.errors import NotApplicable, NotObserved, Withheld
from harness.core.findings import FindingsOfScenario, current_findings
from harness.environment import Answered
from harness.failures.table import failure_named

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.scenario import Scenario

WORDS = "sts identity request does not include challenge header or it does not match"
REPLAYED = {"failure": "request-replayed", "teleport__logs": f"Original Error: {WORDS}"}
OF_STS = "The request signature we calculated does not match the signature you provided. Check your"


def call(verdict: str, code: str = "") -> dict[str, Any]:
    return {"action": "GetCallerIdentity", "verdict": verdict, "code": code}


def answered(words: str, *asked: dict[str, Any]) -> Answered:
    return Answered("impostor", f"rpc error: {words}" if words else "", asked)


def event(host: str) -> dict[str, Any]:
    return {"event": "instance.join", "host_id": host}


REFUSED = answered(WORDS)
GENUINE = Answered("genuine", "", ())

# Phrase -> (what is told when it holds, what is told when it does not).
STEPS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "Teleport refuses it in the words of the table of failures": (
        [
            REPLAYED | {"answered": REFUSED},
            {"failure": "signature-altered", "answered": answered(OF_STS), "teleport__logs": ""},
        ],
        [
            REPLAYED | {"answered": answered("")},
            REPLAYED | {"answered": answered("token expired or not found")},
            REPLAYED | {"answered": REFUSED, "teleport__logs": ""},
            {"failure": "signature-altered", "answered": answered("access denied"), "teleport__logs": OF_STS},
        ],
    ),
    "Teleport refuses it without asking who signed it": (
        [{"answered": REFUSED}],
        [
            {"answered": answered("")},
            {"answered": answered(WORDS, call("denied", "SignatureDoesNotMatch"))},
            {"answered": answered("", call("allowed"))},
        ],
    ),
    "AWS refuses to say who signed it, with {code}": (
        [
            {"code": "ExpiredToken", "answered": answered(OF_STS, call("denied", "ExpiredToken"))},
        ],
        [
            {"code": "ExpiredToken", "answered": answered(OF_STS)},
            {"code": "ExpiredToken", "answered": answered("", call("allowed"))},
            {"code": "ExpiredToken", "answered": answered(OF_STS, call("denied", "SignatureDoesNotMatch"))},
            {"code": "", "answered": answered("", call("allowed"))},
        ],
    ),
    "the agent's own request alone lets a host in": (
        [
            {
                "answered": REFUSED,
                "impostor__ask": GENUINE,
                "teleport__audit": [event("genuine")],
                "teleport__logs": WORDS,
            },
            {
                "answered": REFUSED,
                "impostor__ask": GENUINE,
                "teleport__audit": [event("earlier"), event("genuine")],
                "teleport__logs": WORDS,
            },
        ],
        [
            {
                "answered": REFUSED,
                "impostor__ask": GENUINE,
                "teleport__audit": [event("impostor"), event("genuine")],
                "teleport__logs": WORDS,
            },
            {"answered": REFUSED, "impostor__ask": GENUINE, "teleport__audit": []},
            {
                "answered": REFUSED,
                "impostor__ask": Answered("genuine", "refused", ()),
                "teleport__audit": [event("impostor")],
            },
        ],
    ),
    "the agent asked AWS's own STS alone": (
        [{"aws__calls": [{"host": "sts.eu-west-1.amazonaws.com"}] * 2}],
        [
            {"aws__calls": []},
            {"aws__calls": [{"host": "sts.eu-west-1.amazonaws.com.example.com"}]},
            {"aws__calls": [{"host": "sts.eu-west-1.amazonaws.com"}, {"host": "sts.amazonaws.com"}]},
        ],
    ),
    "AWS refuses it with {code}": (
        [{"code": "InvalidIdentityToken", "call": call("denied", "InvalidIdentityToken")}],
        [
            {"code": "InvalidIdentityToken", "call": call("allowed")},
            {"code": "InvalidIdentityToken", "call": call("denied", "AccessDenied")},
        ],
    ),
    "the agent's own web identity is given the role": (
        [{"impostor__take_role": call("allowed")}],
        [{"impostor__take_role": call("denied", "InvalidIdentityToken")}],
    ),
}


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(impostor, "RECORDED_SECONDS", 0.1)


def then_steps() -> dict[str, Callable[..., None]]:
    return {
        context.parser.name: context.step_func
        for context in step_function_context_registry.values()
        if context.type == "then" and context.step_func.__module__ == "steps.failures_impostor"
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
def test_a_refusal_passes(world: Callable[..., Scenario], phrase: str, told: dict[str, Any]) -> None:
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
    told = REPLAYED | {"answered": REFUSED, "teleport__version": "13.9.9"}
    with pytest.raises(Withheld):
        carry_out("Teleport refuses it in the words of the table of failures", world, told)


@pytest.mark.parametrize(
    ("refusal", "log", "found"),
    [
        (answered("aws sts api returned status: 403", call("denied", "X")), "", ["whom STS refused"]),
        (
            answered("aws sts api returned status: 403", call("denied", "X")),
            "aws sts api returned status",
            [],
        ),
        (REFUSED, f"WARN {WORDS}", []),
        (answered("… as a signed header"), "header AWS4 …, Signature=0f", ["whole Authorization header"]),
        (REFUSED, "header of another, Signature=0f", []),
        (answered('sts identity request method ""'), "", ["empty text for the method"]),
    ],
)
def test_what_is_told_of_a_refusal_is_noted(
    world: Callable[..., Scenario], refusal: Answered, log: str, found: list[str]
) -> None:
    noted = FindingsOfScenario("failures.impostor")
    token = current_findings.set(noted)
    try:
        impostor.note_what_is_told(world(teleport__logs=log), refusal)
    finally:
        current_findings.reset(token)
    assert len(noted.noted) == len(found)
    for finding, words in zip(noted.noted, found, strict=True):
        assert words in finding.text


def test_a_version_whose_sdk_reads_the_endpoint_is_not_judged(world: Callable[..., Scenario]) -> None:
    with pytest.raises(NotApplicable):
        impostor.deploy_with_another_endpoint(world(teleport__version="17.7.23"))


def test_a_way_in_that_is_closed_to_the_agent_shows_nothing(world: Callable[..., Scenario]) -> None:
    told = {
        "answered": REFUSED,
        "impostor__ask": Answered("genuine", "token expired or not found", ()),
        "teleport__audit": [],
    }
    with pytest.raises(NotObserved, match="token expired or not found"):
        carry_out("the agent's own request alone lets a host in", world, told)
