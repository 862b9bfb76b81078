"""GetCallerIdentity: who signed, and every way in which nobody did."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import pytest

if TYPE_CHECKING:
    from tests.simulators.aws.conftest import Lab, Response

BODY = b"Action=GetCallerIdentity&Version=2011-06-15"
US = "sts.us-east-1.amazonaws.com"
Session = tuple[str, dict[str, str]]


def send(lab: Lab, headers: dict[str, str], body: bytes = BODY, host: str = US) -> Response:
    return lab.send("POST", f"https://{host}/", headers, body)


def assert_denied(lab: Lab, answer: Response, code: str, role: str, reason: str = "") -> None:
    """The client is told the code in JSON, and the log knows role, verdict and reason."""
    status = 403
    assert (answer.status, answer.headers["Content-Type"]) == (status, "application/json"), answer.text
    assert answer.json["Error"]["Code"] == code
    assert answer.json["Error"]["Type"] == "Sender"
    assert answer.headers["x-amzn-RequestId"] == answer.json["RequestId"]
    record = lab.call(role)[-1]
    assert (record["action"], record["verdict"], record["code"]) == ("GetCallerIdentity", "denied", code)
    assert reason in record["reason"]
    assert record["answer"] is None


@pytest.mark.parametrize(
    ("host", "region"),
    [
        ("sts.us-east-1.amazonaws.com", "us-east-1"),
        ("sts.eu-west-1.amazonaws.com", "eu-west-1"),
        ("sts.amazonaws.com", "us-east-1"),
    ],
)
def test_a_request_as_teleport_signs_it_is_answered_in_json(
    lab: Lab, session_role: Session, host: str, region: str
) -> None:
    role, keys = session_role
    answer = send(lab, lab.teleport_request(keys, host, region=region), host=host)
    assert (answer.status, answer.headers["Content-Type"]) == (200, "application/json")
    name = role.rpartition("/")[2]
    response = answer.json["GetCallerIdentityResponse"]
    assert response["GetCallerIdentityResult"]["Account"] == "210987654321"
    assert response["GetCallerIdentityResult"]["Arn"] == (
        f"arn:aws:sts::210987654321:assumed-role/{name}/session-1"
    )
    role_id, _, session = response["GetCallerIdentityResult"]["UserId"].partition(":")
    assert role_id.startswith("AROA")
    assert session == "session-1"
    assert response["ResponseMetadata"] == {"RequestId": answer.headers["x-amzn-RequestId"]}
    record = lab.call(role)[-1]
    assert record["signed_headers"] == [
        "accept",
        "content-length",
        "content-type",
        "host",
        "x-amz-date",
        "x-amz-security-token",
        "x-teleport-challenge",
    ]
    result = response["GetCallerIdentityResult"]
    assert record["answer"] == {"account": result["Account"], "arn": result["Arn"]}
    assert (record["verdict"], record["region"], record["host"]) == ("allowed", region, host)


def test_sdks_get_xml(lab: Lab, session_role: Session) -> None:
    role, keys = session_role
    identity = lab.client("sts", keys).get_caller_identity()
    assert identity["Arn"].endswith(f":assumed-role/{role.rpartition('/')[2]}/session-1")
    assert identity["ResponseMetadata"]["HTTPHeaders"]["content-type"] == "text/xml"


def test_an_administrator_is_told_its_own_arn(lab: Lab) -> None:
    identity = lab.client("sts").get_caller_identity()
    assert (identity["Arn"], identity["Account"], identity["UserId"]) == (
        "arn:aws:iam::210987654321:user/admin",
        "210987654321",
        "AIDA210987654321",
    )


def test_the_path_of_a_role_is_not_in_its_sessions_arn(lab: Lab) -> None:
    role = lab.role(Path="/teleport/agents/")
    assert ":role/teleport/agents/" in role
    arn = lab.client("sts", lab.session(role)).get_caller_identity()["Arn"]
    assert arn == f"arn:aws:sts::210987654321:assumed-role/{role.rpartition('/')[2]}/session-1"


@pytest.mark.parametrize(
    ("change", "code", "reason"),
    [
        ({"X-Teleport-Challenge": "another"}, "SignatureDoesNotMatch", "signature differs"),
        ({"Accept": "application/json;q=1"}, "SignatureDoesNotMatch", "signature differs"),
        ({"X-Teleport-Challenge": None}, "SignatureDoesNotMatch", "was not sent"),
        ({"X-Amz-Date": "20260101T000000Z"}, "SignatureDoesNotMatch", "Date in Credential scope"),
        ({"X-Amz-Date": None}, "IncompleteSignature", "X-Amz-Date"),
        ({"X-Amz-Date": "yesterday"}, "IncompleteSignature", "X-Amz-Date"),
        ({"X-Amz-Security-Token": None}, "InvalidClientTokenId", "session token"),
        ({"X-Amz-Security-Token": "another"}, "InvalidClientTokenId", "session token"),
        ({"X-Amz-Target": "unsigned"}, "IncompleteSignature", "x-amz-target"),
    ],
)
def test_a_changed_request_is_denied(
    lab: Lab,
    session_role: Session,
    change: dict[str, str | None],
    code: str,
    reason: str,
) -> None:
    role, keys = session_role
    headers: dict[str, Any] = {**lab.teleport_request(keys), **change}
    present = {name: value for name, value in headers.items() if value is not None}
    assert_denied(lab, send(lab, present), code, role, reason)


def test_a_changed_body_of_equal_length_is_denied(lab: Lab, session_role: Session) -> None:
    role, keys = session_role
    headers = lab.teleport_request(keys)
    assert send(lab, headers, BODY).status == 200
    # Still understood as the same action, so only the signature can tell.
    body = b"Version=2011-06-15&Action=GetCallerIdentity"
    assert_denied(lab, send(lab, headers, body), "SignatureDoesNotMatch", role, "signature differs")


def test_a_date_moved_to_now_does_not_rescue_an_old_signature(lab: Lab, session_role: Session) -> None:
    role, keys = session_role
    fresh = lab.teleport_request(keys)["X-Amz-Date"]
    headers = lab.teleport_request(keys, moved=-600) | {"X-Amz-Date": fresh}
    assert_denied(lab, send(lab, headers), "SignatureDoesNotMatch", role)


@pytest.mark.parametrize("digest", ["UNSIGNED-PAYLOAD", hashlib.sha256(BODY).hexdigest()])
def test_the_declared_digest_of_a_body_is_not_believed(lab: Lab, session_role: Session, digest: str) -> None:
    role, keys = session_role
    headers = lab.teleport_request(keys, headers={"X-Amz-Content-Sha256": digest})
    other = b"Version=2011-06-15&Action=GetCallerIdentity"
    assert_denied(lab, send(lab, headers, other), "SignatureDoesNotMatch", role, "the body")


def test_a_right_digest_of_the_body_is_accepted(lab: Lab, session_role: Session) -> None:
    _, keys = session_role
    digest = hashlib.sha256(BODY).hexdigest()
    assert send(lab, lab.teleport_request(keys, headers={"X-Amz-Content-Sha256": digest})).status == 200


def test_headers_that_were_not_signed_do_not_matter(lab: Lab, session_role: Session) -> None:
    _, keys = session_role
    headers = lab.teleport_request(keys) | {"User-Agent": "x", "X-Forwarded-For": "192.0.2.1"}
    assert send(lab, headers).status == 200


def test_headers_that_botocore_never_signs_are_verified_when_signed(
    lab: Lab, session_role: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    role, keys = session_role
    monkeypatch.setattr("botocore.auth.SIGNED_HEADERS_BLACKLIST", [])
    headers = lab.teleport_request(keys, headers={"User-Agent": "teleport"})
    assert send(lab, headers).status == 200
    assert "user-agent" in lab.call(role)[-1]["signed_headers"]
    assert_denied(lab, send(lab, headers | {"User-Agent": "other"}), "SignatureDoesNotMatch", role)


def test_a_wrong_secret_is_denied(lab: Lab, session_role: Session) -> None:
    role, keys = session_role
    headers = lab.teleport_request(keys | {"SecretAccessKey": "wrong"})
    assert_denied(lab, send(lab, headers), "SignatureDoesNotMatch", role, "signature differs")


@pytest.mark.parametrize("host", ["sts.eu-west-1.amazonaws.com", "sts.amazonaws.com"])
def test_a_scope_of_another_region_is_denied(lab: Lab, session_role: Session, host: str) -> None:
    role, keys = session_role
    headers = lab.teleport_request(keys, host, region="eu-central-1")
    assert_denied(lab, send(lab, headers, host=host), "SignatureDoesNotMatch", role, "eu-central-1")


def test_a_session_is_unknown_in_another_partition(lab: Lab, session_role: Session) -> None:
    role, keys = session_role
    host = "sts.cn-north-1.amazonaws.com.cn"
    headers = lab.teleport_request(keys, host, region="cn-north-1")
    assert_denied(lab, send(lab, headers, host=host), "InvalidClientTokenId", role, "a session of aws")


def test_a_scope_of_another_service_is_denied(lab: Lab, session_role: Session) -> None:
    role, keys = session_role
    headers = lab.teleport_request(keys, service="iam")
    assert_denied(lab, send(lab, headers), "SignatureDoesNotMatch", role, "correct service: 'sts'")


def test_a_signature_for_one_host_is_denied_by_another(lab: Lab, session_role: Session) -> None:
    role, keys = session_role
    headers = lab.teleport_request(keys, "sts.amazonaws.com")
    answer = send(lab, headers | {"Host": US})
    assert_denied(lab, answer, "SignatureDoesNotMatch", role, "signature differs")


@pytest.mark.parametrize(
    ("moved", "text"), [(-330, "Signature expired: "), (330, "Signature not yet current: ")]
)
def test_a_date_outside_the_window_is_denied(
    lab: Lab, session_role: Session, moved: float, text: str
) -> None:
    role, keys = session_role
    answer = send(lab, lab.teleport_request(keys, moved=moved))
    assert_denied(lab, answer, "SignatureDoesNotMatch", role, text)
    assert answer.json["Error"]["Message"].startswith(text)


@pytest.mark.parametrize("moved", [-270, 270])
def test_a_date_inside_the_window_is_accepted(lab: Lab, session_role: Session, moved: float) -> None:
    _, keys = session_role
    assert send(lab, lab.teleport_request(keys, moved=moved)).status == 200


def test_an_expired_session_is_denied(lab: Lab) -> None:
    role = lab.role()
    keys = dict(lab.assume(role, DurationSeconds=900)["Credentials"])
    path = f"/roles/{role.rpartition('/')[2]}/disruption"
    # Both clocks go on, so that the date is right and only the session is too old.
    assert lab.control("PUT", path, {"clock_shift": 880}).status == 200
    assert send(lab, lab.teleport_request(keys, moved=880)).status == 200
    assert lab.control("PUT", path, {"clock_shift": 910}).status == 200
    answer = send(lab, lab.teleport_request(keys, moved=910))
    assert_denied(lab, answer, "ExpiredToken", role)


def test_an_unknown_key_is_denied_in_the_sdks_words(lab: Lab) -> None:
    keys = {"AccessKeyId": "ASIAUNKNOWN000000000", "SecretAccessKey": "x", "SessionToken": "y"}
    with pytest.raises(botocore.exceptions.ClientError, match=r"InvalidClientTokenId.*is invalid\."):
        lab.client("sts", keys).get_caller_identity()


def test_an_unsigned_call_is_denied_in_xml(lab: Lab) -> None:
    answer = send(lab, {"Content-Type": "application/x-www-form-urlencoded"})
    assert (answer.status, answer.headers["Content-Type"]) == (403, "text/xml")
    assert "<Code>MissingAuthenticationToken</Code>" in answer.text


@pytest.mark.parametrize("header", ["AWS4-HMAC-SHA256 Credential=x", "Bearer x", "AWS4-HMAC-SHA256"])
def test_a_malformed_authorization_is_denied(lab: Lab, header: str) -> None:
    answer = send(lab, {"Authorization": header, "Accept": "application/json"})
    assert (answer.status, answer.json["Error"]["Code"]) == (403, "IncompleteSignature")


def test_a_get_with_a_query_is_verified_too(lab: Lab, session_role: Session) -> None:
    role, keys = session_role
    target = f"/?{BODY.decode()}"
    headers = lab.teleport_request(
        keys, body=b"", target=target, method="GET", headers={"Content-Length": "0"}
    )
    assert lab.send("GET", f"https://{US}{target}", headers).status == 200
    answer = lab.send("GET", f"https://{US}{target}&X=1", headers)
    assert_denied(lab, answer, "SignatureDoesNotMatch", role)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"Action=GetCallerIdentity&Version=2011-06-14", "InvalidAction"),
        (b"Action=AssumeRole&Version=2011-06-15", "InvalidAction"),
        (b"", "MissingAction"),
    ],
)
def test_other_actions_are_refused(lab: Lab, body: bytes, code: str) -> None:
    answer = send(lab, {"Accept": "application/json"}, body)
    assert (answer.status, answer.json["Error"]["Code"]) == (400, code)
    assert lab.last_call()["verdict"] == "refused"
