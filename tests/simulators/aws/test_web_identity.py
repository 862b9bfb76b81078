"""AssumeRoleWithWebIdentity: each reason for which AWS says no, and what a yes looks like."""

from __future__ import annotations

import datetime as dt
import json
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import botocore.exceptions
import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

if TYPE_CHECKING:
    from tests.simulators.aws.conftest import Lab

KEY = "oidc.eks.eu-west-1.amazonaws.com/id/LABISSUER"
SUBJECT = "system:serviceaccount:teleport-agent:teleport-kube-agent-sa"
NOT_AUTHORIZED = "Not authorized to perform sts:AssumeRoleWithWebIdentity"


def denied(lab: Lab, role: str, token: str | None = None, **options: Any) -> tuple[str, str, dict[str, Any]]:
    """Call and expect a no; gives code, text and the log's record."""
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        lab.assume(role, token, **options)
    error = caught.value.response["Error"]
    record = lab.call(role)[-1]
    assert (record["verdict"], record["code"]) == ("denied", error["Code"])
    assert record["action"] == "AssumeRoleWithWebIdentity"
    return error["Code"], error["Message"], record


def test_a_good_token_gives_credentials_of_a_session(lab: Lab) -> None:
    role = lab.role()
    name = role.rpartition("/")[2]
    answer = lab.assume(role)
    assert answer["AssumedRoleUser"]["Arn"] == f"arn:aws:sts::210987654321:assumed-role/{name}/session-1"
    assert answer["AssumedRoleUser"]["AssumedRoleId"].endswith(":session-1")
    assert answer["SubjectFromWebIdentityToken"] == SUBJECT
    assert answer["Audience"] == "sts.amazonaws.com"
    assert answer["Credentials"]["AccessKeyId"].startswith("ASIA")
    left = answer["Credentials"]["Expiration"] - dt.datetime.now(dt.UTC)
    assert dt.timedelta(minutes=59) < left <= dt.timedelta(hours=1)
    record = lab.call(role)[-1]
    assert (record["verdict"], record["principal"]) == ("allowed", answer["AssumedRoleUser"]["Arn"])
    assert record["access_key_id"] == answer["Credentials"]["AccessKeyId"]


def test_the_answer_is_json_when_asked_for(lab: Lab) -> None:
    form = {
        "Action": "AssumeRoleWithWebIdentity",
        "Version": "2011-06-15",
        "RoleArn": lab.role(),
        "RoleSessionName": "session-1",
        "WebIdentityToken": lab.token(),
    }
    answer = lab.send(
        "POST", "https://sts.amazonaws.com/", {"Accept": "application/json"}, urlencode(form).encode()
    )
    result = answer.json["AssumeRoleWithWebIdentityResponse"]["AssumeRoleWithWebIdentityResult"]
    assert 3500 < result["Credentials"]["Expiration"] - time.time() <= 3600
    keys = {name: result["Credentials"][name] for name in ("AccessKeyId", "SecretAccessKey", "SessionToken")}
    assert lab.client("sts", keys).get_caller_identity()["Arn"] == result["AssumedRoleUser"]["Arn"]


def test_an_audience_that_is_no_list_is_understood(lab: Lab) -> None:
    assert lab.assume(lab.role(), lab.token(aud="sts.amazonaws.com"))["Audience"] == "sts.amazonaws.com"


@pytest.mark.parametrize("token", ["garbage", "a.b.c", "without subject"])
def test_what_is_no_token_is_denied(lab: Lab, token: str) -> None:
    text = lab.token(sub=None) if token == "without subject" else token
    code, message, _ = denied(lab, lab.role(), text)
    assert (code, message[:45]) == ("InvalidIdentityToken", "The ID Token provided is not a valid JWT. (Yo")


def test_an_issuer_that_the_account_does_not_know_is_denied(lab: Lab) -> None:
    other = "https://oidc.eks.eu-west-1.amazonaws.com/id/OTHER"
    code, message, _ = denied(lab, lab.role(), lab.token(iss=other))
    assert (code, message) == (
        "InvalidIdentityToken",
        f"No OpenIDConnect provider found in your account for {other}",
    )


@pytest.mark.parametrize("account", ["109876543210", "000011112222"])
def test_the_provider_has_to_be_in_the_roles_own_account(lab: Lab, account: str) -> None:
    """One account that exists and has no provider, and one that does not exist."""
    lab.provider()
    role = f"arn:aws:iam::{account}:role/{lab.unique('role')}"
    code, message, record = denied(lab, role)
    assert (code, message[:31]) == ("InvalidIdentityToken", "No OpenIDConnect provider found")
    assert record["account"] == account


