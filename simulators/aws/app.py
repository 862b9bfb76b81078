"""The gateway put together: its parts, its five listeners, and the way of an HTTPS request."""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import aiohttp
from aiohttp import web

from .answers import Answer, AwsError, Request, error_answer, protocol_of
from .backend_api import Backend
from .calls import Call, CallLog
from .certificates import Certificates
from .clusters import Clusters
from .config import Address, Config
from .control import Control
from .credentials import Credentials
from .disruptions import ConnectionBroken, Disruptions
from .eks import Eks
from .hosts import endpoint, is_aws
from .iam import Iam
from .metadata import Metadata
from .proxy import Proxy, Routes, start
from .service_accounts import ServiceAccounts
from .sigv4 import Verifier
from .sites import GITHUB, chart_answer, github_answer, issuer_answer
from .sts import Sts
from .webhook import PodIdentityWebhook
from .webidentity import WebIdentity

if TYPE_CHECKING:
    import asyncio

    from .decisions import Decisions

ABOUT = "simulated AWS: the conformance suite's gateway in front of an AWS emulator"
"""Told by --version and by the first line of the log."""

# How long a call in work may take when the gateway is told to stop; a held one takes minutes.
_STOP_SECONDS = 0.25


class Gateway:
    """All parts of a running gateway.

    Args:
        config: What it was told at start.
        decisions: What is decided and how.
        session: The HTTP client for backend and Kubernetes API.
        log: The call log.

    Raises:
        ConfigurationError: The certificate authority cannot be used.
    """

    def __init__(
        self, config: Config, decisions: Decisions, session: aiohttp.ClientSession, log: CallLog
    ) -> None:
        self.config = config
        self.log = log
        self.decisions = decisions
        self.disruptions = Disruptions()
        self.clusters = Clusters(config.clusters)
        self.routes = Routes(config.routes)
        self.backend = Backend(config.backend, session)
        self.certificates = Certificates(
            config.certificate_authority,
            lambda host: is_aws(host) or host in self.other_hosts(),
            own_name=config.host,
        )
        credentials = Credentials(config.administrators)
        verifier = Verifier(credentials, self.disruptions, decisions)
        web_identity = WebIdentity(
            backend=self.backend,
            clusters=self.clusters,
            credentials=credentials,
            disruptions=self.disruptions,
            decisions=decisions,
            accounts=config.accounts,
        )
        self._apis = {
            "sts": Sts(verifier, web_identity, decisions).answer,
            "iam": Iam(verifier, self.backend, decisions).answer,
            "eks": Eks(verifier, self.clusters, decisions).answer,
        }
        self.metadata = Metadata(credentials, self.disruptions, decisions)
        self.control = Control(
            run=config.run,
            log=log,
            disruptions=self.disruptions,
            routes=self.routes,
            clusters=self.clusters,
            metadata=self.metadata,
            backend=self.backend,
        )

    def other_hosts(self) -> frozenset[str]:
        """Give the served host names that are not AWS's."""
        repository = self.config.chart_repository
        return self.clusters.issuer_hosts() | {GITHUB} | ({repository.host} if repository else set())

    async def answer(self, request: Request, call: Call) -> Answer:
        """Answer a request to one of the served hosts.

        Args:
            request: The request.
            call: Gets what the call log tells about it.
        """
        repository = self.config.chart_repository
        if repository and request.host == repository.host:
            return await chart_answer(request, repository, call)
        if request.host == GITHUB:
            return github_answer(request, call)
        if request.host in self.clusters.issuer_hosts():
            return issuer_answer(request, self.clusters, call)
        there = endpoint(request.host)
        if there is None:
            call.service, call.action = "unknown", f"{request.method} {request.path}"
            return self._turn_down(
                call,
                AwsError("UnknownOperationException", f"{request.host} is not served here", refused=True),
                request,
            )
        call.service, call.region = there.service, there.region
        try:
            return await self._apis[there.service](request, there, call)
        except AwsError as error:
            return self._turn_down(call, error, request)

    def _turn_down(self, call: Call, error: AwsError, request: Request) -> Answer:
        call.verdict, call.code, call.reason = error.verdict, error.code, error.reason
        return error_answer(call.service, protocol_of(call.service, request.header("Accept")), error)


def _text(raw: str) -> str:
    # aiohttp keeps bytes that are not UTF-8 as surrogates, which cannot be written anywhere.
    return raw.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


_Handler = Callable[[Request, Call], Awaitable[Answer]]


