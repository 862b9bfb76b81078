"""The AWS account of a run: AWS's own API for its state, the gateway's log as the oracle of calls."""

from __future__ import annotations

import json
import secrets
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote

import botocore.session
from botocore.config import Config

from harness.adapters import direct
from harness.core import recording
from harness.core.errors import EnvironmentBroken, TransientOracleError
from harness.core.redaction import redactor

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from harness.environment import JSON
    from harness.scenario import Names

AUDIENCE = "sts.amazonaws.com"

POLICY = {
    "Version": "2012-10-17",
    "Statement": [{"Effect": "Allow", "Action": "sts:GetCallerIdentity", "Resource": "*"}],
}
"""The document of step 1's IAM policy (claim s1.policy)."""


class Gateway:
    """Control interface of the AWS gateway, on loopback."""

    def __init__(self, address: str) -> None:
        """Binds to a gateway.

        Args:
            address: Loopback `host:port` of its control listener.
        """
        self._url = f"http://{address}"
        self._opener = direct.opener()

    def call(self, method: str, path: str, body: JSON | None = None) -> Any:
        """One call of the control interface; the parsed answer.

        Raises:
            EnvironmentBroken: The gateway refused it.
            TransientOracleError: It did not answer.
        """
        request = urllib.request.Request(  # noqa: S310  # always http on loopback
            self._url + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with self._opener.open(request, timeout=10) as answer:
                return json.loads(answer.read() or b"null")
        except HTTPError as error:
            raise EnvironmentBroken(
                expected=f"the AWS gateway to accept {method} {path}",
                seen=f"{error.code}: {error.read().decode(errors='replace')[:300]}",
                remedy="this is a defect of the harness: please report it with the evidence",
            ) from error
        except (URLError, OSError) as error:
            raise TransientOracleError(f"the AWS gateway did not answer: {error}") from error

    def calls(self, *, after: int = 0, role: str | None = None) -> list[JSON]:
        """Its log of AWS calls, oldest first: after a sequence number, of one role."""
        query = f"?after={after}" + (f"&role={quote(role)}" if role else "")
        found: list[JSON] = self.call("GET", f"/calls{query}")["calls"]
        recording.record_oracle("aws-calls", f"calls after {after} of role {role or 'any'}", found)
        return found

    def connections(self) -> Mapping[str, str]:
        """Open connections through its proxy: the client's end `host:port` to the `host:port` that it asked for."""
        found: Mapping[str, str] = self.call("GET", "/connections")["connections"]
        return found

    def last(self) -> int:
        """Sequence number of the newest call."""
        number: int = self.call("GET", "/calls?after=9007199254740991")["last"]
        return number


class Clients:
    """Clients that reach AWS host names through the gateway, with the run's own keys only.

    They are botocore's, which boto3's are too; boto3 itself would load S3's transfers in each process of a run.
    """

    def __init__(self, *, proxy: str, ca_file: Path, key_id: str, secret: str, region: str) -> None:
        """Makes the session.

        Args:
            proxy: Loopback `host:port` of the gateway's proxy listener.
            ca_file: The run's certificate authority.
            key_id: Access key id of the account's administrator.
            secret: Its secret.
            region: Region for regional end points.
        """
        self.proxy = proxy
        self._session = botocore.session.Session()
        self._session.set_credentials(key_id, secret)
        self._region = region
        # Making one takes longer than most calls.
        self._made: dict[tuple[str, str], Any] = {}
        self._ca_file = str(ca_file)
        self._config = Config(
            proxies={"https": f"http://{proxy}"}, retries={"total_max_attempts": 1}, read_timeout=20
        )

    def keys(self) -> Mapping[str, str]:
        """The administrator's key, as the variables that AWS's programs read."""
        found: Any = self._session.get_credentials()
        return {"AWS_ACCESS_KEY_ID": found.access_key, "AWS_SECRET_ACCESS_KEY": found.secret_key}

    def client(self, service: str, *, marker: str = "", region: str | None = None) -> Any:
        """A client of `iam`, `sts` or `eks`.

        Args:
            service: Which.
            region: Another region than the session's.
            marker: Text for the user agent, by which the gateway's log tells this client's calls.
        """
        place = (service, region or self._region)
        if not marker and place in self._made:
            return self._made[place]
        config = self._config.merge(Config(user_agent_extra=marker)) if marker else self._config
        client: Any = self._session.create_client(
            service, region_name=place[1], config=config, verify=self._ca_file
        )
        if not marker:
            self._made[place] = client
        return client


class Account:
    """`harness.environment.Account` over IAM's API and the gateway."""

    def __init__(  # each is another fact of the run
        self,
        *,
        names: Names,
        account_id: str,
        region: str,
        issuer: str,
        clients: Clients,
        gateway: Gateway,
        lasting: bool = True,
    ) -> None:
        """Binds an account to a scenario.

        Args:
            names: The scenario's names.
            account_id: 12 digits.
            region: Region of the EKS cluster.
            issuer: The cluster's OIDC issuer, with `https://`.
            clients: Clients of AWS.
            gateway: The gateway's control interface.
            lasting: Whether the account, or these names in it, are used again after the scenario.
        """
        self.names = names
        self.account_id = account_id
        self.region = region
        self._issuer = issuer.removeprefix("https://")
        self._clients = clients
        self._gateway = gateway
        self._lasting = lasting
        # The guide's commands make the first of them, too.
        self._roles = [names.role]
        self._made: list[str] = []
        self._partition = region

    def create_role(
        self, *, name: str | None = None, service_account: str | None = None, path: str = "/"
    ) -> str:
        """Creates an IAM role that a service account may assume (claim s1.trust); returns its ARN.

        Args:
            name: Of the role; the scenario's where not given.
            service_account: Of the scenario's namespace; the scenario's where not given.
            path: Of the role, with a slash at both ends.
        """
        trust = {
            "Version": "2012-10-17",
            "Statement": [self.trust(service_account or self.names.service_account)],
        }
        self._roles = list(dict.fromkeys([*self._roles, name or self.names.role]))
        answer = self._iam().create_role(
            RoleName=name or self.names.role, Path=path, AssumeRolePolicyDocument=json.dumps(trust)
        )
        arn: str = answer["Role"]["Arn"]
        return arn

    def trust(self, service_account: str) -> JSON:
        """The trust policy statement of step 1 for a service account of the scenario's namespace."""
        subject = f"system:serviceaccount:{self.names.namespace}:{service_account}"
        return {
            "Effect": "Allow",
            "Principal": {"Federated": f"arn:aws:iam::{self.account_id}:oidc-provider/{self._issuer}"},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {"StringEquals": {f"{self._issuer}:aud": AUDIENCE, f"{self._issuer}:sub": subject}},
        }

    def set_trust(self, statement: JSON) -> None:
        """Sets the trust policy of the scenario's role to this one statement."""
        document = {"Version": "2012-10-17", "Statement": [statement]}
        self._iam().update_assume_role_policy(RoleName=self.names.role, PolicyDocument=json.dumps(document))

    def _iam(self) -> Any:
        return self._clients.client("iam", region=self._partition)

    def move_to(self, region: str) -> None:
        """Has IAM of another partition, that of this region, meant by all that follows."""
        self._partition = region

    def has_role(self) -> bool:
        """Whether IAM has the scenario's role."""
        iam = self._iam()
        try:
            iam.get_role(RoleName=self.names.role)
        except iam.exceptions.NoSuchEntityException:
            found = False
        else:
            found = True
        recording.record_oracle("aws", f"whether there is an IAM role {self.names.role}", found)
        return found

    def role(self) -> JSON:
        """The scenario's IAM role as IAM stores it, trust policy parsed."""
        found: JSON = self._iam().get_role(RoleName=self.names.role)["Role"]
        recording.record_oracle("aws", f"IAM role {self.names.role}", found)
        return found

    def policy(self) -> JSON:
        """The document of the scenario's IAM policy, default version."""
        iam = self._iam()
        arn = self._policy_arn()
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found: JSON = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        recording.record_oracle("aws", f"IAM policy {self.names.policy}", found)
        return found

    def _policy_arn(self) -> str:
        return f"arn:aws:iam::{self.account_id}:policy/{self.names.policy}"

    def create_policy(self) -> str:
        """Creates the IAM policy that step 1 prints; returns its ARN."""
        answer = self._iam().create_policy(PolicyName=self.names.policy, PolicyDocument=json.dumps(POLICY))
        arn: str = answer["Policy"]["Arn"]
        return arn

    def attach_policy(self, arn: str) -> str:
        """Attaches a policy to the scenario's role; the code with which IAM refused, or an empty text."""
        iam = self._iam()
        try:
            iam.attach_role_policy(RoleName=self.names.role, PolicyArn=arn)
        except iam.exceptions.ClientError as error:
            recording.record_oracle("aws", f"attaching policy {arn}", str(error))
            code: str = error.response["Error"]["Code"]
            return code
        return ""

    def permissions(self) -> Sequence[str]:
        """ARNs of the policies attached to the scenario's role, and names of those written into it."""
        iam = self._iam()
        attached = iam.list_attached_role_policies(RoleName=self.names.role)["AttachedPolicies"]
        written: list[str] = iam.list_role_policies(RoleName=self.names.role)["PolicyNames"]
        found = [str(policy["PolicyArn"]) for policy in attached] + written
        recording.record_oracle("aws", f"policies of IAM role {self.names.role}", found)
        return found

    def oidc_providers(self) -> Mapping[str, Sequence[str]]:
        """The account's OIDC providers: issuer, with `https://`, to the audiences registered."""
        iam = self._iam()
        found: dict[str, list[str]] = {}
        for listed in iam.list_open_id_connect_providers()["OpenIDConnectProviderList"]:
            provider = iam.get_open_id_connect_provider(OpenIDConnectProviderArn=listed["Arn"])
            found[f"https://{provider['Url'].removeprefix('https://')}"] = provider["ClientIDList"]
        recording.record_oracle("aws", "OIDC providers of the account", found)
        return found

    def create_node(self, *, for_pods: bool = True) -> Mapping[str, str]:
        """Makes a node with an IAM role of its own; environment of a pod that runs on it.

        Its instance metadata is the gateway's, under a path of its own: no other pod comes upon it.

        Args:
            for_pods: Whether its pods reach that metadata (a hop limit of 2 and more).
        """
        name = self.names.node_role
        arn = self.create_role(name=name, service_account="of-no-pod")
        self._made.append(f"/node-identities/{quote(name)}")
        node = self._gateway.call(
            "PUT", self._made[-1], {"role_arn": arn, "region": self.region, "for_pods": for_pods}
        )
        return {
            # AWS's programs look for `true`; `false` would be no text on Helm's command line.
            "AWS_EC2_METADATA_DISABLED": "no",
            "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"{node['endpoint']}/",
        }

    def told_of_node(self) -> Sequence[str]:
        """Roles that STS answered when it was asked who signs with the node's identity."""
        return [
            str(call["role"])
            for call in self._gateway.calls(role=self.names.node_role)
            if (call["action"], call["verdict"]) == ("GetCallerIdentity", "allowed")
        ]

    def keys_of_a_user(self) -> Mapping[str, str]:
        """Access key of an IAM user of the account, as the variables that AWS's programs read: secret."""
        return self._clients.keys()

    def create_cluster_without_issuer(self) -> str:
        """Makes an EKS cluster that has no OIDC issuer; returns its name."""
        self._made.append(f"/clusters/{quote(self.names.cluster)}")
        cluster = {
            "account": self.account_id,
            "region": self.region,
            "version": "1.32",
            "endpoint": "https://example.invalid",
            "certificate_authority": "none",
        }
        self._gateway.call("PUT", self._made[-1], cluster)
        return self.names.cluster

    def calls(self, *, after: int = 0) -> Sequence[JSON]:
        """The gateway's log of calls that name the scenario's role, oldest first."""
        return self._gateway.calls(after=after, role=self.names.role)

    def dialled(self, connections: Iterable[tuple[str, str]]) -> frozenset[str]:
        """Where connections of a program lead: addresses `host:port`, as the program named them.

        One to the gateway's proxy leads to what was asked for there, and nowhere before that.

        Args:
            connections: Own and other end of each, `host:port`.
        """
        asked = self._gateway.connections()
        led = (asked.get(own) if other == self._clients.proxy else other for own, other in connections)
        return frozenset(address for address in led if address is not None)

    def mark(self) -> int:
        """Sequence number of the newest call of all, to ask for later ones."""
        return self._gateway.last()

    def deny(self, reason: str) -> None:
        """From now on every call of, or for, the scenario's role is denied with `AccessDenied`."""
        self._disrupt({"deny": {"code": "AccessDenied", "message": reason}})

    def delay(self, by: float) -> None:
        """From now on every call of, or for, the scenario's role takes `by` seconds longer."""
        self._disrupt({"delay": by})

    def shift_clock(self, by: float) -> None:
        """Moves AWS's clock, for the scenario's role only, by seconds."""
        self._disrupt({"clock_shift": by})

    def cut(self, action: str) -> None:
        """From now on nobody is answered who asks this of, or for, the scenario's role."""
        self._disrupt({"cut": action})

    def calm(self) -> None:
        """Ends denial, delay, cut and wrong clock."""
        self._disrupt({})

    def assume_role(self, web_identity_token: str) -> str:
        """One AssumeRoleWithWebIdentity for the scenario's role, allowed or not; the session's own name.

        It is in the user agent too: a call that is denied has no session on the gateway's log.
        """
        session = f"conformance-{secrets.token_hex(4)}"
        redactor.register(web_identity_token)
        sts = self._clients.client("sts", marker=session)
        try:
            sts.assume_role_with_web_identity(
                RoleArn=f"arn:aws:iam::{self.account_id}:role/{self.names.role}",
                RoleSessionName=session,
                WebIdentityToken=web_identity_token,
            )
        except sts.exceptions.ClientError as error:
            recording.record_oracle("aws", f"call in session {session}", str(error))
        return session

    def undo(self) -> None:
        """Ends all disruption and removes what the scenario made in the account.

        Its role and policy, which are nothing to others, go with the account where nobody will use it again.
        """
        self._gateway.call("DELETE", f"/roles/{quote(self.names.role)}/disruption")
        while self._made:
            self._gateway.call("DELETE", self._made.pop())
        if not self._lasting:
            return
        iam = self._iam()
        self._detach(iam)
        for remove, arguments in (
            *((iam.delete_role, {"RoleName": role}) for role in self._roles),
            (
                iam.delete_policy,
                {"PolicyArn": self._policy_arn()},
            ),
        ):
            try:
                remove(**arguments)
            except iam.exceptions.NoSuchEntityException:
                continue  # the scenario did not make one

    def _detach(self, iam: Any) -> None:
        """Takes all policies from the scenario's role, which could not be deleted with them."""
        try:
            attached = iam.list_attached_role_policies(RoleName=self.names.role)["AttachedPolicies"]
        except iam.exceptions.NoSuchEntityException:
            return  # the scenario did not make one
        for policy in attached:
            iam.detach_role_policy(RoleName=self.names.role, PolicyArn=policy["PolicyArn"])

    def _disrupt(self, what: JSON) -> None:
        self._gateway.call("PUT", f"/roles/{quote(self.names.role)}/disruption", what)