def test_a_token_signed_by_a_foreign_key_is_denied(lab: Lab) -> None:
    foreign = rsa.generate_private_key(65537, 2048)
    code, message, record = denied(lab, lab.role(), lab.token(foreign))
    assert code == "InvalidIdentityToken"
    assert "could not be validated" in message
    assert record["reason"] == "the token was not signed with the issuer's key"


def test_a_key_that_the_issuer_does_not_publish_is_denied(lab: Lab) -> None:
    code, message, record = denied(lab, lab.role(), lab.token(kid="unheard-of"))
    assert (code, message[:35]) == ("InvalidIdentityToken", "Couldn't retrieve verification key ")
    assert "unheard-of" in record["reason"]


@pytest.mark.parametrize("algorithm", ["none", "HS256"])
def test_a_token_without_the_issuers_algorithm_is_denied(lab: Lab, algorithm: str) -> None:
    claims = jwt.decode(lab.token(), options={"verify_signature": False})
    secret: Any = None if algorithm == "none" else "x" * 32
    token = jwt.encode(claims, secret, algorithm=algorithm, headers={"kid": "current"})
    code, message, _ = denied(lab, lab.role(), token)
    assert (code, "could not be validated" in message) == ("InvalidIdentityToken", True)


def test_changed_claims_are_denied(lab: Lab) -> None:
    header, _, signature = lab.token().split(".")
    claims = lab.token(sub="system:serviceaccount:default:other").split(".")[1]
    role = lab.role()
    code, message, _ = denied(lab, role, f"{header}.{claims}.{signature}")
    assert (code, "could not be validated" in message) == ("InvalidIdentityToken", True)


def test_an_expired_token_is_denied(lab: Lab) -> None:
    past = int(time.time()) - 5
    code, message, _ = denied(lab, lab.role(), lab.token(exp=past))
    assert code == "ExpiredTokenException"
    assert message.endswith(f"must be before the expiration date/time {past}")


def test_a_token_of_tomorrow_is_denied(lab: Lab) -> None:
    tomorrow = int(time.time()) + 86400
    code, message, _ = denied(lab, lab.role(), lab.token(nbf=tomorrow, exp=tomorrow + 600))
    assert (code, message) == ("InvalidIdentityToken", "The ID Token provided is not yet valid")


def test_an_audience_that_the_provider_does_not_list_is_denied(lab: Lab) -> None:
    code, message, record = denied(lab, lab.role(), lab.token(aud=["https://kubernetes.default.svc"]))
    assert (code, message) == ("InvalidIdentityToken", "Incorrect token audience")
    assert "https://kubernetes.default.svc" in record["reason"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"Condition": {"StringEquals": {f"{KEY}:sub": "system:serviceaccount:x:y"}}}, "wants"),
        ({"Condition": {"StringEquals": {f"{KEY}:aud": "other"}}}, f"StringEquals on {KEY}:aud wants other"),
        ({"Condition": {"StringLike": {f"{KEY}:sub": "system:serviceaccount:default:*"}}}, "StringLike"),
        ({"Condition": {"StringNotEquals": {f"{KEY}:sub": SUBJECT}}}, "StringNotEquals"),
        ({"Condition": {"StringEquals": {"oidc.example.com:sub": SUBJECT}}}, "the caller has nothing"),
        ({"Condition": {"IpAddress": {"aws:SourceIp": "0.0.0.0/0"}}}, "IpAddress is not understood"),
        ({"Action": "sts:AssumeRole"}, "the action is not"),
        ({"Effect": "Deny"}, "statement 1 denies"),
        (
            {"Principal": {"Federated": "arn:aws:iam::109876543210:oidc-provider/" + KEY}},
            "the principal is not",
        ),
        ({"Principal": {"AWS": "arn:aws:iam::210987654321:root"}}, "the principal is not"),
    ],
)
def test_a_trust_policy_that_does_not_match_denies(lab: Lab, changes: dict[str, Any], reason: str) -> None:
    code, message, record = denied(lab, lab.role(lab.trust(**changes)))
    assert (code, message) == ("AccessDenied", NOT_AUTHORIZED)
    assert reason in record["reason"]


@pytest.mark.parametrize(
    "changes",
    [
        {"Condition": {"StringLike": {f"{KEY}:sub": "system:serviceaccount:teleport-agent:*"}}},
        {"Action": ["sts:TagSession", "sts:AssumeRoleWith*"]},
        {"Condition": {}},
    ],
)
def test_a_trust_policy_that_matches_allows(lab: Lab, changes: dict[str, Any]) -> None:
    assert lab.assume(lab.role(lab.trust(**changes)))["Credentials"]["AccessKeyId"]


