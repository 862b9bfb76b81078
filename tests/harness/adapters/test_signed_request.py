"""Requests are signed as the gateway calculates it, and each forgery is wrong in one way alone."""

from __future__ import annotations

import hashlib
import re

import pytest
from botocore.credentials import Credentials

from harness.adapters.signed_request import BODY, CHALLENGE, DIGEST, FORGERIES, Scene, SignedRequest, Signer
from simulators.aws.answers import Request
from simulators.aws.credentials import Identity
from simulators.aws.sigv4 import calculate, parse

SECRET = "s" * 40
SIGNER = Signer(Credentials("ASIAEXAMPLE", SECRET, "own-session"), "eu-west-1", "sts.eu-west-1.amazonaws.com")
EARLIER = SIGNER.sign("earlier")
SCENE = Scene(SIGNER, "now", (EARLIER,), "another-session")


def as_received(signed: SignedRequest) -> Request:
    return Request(
        method=signed.method,
        host=signed.host,
        target="/",
        headers=tuple(signed.headers.items()),
        body=signed.body,
    )


def signature_is_right(signed: SignedRequest) -> bool:
    request = as_received(signed)
    authorization = parse(request)
    identity = Identity(
        account="1" * 12,
        arn="arn:aws:sts::111111111111:assumed-role/r/s",
        user_id="u",
        access_key_id="ASIAEXAMPLE",
        secret_access_key=SECRET,
    )
    return calculate(request, authorization, identity) == authorization.signature


def covered(signed: SignedRequest) -> tuple[str, ...]:
    return parse(as_received(signed)).signed_headers


def forged(name: str) -> SignedRequest:
    return FORGERIES[name](SCENE)


def test_the_genuine_one_is_what_an_agent_signs() -> None:
    genuine = forged("genuine")
    assert signature_is_right(genuine)
    assert (genuine.method, genuine.body, genuine.headers[CHALLENGE]) == ("POST", BODY, "now")
    assert {"host", "x-amz-date", "x-amz-security-token", "x-teleport-challenge"} <= set(covered(genuine))
    head, _, body = genuine.wire().partition(b"\r\n\r\n")
    assert head.startswith(b"POST / HTTP/1.1\r\n")
    assert b"\r\nHost: sts.eu-west-1.amazonaws.com\r\n" in head
    assert body == BODY


@pytest.mark.parametrize("name", sorted(FORGERIES.keys() - {"genuine"}))
def test_a_forgery_is_not_the_genuine_one(name: str) -> None:
    assert forged(name) != forged("genuine")


@pytest.mark.parametrize("name", ["signature-altered", "challenge-rewritten"])
def test_these_have_a_wrong_signature_and_nothing_else(name: str) -> None:
    altered = forged(name)
    assert not signature_is_right(altered)
    assert (altered.host, altered.body, altered.headers[CHALLENGE]) == (SIGNER.host, BODY, "now")
    assert re.fullmatch(r".*Signature=[0-9a-f]{64}", altered.headers["Authorization"])


@pytest.mark.parametrize(
    "name",
    [
        "request-replayed",
        "challenge-unsigned",
        "body-changed",
        "body-signed-for-another",
        "foreign-sts-host",
        "request-not-posted",
        "date-unsigned",
        "sts-of-another-partition",
    ],
)
def test_these_have_a_right_signature(name: str) -> None:
    assert signature_is_right(forged(name))


def test_each_is_wrong_in_what_it_says() -> None:
    assert forged("request-replayed") == EARLIER
    unsigned = forged("challenge-unsigned")
    assert unsigned.headers[CHALLENGE] == "now"
    assert "x-teleport-challenge" not in covered(unsigned)
    assert "x-amz-date" not in covered(forged("date-unsigned"))
    assert "x-amz-date" in {name.lower() for name in forged("date-unsigned").headers}
    assert forged("body-changed").body != BODY
    assert forged("body-signed-for-another").body == BODY
    assert forged("body-signed-for-another").headers[DIGEST] != hashlib.sha256(BODY).hexdigest()
    assert forged("foreign-sts-host").host == "sts.eu-west-1.amazonaws.com.example.com"
    assert forged("request-not-posted").method == "GET"
    assert forged("sts-of-another-partition").host == "sts.cn-north-1.amazonaws.com.cn"
    assert "/cn-north-1/sts/" in forged("sts-of-another-partition").headers["Authorization"]
    assert forged("session-of-another").headers["X-Amz-Security-Token"] == "another-session"
