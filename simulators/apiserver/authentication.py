"""Who makes a request: client certificate, bearer token or nobody; and whom they act as."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING
from urllib.parse import unquote

from simulators.apiserver.authorization import refusal
from simulators.apiserver.decisions import Attributes
from simulators.apiserver.objects import User
from simulators.apiserver.status import unauthorized
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
_EXTRA = "Impersonate-Extra-"
_GROUP = "authentication.k8s.io"


class NoUserImpersonatedError(Exception):
    """Groups, uid or extras were given without a user; the text is the answer, which is no Status."""


def authenticate(request: web.Request, tokens: Tokens) -> User:
    """The user of a request.

    Raises:
        StatusError: there are credentials and they are not valid (401).
    """
    tls = request.transport.get_extra_info("ssl_object") if request.transport else None
    certificate = tls.getpeercert() if tls else None
    if tls and certificate:
        return _of_certificate(certificate, tls.getpeercert(binary_form=True))
    scheme, _, token = request.headers.get("Authorization", "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        return ANONYMOUS
    found = tokens.user(token.strip())
    if found is None:
        raise unauthorized()
    return found[0]


def _of_certificate(certificate: dict[str, object], der: bytes) -> User:
    names: dict[str, list[str]] = {}
    subject = certificate.get("subject")
    for attributes in subject if isinstance(subject, tuple) else ():
        for key, value in attributes:
            names.setdefault(key, []).append(value)
    if not names.get("commonName"):
        raise unauthorized()
    groups = (*names.get("organizationName", []), "system:authenticated")
    fingerprint = hashlib.sha256(der).hexdigest()
    extra = {"authentication.kubernetes.io/credential-id": [f"X509SHA256={fingerprint}"]}
    return User(names["commonName"][0], groups, extra=extra)


def impersonate(
    headers: CIMultiDictProxy[str], path: str, user: User, authorizer: Authorizer, decisions: Decisions
) -> User | None:
    """Whom a request is made as, or None when it is made as its own user.

    Args:
        headers: of the request.
        path: of the request.
        user: who makes it.
        authorizer: knows who may impersonate whom.
        decisions: of the server.

    Raises:
        StatusError: the user may not (403).
        NoUserImpersonatedError: there are groups, uid or extras and no user.
    """
    name = headers.get("Impersonate-User", "")
    groups = tuple(headers.getall("Impersonate-Group", []))
    uid = headers.get("Impersonate-Uid", "")
    extra: dict[str, list[str]] = {}
    for key, value in headers.items():
        if key.lower().startswith(_EXTRA.lower()):
            extra.setdefault(unquote(key[len(_EXTRA) :]).lower(), []).append(value)
    if not name:
        if groups or uid or extra:
            kinds = ["Group" for _ in groups] or ["UID" if uid else "UserExtra"]
            values = groups or (uid or next(iter(extra)),)
            listed = " ".join(f"{{{kind}  {value}    }}" for kind, value in zip(kinds, values, strict=True))
            text = f'Internal Server Error: "{path}": requested [{listed}] without impersonating a user\n'
            raise NoUserImpersonatedError(text)
        return None
    for asked in _asked(name, groups, uid, extra):
        permitted, _ = authorizer.allowed(user, asked)
        if not decisions.impersonation_allowed(permitted):
            raise refusal(user, asked, "")
    own = service_account_groups(name.split(":")[2]) if name.startswith(_ACCOUNT) else ()
    return User(name, decisions.impersonated_groups(groups, own), uid, extra)


def _asked(name: str, groups: tuple[str, ...], uid: str, extra: dict[str, list[str]]) -> Iterator[Attributes]:
    if name.startswith(_ACCOUNT) and name.count(":") == 3:
        _, _, namespace, account = name.split(":")
        yield Attributes("impersonate", "", "serviceaccounts", account, namespace)
    else:
        yield Attributes("impersonate", "", "users", name)
    for group in groups:
        yield Attributes("impersonate", "", "groups", group)
    for key, values in extra.items():
        for value in values:
            yield Attributes("impersonate", _GROUP, f"userextras/{key}", value)
    if uid:
        yield Attributes("impersonate", _GROUP, "uids", uid)
