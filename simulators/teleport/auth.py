"""The Auth Service: resources, users, sign-in, joins, and who may do what."""

from __future__ import annotations

import time
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simulators.teleport import access, presets, resources, times
from simulators.teleport.certificates import HOST, USER, Authority, Identity
from simulators.teleport.errors import TeleportError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from simulators.teleport.audit import Audit
    from simulators.teleport.decisions import Decisions
    from simulators.teleport.joining import Joining
    from simulators.teleport.log import Log
    from simulators.teleport.store import Resource, Store
    from simulators.teleport.texts import Imitation

HOST_SECONDS = 3650 * 86400
MASKED = 0.75
"""Share of a token's name that a refusal hides (13)."""


@dataclass
class Auth:
    """The Auth Service of one cluster.

    Attributes:
        cluster: its name.
        data: folder for keys and state.
        decisions: of the program.
        imitation: the version.
        store: what it remembers.
        audit: its audit log.
        joining: its check of joins.
        log: its log.
    """

    cluster: str
    data: Path
    decisions: Decisions
    imitation: Imitation
    store: Store
    audit: Audit
    joining: Joining
    log: Log

    def __post_init__(self) -> None:
        """Make what a new cluster has, or read it."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.hosts = Authority.load(self.data / "authorities", HOST, self.cluster)
        self.people = Authority.load(self.data / "authorities", USER, self.cluster)
        path = self.data / "host_uuid"
        if not path.is_file():
            path.write_text(str(uuid.uuid4()))
        self.host_id = path.read_text().strip()
        self.administrator = f"{self.host_id}.{self.cluster}"
        if self.store.fresh:
            for preset in presets.preset_roles(self.imitation.default_role_version):
                stored = {**preset, "metadata": {**preset["metadata"], "id": time.time_ns()}}
                self.store.roles[preset["metadata"]["name"]] = stored
                self._audit_role("role.created", preset["metadata"]["name"], "system")
            self.store.save()

    # Resources

    def create(self, caller: Identity, given: Resource, *, force: bool) -> str:
        """Create a resource; what `tctl` prints about it.

        Args:
            caller: who asks.
            given: the resource.
            force: whether an existing one is replaced.

        Raises:
            TeleportError: it is refused.
        """
        kind = str(given.get("kind", ""))
        if kind not in {"token", "role"}:
            raise TeleportError("BadParameter", f'creating resources of type "{kind}" is not supported')
        self.authorize(caller, kind, "create")
        if kind == "token":
            # Tokens are always replaced (facts/teleport.md 0.7).
            made = resources.token(given, self.imitation, self.decisions)
            made["spec"] = dict(self.decisions.token_kept(made["spec"]))
            self.store.tokens[made["metadata"]["name"]] = made
            self.store.save()
            return ""
        made = resources.role(given, self.imitation, self.decisions)
        name = made["metadata"]["name"]
        if name in self.store.roles and not force:
            message = f"use -f or --force flag to overwrite\nrole '{name}' already exists"
            raise TeleportError("AlreadyExists", message)
        self.store.roles[name] = made
        self.store.save()
        self._audit_role("role.created", name, caller.name)
        return f"role '{name}' has been created\n"

    def get(self, caller: Identity, kind: str, name: str | None) -> list[Resource]:
        """Resources of a kind, or one of them.

        Args:
            caller: who asks.
            kind: as written by the user.
            name: None for all.

        Raises:
            TeleportError: there is none of that name, or the caller may not.
        """
        kind = resources.kind_of(kind)
        if kind == "kube_server":
            # Everybody may read these, as far as the roles reach the clusters.
            reached = {cluster["name"] for cluster in self.kubernetes_clusters(caller)}
            servers = self._servers()
            found = [
                one for one in servers if _is_administrator(caller) or one["metadata"]["name"] in reached
            ]
        else:
            # Whoever has a role may read it (measured).
            if kind != "role" or name not in caller.roles:
                self.authorize(caller, kind, *(("list", "read") if name is None else ("read",)))
            found = list(self._alive(kind).values())
            if kind == "role":
                shown = self.decisions.role_shown
                found = [
                    {**one, "spec": {**one["spec"], "allow": shown(one["spec"]["allow"])}} for one in found
                ]
        if name is None:
            return sorted(found, key=lambda resource: str(resource["metadata"]["name"]))
        chosen = [resource for resource in found if resource["metadata"]["name"] == name]
        if not chosen:
            raise TeleportError("NotFound", not_found(kind, name, quoted=kind != "role"))
        return chosen

    def remove(self, caller: Identity, kind: str, name: str) -> str:
        """Remove a resource; what `tctl` prints about it.

        Raises:
            TeleportError: there is none of that name, it is in use, or the caller may not.
        """
        kind = resources.kind_of(kind)
        self.authorize(caller, kind, "delete")
        if kind == "kube_server":
            keys = [key for key in self.store.servers if key.partition("/")[2] == name]
        else:
            keys = [name] if name in self._alive(kind) else []
        if not keys:
            raise TeleportError("NotFound", not_found(kind, name))
        if kind == "role" and any(name in user["spec"]["roles"] for user in self.store.users.values()):
            message = "failed to delete role that still in use by a user. Check system server logs for more details."
            raise TeleportError("BadParameter", message)
        for key in keys:
            del self.store.of_kind(kind)[key]
        if kind == "user":
            self.store.passwords.pop(name, None)
            self.audit.emit("user.delete", user=caller.name, name=name, expires=times.NEVER)
        if kind == "role":
            self._audit_role("role.deleted", name, caller.name)
        self.store.save()
        title = "kubernetes server" if kind == "kube_server" else kind
        return f'{title} "{name}" has been deleted\n'

    def authorize(self, caller: Identity, resource: str, *verbs: str) -> None:
        """Check that the caller may do something; an administrator beside the Auth Service may everything.

        Raises:
            TeleportError: AccessDenied.
        """
        if self.decisions.administrator_may(_is_administrator(caller)):
            return
        specs = [role["spec"] for role in self.roles_of(caller)]
        allowed = [rule for spec in specs for rule in spec["allow"].get("rules") or []]
        denied = [rule for spec in specs for rule in spec.get("deny", {}).get("rules") or []]
        rule_allows = self.decisions.rule_allows
        refused = [
            f'access denied to perform action "{verb}" on "{resource}"'
            for verb in verbs
            if not rule_allows(allowed, resource, verb) or rule_allows(denied, resource, verb)
        ]
        if refused:
            raise TeleportError("AccessDenied", ", ".join(refused))

    # What counts for a user

    def roles_of(self, caller: Identity) -> list[Resource]:
        """The roles that count for a signed-in user, as they are defined now."""
        now = self.store.users.get(caller.name, {"spec": {"roles": []}})["spec"]["roles"]
        return self.definitions(self.decisions.session_roles(caller.roles, now))

    # Hosts and Kubernetes clusters

    async def join(self, request: Mapping[str, Any]) -> str:
        """Let a host join; its certificate.

        Args:
            request: see `Joining.check`, with public_key.

        Raises:
            TeleportError: it is refused.
        """
        host_id, node, role = (str(request[name]) for name in ("host_id", "node", "role"))
        about = {"host_id": host_id, "node_name": node, "role": role, "method": request["method"]}
        try:
            token = await self.joining.check(request, self.store.tokens)
        except TeleportError as error:
            if self.imitation.failed_joins_audited:
                told = {**about, "token_name": request["token"], "error": error.message}
                self.audit.emit("instance.join failed", success=False, **told)
            raise
        self.log.inform("AUTH", f'Node "{node}" [{host_id}] has joined the cluster.')
        if self.decisions.join_recorded(role):
            self.audit.emit("instance.join", success=True, **about, token_name=token["metadata"]["name"])
        return self.host_certificate(host_id, role, request["public_key"])

    def host_certificate(self, host_id: str, role: str, public: str, names: tuple[str, ...] = ()) -> str:
        """A certificate of a host."""
        identity = Identity(
            f"{host_id}.{self.cluster}", (role,), time.time() + HOST_SECONDS, cluster=self.cluster
        )
        return self.hosts.issue(identity, public, names)

    def accept_host(self, caller: Identity | None, role: str) -> Identity:
        """Let a host connect with the certificate that it has.

        Raises:
            TeleportError: AccessDenied.
        """
        accepted = (
            caller is not None
            and not caller.user
            and self.decisions.certificate_accepted(role, caller.roles, caller.expires, time.time())
        )
        if caller is None or not accepted:
            raise TeleportError("AccessDenied", f"access denied: expected a valid certificate of role {role}")
        return caller

    def announce(self, host_id: str, told: dict[str, Any]) -> None:
        """Take a Kubernetes agent's heartbeat.

        Args:
            host_id: of the agent.
            told: name and labels of its cluster, its version and its address.
        """
        expires = self.decisions.server_expiry(time.time())
        self.store.servers[f"{host_id}/{told['cluster']}"] = resources.kube_server(told, host_id, expires)
        self.store.save()

    def servers_of(self, cluster: str) -> list[Resource]:
        """The kube_servers of a cluster that are still listed."""
        meant = self.decisions.cluster_meant
        return [server for server in self._servers() if meant(server["metadata"]["name"], cluster)]

    def kubernetes_clusters(self, caller: Identity) -> list[Resource]:
        """Name and labels of the Kubernetes clusters that a user's roles reach."""
        roles = self.roles_of(caller)
        found = {}
        for server in self._servers():
            metadata = server["spec"]["cluster"]["metadata"]
            labels = metadata.get("labels") or {}
            if access.to_cluster(roles, labels, self.decisions).reached:
                found[metadata["name"]] = {"name": metadata["name"], "labels": metadata.get("labels")}
        return [found[name] for name in sorted(found)]

    def tokens(self, caller: Identity) -> list[Resource]:
        """All tokens, invitations of users too, as `tctl tokens ls` shows them."""
        self.authorize(caller, "token", "list")
        invitations = [
            {
                "kind": "token",
                "version": "v2",
                "metadata": {"name": name, "expires": invitation["expires"]},
                "spec": {"roles": ["Password"]},
            }
            for name, invitation in self.store.invitations.items()
        ]
        found = [*self._alive("token").values(), *invitations]
        return sorted(found, key=lambda token: resources.expiry(token) or float("inf"))

    def _alive(self, kind: str) -> dict[str, Resource]:
        found = self.store.of_kind(kind)
        if kind != "token":
            return found
        usable, now = self.decisions.token_usable, time.time()
        return {name: token for name, token in found.items() if usable(resources.expiry(token), now)}

    def _servers(self) -> list[Resource]:
        listed, now = self.decisions.server_listed, time.time()
        return [
            server for server in self.store.servers.values() if listed(resources.expiry(server) or 0.0, now)
        ]

    def definitions(self, roles: Sequence[str]) -> list[Resource]:
        """The resources of roles that exist."""
        return [self.store.roles[role] for role in roles if role in self.store.roles]

    def _audit_role(self, event: str, name: str, user: str) -> None:
        self.audit.emit(event, name=name, expires=times.NEVER, user=user)


def _is_administrator(caller: Identity) -> bool:
    return not caller.user and "Admin" in caller.roles


def not_found(kind: str, name: str, *, quoted: bool = True) -> str:
    """How 13 says that a resource does not exist; a token's name is masked."""
    if kind == "token":
        hidden = int(len(name) * MASKED)
        return f"provisioning token({'*' * hidden}{name[hidden:]}) not found"
    if kind == "kube_server":
        return f'kubernetes server "{name}" not found'
    return f'{kind} "{name}" is not found' if quoted else f"{kind} {name} is not found"
