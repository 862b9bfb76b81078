"""Who makes a request: client certificate, bearer token or nobody; and whom they act as."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.x509.oid import NameOID

from simulators.apiserver.authorization import refusal
from simulators.apiserver.decisions import Attributes
from simulators.apiserver.objects import User
from simulators.apiserver.status import bad_request, not_simulated, unauthorized
from simulators.apiserver.tokens import service_account_groups

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aiohttp import web
    from multidict import CIMultiDictProxy

    from simulators.apiserver.authorization import Authorizer
    from simulators.apiserver.decisions import Decisions
    from simulators.apiserver.tokens import Tokens

ANONYMOUS = User("system:anonymous", ("system:unauthenticated",))
_ACCOUNT = "system:serviceaccount:"
_NOT_SIMULATED = ("impersonate-uid", "impersonate-extra-")


def authenticate(request: web.Request, tokens: Tokens) -> User:
    """The user of a request.

    Raises:
        StatusError: there are credentials and they are not valid (401).
    """
    tls = request.transport.get_extra_info("ssl_object") if request.transport else None
    certificate = tls.getpeercert(binary_form=True) if tls else None
    if certificate:
        return _of_certificate(certificate)
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return ANONYMOUS
    found = tokens.user(token.strip())
    if found is None:
        raise unauthorized()
    return found


@lru_cache(maxsize=256)
def _of_certificate(certificate: bytes) -> User:
    """The user that a certificate names; that its chain is good is the TLS layer's business.

    Args:
        certificate: DER.
    """
    subject = x509.load_der_x509_certificate(certificate).subject
    names = [str(entry.value) for entry in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not names:
        raise unauthorized()
    organizations = subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    groups = (*(str(entry.value) for entry in organizations), "system:authenticated")
    fingerprint = hashlib.sha256(certificate).hexdigest()
    extra = {"authentication.kubernetes.io/credential-id": [f"X509SHA256={fingerprint}"]}
    return User(names[0], groups, extra=extra)


def impersonate(
    headers: CIMultiDictProxy[str], user: User, authorizer: Authorizer, decisions: Decisions
) -> User | None:
    """Whom a request is made as, or None when it is made as its own user.

    Args:
        headers: of the request.
        user: who makes it.
        authorizer: knows who may impersonate whom.
        decisions: of the server.

    Raises:
        StatusError: the user may not (403); there are groups and no user (400), or what is not simulated (501).
    """
    name = headers.get("Impersonate-User", "")
    groups = tuple(headers.getall("Impersonate-Group", []))
    if any(key.lower().startswith(_NOT_SIMULATED) for key in headers):
        raise not_simulated("impersonation of uids and extras")
    if not name:
        if groups:
            raise bad_request(f"requested {list(groups)} without impersonating a user")
        return None
    for asked in _asked(name, groups):
        permitted, _ = authorizer.allowed(user, asked)
        if not decisions.impersonation_allowed(permitted):
            raise refusal(user, asked, "")
    own = service_account_groups(name.split(":")[2]) if name.startswith(_ACCOUNT) else ()
    return User(name, decisions.impersonated_groups(groups, own))


def _asked(name: str, groups: tuple[str, ...]) -> Iterator[Attributes]:
    if name.startswith(_ACCOUNT) and name.count(":") == 3:
        _, _, namespace, account = name.split(":")
        yield Attributes("impersonate", "", "serviceaccounts", account, namespace)
    else:
        yield Attributes("impersonate", "", "users", name)
    for group in groups:
        yield Attributes("impersonate", "", "groups", group)
