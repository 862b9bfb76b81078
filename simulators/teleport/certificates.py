"""Certificate authorities of a Teleport cluster, and what a certificate says about who holds it.

A user's roles and Kubernetes groups are in the certificate's subject, under the same object identifiers as
Teleport's (seen in a certificate of 13.0.0-dev): they are frozen at sign-in.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import ipaddress
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID, ObjectIdentifier

from simulators.teleport.files import write_secret

if TYPE_CHECKING:
    from pathlib import Path

HOST, USER = "host CA (simulated)", "user CA (simulated)"
KUBERNETES_USERS = ObjectIdentifier("1.3.9999.1.1")
KUBERNETES_GROUPS = ObjectIdentifier("1.3.9999.1.2")
KUBERNETES_CLUSTER = ObjectIdentifier("1.3.9999.1.3")
TELEPORT_CLUSTER = ObjectIdentifier("1.3.9999.1.7")
FORWARDS_AGENT = ObjectIdentifier("1.3.9999.99.1")
"""Of the simulation: in Teleport an SSH certificate tells it, and here is none."""

BACKDATED = dt.timedelta(minutes=1)
AUTHORITY_LIFE = dt.timedelta(days=3650)


@dataclass(frozen=True)
class Identity:
    """Whom a certificate names.

    Attributes:
        name: of the user; of a host, `HOST_ID.CLUSTER`.
        roles: of the user when signing in, or the host's system roles.
        expires: seconds since 1970.
        user: whether the user authority signed it.
        kubernetes_groups: allowed by the roles at sign-in.
        kubernetes_users: the same.
        kubernetes_cluster: that it was issued for; empty for none.
        cluster: the Teleport cluster.
        logins: of the user.
        forwards_agent: whether a role of the user lets SSH agents be forwarded.
    """

    name: str
    roles: tuple[str, ...]
    expires: float = 0.0
    user: bool = False
    kubernetes_groups: tuple[str, ...] = ()
    kubernetes_users: tuple[str, ...] = ()
    kubernetes_cluster: str = ""
    cluster: str = ""
    logins: tuple[str, ...] = ()
    forwards_agent: bool = False

    @property
    def host_id(self) -> str:
        """Of a host."""
        return self.name.partition(".")[0]

    def subject(self) -> x509.Name:
        """As it stands in a certificate."""
        entries = [(NameOID.COMMON_NAME, self.name)]
        entries += [(NameOID.LOCALITY_NAME, login) for login in self.logins]
        entries += [(NameOID.ORGANIZATION_NAME, role) for role in self.roles]
        entries += [(KUBERNETES_USERS, user) for user in self.kubernetes_users]
        entries += [(KUBERNETES_GROUPS, group) for group in self.kubernetes_groups]
        if self.forwards_agent:
            entries += [(FORWARDS_AGENT, "yes")]
        if self.kubernetes_cluster:
            entries += [(NameOID.ORGANIZATIONAL_UNIT_NAME, "usage:kube")]
            entries += [(KUBERNETES_CLUSTER, self.kubernetes_cluster)]
        return x509.Name(
            [x509.NameAttribute(key, value) for key, value in [*entries, (TELEPORT_CLUSTER, self.cluster)]]
        )

    def for_kubernetes(self, cluster: str) -> Identity:
        """The same user, for one Kubernetes cluster; roles and expiry stay those of signing in."""
        return replace(self, kubernetes_cluster=cluster)


@lru_cache(maxsize=256)
def identity_of(certificate: bytes) -> Identity:
    """Read whom a certificate names; that its chain is good is the TLS layer's business.

    Args:
        certificate: DER.
    """
    found = x509.load_der_x509_certificate(certificate)

    def values(key: ObjectIdentifier) -> tuple[str, ...]:
        return tuple(str(entry.value) for entry in found.subject.get_attributes_for_oid(key))

    issuers = found.issuer.get_attributes_for_oid(NameOID.ORGANIZATIONAL_UNIT_NAME)
    return Identity(
        name="".join(values(NameOID.COMMON_NAME)),
        roles=values(NameOID.ORGANIZATION_NAME),
        expires=found.not_valid_after_utc.timestamp(),
        user=USER in [str(entry.value) for entry in issuers],
        kubernetes_groups=values(KUBERNETES_GROUPS),
        kubernetes_users=values(KUBERNETES_USERS),
        kubernetes_cluster="".join(values(KUBERNETES_CLUSTER)),
        cluster="".join(values(TELEPORT_CLUSTER)),
        logins=values(NameOID.LOCALITY_NAME),
        forwards_agent=bool(values(FORWARDS_AGENT)),
    )


def identity_in(pem: str) -> Identity:
    """Read whom the first certificate of a PEM text names.

    Raises:
        ValueError: there is none.
    """
    found = x509.load_pem_x509_certificate(pem.encode())
    return identity_of(found.public_bytes(serialization.Encoding.DER))


def private_key() -> str:
    """A new private key, PEM."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def public_key(private: str) -> str:
    """The public half of a private key, both PEM."""
    key = serialization.load_pem_private_key(private.encode(), password=None).public_key()
    return key.public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    ).decode()


