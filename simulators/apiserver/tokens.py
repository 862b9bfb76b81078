"""Service account tokens: issued, and checked when they come back."""

from __future__ import annotations

import base64
import hashlib
import time
import uuid
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from simulators.apiserver.kinds import of
from simulators.apiserver.objects import Object, User, timestamp
from simulators.apiserver.status import bad_request, invalid, not_found, not_simulated, wrong_uid

if TYPE_CHECKING:
    from simulators.apiserver.config import Config
    from simulators.apiserver.decisions import Decisions
    from simulators.apiserver.store import Store

ACCOUNTS = of("serviceaccounts")
SHORTEST_SECONDS = 600
LONGEST_SECONDS = 1 << 32
DEFAULT_SECONDS = 3600
_CLAIM = "kubernetes.io"
_EXTRA = "authentication.kubernetes.io"


class Tokens:
    """The issuer of one cluster.

    Args:
        config: issuer, audiences and keys.
        store: of accounts and what tokens are bound to.
        decisions: of the server.
    """

    def __init__(self, config: Config, store: Store, decisions: Decisions) -> None:
        self._issuer = config.issuer
        self._own = config.audiences
        self._store = store
        self._decisions = decisions
        # Read once: parsing and checking an RSA key takes ten times as long as signing with it.
        private = serialization.load_pem_private_key(config.signing_key.read_bytes(), password=None)
        if not isinstance(private, rsa.RSAPrivateKey):
            raise ValueError(f"expected an RSA key in {config.signing_key}, seen: {type(private).__name__}")  # noqa: TRY004 - a wrong file, not a wrong call
        public = serialization.load_pem_public_key(config.public_key.read_bytes())
        if not isinstance(public, rsa.RSAPublicKey):
            raise ValueError(f"expected an RSA key in {config.public_key}, seen: {type(public).__name__}")  # noqa: TRY004 - a wrong file, not a wrong call
        self._claims = lru_cache(maxsize=1024)(self._signed)
        self._private = private
        self._public = public
        der = self._public.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        # The key's id as kube-apiserver derives it.
        self._key_id = base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()

    def configuration(self) -> Object:
        """OIDC discovery of the issuer; the key set is where EKS has it."""
        return {
            "issuer": self._issuer,
            "jwks_uri": f"{self._issuer}/keys",
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }

    def key_set(self) -> Object:
        """The public key as a JSON Web Key Set."""
        key = jwt.algorithms.RSAAlgorithm.to_jwk(self._public, as_dict=True)
        members = {name: key[name] for name in ("kty", "n", "e")}
        return {"keys": [{"use": "sig", "kid": self._key_id, "alg": "RS256"} | members]}

    def request(self, namespace: str, name: str, body: Object) -> Object:
        """Issue a token (`serviceaccounts/token`).

        Args:
            namespace: of the account.
            name: of the account.
            body: a TokenRequest.

        Raises:
            StatusError: the account or the bound object does not exist, or the life is too short.
        """
        account = self._store.get(ACCOUNTS, namespace, name)
        if account is None:
            raise not_found(ACCOUNTS, name)
        spec = body.get("spec") or {}
        seconds = spec.get("expirationSeconds") or DEFAULT_SECONDS
        if not SHORTEST_SECONDS <= seconds <= LONGEST_SECONDS:
            limit = "less than 10 minutes" if seconds < SHORTEST_SECONDS else "larger than 2^32 seconds"
            problem = f"Invalid value: {seconds}: may not specify a duration {limit}"
            kind, group = "TokenRequest", "authentication.k8s.io"
            raise invalid(kind, group, "", field="spec.expirationSeconds", problem=problem)
        audiences = list(spec.get("audiences") or self._own)
        claim = {
            "namespace": namespace,
            **self._bound(namespace, name, spec.get("boundObjectRef")),
            "serviceaccount": {"name": name, "uid": account["metadata"]["uid"]},
        }
        now = int(time.time())
        claims = {
            "aud": audiences,
            "exp": now + seconds,
            "iat": now,
            "iss": self._issuer,
            "jti": str(uuid.uuid4()),
            _CLAIM: claim,
            "nbf": now,
            "sub": f"system:serviceaccount:{namespace}:{name}",
        }
        headers = {"kid": self._key_id, "typ": None}
        token = jwt.encode(claims, self._private, algorithm="RS256", headers=headers)
        expires = timestamp(datetime.fromtimestamp(now + seconds, UTC))
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": name, "namespace": namespace, "creationTimestamp": timestamp()},
            "spec": spec | {"audiences": audiences, "expirationSeconds": seconds},
            "status": {"token": token, "expirationTimestamp": expires},
        }

    def _bound(self, namespace: str, account: str, reference: Object | None) -> Object:
        if reference is None:
            return {}
        pods, name = of("pods"), reference.get("name", "")
        if reference.get("kind") != "Pod":
            raise not_simulated("tokens bound to anything but pods")
        found = self._store.get(pods, namespace, name)
        if found is None:
            raise not_found(pods, name)
        uid = found["metadata"]["uid"]
        if reference.get("uid") not in {None, "", uid}:
            raise wrong_uid("pods", name, reference["uid"], uid)
        if found["spec"].get("serviceAccountName") != account:
            other = "to pod running with different serviceaccount name."
            raise bad_request(f'cannot bind token for serviceaccount "{account}" {other}')
        bound: Object = {"pod": {"name": name, "uid": uid}}
        node = self._store.get(of("nodes"), "", found["spec"].get("nodeName", ""))
        if node is not None:
            bound["node"] = {"name": node["metadata"]["name"], "uid": node["metadata"]["uid"]}
        return bound

    def user(self, token: str) -> User | None:
        """Who a token stands for; None when it is not valid.

        Args:
            token: as it came.
        """
        try:
            claims = self._claims(token)
            claim, decide = claims[_CLAIM], self._decisions
            current = decide.token_unexpired(claims["nbf"], claims["exp"], time.time())
            if not current or not decide.audience_accepted(claims["aud"], self._own):
                return None
            if not self._alive(claim):
                return None
            return _user(claim, str(claims["jti"]))
        except (jwt.InvalidTokenError, KeyError, TypeError, AttributeError):
            return None

    def _signed(self, token: str) -> Object:
        """The claims of a token of this issuer: what a token says and who signed it never change.

        Raises:
            jwt.InvalidTokenError: it is none.
        """
        unchecked = {"verify_exp": False, "verify_nbf": False, "verify_aud": False, "verify_iat": False}
        claims: Object = jwt.decode(
            token,
            self._public,
            algorithms=["RS256"],
            issuer=self._issuer,
            # Times and audience are decisions of their own.
            options=unchecked,  # type: ignore[arg-type]  # a TypedDict of these
        )
        return claims

    def _alive(self, claim: Object) -> bool:
        namespace = claim["namespace"]
        named = {"serviceaccount": "serviceaccounts", "pod": "pods"}
        for member, plural in named.items():
            if member in claim:
                found = self._store.get(of(plural), namespace, claim[member]["name"])
                stored = found["metadata"]["uid"] if found else ""
                if not self._decisions.bound_object_alive(claim[member]["uid"], stored):
                    return False
        return True


def _user(claim: Object, identifier: str) -> User:
    namespace, account = claim["namespace"], claim["serviceaccount"]
    extra = {f"{_EXTRA}/credential-id": [f"JTI={identifier}"]}
    for member in ("node", "pod"):
        if member in claim:
            extra |= {f"{_EXTRA}/{member}-{key}": [claim[member][key]] for key in ("name", "uid")}
    return User(
        name=f"system:serviceaccount:{namespace}:{account['name']}",
        groups=(*service_account_groups(namespace), "system:authenticated"),
        uid=account["uid"],
        extra=extra,
    )


def service_account_groups(namespace: str) -> tuple[str, str]:
    """The groups of all service accounts, and of those of one namespace."""
    return "system:serviceaccounts", f"system:serviceaccounts:{namespace}"
