"""kubectl's way through the Proxy Service: who may, as whom, by which agent, and the audit record of it."""

from __future__ import annotations

import json
import posixpath
import random
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web

from simulators.teleport import access, listing
from simulators.teleport.errors import STATUSES, TeleportError
from simulators.teleport.kubernetes_sessions import Session, refuse, relay, socket_for
from simulators.teleport.tunnel import Stream, Tunnel, passed_on

if TYPE_CHECKING:
    from collections.abc import Callable

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

    def gone(self, cluster: str = "") -> TeleportError:
        """The error for a request whose agent is gone."""
        told = self._auth.decisions.absence_told()
        return TeleportError("ConnectionProblem", self._auth.imitation.text(told, cluster=cluster))

    async def serve(self, tunnel: Tunnel) -> None:
        """Let an agent serve by its tunnel, until it ends."""

        def announced(told: dict[str, Any]) -> None:
            self._auth.announce(tunnel.host_id, told)

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
            if audited["target"].kind == "pods/exec":
                return await self._executed(request, head, tunnel, audited | {"server_id": tunnel.host_id})
            if request.headers.get("Upgrade"):
                return refusal(501, "attach and port-forward are not simulated")
            stream = await tunnel.open(head, await request.read())
        except TeleportError as error:
            return refusal(STATUSES[error.kind], error.message)
        relayed = self._listed if audited["only"] else self._relayed
        try:
            return await relayed(request, stream, audited | {"server_id": tunnel.host_id})
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
        named = target.kind.partition("/")[0] == "pods" and target.name
        pod = (target.namespace, target.name) if named else None
        may = access.to_cluster(auth.roles_of(user), labels, auth.decisions, pod=pod)
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
        allowed = self._allowed(may, kind) if target.group and not target.discovery else None
        listed = request.method == "GET" and not target.name
        if allowed and not listed and not allowed(*place):
            about = dict(zip(("namespace", "name"), place, strict=True)) | {"kind": kind, "user": user.name}
            verb = VERBS.get(request.method, "get")
            raise TeleportError("AccessDenied", auth.imitation.text("resource-denied", **about, verb=verb))
        only = allowed if allowed and not allowed(*place) else None
        if only and "watch" in request.query:
            raise TeleportError("BadParameter", "watching a part of the objects is not simulated")
        headers = passed_on(
            request.headers.items(),
            *(("accept-encoding",) if only else ()),
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
            "only": only,
        }
        return head, audited | {"cluster": user.kubernetes_cluster}

    def _allowed(self, may: access.KubernetesAccess, kind: str) -> Callable[[str, str], bool]:
        """(namespace, name) -> the roles allow objects of a kind; `*` stands for all."""
        decide = self._auth.decisions.resource_allowed
        return lambda namespace, name: decide(may.resources, kind, namespace, name, may.every_kind)

    def _agent_of(self, cluster: str) -> Tunnel:
        """The newest tunnel of an agent that serves the cluster; of several agents one is drawn, as 13 does."""
        registered = [str(server["spec"]["host_id"]) for server in self._auth.servers_of(cluster)]
        connected = [tunnel.host_id for tunnel in self._tunnels]
        asked = set(self._auth.decisions.agents_asked(registered, connected))
        serving = [tunnel for tunnel in self._tunnels if tunnel.host_id in asked]
        if not serving:
            raise self.gone(cluster)
        host = random.choice(sorted({tunnel.host_id for tunnel in serving}))  # noqa: S311  # a draw is no secret
        return [tunnel for tunnel in serving if tunnel.host_id == host][-1]

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

    async def _listed(self, request: web.Request, stream: Stream, audited: dict[str, Any]) -> web.Response:
        """A list without what the user's roles do not allow."""
        try:
            head = await stream.head()
            body = b"".join([piece async for piece in stream.body()])
            if head["status"] == HTTPStatus.OK:
                body = listing.without(body, audited["only"])
        except TeleportError as error:
            return refusal(STATUSES[error.kind], error.message)
        self._audit(request, head, audited)
        kind = next((value for name, value in head["headers"] if name.lower() == "content-type"), None)
        return web.Response(
            status=head["status"], body=body, headers={"Content-Type": kind} if kind else None
        )

    async def _executed(
        self, request: web.Request, head: dict[str, Any], tunnel: Tunnel, audited: dict[str, Any]
    ) -> web.StreamResponse:
        """Run a command in a pod.

        Raises:
            TeleportError: no WebSocket is asked for, or the agent did not answer.
        """
        socket, protocol = socket_for(request)
        own = {name for name, _ in head["headers"] if name.lower().startswith("sec-websocket-")}
        headers = [(name, value) for name, value in head["headers"] if name not in own]
        stream = await tunnel.open({**head, "headers": headers, "protocol": protocol}, b"")
        status: dict[str, Any] = {}
        try:
            answer = await stream.head()
            place = _place(audited["target"], request.query.get("container", ""), answer["pod"])
            session = Session(self._auth.audit, request.query.getall("command", []), audited, place)
            recorded = self._auth.decisions.command_recorded(request.query.getall("command", []))
            if recorded:
                session.start()
            try:
                if "refusal" in answer:
                    await refuse(request, socket, answer, status)
                else:
                    await relay(request, socket, tunnel, stream, status)
            finally:
                if recorded:
                    session.end(status)
        finally:
            await tunnel.close(stream)
        return socket

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


def _place(target: Target, container: str, pod: dict[str, Any]) -> dict[str, Any]:
    """A pod and its container, as the audit log has them."""
    spec = pod.get("spec") or {}
    containers = spec.get("containers") or []
    # The first one where the request names none (lib/kube/proxy/remotecommand.go).
    name = container or next((each["name"] for each in containers), "")
    image = next((each["image"] for each in containers if each["name"] == name), None)
    return {
        "kubernetes_pod_name": target.name,
        "kubernetes_pod_namespace": target.namespace,
        "kubernetes_container_name": name or None,
        "kubernetes_container_image": image,
        "kubernetes_node_name": spec.get("nodeName"),
    }


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
