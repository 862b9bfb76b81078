"""kubectl's way through the Proxy Service: who may, as whom, by which agent, and the audit record of it."""

from __future__ import annotations

import json
import posixpath
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web

from simulators.teleport import access
from simulators.teleport.errors import STATUSES, TeleportError
from simulators.teleport.tunnel import Stream, Tunnel, passed_on

if TYPE_CHECKING:
    from simulators.teleport.auth import Auth
    from simulators.teleport.certificates import Identity

REASONS = {400: "BadRequest", 403: "Forbidden", 404: "NotFound", 501: "MethodNotAllowed", 504: "Timeout"}
"""Reason of a Kubernetes Status by its code."""

VERBS = {"DELETE": "delete", "GET": "get", "PATCH": "patch", "POST": "create", "PUT": "update"}


@dataclass(frozen=True)
class Target:
    """What a request path names (fields as in the audit log; lib/kube/proxy/url.go).

    Attributes:
        group: API group and version; empty for none.
        namespace: empty for none.
        kind: resource and subresource; empty for none.
        name: empty for none.
        discovery: whether it only asks what the API offers.
    """

    group: str = ""
    namespace: str = ""
    kind: str = ""
    name: str = ""
    discovery: bool = False


def target_of(path: str) -> Target:
    """Read a request path.

    Args:
        path: without its query.
    """
    parts = posixpath.normpath(f"/{path}").lstrip("/").split("/")
    if parts[:2] == ["api", "v1"]:
        group, rest = "core/v1", parts[2:]
    elif parts[0] == "apis" and len(parts) >= 3:
        group, rest = "/".join(parts[1:3]), parts[3:]
    else:
        return Target(discovery=parts[0] in {"api", "apis"})
    if rest[:1] == ["watch"]:
        rest = rest[1:]
    namespace = ""
    if rest[:1] == ["namespaces"] and len(rest) >= 3:
        namespace, rest = rest[1], rest[2:]
    if not rest:
        return Target(group, discovery=True)
    return Target(group, namespace, "/".join([rest[0], *rest[2:]]), rest[1] if len(rest) > 1 else "")


