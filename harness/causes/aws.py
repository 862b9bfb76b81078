"""Failures in AWS: the service account's identity."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from harness.causes.cause import Cause
from harness.causes.token import token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.causes.cause import Act
    from harness.environment import JSON
    from harness.scenario import Scenario

    Annotations = Callable[[Scenario], Mapping[str, str]]
    Values = Callable[[Scenario], Mapping[str, str]]
    Change = Callable[[Scenario, dict[str, Any]], JSON]

ROLE = "eks.amazonaws.com/role-arn"
AUDIENCE = "eks.amazonaws.com/audience"
PATH = "/teleport/"
KEYS = "aws-keys"
HOUR = 3600.0
DAY = 24 * HOUR

NEW_REGION = "ap-southeast-5"
"""A region that no Teleport before 18.4.2 knows (gravitational/teleport#61904)."""

POD_IDENTITY = "169.254.170.23"
"""Address of the node's agent of EKS Pod Identity."""

NO_ISSUER = "None"
"""What the AWS CLI prints for the issuer of a cluster that has none (step1.oidc-empty)."""


# The role's trust policy


def _trusting(change: Change) -> Act:
    """A set-up in which the role's trust policy is the guide's, changed."""

    def make(scenario: Scenario) -> None:
        scenario.make_service_account()
        scenario.make_token()
        scenario.aws.set_trust(change(scenario, dict(scenario.aws.trust(scenario.names.service_account))))

    return make


def _trust_as_printed(scenario: Scenario) -> None:
    scenario.aws.set_trust(scenario.aws.trust(scenario.names.service_account))


def _conditions(statement: JSON, ending: str, value: str) -> dict[str, str]:
    """The conditions of a trust policy, one of them with another value."""
    conditions: dict[str, str] = statement["Condition"]["StringEquals"]
    return {key: value if key.endswith(f":{ending}") else wanted for key, wanted in conditions.items()}


def _another_subject(scenario: Scenario, _: JSON) -> JSON:
    return scenario.aws.trust(f"not-{scenario.names.service_account}")


def _another_audience(_: Scenario, statement: JSON) -> JSON:
    return {**statement, "Condition": {"StringEquals": _conditions(statement, "aud", "sts.example.com")}}


def _another_principal(scenario: Scenario, statement: JSON) -> JSON:
    name = statement["Principal"]["Federated"].partition(":oidc-provider/")[2]
    arn = f"arn:aws:iam::{scenario.aws.account_id}:oidc-provider/not-{name}"
    return {**statement, "Principal": {"Federated": arn}}


def _wildcard(scenario: Scenario, statement: JSON) -> JSON:
    subject = f"system:serviceaccount:{scenario.names.namespace}:*"
    return {**statement, "Condition": {"StringEquals": _conditions(statement, "sub", subject)}}


def _another_action(_: Scenario, statement: JSON) -> JSON:
    return {**statement, "Action": "sts:AssumeRole"}


def _no_issuer(scenario: Scenario, statement: JSON) -> JSON:
    conditions = statement["Condition"]["StringEquals"]
    return {
        **statement,
        "Principal": {"Federated": f"arn:aws:iam::{scenario.aws.account_id}:oidc-provider/{NO_ISSUER}"},
        "Condition": {
            "StringEquals": {
                f"{NO_ISSUER}:{key.rpartition(':')[2]}": value for key, value in conditions.items()
            }
        },
    }


def _no_role(scenario: Scenario) -> None:
    scenario.kubernetes.create_namespace()
    _annotate(scenario)
    scenario.make_token()


def _make_role(scenario: Scenario) -> None:
    scenario.aws.create_role()


def _role_with_path(scenario: Scenario) -> None:
    scenario.aws.create_role(path=PATH)
    _no_role(scenario)


def _annotate_with_path(scenario: Scenario) -> None:
    scenario.kubernetes.create_service_account(str(scenario.aws.role()["Arn"]))


# The service account's annotation


def _arn(scenario: Scenario, *, account_id: str | None = None) -> str:
    """ARN of the scenario's role, in another account where one is given."""
    return f"arn:aws:iam::{account_id or scenario.aws.account_id}:role/{scenario.names.role}"


def _annotate(scenario: Scenario) -> None:
    scenario.kubernetes.create_service_account(_arn(scenario))


def _annotate_too_late(scenario: Scenario) -> None:
    # Helm is done before Kubernetes has made the pod: one that is made later is given the identity.
    scenario.agent.deployed()
    _annotate(scenario)


def _annotated(annotations: Annotations) -> Act:
    """A set-up in which the agent's service account has other annotations than the guide's one."""

    def make(scenario: Scenario) -> None:
        _account(scenario, scenario.names.service_account, annotations(scenario))
        scenario.aws.create_role()
        scenario.make_token()

    return make


def _account(scenario: Scenario, name: str, annotations: Mapping[str, str]) -> None:
    scenario.kubernetes.create_namespace()
    metadata = {"name": name, "namespace": scenario.names.namespace, "annotations": dict(annotations)}
    scenario.kubernetes.apply({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata})


def _another_annotated(scenario: Scenario) -> None:
    _annotated(lambda _: {})(scenario)
    _account(scenario, f"not-{scenario.names.service_account}", {ROLE: _arn(scenario)})


def _eaten(scenario: Scenario) -> dict[str, str]:
    # zsh takes `$account_id:r` for a modifier: these two characters go, and the next stays.
    return {ROLE: _arn(scenario).replace(":role/", "ole/")}


def _of_another_account(scenario: Scenario) -> dict[str, str]:
    return {ROLE: _arn(scenario, account_id=scenario.other_account_id())}


def _for_another_audience(scenario: Scenario) -> dict[str, str]:
    return {ROLE: _arn(scenario), AUDIENCE: "sts.example.com"}


# The pod's environment


def _variables(**variables: str) -> dict[str, str]:
    """Values of the chart that set environment variables of the agent."""
    return {
        f"extraEnv[{number}].{field}": told
        for number, (name, value) in enumerate(variables.items())
        for field, told in (("name", name), ("value", value))
    }


def _as_the_guide_says(scenario: Scenario) -> None:
    scenario.make_service_account()
    scenario.make_token()


def _not_annotated(scenario: Scenario) -> None:
    _annotated(lambda _: {})(scenario)


def _any_role_admitted(scenario: Scenario) -> None:
    _not_annotated(scenario)
    scenario.teleport.create(token(scenario, {"aws_arn": None}))


def _on_node(scenario: Scenario) -> dict[str, str]:
    return _variables(**scenario.aws.create_node())


def _on_closed_node(scenario: Scenario) -> dict[str, str]:
    return _variables(**scenario.aws.create_node(for_pods=False))


def _passed_over(_: Scenario) -> dict[str, str]:
    return {r"annotations.pod.eks\.amazonaws\.com/skip-containers": "teleport"}


def _pod_identity(_: Scenario) -> dict[str, str]:
    # What the webhook of EKS sets where the service account is associated with a role.
    folder = "/var/run/secrets/pods.eks.amazonaws.com/serviceaccount"
    return _variables(
        AWS_CONTAINER_CREDENTIALS_FULL_URI=f"http://{POD_IDENTITY}/v1/credentials",
        AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE=f"{folder}/eks-pod-identity-token",
    )


def _annotate_and_restart(scenario: Scenario) -> None:
    _annotate(scenario)
    scenario.agent.again()


def _in_region(region: str) -> Values:
    return lambda _: _variables(AWS_REGION=region, AWS_DEFAULT_REGION=region)


def _deploy_as_printed(scenario: Scenario) -> None:
    scenario.agent.upgrade({})


def _make_keys(scenario: Scenario) -> None:
    _as_the_guide_says(scenario)
    names = scenario.names
    scenario.kubernetes.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": KEYS, "namespace": names.namespace},
            "stringData": dict(scenario.aws.keys_of_a_user()),
        }
    )