def _server_runner(handler: _Handler, log: CallLog) -> web.ServerRunner:
    async def handle(received: web.BaseRequest) -> web.Response:
        request = Request(
            method=received.method,
            host=_text(received.host).lower().removesuffix(":443"),
            target=_text(received.raw_path),
            headers=tuple((name, _text(value)) for name, value in received.headers.items()),
            body=await received.read(),
        )
        call = Call(host=request.host, user_agent=request.header("User-Agent"))
        try:
            answer = await handler(request, call)
        except ConnectionBroken as broken:
            call.verdict, call.reason = "refused", str(broken)
            if received.transport is not None:
                received.transport.close()
            answer = Answer(503, b"", "text/plain")
        except Exception as error:  # noqa: BLE001 - the client gets AWS's own answer to a broken service
            # Only the kind and the place: an error's text can hold what the client sent.
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{type(error).__name__} at {Path(place.filename).name}:{place.lineno}"
            sys.stderr.write(f"aws gateway: {where}\n")
            call.verdict, call.code, call.reason = "refused", "InternalFailure", where
            answer = error_answer("unknown", "rest", AwsError("InternalFailure", "Internal failure"))
        # Before the answer: who has the answer finds the record.
        log.add(call)
        return web.Response(
            status=answer.status,
            body=answer.body,
            headers={**answer.headers, "Content-Type": answer.content_type},
        )

    return web.ServerRunner(web.Server(handle, access_log=None), shutdown_timeout=_STOP_SECONDS)


@contextlib.asynccontextmanager
async def running(config: Config, decisions: Decisions) -> AsyncIterator[dict[str, str]]:
    """Run a gateway.

    Args:
        config: What it is told.
        decisions: What is decided and how.

    Yields:
        The address of each listener, by name.

    Raises:
        ConfigurationError: The certificate authority cannot be used.
        OSError: An address cannot be bound, or the call log cannot be written.
    """
    async with contextlib.AsyncExitStack() as stack:
        log = CallLog(config.call_log)
        stack.callback(log.close)
        session = await stack.enter_async_context(aiohttp.ClientSession())
        gateway = Gateway(config, decisions, session, log)
        tls = gateway.certificates.server_context()
        listen = config.listen

        async def site(runner: web.BaseRunner, address: Address, **options: object) -> Address:
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, address.host, address.port, **options).start()  # type: ignore[arg-type]  # options are TCPSite's
            host, port = runner.addresses[0][:2]
            return Address(host, port)

        https = await site(_server_runner(gateway.answer, log), listen.https, ssl_context=tls)
        metadata = await site(_server_runner(gateway.metadata.answer, log), listen.metadata)

        async def listen_for(node: str) -> str:
            # AWS's SDK for Go 1 drops a path of the endpoint: only a port of its own tells a node by.
            async def answer(request: Request, call: Call) -> Answer:
                return await gateway.metadata.answer(
                    replace(request, target=f"/{node}{request.target}"), call
                )

            own = await site(_server_runner(answer, log), replace(listen.metadata, port=0))
            return f"http://{Address(config.host, own.port)}"

        gateway.control.listen_for = listen_for
        control = await site(_app_runner(gateway.control.application()), listen.control)
        addresses = {"https": https, "metadata": metadata, "control": control}
        if config.webhook:
            accounts = ServiceAccounts(config.webhook.kubeconfig, session)
            webhook = web.Application()
            webhook.router.add_post("/mutate", PodIdentityWebhook(config.webhook, accounts, decisions).handle)
            addresses["webhook"] = await site(_app_runner(webhook), listen.webhook, ssl_context=tls)
        proxy = Proxy(
            routes=gateway.routes,
            https=_from_here(https),
            other_hosts=gateway.other_hosts,
            log=log,
            decisions=decisions,
        )
        server = await start(proxy, listen.proxy)
        stack.callback(server.close)
        stack.push_async_callback(proxy.close)
        addresses["proxy"] = Address(*server.sockets[0].getsockname()[:2])
        yield {name: str(address) for name, address in addresses.items()}


def _from_here(listening: Address) -> Address:
    """Where this machine reaches a listener: one on all addresses is on loopback, too."""
    everywhere = ipaddress.ip_address(listening.host).is_unspecified
    return Address("127.0.0.1", listening.port) if everywhere else listening


def _app_runner(application: web.Application) -> web.AppRunner:
    return web.AppRunner(application, access_log=None, shutdown_timeout=_STOP_SECONDS)


async def serve(config: Config, decisions: Decisions, stop: asyncio.Event) -> None:
    """Run a gateway until told to stop.

    Args:
        config: What it is told; its `ready` file is written when all listeners accept.
        decisions: What is decided and how.
        stop: Ends it.

    Raises:
        ConfigurationError: The certificate authority cannot be used.
        OSError: An address cannot be bound, or a file cannot be written.
    """
    async with running(config, decisions) as addresses:
        sys.stderr.write(f"{ABOUT}\n")
        sys.stderr.flush()
        _announce(config.ready, {**addresses, "pid": os.getpid()})
        await stop.wait()


def _announce(path: Path, content: dict[str, object]) -> None:
    partial = path.with_name(f".{path.name}.{os.getpid()}")
    partial.write_text(json.dumps(content), encoding="utf-8")
    partial.replace(path)
