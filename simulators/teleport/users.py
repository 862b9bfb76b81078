"""Local users of the Auth Service: invitations, passwords, signing in, and the certificates that come of it."""

from __future__ import annotations

import re
import secrets
import time
import uuid
from typing import TYPE_CHECKING

from simulators.teleport import access, resources, times
from simulators.teleport.auth import not_found
from simulators.teleport.certificates import Identity
from simulators.teleport.errors import TeleportError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simulators.teleport.auth import Auth
    from simulators.teleport.store import Resource

SESSION_SECONDS = 12 * 3600
SHORT_SESSIONS_LAST = 1 / 15
"""Share of its time that a session of minutes lasts here, to save time; 13 issues none below a minute."""

INVITATION_SECONDS = 3600


class Users:
    """The users of one cluster.

    Args:
        auth: its Auth Service.
    """

    def __init__(self, auth: Auth) -> None:
        self._auth = auth

    def add(self, caller: Identity, name: str, roles: Sequence[str]) -> Resource:
        """Make a local user without a password; the invitation to set one.

        Raises:
            TeleportError: the name is taken, a role is missing, or the caller may not.
        """
        self._auth.authorize(caller, "user", "create")
        if name in self._auth.store.users:
            raise TeleportError("AlreadyExists", f'user "{name}" already registered')
        self._require_roles(roles)
        self._auth.store.users[name] = resources.user(name, roles, caller.name)
        self._audit_user(caller.name, name, roles)
        invitation, now = secrets.token_hex(16), time.time()
        expires = times.written(now + INVITATION_SECONDS)
        self._auth.store.invitations[invitation] = {"user": name, "expires": expires}
        self._auth.store.save()
        self._auth.audit.emit(
            "reset_password_token.create", name=name, expires=expires, ttl="1h0m0s", user=caller.name
        )
        return {
            "kind": "user_token",
            "sub_kind": "invite",
            "version": "v3",
            "metadata": {"name": invitation, "expires": expires},
            "spec": {
                "user": name,
                "url": f"https://{self._auth.cluster}:443/web/invite/{invitation}",
                "created": times.written(now),
            },
        }

    def update(self, caller: Identity, name: str, roles: Sequence[str]) -> None:
        """Give a user other roles; a certificate that the user has already does not change.

        Raises:
            TeleportError: there is no such user or role, or the caller may not.
        """
        self._auth.authorize(caller, "user", "update")
        if name not in self._auth.store.users:
            raise TeleportError("NotFound", not_found("user", name))
        self._require_roles(roles)
        user = self._auth.store.users[name]
        user["spec"]["roles"] = list(self._auth.decisions.roles_given(user["spec"]["roles"], roles))
        user["metadata"]["id"] = time.time_ns()
        self._auth.store.save()
        self._audit_user(name, name, roles)

    def set_password(self, invitation: str, password: str) -> None:
        """Redeem an invitation.

        Raises:
            TeleportError: it is unknown or used up, or the password too short.
        """
        known = self._auth.store.invitations.get(invitation)
        if known is None or times.read(known["expires"]) <= time.time():
            raise TeleportError("AccessDenied", "expired or not found")
        if len(password) < 6:
            raise TeleportError("BadParameter", "password is too short, min length is 6")
        del self._auth.store.invitations[invitation]
        salt = secrets.token_bytes(16)
        self._auth.store.passwords[known["user"]] = {
            "salt": salt.hex(),
            "hash": self._auth.decisions.password_hash(password, salt).hex(),
        }
        self._auth.store.save()

    def sign_in(self, name: str, password: str, public: str, address: str) -> str:
        """Sign a user in; a certificate in which the roles are frozen.

        Args:
            name: of the user.
            password: of the user.
            public: the user's public key.
            address: where the user is, for the audit log.

        Raises:
            TeleportError: AccessDenied, whatever was wrong.
        """
        kept = self._auth.store.passwords.get(name, {"salt": "", "hash": ""})
        matches = self._auth.decisions.password_matches(
            password, bytes.fromhex(kept["salt"]), bytes.fromhex(kept["hash"])
        )
        seen = {"method": "local", "user_agent": "simulated-tsh", "addr_remote": address}
        if name not in self._auth.store.users or not matches:
            wrong = "invalid username or password"
            self._auth.audit.emit("user.login failed", user=name, success=False, error=wrong, **seen)
            raise TeleportError("AccessDenied", wrong)
        roles = tuple(self._auth.store.users[name]["spec"]["roles"])
        definitions = self._auth.definitions(roles)
        identity = Identity(
            name=name,
            roles=roles,
            expires=float(int(time.time()) + _session_seconds(definitions)),
            user=True,
            kubernetes_groups=access.principals(definitions, "kubernetes_groups", self._auth.decisions),
            kubernetes_users=access.principals(definitions, "kubernetes_users", self._auth.decisions),
            cluster=self._auth.cluster,
            logins=(f"-teleport-nologin-{uuid.uuid4()}", "-teleport-internal-join"),
            forwards_agent=any(role["spec"]["options"].get("forward_agent") for role in definitions),
        )
        self._auth.audit.emit("user.login", user=name, success=True, **seen)
        return self._user_certificate(identity, public)

    def kubernetes_certificate(self, caller: Identity, cluster: str, public: str) -> str:
        """A certificate of a signed-in user for one Kubernetes cluster.

        Raises:
            TeleportError: there is no such cluster that the user may see.
        """
        if cluster not in {found["name"] for found in self._auth.kubernetes_clusters(caller)}:
            message = self._auth.imitation.text("cluster-not-registered", cluster=cluster)
            raise TeleportError("BadParameter", message)
        return self._user_certificate(caller.for_kubernetes(cluster), public)

    def _require_roles(self, roles: Sequence[str]) -> None:
        for role in roles:
            if role not in self._auth.store.roles:
                raise TeleportError("NotFound", not_found("role", role, quoted=False))

    def _user_certificate(self, identity: Identity, public: str) -> str:
        told = {
            "user": identity.name,
            "roles": list(identity.roles),
            "logins": list(identity.logins),
            "kubernetes_groups": list(identity.kubernetes_groups) or None,
            "expires": times.written(identity.expires),
            "route_to_cluster": self._auth.cluster,
            "kubernetes_cluster": identity.kubernetes_cluster or None,
            "traits": dict.fromkeys(resources.TRAITS),
            "teleport_cluster": self._auth.cluster,
            "prev_identity_expires": times.NEVER,
        }
        kept = {name: value for name, value in told.items() if value is not None}
        self._auth.audit.emit("cert.create", cert_type="user", identity=kept)
        return self._auth.people.issue(identity, public)

    def _audit_user(self, creator: str, name: str, roles: Sequence[str]) -> None:
        # 13 writes user.create for a change too, and names the changed user as its author.
        self._auth.audit.emit(
            "user.create", user=creator, name=name, expires=times.NEVER, roles=list(roles), connector="local"
        )


def _session_seconds(roles: Sequence[Resource]) -> float:
    """How long a session lasts: as the role says that allows the least."""
    told = [str(role["spec"]["options"].get("max_session_ttl", "")) for role in roles]
    seconds = min([SESSION_SECONDS, *(_seconds(duration) for duration in told if duration)])
    return seconds if seconds >= 3600 else max(60, seconds) * SHORT_SESSIONS_LAST


def _seconds(duration: str) -> float:
    """Read a duration as Go writes it, in hours, minutes and seconds."""
    units = {"h": 3600, "m": 60, "s": 1}
    return sum(float(number) * units[unit] for number, unit in re.findall(r"([0-9.]+)([hms])", duration))