def _with_keys(_: Scenario) -> dict[str, str]:
    told: dict[str, str] = {}
    for number, name in enumerate(("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")):
        reference = f"extraEnv[{number}].valueFrom.secretKeyRef"
        told |= {f"extraEnv[{number}].name": name, f"{reference}.name": KEYS, f"{reference}.key": name}
    return told


# AWS itself


def _clock(by: float) -> Act:
    def make(scenario: Scenario) -> None:
        _as_the_guide_says(scenario)
        scenario.aws.shift_clock(by)

    return make


def _cut(action: str) -> Act:
    def make(scenario: Scenario) -> None:
        _as_the_guide_says(scenario)
        scenario.aws.cut(action)

    return make


def _calm(scenario: Scenario) -> None:
    scenario.aws.calm()


def _denied(scenario: Scenario) -> None:
    _as_the_guide_says(scenario)
    scenario.aws.deny("Not authorized to perform sts:AssumeRoleWithWebIdentity")


def _another_partition(scenario: Scenario) -> None:
    scenario.make_service_account()
    scenario.teleport.create(
        token(scenario, {"aws_arn": scenario.role_pattern().replace("arn:aws:", "arn:aws-cn:")})
    )


def _make_token(scenario: Scenario) -> None:
    scenario.make_token()


CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        "trust-subject-differs": Cause(_trusting(_another_subject), _trust_as_printed),
        "trust-audience-differs": Cause(_trusting(_another_audience), _trust_as_printed),
        "trust-principal-differs": Cause(_trusting(_another_principal), _trust_as_printed),
        "trust-operator-differs": Cause(_trusting(_wildcard), _trust_as_printed),
        "trust-action-differs": Cause(_trusting(_another_action), _trust_as_printed),
        "issuer-empty": Cause(_trusting(_no_issuer), _trust_as_printed),
        "role-missing": Cause(_no_role, _make_role),
        "role-path-left-out": Cause(_role_with_path, _annotate_with_path),
        "no-aws-credentials": Cause(_not_annotated, _annotate),
        "annotation-misspelt": Cause(
            _annotated(lambda scenario: {"eks.amazonaws.com/role_arn": _arn(scenario)}),
            _annotate,
        ),
        "annotation-on-another-account": Cause(_another_annotated, _annotate),
        "annotation-after-install": Cause(_not_annotated, late=_annotate_too_late),
        "annotation-eaten-by-zsh": Cause(_annotated(_eaten), _annotate),
        "webhook-passes-over": Cause(_as_the_guide_says, _deploy_as_printed, _passed_over),
        "node-identity-withheld": Cause(_not_annotated, _annotate, _on_closed_node),
        "annotation-of-another-account": Cause(_annotated(_of_another_account), _annotate),
        "token-for-another-audience": Cause(_annotated(_for_another_audience), _annotate),
        "web-identity-expired": Cause(_clock(2 * DAY), _calm),
        "clock-ahead": Cause(_clock(-HOUR), _calm),
        "clock-behind": Cause(_clock(HOUR), _calm),
        "organization-denies": Cause(_denied, _calm),
        "sts-unreachable-from-agent": Cause(_cut("AssumeRoleWithWebIdentity"), _calm),
        "sts-unreachable-from-auth": Cause(_cut("GetCallerIdentity"), _calm),
        "node-identity-refused": Cause(_not_annotated, _annotate, _on_node),
        "node-identity-joins": Cause(_any_role_admitted, values=_on_node),
        "region-unknown": Cause(_as_the_guide_says, values=_in_region("")),
        "region-new": Cause(_as_the_guide_says, _deploy_as_printed, _in_region(NEW_REGION)),
        "static-keys": Cause(_make_keys, _deploy_as_printed, _with_keys),
        "pod-identity-alone": Cause(_not_annotated, _annotate_and_restart, _pod_identity),
        "pod-identity-beside": Cause(_as_the_guide_says, values=_pod_identity),
        "partition-differs": Cause(_another_partition, _make_token),
    }
)


def denied_by_aws(scenario: Scenario) -> set[str]:
    """Codes with which AWS denied the agent's calls for its role (the gateway's own record)."""
    return {str(call["code"]) for call in scenario.aws.calls() if call["verdict"] == "denied"}


def denied_to_teleport(scenario: Scenario) -> set[str]:
    """Codes with which AWS denied Teleport the answer who the agent is; empty where it told once."""
    answers = [call for call in scenario.aws.calls() if call["action"] == "GetCallerIdentity"]
    told = any(call["verdict"] == "allowed" for call in answers)
    return set() if told else {str(call["code"]) for call in answers}