@dataclass(frozen=True)
class Authority:
    """A certificate authority.

    Attributes:
        certificate: PEM.
        key: PEM; it never leaves the Auth Service.
    """

    certificate: str
    key: str

    @classmethod
    def load(cls, folder: Path, name: str, cluster: str) -> Authority:
        """Read an authority, or make it where there is none yet.

        Args:
            folder: holds `NAME.pem` and, for the owner alone, `NAME.key`.
            name: HOST or USER.
            cluster: the Teleport cluster.
        """
        stem = name.partition(" ")[0]
        certificate, key = folder / f"{stem}.pem", folder / f"{stem}.key"
        if not certificate.is_file():
            made = _self_signed(name, cluster)
            write_secret(key, made.key)
            write_secret(certificate, made.certificate)
        return cls(certificate.read_text(), key.read_text())

    def issue(self, identity: Identity, public: str, names: tuple[str, ...] = ()) -> str:
        """Sign a certificate, PEM.

        Args:
            identity: whom it names, and until when.
            public: the holder's public key, PEM.
            names: host names and addresses that it serves.
        """
        issuer = x509.load_pem_x509_certificate(self.certificate.encode())
        alternatives = [_alternative(name) for name in names]
        builder = _builder(
            identity.subject(),
            issuer.subject,
            serialization.load_pem_public_key(public.encode()),
            dt.datetime.fromtimestamp(identity.expires, dt.UTC),
        )
        if alternatives:
            builder = builder.add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        usages = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_key_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(
                    issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
                ),
                critical=False,
            )
        )
        return _signed(builder, self.key)

    def pin(self) -> str:
        """The hash that `tctl status` shows of the authority."""
        key = x509.load_pem_x509_certificate(self.certificate.encode()).public_key()
        der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return f"sha256:{hashlib.sha256(der).hexdigest()}"


def _self_signed(name: str, cluster: str) -> Authority:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, cluster),
            x509.NameAttribute(NameOID.ORGANIZATIONAL_UNIT_NAME, name),
            x509.NameAttribute(NameOID.COMMON_NAME, cluster),
        ]
    )
    builder = (
        _builder(subject, subject, key.public_key(), dt.datetime.now(dt.UTC) + AUTHORITY_LIFE)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(_key_usage(signs_certificates=True), critical=True)
    )
    pem = _key_pem(key)
    return Authority(_signed(builder, pem), pem)


def _builder(
    subject: x509.Name, issuer: x509.Name, public: object, expires: dt.datetime
) -> x509.CertificateBuilder:
    assert isinstance(public, ec.EllipticCurvePublicKey)  # noqa: S101  # no other key is ever made here
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(dt.datetime.now(dt.UTC) - BACKDATED)
        .not_valid_after(expires)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
    )


def _signed(builder: x509.CertificateBuilder, key: str) -> str:
    private = serialization.load_pem_private_key(key.encode(), password=None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)  # noqa: S101  # no other key is ever made here
    return builder.sign(private, SHA256()).public_bytes(serialization.Encoding.PEM).decode()


def _key_usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=not signs_certificates,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    ).decode()
