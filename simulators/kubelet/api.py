"""The Kubernetes API as the kubelet needs it: plain calls, patient calls, and watches."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import os
import ssl
import tempfile
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import aiohttp
import tenacity
import yaml

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from simulators.kubelet.objects import Object

log = logging.getLogger(__name__)

CALL_SECONDS = 15
WATCH_SECONDS = 240
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"


class ApiError(Exception):
    """The API server answered with a failure.

    Args:
        status: HTTP status, or the code of a watch's ERROR event.
        message: as the server put it.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class UnreachableError(Exception):
    """The API server did not answer, or is not able to now."""


class Api:
    """One API server.

    Args:
        session: made for the kubeconfig's TLS material and credentials.
        server: base URL.
    """

    def __init__(self, session: aiohttp.ClientSession, server: str) -> None:
        self._session = session
        self.server = server.rstrip("/")

    async def call(self, method: str, path: str, body: Any = None, content: str = "application/json") -> Any:
        """Make one request and return its JSON.

        Args:
            method: HTTP method.
            path: with its query.
            body: sent as JSON; None for none.
            content: its media type (one of the patch types for PATCH).

        Raises:
            ApiError: the server refused it.
            UnreachableError: no answer, or one that says "later" (429, 5xx).
        """
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content}
        try:
            async with self._session.request(
                method, self.server + path, data=data, headers=headers
            ) as response:
                text = await response.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise UnreachableError(f"{method} {path}: {type(error).__name__} {error}") from error
        if response.status == 429 or response.status >= 500:
            raise UnreachableError(f"{method} {path}: {response.status} {text[:300]}")
        if response.status >= 400:
            raise ApiError(response.status, _message(text))
        return json.loads(text) if text else {}

    async def insist(
        self, method: str, path: str, body: Any = None, content: str = "application/json"
    ) -> Any:
        """The same, repeated for as long as the server is unreachable.

        Raises:
            ApiError: the server refused it.
        """
        with suppress(UnreachableError):
            return await self.call(
                method, path, body, content
            )  # as nearly always; to be patient costs as much again
        patient = tenacity.AsyncRetrying(
            retry=tenacity.retry_if_exception_type(UnreachableError),
            wait=tenacity.wait_exponential(multiplier=0.1, max=5),
            before_sleep=tenacity.before_sleep_log(log, logging.WARNING),
        )
        return await patient(self.call, method, path, body, content)

    async def watch(self, path: str, version: str) -> AsyncIterator[tuple[str, Object]]:
        """Follow the changes of a collection until the server ends the watch.

        Args:
            path: of the collection.
            version: resourceVersion after which changes are wanted.

        Yields:
            The kind of change (ADDED, MODIFIED, DELETED, BOOKMARK) and the object.

        Raises:
            ApiError: the server refused or broke off the watch; 410 means "list anew".
            UnreachableError: the connection was lost.
        """
        query = f"?watch=1&allowWatchBookmarks=true&timeoutSeconds={WATCH_SECONDS}&resourceVersion={version}"
        limits = aiohttp.ClientTimeout(sock_connect=CALL_SECONDS, sock_read=WATCH_SECONDS + 60)
        try:
            async with self._session.get(
                self.server + path + query, timeout=limits, read_bufsize=1 << 22
            ) as response:
                if response.status >= 400:
                    raise ApiError(response.status, _message(await response.text()))
                async for line in response.content:
                    event = json.loads(line)
                    if event["type"] == "ERROR":
                        raise ApiError(event["object"].get("code", 500), event["object"].get("message", ""))
                    yield event["type"], event["object"]
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            raise UnreachableError(f"watch {path}: {type(error).__name__} {error}") from error


def _message(text: str) -> str:
    try:
        return str(json.loads(text)["message"])
    except (ValueError, KeyError, TypeError):
        return text[:300]


@asynccontextmanager
async def connect(kubeconfig: Path) -> AsyncIterator[Api]:
    """Open the API server that a kubeconfig's current context names.

    Args:
        kubeconfig: with a token, a client certificate, or neither.

    Raises:
        KeyError, ValueError, OSError: the file is not a kubeconfig, or names files that are not there.
    """
    server, headers, tls = await asyncio.to_thread(_read, kubeconfig)
    connector = aiohttp.TCPConnector(ssl=tls, limit=0)
    timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
    async with aiohttp.ClientSession(headers=headers, connector=connector, timeout=timeout) as session:
        yield Api(session, server)


def _read(kubeconfig: Path) -> tuple[str, dict[str, str], ssl.SSLContext]:
    """Server, headers and TLS of a kubeconfig's current context."""
    document = yaml.safe_load(kubeconfig.read_text())
    context = _named(document["contexts"], document["current-context"])["context"]
    cluster = _named(document["clusters"], context["cluster"])["cluster"]
    user = _named(document["users"], context["user"])["user"]
    headers = {"User-Agent": "lab-kubelet", "Accept": "application/json"}
    if "tokenFile" in user:
        headers["Authorization"] = "Bearer " + Path(user["tokenFile"]).read_text().strip()
    elif "token" in user:
        headers["Authorization"] = f"Bearer {user['token']}"
    return cluster["server"], headers, _tls(cluster, user)


def _named(items: list[Object], name: str) -> Object:
    for item in items:
        if item["name"] == name:
            return item
    raise ValueError(f"expected {name!r} in the kubeconfig, seen: {[item['name'] for item in items]}")


def _tls(cluster: Object, user: Object) -> ssl.SSLContext:
    context = ssl.create_default_context()
    if cluster.get("insecure-skip-tls-verify"):
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    with _file(cluster, "certificate-authority") as authority:
        if authority:
            context.load_verify_locations(authority)
    with _file(user, "client-certificate") as certificate, _file(user, "client-key") as key:
        if certificate:
            context.load_cert_chain(certificate, key)
    return context


@contextmanager
def _file(entry: Object, field: str) -> Iterator[str | None]:
    """The file that a kubeconfig names, or a private one with the data it holds; None for neither."""
    if f"{field}-data" not in entry:
        yield entry.get(field)
        return
    handle, path = tempfile.mkstemp()  # mode 0600
    try:
        os.write(handle, base64.b64decode(entry[f"{field}-data"]))
        os.close(handle)
        yield path
    finally:
        Path(path).unlink()
