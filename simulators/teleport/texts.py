"""Which Teleport is imitated, and the texts it shows, each with where they are known from.

Measured texts were seen from Teleport 13.0.0-dev. The others are printed all the same, but nobody should let
them decide a check: `python -m simulators.teleport texts` lists the table with its provenance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from simulators.teleport.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

VARIABLE = "CONFORMANCE_SIMULATED_TELEPORT"
"""Environment variable that chooses the imitated major version."""

VERSIONS = {"13": "13.0.0-dev+simulated", "17": "17.0.0+simulated"}
"""Major -> version that every program tells of itself. The local label is the mark of the simulation (PEP 440)."""

BANNER = (
    "Simulation of Teleport {major} by the conformance suite: nothing of Teleport runs here, and nothing that it "
    "does says anything about Teleport."
)

Provenance = Literal["measured", "read", "inferred"]


@dataclass(frozen=True)
class Text:
    """A text of one version.

    Attributes:
        text: the words, with `{name}` for what differs.
        provenance: measured (seen from the real program), read (in its source or documentation) or inferred.
    """

    text: str
    provenance: Provenance


def _both(text: str, later: Provenance = "inferred") -> dict[int, Text]:
    """The same words in both versions, measured in 13 and not looked at in 17, or else as `later` says."""
    return {13: Text(text, "measured"), 17: Text(text, later)}


TEXTS: Mapping[str, Mapping[int, Text]] = {
    "no-rule-matched": {
        13: Text("instance did not match any allow rules", "measured"),
        17: Text("instance {arn} did not match any allow rules", "inferred"),
    },
    "token-unusable": {
        13: Text(
            '"{node}" can not join the cluster with role "{role}", token expired or not found', "measured"
        ),
        17: Text("token expired or not found", "read"),
    },
    "token-unusable-log": _both(
        '"{node}" can not join the cluster with role {role}, token error: token expired or not found'
    ),
    "token-lacks-role": {
        13: Text(
            'node "{node}" [{host_id}] can not join the cluster, the token does not allow "{role}" role',
            "measured",
        ),
        17: Text("can not join the cluster, the token does not allow role {role}", "inferred"),
    },
    "token-for-no-service": {
        13: Text(
            '"{node}" [{host_id}] cannot requisition instance certs (token contains no local service roles)',
            "read",
        ),
        17: Text(
            '"{node}" [{host_id}] cannot requisition instance certs (token contains no local service roles)',
            "inferred",
        ),
    },
    "token-of-other-method": {
        13: Text("this token does not support the IAM join method", "measured"),
        17: Text(
            "client requested join method iam, provision token only supports method {method}", "inferred"
        ),
    },
    "token-too-old": {
        13: Text(
            "Token too old for direct instance cert request, will attempt to use system role assertions.",
            "measured",
        ),
        17: Text(
            "Can not join the cluster, the token is expired or not found. "
            "Regenerate the token and try again.",
            "inferred",
        ),
    },
    "token-of-method-iam": {
        13: Text(
            "this token is only valid for the IAM join method but the node has connected to the wrong endpoint, "
            "make sure your node is configured to use the IAM join method",
            "measured",
        ),
        17: Text(
            "client requested join method {method}, provision token only supports method iam", "inferred"
        ),
    },
    "token-account-a-number": _both(
        "types.ProvisionTokenV2.Spec: types.ProvisionTokenSpecV2.Allow: []*types.TokenRule: "
        'types.TokenRule.AWSAccount: ReadString: expects " or n, but found {digit}'
    ),
    "token-without-roles": _both("provisioning token is missing roles"),
    "token-role-unknown": _both("role {role} is not registered"),
    "token-method-unknown": _both('unknown join method "{method}"'),
    "token-rules-with-method-token": _both('allow rules are not compatible with the "token" join method'),
    "token-without-rules": _both('the "iam" join method requires defined token allow rules'),
    "token-arn-without-method": _both('the "ec2" join method does not support the "aws_arn" parameter'),
    "token-with-aws-role": _both('the "iam" join method does not support the "aws_role" parameter'),
    "token-with-aws-regions": _both('the "iam" join method does not support the "aws_regions" parameter'),
    "token-rule-empty": _both('allow rule for "ec2" join method must set "aws_account" or "aws_arn"'),
    "not-signed-in": _both("No proxy address specified, missed --proxy flag?"),
    "password-asked": _both("Enter password for Teleport user {user}:"),
    "role-version-unknown": _both('role version "{version}" is not supported'),
    "sts-host": {
        13: Text('IAM join request uses unknown STS host "{host}".', "measured"),
        17: Text('rejecting IAM join request using STS host "{host}"', "read"),
    },
    # 12 and 13 show no method where they mean to show it.
    "sts-method": _both('sts identity request method "" does not match expected method "POST"'),
    "challenge-missing": _both(
        "sts identity request does not include challenge header or it does not match", "read"
    ),
    "challenge-unsigned": _both(
        'sts identity request auth header "{header}" does not include x-teleport-challenge as a signed header',
        "read",
    ),
    "sts-body": _both(
        'sts request body "{body}" does not equal expected "Action=GetCallerIdentity&Version=2011-06-15"',
        "read",
    ),
    "sts-refused": _both('aws sts api returned status: "{status}" body: "{body}"', "read"),
    "no-aws-credentials": {
        13: Text(
            "NoCredentialProviders: no valid providers in chain. Deprecated.\n"
            "\tFor verbose messaging see aws.Config.CredentialsChainVerboseErrors",
            "measured",
        ),
        17: Text("failed to refresh cached credentials, no EC2 IMDS role found", "read"),
    },
    "container-host": {
        13: Text('invalid endpoint host, "{host}", only loopback hosts are allowed', "measured"),
        17: Text("failed to refresh cached credentials, failed to load credentials", "inferred"),
    },
    "region-unknown": {
        13: Text("failed to resolve local AWS region from environment or IMDS", "measured"),
        17: Text(
            "Failed to resolve local AWS region from environment or IMDS. Using us-east-1 by default", "read"
        ),
    },
    "web-identity-refused": {
        13: Text(
            "WebIdentityErr: failed to retrieve credentials\ncaused by: {code}: {message}\n"
            "\tstatus code: {status}, request id: {request}",
            "measured",
        ),
        17: Text(
            "failed to retrieve credentials, operation error STS: AssumeRoleWithWebIdentity, "
            "https response error StatusCode: {status}, RequestID: {request}, api error {code}: {message}",
            "read",
        ),
    },
    "connection-failed": {
        13: Text("{role} failed to establish connection to cluster: {error}.", "measured"),
        17: Text('Failed to establish connection to cluster. identity:{role} error:"{error}"', "inferred"),
    },
    "proxy-unresolvable": {
        13: Text(
            'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing dial tcp: '
            'lookup {host}: no such host"',
            "measured",
        ),
        17: Text('"transport: Error while dialing: dial tcp: lookup {host}: no such host"', "inferred"),
    },
    "proxy-refuses": {
        13: Text(
            'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing dial tcp '
            '{address}: connect: connection refused"',
            "measured",
        ),
        17: Text(
            '"transport: Error while dialing: dial tcp {address}: connect: connection refused"', "inferred"
        ),
    },
    "proxy-untrusted": {
        13: Text(
            'rpc error: code = Unavailable desc = connection error: desc = "transport: authentication handshake '
            'failed: x509: certificate signed by unknown authority"',
            "measured",
        ),
        17: Text(
            '"transport: authentication handshake failed: x509: certificate signed by unknown authority"',
            "inferred",
        ),
    },
    "proxy-not-reached-through-another": {
        13: Text(
            'rpc error: code = Unavailable desc = connection error: desc = "transport: Error while dialing failed to '
            'do connect handshake, response: \\"HTTP/1.1 {status}\\""',
            "measured",
        ),
        17: Text(
            '"transport: Error while dialing: failed to do connect handshake, response: \\"HTTP/1.1 {status}\\""',
            "inferred",
        ),
    },
    "tunnel-refused": {
        13: Text(
            'Failed to connect to Proxy Server through tunnel: connection error: desc = "transport: Error while '
            'dialing failed to dial: dial tcp {address}: connect: connection refused"',
            "measured",
        ),
        17: Text("dial tcp {address}: connect: connection refused", "inferred"),
    },
    "identity-of-another-cluster": {
        13: Text(
            'Failed to connect to Proxy Server through tunnel: connection error: desc = "transport: Error while '
            'dialing failed to dial: ssh: handshake failed: ssh: no authorities for hostname: {proxy}"',
            "measured",
        ),
        17: Text("ssh: handshake failed: ssh: no authorities for hostname: {proxy}", "inferred"),
    },
    "permissions-untested": _both(
        "Failed to test the necessary Kubernetes permissions. The target Kubernetes cluster may be down or have "
        "misconfigured RBAC. This teleport instance will still handle Kubernetes requests towards this "
        "Kubernetes cluster. error:[{error}]"
    ),
    "not-joined": _both("teleport is starting and hasn't joined the cluster yet"),
    "no-kubernetes-groups": {
        13: Text("this user cannot request kubernetes access, has no assigned groups or users", "measured"),
        17: Text(
            "Your user's Teleport role does not allow Kubernetes access. Please ask cluster administrator to "
            "ensure your role has appropriate kubernetes_groups and kubernetes_users set.",
            "inferred",
        ),
    },
    "several-users": _both(
        "please select a user to impersonate, refusing to select a user due to several kubernetes_users set up "
        "for this user"
    ),
    "impersonated-user-denied": _both(
        'impersonation request has been denied, user header "{value}" is not allowed in roles'
    ),
    "impersonated-group-denied": _both(
        'impersonation request has been denied, group header "{value}" value is not allowed in roles'
    ),
    "cluster-not-registered": _both(
        'kubernetes cluster "{cluster}" is not registered in this teleport cluster; '
        "you can list registered kubernetes clusters using 'tsh kube ls'"
    ),
    "agent-gone": _both(
        'Teleport proxy failed to connect to "kube" agent "remote.kube.proxy.teleport.cluster.local" over direct '
        "dial:\n\n  unable to proxy connection: 403 Forbidden\n\nThis usually means that the agent is offline "
        "or has disconnected. Check the\nagent logs and, if the issue persists, try restarting it or "
        "re-registering it\nwith the cluster."
    ),
    "resource-denied": {
        13: Text(
            '{kind} "{name}" is forbidden: User "{user}" cannot {verb} resource "{kind}" in API group "" '
            'in the namespace "{namespace}"',
            "measured",
        ),
        17: Text(
            '{kind} "{name}" is forbidden: User "{user}" cannot {verb} resource "{kind}" in API group "" '
            'in the namespace "{namespace}"\nAsk your Teleport admin to ensure that your Teleport role includes '
            'access to the pod in "kubernetes_resources" field.',
            "inferred",
        ),
    },
    "needs-enterprise": _both("{kind} is only available in Teleport Enterprise"),
    "no-connector-github": _both('github connector "{name}" is not configured'),
    "no-connector-saml": _both('SAML connector "{name}" is not configured'),
    "no-connector-oidc": _both("OpenID connector '{name}' is not configured"),
    "unknown-cluster": _both(
        "kubernetes cluster \"{cluster}\" not found, check 'tsh kube ls' for a list of known clusters"
    ),
}
"""Failure -> major version -> text."""


@dataclass(frozen=True)
class Imitation:
    """The Teleport that is imitated.

    Attributes:
        major: 13 or 17.
    """

    major: int

    @property
    def version(self) -> str:
        """What the programs tell of themselves, never a real version."""
        return VERSIONS[str(self.major)]

    @property
    def banner(self) -> str:
        """The first line of every log."""
        return BANNER.format(major=self.major)

    @property
    def tokens_expire(self) -> bool:
        """Whether a token without an expiry gets one of 30 minutes (measured in 13; gone since #21133)."""
        return self.major < 14

    @property
    def failed_joins_audited(self) -> bool:
        """Whether a refused join leaves an audit event (13.0.0-dev: no; #40329)."""
        return self.major >= 15

    @property
    def default_role_version(self) -> int:
        """Newest role version that is understood (facts: v6 in 12 and 13, v7 from 14)."""
        return 6 if self.major < 14 else 7

    def text(self, name: str, /, **values: object) -> str:
        """The words for a failure.

        Args:
            name: a key of TEXTS.
            values: one for each `{name}` of the text; more are let be.
        """
        return TEXTS[name][self.major].text.format(**values)


def imitated(environ: Mapping[str, str]) -> Imitation:
    """The version that the environment chooses, 13 where it chooses none.

    Raises:
        UsageError: it chooses one that is not imitated.
    """
    chosen = environ.get(VARIABLE, "13")
    if chosen not in VERSIONS:
        raise UsageError(f"{VARIABLE}: expected {' or '.join(VERSIONS)}, seen {chosen!r}")
    return Imitation(int(chosen))
