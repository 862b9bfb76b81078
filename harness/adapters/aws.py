"""The AWS account of a run: AWS's own API for its state, the gateway's log as the oracle of calls."""

from __future__ import annotations

import json
import secrets
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote

import boto3
from botocore.config import Config

from harness.adapters import direct
from harness.core import recording
from harness.core.errors import EnvironmentBroken, TransientOracleError
from harness.core.redaction import redactor

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.environment import JSON
    from harness.scenario import Names

AUDIENCE = "sts.amazonaws.com"


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

    def last(self) -> int:
        """Sequence number of the newest call."""
        number: int = self.call("GET", "/calls?after=9007199254740991")["last"]
        return number


class Clients:
    """boto3 clients that reach AWS host names through the gateway, with the run's own keys only."""

    def __init__(self, *, proxy: str, ca_file: Path, key_id: str, secret: str, region: str) -> None:
        """Makes the session.

        Args:
            proxy: Loopback `host:port` of the gateway's proxy listener.
            ca_file: The run's certificate authority.
            key_id: Access key id of the account's administrator.
            secret: Its secret.
            region: Region for regional end points.
        """
        self._session: Any = boto3.Session(
            aws_access_key_id=key_id, aws_secret_access_key=secret, region_name=region
        )
        self._ca_file = str(ca_file)
        self._config = Config(
            proxies={"https": f"http://{proxy}"}, retries={"total_max_attempts": 1}, read_timeout=20
        )

    def client(self, service: str, *, marker: str = "") -> Any:
        """A client of `iam`, `sts` or `eks`.

        Args:
            service: Which.
            marker: Text for the user agent, by which the gateway's log tells this client's calls.
        """
        config = self._config.merge(Config(user_agent_extra=marker)) if marker else self._config
        return self._session.client(service, config=config, verify=self._ca_file)


class Account:
    """`harness.environment.Account` over IAM's API and the gateway."""

    def __init__(  # each is another fact of the run
        self, *, names: Names, account_id: str, region: str, issuer: str, clients: Clients, gateway: Gateway
    ) -> None:
        """Binds an account to a scenario.

        Args:
            names: The scenario's names.
            account_id: 12 digits.
            region: Region of the EKS cluster.
            issuer: The cluster's OIDC issuer, with `https://`.
            clients: boto3 clients.
            gateway: The gateway's control interface.
        """
        self.names = names
        self.account_id = account_id
        self.region = region
        self._issuer = issuer.removeprefix("https://")
        self._clients = clients
        self._gateway = gateway
        # The guide's commands make the first of them, too.
        self._roles = [names.role]

    def create_role(self, *, name: str | None = None, service_account: str | None = None) -> str:
        """Creates an IAM role that a service account may assume (claim s1.trust); returns its ARN.

        Args:
            name: Of the role; the scenario's where not given.
            service_account: Of the scenario's namespace; the scenario's where not given.
        """
        trust = {
            "Version": "2012-10-17",
            "Statement": [self.trust(service_account or self.names.service_account)],
        }
        self._roles = list(dict.fromkeys([*self._roles, name or self.names.role]))
        answer = self._clients.client("iam").create_role(
            RoleName=name or self.names.role, AssumeRolePolicyDocument=json.dumps(trust)
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

    def role(self) -> JSON:
        """The scenario's IAM role as IAM stores it, trust policy parsed."""
        found: JSON = self._clients.client("iam").get_role(RoleName=self.names.role)["Role"]
        recording.record_oracle("aws", f"IAM role {self.names.role}", found)
        return found

    def policy(self) -> JSON:
        """The document of the scenario's IAM policy, default version."""
        iam = self._clients.client("iam")
        arn = f"arn:aws:iam::{self.account_id}:policy/{self.names.policy}"
        version = iam.get_policy(PolicyArn=arn)["Policy"]["DefaultVersionId"]
        found: JSON = iam.get_policy_version(PolicyArn=arn, VersionId=version)["PolicyVersion"]["Document"]
        recording.record_oracle("aws", f"IAM policy {self.names.policy}", found)
        return found

    def calls(self, *, after: int = 0) -> Sequence[JSON]:
        """The gateway's log of calls that name the scenario's role, oldest first."""
        return self._gateway.calls(after=after, role=self.names.role)

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
        """Ends all disruption and removes the roles and the policy of the scenario."""
        self._gateway.call("DELETE", f"/roles/{quote(self.names.role)}/disruption")
        iam = self._clients.client("iam")
        for remove, arguments in (
            *((iam.delete_role, {"RoleName": role}) for role in self._roles),
            (
                iam.delete_policy,
                {"PolicyArn": f"arn:aws:iam::{self.account_id}:policy/{self.names.policy}"},
            ),
        ):
            try:
                remove(**arguments)
            except iam.exceptions.NoSuchEntityException:
                continue  # the scenario did not make one

    def _disrupt(self, what: JSON) -> None:
        self._gateway.call("PUT", f"/roles/{quote(self.names.role)}/disruption", what)
