"""Refusal, delay and clock, each for one role and for no other."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulators.aws.conftest import Lab


@pytest.fixture
def disturbed(lab: Lab) -> Iterator[tuple[str, dict[str, str], Any]]:
    """A role, a session of it, and a function that disturbs it; undisturbed at the end."""
    role = lab.role()
    path = f"/roles/{role.rpartition('/')[2]}/disruption"
    keys = lab.session(role)
    yield role, keys, lambda **wanted: lab.control("PUT", path, wanted)
    assert lab.control("DELETE", path).status == 200
    assert lab.session(role)["AccessKeyId"]


def test_a_denied_role_is_told_what_was_set(lab: Lab, disturbed: tuple[str, dict[str, str], Any]) -> None:
    role, keys, disrupt = disturbed
    other = lab.role()
    deny = {"code": "AccessDenied", "message": "Said so"}
    assert disrupt(deny=deny).json == {
        "role": role.rpartition("/")[2],
        "deny": deny,
        "delay": 0,
        "clock_shift": 0,
        "cut": "",
    }
    with pytest.raises(botocore.exceptions.ClientError, match=r"AccessDenied.*Said so"):
        lab.assume(role)
    with pytest.raises(botocore.exceptions.ClientError, match=r"AccessDenied.*Said so"):
        lab.client("sts", keys).get_caller_identity()
    assert [record["code"] for record in lab.call(role)[-2:]] == ["AccessDenied", "AccessDenied"]
    assert all("through control" in record["reason"] for record in lab.call(role)[-2:])
    assert lab.client("sts", lab.session(other)).get_caller_identity()["Arn"]


def test_a_denial_with_a_code_of_a_broken_service(
    lab: Lab, disturbed: tuple[str, dict[str, str], Any]
) -> None:
    _, keys, disrupt = disturbed
    disrupt(deny={"code": "ServiceUnavailable", "message": "Busy"})
    answer = lab.send(
        "POST",
        "https://sts.us-east-1.amazonaws.com/",
        lab.teleport_request(keys),
        b"Action=GetCallerIdentity&Version=2011-06-15",
    )
    assert (answer.status, answer.json["Error"]["Type"]) == (503, "Receiver")


def test_a_denial_does_not_hide_what_is_wrong_anyway(
    lab: Lab, disturbed: tuple[str, dict[str, str], Any]
) -> None:
    role, keys, disrupt = disturbed
    disrupt(deny={"code": "AccessDenied", "message": "Said so"})
    with pytest.raises(botocore.exceptions.ClientError, match="SignatureDoesNotMatch"):
        lab.client("sts", {**keys, "SecretAccessKey": "wrong"}).get_caller_identity()
    with pytest.raises(botocore.exceptions.ClientError, match="Incorrect token audience"):
        lab.assume(role, lab.token(aud=["x"]))


def test_a_delay_holds_one_role_back_only(lab: Lab, disturbed: tuple[str, dict[str, str], Any]) -> None:
    role, keys, disrupt = disturbed
    other = lab.client("sts", lab.session(lab.role()))
    sts = lab.client("sts", keys)
    disrupt(delay=0.3)
    started = time.monotonic()
    sts.get_caller_identity()
    assert 0.3 <= time.monotonic() - started < 5
    disrupt(delay=60)
    with ThreadPoolExecutor(1) as pool:
        held = pool.submit(lab.assume, role)
        assert other.get_caller_identity()["Arn"]
        assert not held.done()
        # Taking the delay away lets the held call go at once.
        disrupt(delay=0)
        assert held.result(10)["Credentials"]["AccessKeyId"]
    assert time.monotonic() - started < 30


@pytest.mark.parametrize(
    ("shift", "text"), [(400, "Signature expired: "), (-400, "Signature not yet current: ")]
)
def test_a_shifted_clock_makes_signatures_too_old_or_too_new(
    lab: Lab, disturbed: tuple[str, dict[str, str], Any], shift: float, text: str
) -> None:
    _, keys, disrupt = disturbed
    other = lab.client("sts", lab.session(lab.role()))
    disrupt(clock_shift=shift)
    with pytest.raises(botocore.exceptions.ClientError, match=f"SignatureDoesNotMatch.*{text}"):
        lab.client("sts", keys).get_caller_identity()
    assert other.get_caller_identity()["Arn"]


def test_a_shifted_clock_makes_tokens_too_old(lab: Lab, disturbed: tuple[str, dict[str, str], Any]) -> None:
    role, _, disrupt = disturbed
    disrupt(clock_shift=601)
    with pytest.raises(botocore.exceptions.ClientError, match="ExpiredToken"):
        lab.assume(role)
    assert lab.assume(role, lab.token(exp=int(time.time()) + 1200))


def test_roles_lists_what_is_in_force(lab: Lab, disturbed: tuple[str, dict[str, str], Any]) -> None:
    role, _, disrupt = disturbed
    name = role.rpartition("/")[2]
    assert name not in lab.control("GET", "/roles").json["roles"]
    disrupt(clock_shift=-1.5)
    assert lab.control("GET", "/roles").json["roles"][name] == {
        "deny": None,
        "delay": 0,
        "clock_shift": -1.5,
        "cut": "",
    }


@pytest.mark.parametrize("action", ["AssumeRoleWithWebIdentity", "GetCallerIdentity"])
def test_one_action_of_one_role_gets_no_answer(
    lab: Lab, disturbed: tuple[str, dict[str, str], Any], action: str
) -> None:
    role, keys, disrupt = disturbed
    other = lab.role()
    disrupt(cut=action)
    calls: dict[str, Callable[[], Any]] = {
        "AssumeRoleWithWebIdentity": lambda: lab.assume(role),
        "GetCallerIdentity": lambda: lab.client("sts", keys).get_caller_identity(),
    }
    with pytest.raises(botocore.exceptions.BotoCoreError):
        calls.pop(action)()
    record = lab.call(role)[-1]
    assert (record["action"], record["verdict"]) == (action, "refused")
    assert "through control" in record["reason"]
    (answered,) = calls.values()
    assert answered()
    assert lab.client("sts", lab.session(other)).get_caller_identity()["Arn"]


@pytest.mark.parametrize(
    "wanted",
    [
        {"deny": {"code": "X"}},
        {"delay": -1},
        {"delay": "long"},
        {"delay": 10**9},
        {"clock_shift": 10**10},
        {"clock": 1},
        [],
        "text",
    ],
)
def test_a_wrong_disruption_is_explained(lab: Lab, wanted: Any) -> None:
    answer = lab.control("PUT", "/roles/any/disruption", wanted)
    assert (answer.status, bool(answer.json["error"])) == (400, True)
    assert "any" not in lab.control("GET", "/roles").json["roles"]
