"""The run's certificates, as TLS and Kubernetes use them."""

from __future__ import annotations

import base64
import hashlib
import json
import socket
import ssl
import threading
from typing import TYPE_CHECKING

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from harness.adapters.certificates import Authority, KeyPair, signing_key

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def own(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


def certificate(pair: KeyPair) -> x509.Certificate:
    return x509.load_pem_x509_certificate(pair.certificate.read_bytes())


def shake_hands(
    serving: KeyPair, authority: Authority, name: str, client: KeyPair | None = None
) -> x509.Name:
    """One TLS handshake in memory's place: over a socket pair; what the server saw of its client."""
    inside = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    inside.load_cert_chain(serving.certificate, serving.key)
    inside.load_verify_locations(authority.pair.certificate)
    inside.verify_mode = ssl.CERT_REQUIRED if client else ssl.CERT_NONE
    outside = ssl.create_default_context(cafile=str(authority.pair.certificate))
    if client:
        outside.load_cert_chain(client.certificate, client.key)
    seen: list[bytes | None] = []
    left, right = socket.socketpair()

    def answer() -> None:
        with inside.wrap_socket(right, server_side=True, do_handshake_on_connect=False) as server:
            server.do_handshake()
            seen.append(server.getpeercert(binary_form=True))

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with outside.wrap_socket(left, server_hostname=name) as connection:
            connection.recv(1)
    finally:
        thread.join()
    return x509.load_der_x509_certificate(seen[0]).subject if seen[0] else x509.Name([])


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "kubernetes.default.svc"])
def test_a_server_is_known_by_each_of_its_names(own: Authority, name: str) -> None:
    serving = own.issue("kube-apiserver", "127.0.0.1", "localhost", "kubernetes.default.svc")
    shake_hands(serving, own, name)


def test_a_client_is_known_by_user_and_group(own: Authority) -> None:
    client = own.issue("administrator", common_name="conformance-admin", organization="system:masters")
    subject = shake_hands(own.issue("server", "127.0.0.1"), own, "127.0.0.1", client)
    assert [entry.value for entry in subject.get_attributes_for_oid(NameOID.COMMON_NAME)] == [
        "conformance-admin"
    ]
    assert "system:masters" in [
        entry.value for entry in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    ]


def test_each_is_good_for_both_sides_and_has_names(own: Authority) -> None:
    made = certificate(own.issue("controller-manager", common_name="system:kube-controller-manager"))
    usages = made.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} <= set(usages)
    names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["controller-manager"]


def test_keys_are_the_users_alone(own: Authority, tmp_path: Path) -> None:
    pairs = [own.pair, own.issue("server", "127.0.0.1")]
    assert [pair.key.stat().st_mode & 0o777 for pair in pairs] == [0o600, 0o600]
    assert all(b"PRIVATE KEY" not in pair.certificate.read_bytes() for pair in pairs)
    assert signing_key(tmp_path).private.stat().st_mode & 0o777 == 0o600


def test_the_signing_key_is_published_under_the_id_that_kubernetes_gives_it(tmp_path: Path) -> None:
    made = signing_key(tmp_path)
    public = serialization.load_pem_public_key(made.public.read_bytes())
    der = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = made.jwks.read_text()
    (published,) = json.loads(text)["keys"]
    assert published["kid"] == base64.urlsafe_b64encode(hashlib.sha256(der).digest()).rstrip(b"=").decode()
    assert (published["kty"], published["alg"], published["use"]) == ("RSA", "RS256", "sig")
    # Nothing of the private key is published.
    assert published.keys() == {"kty", "key_ops", "n", "e", "kid", "alg", "use"}


def test_a_token_that_the_key_signs_is_verified_by_what_is_published(tmp_path: Path) -> None:
    made = signing_key(tmp_path)
    token = jwt.encode({"sub": "it"}, made.private.read_bytes(), algorithm="RS256")
    key = jwt.PyJWKSet.from_json(made.jwks.read_text()).keys[0]
    assert jwt.decode(token, key, algorithms=["RS256"]) == {"sub": "it"}
    (tmp_path / "other").mkdir()
    other = signing_key(tmp_path / "other")
    with pytest.raises(jwt.InvalidSignatureError):
        jwt.decode(token, jwt.PyJWKSet.from_json(other.jwks.read_text()).keys[0], algorithms=["RS256"])
