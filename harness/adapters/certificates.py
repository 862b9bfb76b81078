"""The run's certificate authority, and the keys and certificates made from it.

One authority per run: it signs what the AWS gateway, the Teleport proxy and the control plane present,
and it is the only one that the run's children trust.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import jwt
import trustme
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from harness.core.files import write_secret

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class KeyPair:
    """A certificate (chain) and its private key, as PEM files.

    Attributes:
        certificate: World-readable PEM file.
        key: PEM file that only the user may read.
    """

    certificate: Path
    key: Path


class Authority:
    """The run's own certificate authority."""

    def __init__(self, folder: Path) -> None:
        """Makes the authority and writes it to `ca.pem` and `ca.key` in `folder`."""
        self._folder = folder
        self._authority = trustme.CA(organization_name="conformance run")
        self.pair = self._write("ca", [self._authority.cert_pem], self._authority.private_key_pem)

    def issue(
        self, name: str, *hosts: str, common_name: str | None = None, organization: str | None = None
    ) -> KeyPair:
        """Issues a certificate and writes `<name>.pem` and `<name>.key`.

        Args:
            name: Name of the files.
            hosts: Host names and addresses it is good for; its own name where none is given (an
                empty list of alternative names is a critical extension that Go refuses).
            common_name: For Kubernetes the user.
            organization: For Kubernetes the group.
        """
        leaf = self._authority.issue_cert(
            *(hosts or (name,)), common_name=common_name or name, organization_name=organization
        )
        return self._write(name, leaf.cert_chain_pems, leaf.private_key_pem)

    def _write(self, name: str, chain: list[trustme.Blob], key: trustme.Blob) -> KeyPair:
        pair = KeyPair(certificate=self._folder / f"{name}.pem", key=self._folder / f"{name}.key")
        pair.certificate.write_bytes(b"".join(blob.bytes() for blob in chain))
        write_secret(pair.key, key.bytes())
        return pair


@dataclass(frozen=True)
class SigningKey:
    """The key that signs service account tokens, and what the issuer publishes of it.

    Attributes:
        private: PEM file for `--service-account-signing-key-file`.
        public: PEM file for `--service-account-key-file`.
        jwks: JSON Web Key Set, as the issuer serves it.
    """

    private: Path
    public: Path
    jwks: Path


def signing_key(folder: Path) -> SigningKey:
    """Makes the cluster's service account signing key (RSA, as EKS has it).

    The key id is derived from the public key the way kube-apiserver derives it: base64url of the SHA-256
    of the DER form. Tokens name it, so the published set must carry the same.
    """
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key()
    made = SigningKey(folder / "service-account.key", folder / "service-account.pub", folder / "jwks.json")
    write_secret(
        made.private,
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.NoEncryption(),
        ),
    )
    made.public.write_bytes(
        public.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    digest = hashes.Hash(hashes.SHA256())
    digest.update(der)
    published = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(public))
    published |= {
        "use": "sig",
        "alg": "RS256",
        "kid": jwt.utils.base64url_encode(digest.finalize()).decode(),
    }
    made.jwks.write_text(json.dumps({"keys": [published]}))
    return made
