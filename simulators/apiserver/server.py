"""The server: from a connection to an answer, with the audit log in between."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import ssl
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import aiohttp
from aiohttp import web

from simulators.apiserver import discovery
from simulators.apiserver.admission import Admission
from simulators.apiserver.audit import AuditLog, Record
from simulators.apiserver.authentication import authenticate, impersonate
from simulators.apiserver.authorization import Authorizer, refusal
from simulators.apiserver.bootstrap import populate
from simulators.apiserver.controllers.manager import controllers
from simulators.apiserver.kubelets import Kubelets
from simulators.apiserver.registry import Registry
from simulators.apiserver.requests import Target, target
from simulators.apiserver.resources import Resources, encoded
from simulators.apiserver.reviews import Reviews
from simulators.apiserver.status import StatusError
from simulators.apiserver.store import Store
from simulators.apiserver.tokens import Tokens
from simulators.apiserver.webhooks import Webhooks

if TYPE_CHECKING:
    import asyncio
    from pathlib import Path

    from simulators.apiserver.config import Config
    from simulators.apiserver.decisions import Decisions
    from simulators.apiserver.objects import Object, User

log = logging.getLogger(__name__)

LARGEST_BODY = 3 * 1024 * 1024
_JSON = "application/json"
_HEALTH = {"/healthz", "/livez", "/readyz"}


class Server:
    """One API server.

    Args:
        config: of the server.
        decisions: of the server.
        store: of the cluster.
        session: for calls to webhooks and kubelets.
        audit: where requests are recorded.
    """

    def __init__(
        self,
        config: Config,
        decisions: Decisions,
        store: Store,
        session: aiohttp.ClientSession,
        audit: AuditLog,
    ) -> None:
        self._config = config
        self._decisions = decisions
        self._audit = audit
        self._tokens = Tokens(config, store, decisions)
        self._authorizer = Authorizer(store, decisions)
        self.registry = Registry(
            store, Admission(store, Webhooks(store, session, decisions), decisions), decisions
        )
        reviews = Reviews(self._authorizer)
        kubelets = Kubelets(config, store, session)
        self._resources = Resources(self.registry, reviews, self._tokens, kubelets)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer one request."""
        about = target(request.method, request.path, request.query)
        record = self._audit.begin(request, about)
        try:
            user = self._admit(request, about, record)
            answer = await self._answer(request, about, user, record)
        except StatusError as error:
            answer = (error.code, error.body())
        except web.HTTPException:
            raise
        except ConnectionResetError:  # the client left in the middle of a long answer
            return web.Response(status=499)
        except Exception:
            log.exception("%s %s", request.method, request.path)
            text = "Internal error occurred: the simulated API server failed on this request; see its log"
            answer = (500, StatusError(500, "InternalError", text).body())
        if isinstance(answer, web.StreamResponse):
            return answer
        return _sent(request, record, *answer)

    def _admit(self, request: web.Request, about: Target, record: Record) -> User:
        """Whom the request is made as, once that user may make it."""
        record.user = user = authenticate(request, self._tokens)
        try:
            acting = impersonate(request.headers, user, self._authorizer, self._decisions)
        except StatusError:
            record.decision = "forbid"
            raise
        if acting is not None:
            record.impersonated = user = acting
        allowed, record.reason = self._authorizer.allowed(user, about.attributes())
        record.decision = "allow" if allowed else "forbid"
        if not allowed:
            told = dataclasses.replace(user, name=self._decisions.refused_as(user.name))
            raise refusal(told, about.attributes(), record.reason)
        return user

    async def _answer(
        self, request: web.Request, about: Target, user: User, record: Record
    ) -> tuple[int, Object] | web.StreamResponse:
        if not about.plural:
            return self._told(request, record)
        answer = await self._resources.answer(request, about, user, record)
        if about.verb == "create" and not about.name and isinstance(answer, tuple):
            record.made_name = answer[1].get("metadata", {}).get("name", "")
        return answer

    def _told(self, request: web.Request, record: Record) -> tuple[int, Object] | web.StreamResponse:
        """What the server tells of itself."""
        path = request.path.rstrip("/") or "/"
        if path in _HEALTH:
            record.complete(200, None)
            return web.Response(text="ok", headers={"Audit-Id": record.id})
        found = self._document(path, request)
        if found is not None:
            return 200, found
        record.complete(404, None)
        return web.Response(status=404, text="404 page not found\n", headers={"Audit-Id": record.id})

    def _document(self, path: str, request: web.Request) -> Object | None:
        whole = discovery.AGGREGATED in request.headers.get("Accept", "")
        plain: dict[str, Any] = {
            "/version": lambda: {
                **discovery.version(self._config),
                "gitVersion": self._decisions.version_told(self._config.version),
            },
            "/api": lambda: discovery.aggregated(core=True) if whole else discovery.versions(request.host),
            "/apis": lambda: discovery.aggregated(core=False) if whole else discovery.groups(),
            "/openapi/v3": lambda: discovery.openapi_index(self._config.version),
            "/.well-known/openid-configuration": self._tokens.configuration,
            "/openid/v1/jwks": self._tokens.key_set,
        }
        if path in plain:
            return dict(plain[path]())
        parts = path.strip("/").split("/")
        match parts:
            case ["openapi", "v3", *rest]:
                return discovery.openapi("/".join(rest))
            case ["api", version]:
                return discovery.resources("", version)
            case ["apis", group, version]:
                return discovery.resources(group, version)
        return None


