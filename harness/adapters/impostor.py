"""Somebody who asks to join with what the agent signed, or with what they made of it."""

from __future__ import annotations

import base64
import http.client
import json
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from botocore.credentials import Credentials
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from harness.adapters import direct
from harness.adapters.agent import TOKEN_AUDIENCE
from harness.adapters.signed_request import FORGERIES, Scene, SignedRequest, Signer
from harness.adapters.teleport_server import HOST
from harness.core import recording
from harness.core.errors import TransientOracleError
from harness.core.redaction import redactor
from harness.core.waiting import eventually
from harness.environment import Answered

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from harness.adapters.aws import Account, Clients, Gateway
    from harness.adapters.kubernetes_api import KubernetesAPI
    from harness.environment import JSON
    from harness.scenario import Names

ANSWER_SECONDS = 30.0
"""Budget for the simulated Teleport's answer."""

SHOWN_SECONDS = 10.0
"""Budget for a call to be on the gateway's log, where it is before its answer."""

ROLE = "Kube"
"""System role that is asked for: the one that the guide's token is for."""

Answer = Callable[[str], SignedRequest]
"""Challenge to the request that answers it."""


@dataclass(frozen=True)
class Asking:
    """Who asks to join.

    Attributes:
        host_id: New for each attempt.
        node: Name.
        token: Joining token's name.
    """

    host_id: str
    node: str
    token: str


class RealDoor:
    """The join service of a real Teleport."""

    def __init__(self, address: str, ca_file: Path) -> None:
        """Binds to a proxy: its loopback `host:port`, and the run's authority."""
        self._address = address
        self._ca_file = ca_file

    def knock(self, asking: Asking, answer: Answer) -> str:
        """One attempt; the words of the refusal, or none where certificates were given."""
        from harness.adapters import join_service  # noqa: PLC0415  # a third of a second, for these scenarios only

        public = ec.generate_private_key(ec.SECP256R1()).public_key()

        def answered(challenge: str) -> tuple[Sequence[bytes], bytes]:
            fields = [asking.host_id, asking.node, ROLE, asking.token, "", ""]
            keys = [_pem(public), _ssh(public)]
            return [*(field.encode() for field in fields), *keys], answer(challenge).wire()

        try:
            join_service.join(self._address, self._ca_file, HOST, answered)
        except join_service.Refused as refused:
            return str(refused)
        return ""


class SimulatedDoor:
    """The simulated Teleport's, which speaks its own language."""

    def __init__(self, address: str, ca_file: Path) -> None:
        """Binds to a proxy: its loopback `host:port`, and the run's authority."""
        host, _, port = address.rpartition(":")
        self._place = host, int(port)
        self._ca_file = ca_file

    def knock(self, asking: Asking, answer: Answer) -> str:
        """One attempt; the words of the refusal, or none where certificates were given."""
        challenge = self._call("challenge", {})
        signed = answer(challenge)
        given = {
            "challenge": challenge,
            "token": asking.token,
            "host_id": asking.host_id,
            "node": asking.node,
            "role": ROLE,
            "method": "iam",
            "public_key": _pem(ec.generate_private_key(ec.SECP256R1()).public_key()).decode(),
            "sts": {
                "method": signed.method,
                "host": signed.host,
                "headers": dict(signed.headers),
                "body": base64.b64encode(signed.body).decode(),
            },
        }
        told = self._call("join", given)
        return str(told["error"]["message"]) if "error" in told else ""

    def _call(self, method: str, given: object) -> Any:
        connection = http.client.HTTPSConnection(
            *self._place, timeout=ANSWER_SECONDS, context=direct.chain_only(self._ca_file)
        )
        try:
            connection.request("POST", f"/simulated/{method}", json.dumps(given))
            return json.load(connection.getresponse())
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise TransientOracleError(f"the simulated Teleport did not answer: {error}") from error
        finally:
            connection.close()


