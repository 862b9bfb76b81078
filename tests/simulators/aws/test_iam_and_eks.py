"""IAM and EKS: only an administrator, only in its own account, and only when the signature is right."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import botocore.exceptions
import pytest

from simulators.aws.documents import trust_fault

if TYPE_CHECKING:
    from tests.simulators.aws.conftest import Lab

OTHER = ("AKIAADMIN00000000002", "SENTINEL-other-secret")


def error_of(call: Any, **parameters: Any) -> tuple[str, str, int]:
    with pytest.raises(botocore.exceptions.ClientError) as caught:
        call(**parameters)
    response = caught.value.response
    return (
        response["Error"]["Code"],
        response["Error"]["Message"],
        response["ResponseMetadata"]["HTTPStatusCode"],
    )


def other_admin(lab: Lab, service: str) -> Any:
    return lab.client(service, {"AccessKeyId": OTHER[0], "SecretAccessKey": OTHER[1]})


def test_the_guides_policy_role_and_attachment(lab: Lab) -> None:
    iam = lab.client("iam")
    role = lab.role()
    name = role.rpartition("/")[2]
    document = {
        "Version": "2012-10-17",
        "Statement": [{"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}],
    }
    policy = iam.create_policy(PolicyName=lab.unique("policy"), PolicyDocument=json.dumps(document))
    arn = policy["Policy"]["Arn"]
    assert arn.startswith("arn:aws:iam::210987654321:policy/")
    iam.attach_role_policy(RoleName=name, PolicyArn=arn)
    attached = iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]
    assert [entry["PolicyArn"] for entry in attached] == [arn]
    assert iam.get_role(RoleName=name)["Role"]["AssumeRolePolicyDocument"] == lab.trust()


@pytest.mark.parametrize(
    ("trust", "message"),
    [
        ("not json", "This policy contains invalid Json"),
        # As step 1 prints it in zsh, and in a shell that does not know the account.
        ('{"Statement": [{"Condition": {"StringEquals": {"x"}}}]}', "This policy contains invalid Json"),
        (
            {"Statement": [{"Principal": {"Federated": "arn:aws:iam:::oidc-provider/"}}]},
            "Federated principals must be valid domain names or SAML metadata ARNs",
        ),
    ],
)
def test_a_role_of_a_malformed_trust_policy_is_refused(lab: Lab, trust: Any, message: str) -> None:
    name = lab.unique("role")
    document = trust if isinstance(trust, str) else json.dumps(trust)
    create = lab.client("iam").create_role
    code, told, status = error_of(create, RoleName=name, AssumeRolePolicyDocument=document)
    assert (code, told, status) == ("MalformedPolicyDocument", message, 400)
    assert error_of(lab.client("iam").get_role, RoleName=name)[0] == "NoSuchEntity"


@pytest.mark.parametrize(
    ("document", "fault"),
    [
        ('{"Statement": {"Principal": {"Federated": "accounts.google.com"}}}', ""),
        (
            '{"Statement": [{"Principal": {"Federated": ["arn:aws-cn:iam::210987654321:oidc-provider/x/id/1"]}}]}',
            "",
        ),
        ('{"Statement": [{"Principal": {"Service": "ec2.amazonaws.com"}}]}', ""),
        ('{"Statement": [{"Principal": "*"}]}', ""),
        ('["x"]', "Syntax errors in policy."),
        (
            '{"Statement": [{"Principal": {"Federated": ["accounts.google.com", "arn:aws:iam::1:x"]}}]}',
            "Federated principals must be valid domain names or SAML metadata ARNs",
        ),
    ],
)
def test_what_iam_refuses_of_a_trust_policy(document: str, fault: str) -> None:
    assert trust_fault(document) == fault


def test_a_partition_has_arns_and_roles_of_its_own(lab: Lab) -> None:
    in_china = {"region": "cn-north-1"}
    assert (
        lab.client("sts", **in_china).get_caller_identity()["Arn"].startswith("arn:aws-cn:iam::210987654321:")
    )
    assert lab.client("sts").get_caller_identity()["Arn"].startswith("arn:aws:iam::210987654321:")
    name = lab.unique("role")
    created = lab.client("iam", **in_china).create_role(
        RoleName=name, AssumeRolePolicyDocument=json.dumps(lab.trust())
    )
    assert created["Role"]["Arn"] == f"arn:aws-cn:iam::210987654321:role/{name}"
    assert error_of(lab.client("iam").get_role, RoleName=name)[0] == "NoSuchEntity"
    # The gateway's own look-ups find it in its partition, and in no other.
    for partition, status in (("aws-cn", 200), ("aws", 400)):
        role = {"role_arn": f"arn:{partition}:iam::210987654321:role/{name}", "region": "cn-north-1"}
        assert lab.control("PUT", f"/node-identities/{name}", role).status == status
    assert lab.control("DELETE", f"/node-identities/{name}").status == 200


def test_accounts_do_not_see_each_other(lab: Lab) -> None:
    name = lab.role().rpartition("/")[2]
    code, _, status = error_of(other_admin(lab, "iam").get_role, RoleName=name)
    assert (code, status) == ("NoSuchEntity", 404)
    record = lab.last_call()
    assert (record["verdict"], record["code"], record["account"]) == (
        "allowed",
        "NoSuchEntity",
        "109876543210",
    )


def test_a_role_session_may_not_call_iam(lab: Lab) -> None:
    role = lab.role()
    name = role.rpartition("/")[2]
    code, message, status = error_of(lab.client("iam", lab.session(role)).get_role, RoleName=name)
    assert (code, status) == ("AccessDenied", 403)
    assert message.startswith(
        f"User: arn:aws:sts::210987654321:assumed-role/{name}/session-1 is not authorized to perform:"
        f" iam:GetRole on resource: {role}"
    )
    record = lab.call(role)[-1]
    assert (record["service"], record["action"], record["verdict"]) == ("iam", "GetRole", "denied")


def test_a_wrong_secret_reaches_no_backend(lab: Lab) -> None:
    wrong = {"AccessKeyId": OTHER[0], "SecretAccessKey": "wrong"}
    name = lab.unique("never")
    code, _, status = error_of(
        lab.client("iam", wrong).create_role, RoleName=name, AssumeRolePolicyDocument="{}"
    )
    assert (code, status) == ("SignatureDoesNotMatch", 403)
    assert error_of(other_admin(lab, "iam").get_role, RoleName=name)[0] == "NoSuchEntity"


def test_the_account_header_of_the_backend_cannot_be_smuggled_in(lab: Lab) -> None:
    name = lab.role().rpartition("/")[2]
    iam = other_admin(lab, "iam")

    def smuggle(request: Any, **_: Any) -> None:
        request.headers["x-moto-account-id"] = "210987654321"

    iam.meta.events.register("before-send.iam", smuggle)
    try:
        assert error_of(iam.get_role, RoleName=name)[0] == "NoSuchEntity"
    finally:
        iam.meta.events.unregister("before-send.iam", smuggle)


def test_a_cluster_tells_its_issuer(lab: Lab) -> None:
    cluster = lab.client("eks").describe_cluster(name="kube-cluster")["cluster"]
    assert cluster["identity"] == {
        "oidc": {"issuer": "https://oidc.eks.eu-west-1.amazonaws.com/id/LABISSUER"}
    }
    assert (cluster["status"], cluster["version"]) == ("ACTIVE", "1.32")
    assert cluster["arn"] == "arn:aws:eks:eu-west-1:210987654321:cluster/kube-cluster"
    record = lab.last_call()
    assert (record["service"], record["action"], record["verdict"]) == ("eks", "DescribeCluster", "allowed")


def test_a_cluster_without_provider_has_no_identity(lab: Lab) -> None:
    assert "identity" not in lab.client("eks").describe_cluster(name="no-issuer")["cluster"]


def test_an_unknown_cluster(lab: Lab) -> None:
    code, message, status = error_of(lab.client("eks").describe_cluster, name="absent")
    assert (code, message, status) == (
        "ResourceNotFoundException",
        "No cluster found for name: absent.",
        404,
    )


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1"])
def test_clusters_are_found_in_their_region_only(lab: Lab, region: str) -> None:
    eks = lab.client("eks", region=region)
    assert error_of(eks.describe_cluster, name="kube-cluster")[0] == "ResourceNotFoundException"
    assert eks.list_clusters()["clusters"] == []


def test_clusters_are_found_in_their_account_only(lab: Lab) -> None:
    eks = other_admin(lab, "eks")
    assert error_of(eks.describe_cluster, name="kube-cluster")[0] == "ResourceNotFoundException"
    assert {"kube-cluster", "no-issuer"} <= set(lab.client("eks").list_clusters()["clusters"])


def test_a_cluster_can_be_added_and_changed_through_control(lab: Lab) -> None:
    name = lab.unique("cluster")
    wanted = {
        "account": "210987654321",
        "region": "eu-west-1",
        "version": "1.31",
        "endpoint": "https://127.0.0.1:1",
        "certificate_authority": "cGVt",
        "issuer": f"https://oidc.eks.eu-west-1.amazonaws.com/id/{name}",
        "jwks": str(lab.folder / "jwks.json"),
    }
    assert lab.control("PUT", f"/clusters/{name}", wanted).status == 200
    described = lab.client("eks").describe_cluster(name=name)["cluster"]
    assert described["identity"]["oidc"]["issuer"] == wanted["issuer"]
    assert lab.send("GET", f"{wanted['issuer']}/keys").status == 200
    assert lab.control("PUT", f"/clusters/{name}", {**wanted, "issuer": None}).status == 200
    assert "identity" not in lab.client("eks").describe_cluster(name=name)["cluster"]
    answer = lab.control("PUT", f"/clusters/{name}", {"region": "eu-west-1"})
    assert (answer.status, "'account' is missing" in answer.text) == (400, True)


def test_a_role_session_may_not_describe_clusters(lab: Lab) -> None:
    role = lab.role()
    eks = lab.client("eks", lab.session(role))
    code, message, status = error_of(eks.describe_cluster, name="kube-cluster")
    assert (code, status) == ("AccessDeniedException", 403)
    assert (
        "eks:DescribeCluster on resource: arn:aws:eks:eu-west-1:210987654321:cluster/kube-cluster" in message
    )
    assert lab.call(role)[-1]["verdict"] == "denied"


@pytest.mark.parametrize(
    ("keys", "code"),
    [
        ({"AccessKeyId": OTHER[0], "SecretAccessKey": "wrong"}, "InvalidSignatureException"),
        ({"AccessKeyId": "AKIAUNKNOWN000000000", "SecretAccessKey": "x"}, "UnrecognizedClientException"),
    ],
)
def test_eks_verifies_signatures_under_its_own_names(lab: Lab, keys: dict[str, str], code: str) -> None:
    assert error_of(lab.client("eks", keys).describe_cluster, name="kube-cluster")[0] == code


def test_eks_without_signature_and_other_operations(lab: Lab) -> None:
    host = "https://eks.eu-west-1.amazonaws.com"
    answer = lab.send("GET", f"{host}/clusters/kube-cluster")
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (
        403,
        "MissingAuthenticationTokenException",
    )
    answer = lab.send("DELETE", f"{host}/clusters/kube-cluster")
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (400, "UnknownOperationException")
    assert lab.last_call()["verdict"] == "refused"


@pytest.mark.parametrize(
    "host",
    [
        "ec2.eu-west-1.amazonaws.com",
        "sts-fips.us-east-1.amazonaws.com",
        "sts.cn-north-1.amazonaws.com",
        "sts.eu-west-1.amazonaws.com.cn",
        "x.sts.eu-west-1.amazonaws.com",
        "my-bucket.s3.amazonaws.com",
    ],
)
def test_other_hosts_of_aws_are_refused(lab: Lab, host: str) -> None:
    answer = lab.send("POST", f"https://{host}/", {}, b"Action=GetCallerIdentity&Version=2011-06-15")
    assert (answer.status, answer.headers["x-amzn-ErrorType"]) == (400, "UnknownOperationException")
    record = lab.last_call()
    assert (record["host"], record["verdict"], record["service"]) == (host, "refused", "unknown")
