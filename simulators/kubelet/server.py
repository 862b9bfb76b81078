"""The kubelet API, as the API server calls it: logs, commands and the list of pods, over mutual TLS."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from aiohttp import web

from simulators.kubelet.execution import execute
from simulators.kubelet.logs import Options, stream
from simulators.kubelet.pods import PodWorker

if TYPE_CHECKING:
    from simulators.kubelet.config import Config
    from simulators.kubelet.containers import Container
    from simulators.kubelet.objects import Object

Workers = Callable[[], list[PodWorker]]
"""The pods of the node at this moment."""


def tls(config: Config) -> ssl.SSLContext:
    """TLS that asks every caller for a certificate of the configured authority.

    Raises:
        OSError, ssl.SSLError: a file is missing or is not what it should be.
    """
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(config.client_ca))
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_cert_chain(config.serving_certificate, config.serving_key)
    return context


def application(workers: Workers) -> web.Application:
    """The kubelet API.

    Args:
        workers: gives the pods of the node.
    """

    async def healthz(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    async def pods(_: web.Request) -> web.Response:
        items: list[Object] = [worker.pod for worker in workers()]
        return web.json_response({"kind": "PodList", "apiVersion": "v1", "metadata": {}, "items": items})

    async def container_logs(request: web.Request) -> web.StreamResponse:
        container, query = _container(workers(), request), dict(request.query)
        try:
            log = container.log(previous=query.get("previous") == "true")
            options = Options.parse(query)
        except (LookupError, ValueError) as error:
            return web.Response(status=400, text=str(error.args[0]))
        response = web.StreamResponse(headers={"Content-Type": "text/plain"})
        await response.prepare(request)
        async for piece in stream(log, options):
            await response.write(piece)
        await response.write_eof()
        return response

    async def command(request: web.Request) -> web.StreamResponse:
        container = _container(workers(), request)
        try:
            wanted = container.inside(request.query.getall("command", []))
        except LookupError as error:
            return web.Response(status=500, text=str(error.args[0]))
        return await execute(request, wanted)

    app = web.Application()
    app.router.add_get("/healthz", healthz)
    app.router.add_get("/pods", pods)
    app.router.add_get("/containerLogs/{namespace}/{pod}/{container}", container_logs)
    app.router.add_route("*", "/exec/{namespace}/{pod}/{container}", command)
    for name in ("attach", "portForward", "run"):
        app.router.add_route("*", f"/{name}/{{rest:.*}}", _not_offered)
    return app


async def _not_offered(request: web.Request) -> web.Response:
    return web.Response(status=501, text=f"the lab's kubelet does not offer {request.path.split('/')[1]}")


def _container(workers: list[PodWorker], request: web.Request) -> Container:
    """The container that a path names.

    Raises:
        web.HTTPNotFound: there is none.
    """
    namespace, name = request.match_info["namespace"], request.match_info["pod"]
    for worker in workers:
        meta = worker.pod["metadata"]
        if (meta["namespace"], meta["name"]) == (namespace, name):
            try:
                return worker.container(request.match_info["container"])
            except LookupError as error:
                raise web.HTTPNotFound(text=str(error.args[0])) from error
    raise web.HTTPNotFound(text=f'pod "{name}" not found in namespace "{namespace}"')


@asynccontextmanager
async def serving(config: Config, workers: Workers) -> AsyncIterator[int]:
    """Serve the kubelet API.

    Args:
        config: of the node.
        workers: gives the pods of the node.

    Yields:
        The port it listens on.

    Raises:
        OSError: the port is taken, or a TLS file cannot be used.
    """
    runner = web.AppRunner(application(workers), access_log=None, handler_cancellation=True)
    await runner.setup()
    try:
        site = web.TCPSite(runner, config.host, config.port, ssl_context=tls(config), shutdown_timeout=0.5)
        await site.start()
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()
