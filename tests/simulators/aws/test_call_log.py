"""The call log is an oracle: complete, in order, the same in file and on the wire, and without secrets."""

from __future__ import annotations

import datetime as dt
import json
from typing import TYPE_CHECKING

import botocore.exceptions
import pytest

if TYPE_CHECKING:
    from tests.simulators.aws.conftest import Lab

BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
FIELDS = {
    "seq",
    "time",
    "host",
    "service",
    "region",
    "action",
    "account",
    "principal",
    "access_key_id",
    "role",
    "role_arn",
    "session",
    "signed_headers",
    "user_agent",
    "verdict",
    "code",
    "reason",
    "answer",
}


def test_a_join_leaves_two_records(lab: Lab) -> None:
    role = lab.role()
    name = role.rpartition("/")[2]
    before = lab.control("GET", "/calls").json["last"]
    keys = lab.session(role)
    headers = lab.teleport_request(keys) | {"User-Agent": "teleport/13"}
    lab.send("POST", "https://sts.us-east-1.amazonaws.com/", headers, BODY)
    assume, identity = lab.call(role, before)
    assert set(assume) == set(identity) == FIELDS
    assert (assume["seq"], identity["seq"]) == (before + 1, before + 2)
    assert (assume["action"], identity["action"]) == ("AssumeRoleWithWebIdentity", "GetCallerIdentity")
    arn = f"arn:aws:sts::210987654321:assumed-role/{name}/session-1"
    expected = {
        "host": "sts.us-east-1.amazonaws.com",
        "service": "sts",
        "region": "us-east-1",
        "account": "210987654321",
        "principal": arn,
        "access_key_id": keys["AccessKeyId"],
        "role": name,
        "role_arn": role,
        "session": "session-1",
        "user_agent": "teleport/13",
        "verdict": "allowed",
        "code": "",
        "reason": "",
        "answer": {"account": "210987654321", "arn": arn},
    }
    assert {field: identity[field] for field in expected} == expected
    age = dt.datetime.now(dt.UTC) - dt.datetime.fromisoformat(identity["time"])
    assert dt.timedelta(0) <= age < dt.timedelta(minutes=1)
    assert identity["time"].endswith("Z")


def test_after_and_role_select(lab: Lab) -> None:
    one, two = lab.role(), lab.role()
    lab.session(one)
    last = lab.control("GET", "/calls").json["last"]
    lab.session(two)
    assert lab.call(one, last) == []
    assert [record["role_arn"] for record in lab.call(two, last)] == [two]
    everything = lab.control("GET", f"/calls?after={last}").json
    assert [record["seq"] for record in everything["calls"]] == [last + 1]
    assert everything["last"] == last + 1
    assert lab.control("GET", "/calls?after=-5").json["calls"][0]["seq"] == 1
    assert lab.control("GET", "/calls?after=x").status == 400


def test_the_file_holds_what_the_wire_tells(lab: Lab) -> None:
    lab.session()
    lines = (lab.folder / "calls.jsonl").read_text().splitlines()
    calls = lab.control("GET", "/calls").json["calls"]
    assert [json.loads(line) for line in lines] == calls
    assert [record["seq"] for record in calls] == list(range(1, len(calls) + 1))


def test_no_secret_token_or_signature_is_ever_written(lab: Lab) -> None:
    role = lab.role()
    token = lab.token()
    keys = dict(lab.assume(role, token)["Credentials"])
    headers = lab.teleport_request(keys)
    url = "https://sts.us-east-1.amazonaws.com/"
    assert lab.send("POST", url, headers, BODY).status == 200
    assert lab.send("POST", url, headers | {"X-Teleport-Challenge": "other"}, BODY).status == 403
    assert lab.send("GET", f"{url}?Action=AssumeRoleWithWebIdentity&WebIdentityToken={token}").status == 400
    with pytest.raises(botocore.exceptions.ClientError):
        lab.assume(role, lab.token(aud=["x"]))
    lab.client("iam").get_role(RoleName=role.rpartition("/")[2])
    signature = headers["Authorization"].rpartition("=")[2]
    assert len(signature) == 64
    secrets = [keys["SecretAccessKey"], keys["SessionToken"], signature, "SENTINEL", *token.split(".")]
    written = [
        (lab.folder / "calls.jsonl").read_text(),
        lab.gateway.stderr.read_text(),
        lab.backend.stderr.read_text(),
        lab.control("GET", "/calls").text,
    ]
    assert keys["AccessKeyId"] in written[0]
    for secret in secrets:
        assert not any(secret in text for text in written)


def test_bytes_that_are_no_text_are_logged_and_answered(lab: Lab) -> None:
    answer = lab.send(
        "POST", "https://sts.amazonaws.com/", {"User-Agent": b"\xff\xfe".decode("latin-1")}, BODY
    )
    assert answer.status == 403
    assert lab.last_call()["code"] == "MissingAuthenticationToken"


def test_health(lab: Lab) -> None:
    assert lab.control("GET", "/healthz").json == {"status": "ok", "run": "a1b2c3"}