class KubernetesProxy:
    """The Kubernetes part of the Proxy Service.

    Args:
        auth: the Auth Service.
    """

    def __init__(self, auth: Auth) -> None:
        self._auth = auth
        self._tunnels: list[Tunnel] = []

    def gone(self) -> TeleportError:
        """The error for a request whose agent is gone."""
        return TeleportError("ConnectionProblem", self._auth.imitation.text("agent-gone"))

    async def serve(self, tunnel: Tunnel) -> None:
        """Let an agent serve by its tunnel, until it ends."""

        def announced(told: dict[str, Any]) -> None:
            self._auth.announce(tunnel.host_id, told["cluster"], told["labels"], told["version"])

        self._tunnels.append(tunnel)
        try:
            await tunnel.serve(announced)
        finally:
            self._tunnels.remove(tunnel)

    async def handle(self, request: web.Request, caller: Identity | None) -> web.StreamResponse:
        """Answer one request of kubectl.

        Args:
            request: as it came.
            caller: by the client certificate.
        """
        try:
            user = self._checked(caller)
            head, audited = self._authorized(request, user)
            tunnel = self._agent_of(user.kubernetes_cluster)
            if request.headers.get("Upgrade"):
                return refusal(501, "exec, attach and port-forward are not simulated")
            stream = await tunnel.open(head, await request.read())
        except TeleportError as error:
            return refusal(STATUSES[error.kind], error.message)
        try:
            return await self._relayed(request, stream, audited | {"server_id": tunnel.host_id})
        finally:
            await tunnel.close(stream)

    def _checked(self, caller: Identity | None) -> Identity:
        if caller is None or not caller.user:
            raise TeleportError("AccessDenied", "access denied: expected the certificate of a signed-in user")
        if not caller.kubernetes_cluster:
            raise TeleportError("BadParameter", "the certificate is for no Kubernetes cluster")
        return caller

    def _authorized(self, request: web.Request, user: Identity) -> tuple[dict[str, Any], dict[str, Any]]:
        """The request as the agent gets it, and what the audit log will tell of it."""
        auth, target = self._auth, target_of(urlsplit(request.raw_path).path)
        servers = auth.servers_of(user.kubernetes_cluster)
        labels = servers[0]["spec"]["cluster"]["metadata"].get("labels") or {} if servers else {}
        may = access.to_cluster(auth.roles_of(user), labels, auth.decisions)
        if not servers or not may.reached:
            message = auth.imitation.text("cluster-not-registered", cluster=user.kubernetes_cluster)
            raise TeleportError("BadParameter", message)
        requested = (
            request.headers.getall("Impersonate-User", []),
            request.headers.getall("Impersonate-Group", []),
        )
        name, groups = access.impersonated(may, user.name, requested, auth.decisions, auth.imitation)
        kind = target.kind.partition("/")[0]
        place = target.namespace or "*", target.name or "*"
        if target.group and not target.discovery:
            self._check_resource(may, kind, place, VERBS.get(request.method, "get"), user.name)
        headers = passed_on(
            request.headers.items(),
            "authorization",
            "content-length",
            "host",
            "impersonate-user",
            "impersonate-group",
        )
        head = {
            "method": request.method, "target": request.raw_path, "headers": headers, "user": name, "groups": groups,
        }  # fmt: skip
        # Asked now: when the answer is through, the client may be gone.
        host, port = (request.transport.get_extra_info("peername") if request.transport else None) or ("", 0)
        audited = {
            "user": user.name,
            "target": target,
            "users": [name],
            "groups": groups,
            "remote": f"{host}:{port}",
        }
        return head, audited | {"cluster": user.kubernetes_cluster}

    def _check_resource(
        self, may: access.KubernetesAccess, kind: str, place: tuple[str, str], verb: str, user: str
    ) -> None:
        namespace, name = place
        if not self._auth.decisions.resource_allowed(may.resources, kind, namespace, name, may.every_kind):
            about = {"kind": kind, "name": name, "namespace": namespace, "verb": verb, "user": user}
            raise TeleportError("AccessDenied", self._auth.imitation.text("resource-denied", **about))

    def _agent_of(self, cluster: str) -> Tunnel:
        """The newest tunnel of an agent that serves the cluster."""
        hosts = {server["spec"]["host_id"] for server in self._auth.servers_of(cluster)}
        serving = [tunnel for tunnel in self._tunnels if tunnel.host_id in hosts]
        if not serving:
            raise self.gone()
        return serving[-1]

    async def _relayed(
        self, request: web.Request, stream: Stream, audited: dict[str, Any]
    ) -> web.StreamResponse:
        try:
            head = await stream.head()
        except TeleportError as error:
            return refusal(STATUSES[error.kind], error.message)
        response = web.StreamResponse(status=head["status"])
        for name, value in head["headers"]:
            response.headers.add(name, value)
        try:
            await response.prepare(request)
            async for piece in stream.body():
                await response.write(piece)
            await response.write_eof()
        except TeleportError:
            # The head is sent already: all that is left is to break off.
            if request.transport:
                request.transport.abort()
        finally:
            # Also where the client left as soon as it had what it wanted.
            self._audit(request, head, audited)
        return response

    def _audit(self, request: web.Request, head: dict[str, Any], audited: dict[str, Any]) -> None:
        target: Target = audited["target"]
        if not self._auth.decisions.request_recorded(target.discovery):
            return
        self._auth.audit.emit(
            "kube.request",
            user=audited["user"],
            login=audited["user"],
            addr_local=head["server"],
            addr_remote=audited["remote"],
            proto="kube",
            namespace="default",
            server_id=audited["server_id"],
            request_path=urlsplit(request.raw_path).path,
            verb=request.method,
            resource_api_group=target.group or None,
            resource_namespace=target.namespace or None,
            resource_kind=target.kind or None,
            resource_name=target.name or None,
            response_code=head["status"],
            kubernetes_cluster=audited["cluster"],
            kubernetes_users=audited["users"],
            kubernetes_groups=sorted(audited["groups"]),
        )


def refusal(status: int, message: str) -> web.Response:
    """An answer of the proxy itself, as a Kubernetes Status (form as measured)."""
    document = {
        "kind": "Status",
        "apiVersion": "v1",
        "metadata": {},
        "status": "Failure",
        "message": message,
        "reason": REASONS[status],
        "code": status,
    }
    text = json.dumps(document, separators=(",", ":")) + "\n"
    return web.Response(status=status, text=text, content_type="application/json")