class Impostor:
    """`harness.environment.Impostor` with AWS credentials as the agent's pod would get them."""

    def __init__(  # each is another fact of the run
        self,
        *,
        names: Names,
        api: KubernetesAPI,
        account: Account,
        gateway: Gateway,
        clients: Clients,
        door: RealDoor | SimulatedDoor,
    ) -> None:
        """Binds to a scenario.

        Args:
            names: The scenario's names.
            api: Of Kubernetes, which gives the agent's web identity.
            account: Of AWS.
            gateway: Its log has the calls.
            clients: Of AWS.
            door: At which it asks.
        """
        self.names = names
        self._api = api
        self._account = account
        self._gateway = gateway
        self._clients = clients
        self._door = door

    def ask(self, forgery: str) -> Answered:
        """One attempt to join; see `harness.environment.Impostor`."""
        signer = Signer(
            self._credentials(), self._account.region, f"sts.{self._account.region}.amazonaws.com"
        )
        another = str(self._credentials().token) if forgery == "session-of-another" else ""
        made: list[SignedRequest] = []

        def genuine(challenge: str) -> SignedRequest:
            made.append(signer.sign(challenge))
            return made[-1]

        if forgery in {"request-replayed", "challenge-rewritten"}:
            self._attempt(genuine)
        earlier = tuple(made)

        def answer(challenge: str) -> SignedRequest:
            made.append(FORGERIES[forgery](Scene(signer, challenge, earlier, another)))
            return made[-1]

        mark = self._account.mark()
        host_id, words = self._attempt(answer)
        asked = [
            call
            for call in self._gateway.calls(after=mark)
            if (call["role"], call["action"]) == (self.names.role, "GetCallerIdentity")
            or call["host"] == made[-1].host != signer.host
        ]
        recording.record_oracle(
            "teleport", f"answer to a request to join, {forgery}", words or "certificates"
        )
        return Answered(host_id=host_id, words=words, asked=tuple(asked))

    def take_role(self, *, genuine: bool) -> JSON:
        """One AssumeRoleWithWebIdentity; see `harness.environment.Impostor`.

        Raises:
            NotObserved: The gateway's log never showed it.
        """
        token = self._web_identity()
        if not genuine:
            signed, _, signature = token.rpartition(".")
            # Another character in the middle: the last one may carry bits that do not count.
            middle = len(signature) // 2
            other = "A" if signature[middle] != "A" else "B"
            token = f"{signed}.{signature[:middle]}{other}{signature[middle + 1 :]}"
        mark = self._account.mark()
        session = self._account.assume_role(token)
        found = eventually(
            lambda: [call for call in self._account.calls(after=mark) if session in call["user_agent"]],
            lambda calls: len(calls) > 0,
            expected=f"the call in session {session} on the gateway's log",
            within=SHOWN_SECONDS,
        )
        return found[0]

    def _attempt(self, answer: Answer) -> tuple[str, str]:
        asking = Asking(str(uuid.uuid4()), f"{self.names.release}-0", self.names.token)
        return asking.host_id, self._door.knock(asking, answer)

    def _credentials(self) -> Credentials:
        """Credentials of the scenario's role, which the agent's service account may assume."""
        token = self._web_identity()
        sts = self._clients.client("sts")
        given = sts.assume_role_with_web_identity(
            RoleArn=f"arn:aws:iam::{self._account.account_id}:role/{self.names.role}",
            RoleSessionName=f"conformance-{uuid.uuid4().hex[:8]}",
            WebIdentityToken=token,
        )["Credentials"]
        for secret in ("SecretAccessKey", "SessionToken"):
            redactor.register(given[secret])
        return Credentials(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])

    def _web_identity(self) -> str:
        """A token of the agent's service account for AWS, as the cluster issues it."""
        answer = self._api.call(
            "POST",
            f"/api/v1/namespaces/{self.names.namespace}/serviceaccounts/{self.names.service_account}/token",
            {
                "apiVersion": "authentication.k8s.io/v1",
                "kind": "TokenRequest",
                "spec": {"audiences": [TOKEN_AUDIENCE], "expirationSeconds": 600},
            },
        )
        token = str(answer["status"]["token"])
        redactor.register(token)
        return token


def _pem(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def _ssh(public: ec.EllipticCurvePublicKey) -> bytes:
    return public.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