def test_a_changed_trust_policy_counts_at_once(lab: Lab) -> None:
    role = lab.role()
    lab.assume(role)
    changed = json.dumps(lab.trust(Action="sts:TagSession"))
    lab.client("iam").update_assume_role_policy(RoleName=role.rpartition("/")[2], PolicyDocument=changed)
    assert denied(lab, role)[:2] == ("AccessDenied", NOT_AUTHORIZED)


def test_another_service_account_is_denied(lab: Lab) -> None:
    other = "system:serviceaccount:teleport-agent:default"
    code, _, record = denied(lab, lab.role(), lab.token(sub=other))
    assert code == "AccessDenied"
    assert record["reason"].endswith(f"the caller has {other}")


def test_a_role_that_does_not_exist_is_denied(lab: Lab) -> None:
    lab.provider()
    role = f"arn:aws:iam::210987654321:role/{lab.unique('absent')}"
    code, message, record = denied(lab, role)
    assert (code, message, record["reason"]) == ("AccessDenied", NOT_AUTHORIZED, f"no role {role}")


def test_the_path_is_part_of_a_roles_arn(lab: Lab) -> None:
    role = lab.role(Path="/teleport/")
    code, message, _ = denied(lab, role.replace("/teleport/", "/"))
    assert (code, message) == ("AccessDenied", NOT_AUTHORIZED)
    assert lab.assume(role)["Credentials"]["AccessKeyId"]


def test_a_session_no_longer_than_the_role_allows(lab: Lab) -> None:
    role = lab.role()
    code, message, _ = denied(lab, role, DurationSeconds=7200)
    assert (code, "MaxSessionDuration" in message) == ("ValidationError", True)
    longer = lab.role(MaxSessionDuration=7200)
    assert lab.assume(longer, DurationSeconds=7200)["Credentials"]["AccessKeyId"]


@pytest.mark.parametrize(
    "body",
    [
        "RoleSessionName=s1&WebIdentityToken=t",
        "RoleArn=arn:aws:iam::210987654321:role/x&WebIdentityToken=t",
        "RoleArn=arn:aws:iam::210987654321:role/x&RoleSessionName=s1",
        "RoleArn=arn:aws:iam::210987654321:user/x&RoleSessionName=s1&WebIdentityToken=t",
        "RoleArn=arn:aws:iam::210987654321:role/x&RoleSessionName=s/1&WebIdentityToken=t",
        "RoleArn=arn:aws:iam::210987654321:role/x&RoleSessionName=s1&WebIdentityToken=t&DurationSeconds=1",
    ],
)
def test_wrong_parameters_are_told_first(lab: Lab, body: str) -> None:
    form = f"Action=AssumeRoleWithWebIdentity&Version=2011-06-15&{body}".encode()
    answer = lab.send("POST", "https://sts.amazonaws.com/", {"Accept": "application/json"}, form)
    assert (answer.status, answer.json["Error"]["Code"]) == (400, "ValidationError")


def test_the_issuers_new_keys_count_when_the_file_changes(lab: Lab) -> None:
    file = lab.folder / "jwks.json"
    before = file.read_text()
    new = rsa.generate_private_key(65537, 2048)
    role = lab.role()
    issuer_keys = f"https://{KEY}/keys"
    assert denied(lab, role, lab.token(new, "new"))[0] == "InvalidIdentityToken"
    entry = {
        "kid": "new",
        "alg": "RS256",
        **jwt.algorithms.RSAAlgorithm.to_jwk(new.public_key(), as_dict=True),
    }
    published = {"keys": [*lab.send("GET", issuer_keys).json["keys"], entry]}
    try:
        file.write_text(json.dumps(published))
        assert lab.assume(role, lab.token(new, "new"))["Credentials"]["AccessKeyId"]
        assert lab.send("GET", issuer_keys).json == published
    finally:
        file.write_text(before)
    assert denied(lab, role, lab.token(new, "new"))[0] == "InvalidIdentityToken"


def test_the_issuer_publishes_its_discovery_document(lab: Lab) -> None:
    document = lab.send("GET", f"https://{KEY}/.well-known/openid-configuration").json
    assert document["issuer"] == f"https://{KEY}"
    assert document["jwks_uri"] == f"https://{KEY}/keys"
    unknown = KEY.replace("LABISSUER", "OTHER")
    assert lab.send("GET", f"https://{unknown}/.well-known/openid-configuration").status == 404
    assert lab.send("GET", f"https://{unknown}/keys").status == 404
