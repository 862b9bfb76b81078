"""Who asks to join in the agent's place: what they ask with, at which door, and what is seen of it."""

from __future__ import annotations

import base64
import dataclasses
import json
from typing import TYPE_CHECKING, Any

import pytest

from harness.adapters import impostor, join_service
from harness.adapters.impostor import Asking, Impostor, RealDoor, SimulatedDoor
from harness.adapters.signed_request import CHALLENGE, SignedRequest
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

NAMES = Names.unique("abc123")
REGION = "eu-west-1"
STS = f"sts.{REGION}.amazonaws.com"
TOKEN = "header.payload.0123456789abcdef"
ASKING = Asking("a-host", "a-node", "a-token")
SIGNED = SignedRequest("POST", STS, {CHALLENGE: "c", "Host": STS}, b"body")


class Lab:
    """Every port that the adapter uses, in one; what STS and Teleport see is noted."""

    account_id = "111111111111"
    region = REGION

    def __init__(self) -> None:
        self.knocks: list[tuple[Asking, SignedRequest]] = []
        self.log: list[dict[str, str]] = []
        self.refusal = ""
        self.sessions = 0
        self.tokens: list[str] = []

    def call(self, method: str, path: str, body: object) -> dict[str, Any]:
        assert (method, path.rpartition("/")[2]) == ("POST", "token")
        assert body
        return {"status": {"token": TOKEN}}

    def client(self, service: str) -> Lab:
        assert service == "sts"
        return self

    def assume_role_with_web_identity(self, **given: str) -> dict[str, dict[str, str]]:
        assert given["RoleArn"] == f"arn:aws:iam::{self.account_id}:role/{NAMES.role}"
        self.sessions += 1
        secret = f"secret-{self.sessions}" + "x" * 30
        return {
            "Credentials": {
                "AccessKeyId": f"ASIA{self.sessions}",
                "SecretAccessKey": secret,
                "SessionToken": f"session-{self.sessions}",
            }
        }

    def assume_role(self, token: str) -> str:
        self.tokens.append(token)
        self.log.append({"user_agent": "botocore marked", "verdict": "allowed", "role": NAMES.role})
        return "marked"

    def mark(self) -> int:
        return len(self.log)

    def calls(self, *, after: int = 0) -> list[dict[str, str]]:
        return self.log[after:]

    def knock(self, asking: Asking, answer: Callable[[str], SignedRequest]) -> str:
        signed = answer(f"challenge-{len(self.knocks)}")
        self.knocks.append((asking, signed))
        self.log.append(
            {"role": NAMES.role, "action": "GetCallerIdentity", "host": STS, "n": str(len(self.knocks))}
        )
        self.log.append({"role": "another", "action": "GetCallerIdentity", "host": STS})
        self.log.append({"role": NAMES.role, "action": "AssumeRoleWithWebIdentity", "host": STS})
        self.log.append({"role": "", "action": "CONNECT", "host": signed.host})
        return self.refusal


@pytest.fixture
def lab() -> Lab:
    return Lab()


@pytest.fixture
def somebody(lab: Lab) -> Impostor:
    port: Any = lab
    return Impostor(names=NAMES, api=port, account=port, gateway=port, clients=port, door=port)


def test_the_calls_of_this_attempt_alone_are_told(somebody: Impostor, lab: Lab) -> None:
    lab.refusal = "no"
    lab.log.append({"role": NAMES.role, "action": "GetCallerIdentity", "host": STS})
    answered = somebody.ask("request-replayed")
    assert answered.words == "no"
    assert [call.get("n") for call in answered.asked] == ["2"], "the earlier request's call is not this one's"


def test_a_foreign_host_that_was_asked_is_told(somebody: Impostor) -> None:
    answered = somebody.ask("foreign-sts-host")
    assert [call["host"] for call in answered.asked] == [STS, f"{STS}.example.com"]


def test_a_replayed_request_is_one_that_was_taken_by_another_host(somebody: Impostor, lab: Lab) -> None:
    answered = somebody.ask("request-replayed")
    (first, taken), (second, replayed) = lab.knocks
    assert replayed == taken
    assert replayed.headers[CHALLENGE] == "challenge-0"
    assert first.host_id != second.host_id == answered.host_id
    assert second.token == NAMES.token


def test_a_session_of_another_is_one_that_aws_gave(somebody: Impostor, lab: Lab) -> None:
    somebody.ask("session-of-another")
    ((_, signed),) = lab.knocks
    assert "Credential=ASIA1/" in signed.headers["Authorization"]
    assert signed.headers["X-Amz-Security-Token"] == "session-2"


def test_a_forged_web_identity_differs_in_its_signature_alone(somebody: Impostor, lab: Lab) -> None:
    assert somebody.take_role(genuine=True)["verdict"] == "allowed"
    somebody.take_role(genuine=False)
    genuine, forged = lab.tokens
    assert genuine == TOKEN
    assert forged != TOKEN
    assert forged.rpartition(".")[0] == TOKEN.rpartition(".")[0]
    assert len(forged) == len(TOKEN)


def test_a_real_door_is_told_the_fields_of_the_request(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    told: list[tuple[Any, bytes]] = []

    def join(address: str, _: Path, name: str, answered: Callable[[str], tuple[Any, bytes]]) -> None:
        assert (address, name) == ("127.0.0.1:1", "tele.example.com")
        told.append(answered("c"))
        if len(told) > 1:
            raise join_service.Refused("no")

    monkeypatch.setattr(join_service, "join", join)
    door = RealDoor("127.0.0.1:1", tmp_path)
    assert [door.knock(ASKING, lambda _: SIGNED) for _ in range(2)] == ["", "no"]
    (fields, wire), _ = told
    assert fields[:6] == [b"a-host", b"a-node", b"Kube", b"a-token", b"", b""]
    assert fields[6].startswith(b"-----BEGIN PUBLIC KEY-----")
    assert fields[7].startswith(b"ecdsa-sha2-nistp256 ")
    assert wire == SIGNED.wire()


@pytest.mark.parametrize(
    ("result", "words"), [({"certificate": "x"}, ""), ({"error": {"message": "no"}}, "no")]
)
def test_a_simulated_door_is_told_the_same(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, result: dict[str, Any], words: str
) -> None:
    asked: dict[str, Any] = {}

    def call(_: SimulatedDoor, method: str, given: object) -> object:
        asked[method] = json.loads(json.dumps(given))
        return "c" if method == "challenge" else result

    monkeypatch.setattr(impostor.SimulatedDoor, "_call", call)
    assert SimulatedDoor("127.0.0.1:1", tmp_path).knock(ASKING, lambda _: SIGNED) == words
    join = asked["join"]
    assert {
        **dataclasses.asdict(ASKING),
        "role": "Kube",
        "challenge": "c",
        "method": "iam",
    }.items() <= join.items()
    assert join["sts"] == {
        "method": "POST",
        "host": STS,
        "headers": dict(SIGNED.headers),
        "body": base64.b64encode(b"body").decode(),
    }
