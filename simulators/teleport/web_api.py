"""What Auth and Proxy Service answer: over HTTP on the Auth Service's address, over HTTPS on the proxy's web address.

`/v1/webapi/…` and `/web/login` are Teleport's own. Everything below `/simulated/` stands for its gRPC interface, which
only the programs of this package speak: `POST /simulated/METHOD` with JSON in and out. On the proxy's address its
callers are known by a client certificate, on the Auth Service's, of loopback, the administrator by a secret.
"""

from __future__ import annotations

import base64
import binascii
import hmac
import json
from typing import TYPE_CHECKING, Any

from aiohttp import web

from simulators.teleport.certificates import Identity, identity_of
from simulators.teleport.connectors import MAPPINGS
from simulators.teleport.errors import STATUSES, TeleportError
from simulators.teleport.tunnel import HEARTBEAT_SECONDS, Tunnel
from simulators.teleport.users import Users

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable

    from simulators.teleport.auth import Auth
    from simulators.teleport.connectors import Connectors
    from simulators.teleport.kubernetes_proxy import KubernetesProxy

BODY_LIMIT = 16 << 20
CSRF_COOKIE = "__Host-grv_csrf"


class WebApi:
    """The HTTP interface of both services.

    Args:
        auth: the Auth Service.
        kubernetes: the proxy's Kubernetes part.
        connectors: of identity providers.
        ping: what `/v1/webapi/ping` answers.
        for_kubernetes: tells the TLS settings that connections to `kube.HOST` get.
        secret: of the administrator.
    """

    def __init__(
        self,
        auth: Auth,
        kubernetes: KubernetesProxy,
        connectors: Connectors,
        ping: dict[str, Any],
        for_kubernetes: ssl.SSLContext,
        *,
        secret: str,
    ) -> None:
        self._administrator = Identity(f"{auth.host_id}.{auth.cluster}", ("Admin",), cluster=auth.cluster)
        self._authorization = f"Bearer {secret}".encode()
        self._auth = auth
        self._users = Users(auth)
        self._kubernetes = kubernetes
        self._connectors = connectors
        self._ping = ping
        self._for_kubernetes = for_kubernetes

    def application(self) -> web.Application:
        """The application for both addresses."""
        application = web.Application(client_max_size=BODY_LIMIT)
        application.router.add_route("*", "/{path:.*}", self._dispatch)
        return application

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        tls = request.transport.get_extra_info("ssl_object") if request.transport else None
        certificate = tls.getpeercert(binary_form=True) if tls else None
        caller = identity_of(certificate) if certificate else None if tls else self._by_secret(request)
        if tls and tls.context is self._for_kubernetes:
            if not self._auth.decisions.kubernetes_served(bool(self._ping["proxy"]["kube"])):
                # As the real one: the connection ends without an answer.
                if request.transport:
                    request.transport.close()
                return web.Response()
            return await self._kubernetes.handle(request, caller)
        try:
            return await self._answer(request, caller)
        except TeleportError as error:
            return _failed(error)

    def _by_secret(self, request: web.Request) -> Identity | None:
        given = request.headers.get("Authorization", "").encode()
        return self._administrator if hmac.compare_digest(given, self._authorization) else None

    async def _answer(self, request: web.Request, caller: Identity | None) -> web.StreamResponse:
        match request.method, request.path:
            case "GET", "/v1/webapi/ping" | "/webapi/ping":
                answer: web.StreamResponse = web.json_response(self._ping)
            case "GET", "/web/login":
                answer = self._login_page()
            case "PUT", "/v1/webapi/users/password/token":
                answer = await self._set_password(request)
            case "GET", "/simulated/tunnel":
                answer = await self._tunnel(request, caller)
            case "POST", path if path.startswith("/simulated/"):
                answer = await self._call(request, caller)
            case method, path:
                raise TeleportError("NotFound", f"{method} {path} is not simulated")
        return answer

    def _login_page(self) -> web.Response:
        text = "<!doctype html><title>Simulated Teleport</title><p>This is a simulation; there is nothing here.</p>"
        page = web.Response(text=text, content_type="text/html")
        page.set_cookie(CSRF_COOKIE, "0" * 64, path="/", secure=True)
        return page

    async def _set_password(self, request: web.Request) -> web.Response:
        cookie, header = request.cookies.get(CSRF_COOKIE, ""), request.headers.get("X-CSRF-Token", "")
        if not header or not hmac.compare_digest(cookie.encode(), header.encode()):
            raise TeleportError("AccessDenied", "cross-site request forgery")
        given = await _document(request)
        try:
            password = base64.b64decode(_text(given, "password"), validate=True).decode()
        except (binascii.Error, UnicodeDecodeError) as error:
            raise TeleportError("BadParameter", "password is not base64") from error
        self._users.set_password(_text(given, "token"), password)
        return web.json_response({"recovery": {}, "privateKeyPolicyEnabled": False})

    async def _tunnel(self, request: web.Request, caller: Identity | None) -> web.StreamResponse:
        host = self._auth.accept_host(caller, "Kube")
        socket = web.WebSocketResponse(heartbeat=HEARTBEAT_SECONDS, max_msg_size=0)
        await socket.prepare(request)
        await self._kubernetes.serve(Tunnel(socket, host.host_id, self._kubernetes.gone()))
        return socket

    async def _call(self, request: web.Request, caller: Identity | None) -> web.Response:
        method = request.path.removeprefix("/simulated/")
        given = await _document(request)
        anonymous: dict[str, Callable[[], Any]] = {
            "authority": lambda: self._auth.hosts.certificate,
            "challenge": self._auth.joining.challenge,
            "sign-in": lambda: self._signed_in(given, request.remote or ""),
        }
        if method == "join":
            result: Any = await self._auth.join(given)
            return web.json_response({"certificate": result, "authority": self._auth.hosts.certificate})
        if method in anonymous:
            return web.json_response(anonymous[method]())
        if caller is None:
            raise TeleportError("AccessDenied", "access denied: expected a client certificate")
        if method == "create" and given["resource"].get("kind") in MAPPINGS:
            made = await self._connectors.create(caller, given["resource"], force=bool(given["force"]))
            return web.json_response(made)
        known = self._methods(caller, given)
        if method not in known:
            raise TeleportError("NotFound", f"{method} is not simulated")
        return web.json_response(known[method]())

    def _methods(self, caller: Identity, given: dict[str, Any]) -> dict[str, Callable[[], Any]]:
        auth = self._auth
        return {
            "hello": lambda: {
                "host_id": auth.accept_host(caller, _text(given, "role")).host_id,
                "listening": self._ping["proxy"]["ssh"]["tunnel_listen_addr"],
                "tunnel": self._ping["proxy"]["ssh"].get("ssh_tunnel_public_addr", ""),
            },
            "status": lambda: {
                "cluster": auth.cluster, "version": auth.imitation.version,
                "pin": auth.decisions.pin_told(auth.hosts.pin()),
            },
            "create": lambda: auth.create(caller, given["resource"], force=bool(given["force"])),
            "get": lambda: auth.get(caller, _text(given, "kind"), given.get("name")),
            "get-connector": lambda: self._connectors.get(
                caller, _text(given, "kind"), given.get("name"), secrets=bool(given.get("secrets"))
            ),
            "remove": lambda: auth.remove(caller, _text(given, "kind"), _text(given, "name")),
            "remove-connector": lambda: self._connectors.remove(
                caller, _text(given, "kind"), _text(given, "name")
            ),
            "add-user": lambda: self._users.add(caller, _text(given, "name"), given["roles"]),
            "update-user": lambda: self._users.update(caller, _text(given, "name"), given["roles"]),
            "tokens": lambda: auth.tokens(caller),
            "kubernetes-clusters": lambda: auth.kubernetes_clusters(caller),
            "kubernetes-certificate": lambda: self._users.kubernetes_certificate(
                caller, _text(given, "cluster"), _text(given, "public_key")
            ),
        }  # fmt: skip

    def _signed_in(self, given: dict[str, Any], address: str) -> dict[str, str]:
        certificate = self._users.sign_in(
            _text(given, "user"), _text(given, "password"), _text(given, "public_key"), address
        )
        return {
            "certificate": certificate,
            "authority": self._auth.hosts.certificate,
            "cluster": self._auth.cluster,
        }


async def _document(request: web.Request) -> dict[str, Any]:
    try:
        document = json.loads(await request.text() or "{}")
    except ValueError as error:
        raise TeleportError("BadParameter", "expected JSON") from error
    if not isinstance(document, dict):
        raise TeleportError("BadParameter", "expected a JSON object")
    return document


def _text(given: dict[str, Any], name: str) -> str:
    value = given.get(name)
    if not isinstance(value, str) or not value:
        raise TeleportError("BadParameter", f"missing parameter {name}")
    return value


def _failed(error: TeleportError) -> web.Response:
    return web.json_response(
        {"error": {"kind": error.kind, "message": error.message}}, status=STATUSES[error.kind]
    )