def _sent(request: web.Request, record: Record, code: int, content: Object) -> web.Response:
    """The answer, recorded before it leaves."""
    kind = _JSON
    if content.get("kind") == "APIGroupDiscoveryList":
        kind = f"{_JSON};g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
    record.complete(code, content if content.get("kind") == "Status" else None)
    headers = {"Content-Type": kind, "Cache-Control": "no-cache, private", "Audit-Id": record.id}
    if code == 401:
        headers["WWW-Authenticate"] = "Bearer"
    if request.method == "HEAD":
        return web.Response(status=code, headers=headers)
    return web.Response(status=code, body=encoded(content), headers=headers)


async def serve(config: Config, decisions: Decisions, stop: asyncio.Event) -> None:
    """Run an API server and its controllers.

    Args:
        config: of the server.
        decisions: of the server and its controllers.
        stop: ends it.

    Raises:
        OSError: a file or the port cannot be used.
        ValueError: a key cannot be used.
    """
    async with AsyncExitStack() as stack:
        audit = stack.enter_context(AuditLog(config.audit_log, decisions))
        session = await stack.enter_async_context(aiohttp.ClientSession(trust_env=False))
        store = Store()
        populate(store)
        server = Server(config, decisions, store, session, audit)
        await stack.enter_async_context(controllers(server.registry, decisions, config.root_ca.read_text()))
        port = await _listen(config, server, stack)
        log.info("this is a simulated Kubernetes API server, %s, on %s:%s", config.version, config.host, port)
        _announce(config.ready, {"server": f"https://{config.host}:{port}", "pid": os.getpid()})
        await stop.wait()


async def _listen(config: Config, server: Server, stack: AsyncExitStack) -> int:
    app = web.Application(client_max_size=LARGEST_BODY)
    app.router.add_route("*", "/{path:.*}", server.handle)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    site = web.TCPSite(runner, config.host, config.port, ssl_context=_tls(config), backlog=512)
    await site.start()
    return int(runner.addresses[0][1])


def _tls(config: Config) -> ssl.SSLContext:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=config.client_ca)
    context.verify_mode = ssl.CERT_OPTIONAL
    context.load_cert_chain(config.serving_certificate, config.serving_key)
    context.set_alpn_protocols(["http/1.1"])
    return context


def _announce(path: Path, content: Object) -> None:
    staging = path.with_name(path.name + ".new")
    staging.write_text(json.dumps(content))
    staging.replace(path)
