"""The Kubernetes API as a pod reaches it: its service account, and the variables that every container has."""

from __future__ import annotations

import asyncio
import json
import ssl
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import aiohttp

from simulators.teleport.errors import TeleportError
from simulators.teleport.files import mounted
from simulators.teleport.tunnel import passed_on

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from multidict import CIMultiDict
    from yarl import URL

ACCOUNT = "/var/run/secrets/kubernetes.io/serviceaccount"
CALL_SECONDS = 15.0


class ApiError(Exception):
    """The API server refused a call.

    Args:
        status: HTTP status.
        message: as the server put it.
    """

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


def within_cluster(environ: Mapping[str, str]) -> bool:
    """Whether this is a container with a service account."""
    token = mounted(f"{ACCOUNT}/token", environ)
    return bool(environ.get("KUBERNETES_SERVICE_HOST")) and token.is_file()


class ClusterApi:
    """One API server, reached directly and never through a proxy.

    Args:
        environ: of the container.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ
        host, port = environ["KUBERNETES_SERVICE_HOST"], environ.get("KUBERNETES_SERVICE_PORT", "443")
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._session: aiohttp.ClientSession | None = None

    async def call(
        self, method: str, path: str, body: Any = None, content: str = "application/json"
    ) -> dict[str, Any]:
        """Make one call as the service account; its JSON.

        Args:
            method: HTTP method.
            path: with its query.
            body: sent as JSON; None for none.
            content: its media type.

        Raises:
            ApiError: the server refused it.
            TeleportError: it was not reached.
        """
        data = None if body is None else json.dumps(body)
        headers = {"Content-Type": content, "Accept": "application/json", "Authorization": self._bearer()}
        timeout = aiohttp.ClientTimeout(total=CALL_SECONDS)
        try:
            async with self._client().request(
                method, f"https://{self.address}{path}", data=data, headers=headers, timeout=timeout
            ) as answer:
                text = await answer.text()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TeleportError(
                "ConnectionProblem", f'{method} "https://{self.address}{path}": {error}'
            ) from error
        try:
            document = json.loads(text) if text else {}
        except ValueError:
            document = {"message": text[:300]}
        if answer.status >= HTTPStatus.BAD_REQUEST:
            raise ApiError(answer.status, str(document.get("message", text[:300])))
        return dict(document)

    async def forward(
        self,
        head: dict[str, Any],
        body: bytes,
        send_head: Callable[[dict[str, Any]], Awaitable[None]],
        send_data: Callable[[bytes], Awaitable[None]],
    ) -> None:
        """Pass a request on with the user impersonated, and the answer back as it comes.

        Args:
            head: method, target, headers, user and groups.
            body: of the request.
            send_head: takes status, headers and the server's address.
            send_data: takes each piece of the answer.

        Raises:
            TeleportError: the server was not reached, or broke off.
        """
        url, headers = self._request(head)
        try:
            async with self._client().request(
                head["method"], url, data=body or None, headers=headers, allow_redirects=False
            ) as answer:
                told = passed_on(answer.headers.items())
                await send_head({"status": answer.status, "headers": told, "server": self.address})
                async for piece in answer.content.iter_any():
                    await send_data(piece)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise TeleportError("ConnectionProblem", f"{head['method']} {head['target']}: {error}") from error

    async def execute(
        self,
        head: dict[str, Any],
        messages: asyncio.Queue[bytes],
        send_head: Callable[[dict[str, Any]], Awaitable[None]],
        send_data: Callable[[bytes], Awaitable[None]],
    ) -> None:
        """Run a command in a pod with the user impersonated, message by message of a WebSocket.

        Args:
            head: as for `forward`, with the WebSocket's `protocol`.
            messages: of the client.
            send_head: takes status, the server's address, the pod, and the `refusal` of any status but 101.
            send_data: takes each message of the server.

        Raises:
            TeleportError: the server was not reached, or broke off.
        """
        told = {"server": self.address, "pod": await self._pod(head["target"].partition("/exec")[0])}
        url, headers = self._request(head)
        try:
            async with self._client().ws_connect(
                url, headers=headers, protocols=[head["protocol"]], max_msg_size=0
            ) as socket:
                await send_head({"status": 101, **told})
                sending = asyncio.create_task(_passed_on(messages, socket))
                try:
                    async for message in socket:
                        if message.type is aiohttp.WSMsgType.BINARY:
                            await send_data(message.data)
                finally:
                    sending.cancel()
        except aiohttp.WSServerHandshakeError as error:
            # Asked again without an upgrade, since the refusal's text is lost here.
            async with self._client().get(url, headers=headers) as answer:
                text = await answer.text()
            await send_head({"status": error.status, "refusal": _message(text), **told})
        except (aiohttp.ClientError, OSError) as error:
            raise TeleportError("ConnectionProblem", f"{head['method']} {head['target']}: {error}") from error

    async def _pod(self, path: str) -> dict[str, Any]:
        """A pod as the agent itself may see it; empty where it may not."""
        try:
            return await self.call("GET", path)
        except (ApiError, TeleportError):
            return {}

    def _request(self, head: dict[str, Any]) -> tuple[URL, CIMultiDict[str]]:
        """Address and headers of a request that is passed on."""
        from multidict import CIMultiDict  # noqa: PLC0415  # comes with aiohttp
        from yarl import URL  # noqa: PLC0415  # comes with aiohttp

        headers = CIMultiDict((name, value) for name, value in head["headers"])
        headers["Authorization"] = self._bearer()
        headers["Impersonate-User"] = head["user"]
        for group in head["groups"]:
            headers.add("Impersonate-Group", group)
        return URL(f"https://{self.address}{head['target']}", encoded=True), headers

    async def close(self) -> None:
        """Close all connections."""
        if self._session:
            await self._session.close()

    def _client(self) -> aiohttp.ClientSession:
        if self._session is None:
            context = ssl.create_default_context(cafile=str(mounted(f"{ACCOUNT}/ca.crt", self._environ)))
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=context, limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=CALL_SECONDS),
                auto_decompress=False,
                skip_auto_headers=("User-Agent", "Accept-Encoding", "Content-Type"),
            )
        return self._session

    def _bearer(self) -> str:
        # Read each time: the kubelet renews the file in place.
        return f"Bearer {mounted(f'{ACCOUNT}/token', self._environ).read_text().strip()}"


async def _passed_on(messages: asyncio.Queue[bytes], socket: aiohttp.ClientWebSocketResponse) -> None:
    while True:
        await socket.send_bytes(await messages.get())


def _message(text: str) -> str:
    """What a Status says; the text itself where it is none."""
    try:
        return str(json.loads(text)["message"])
    except (ValueError, LookupError, TypeError):
        return text.strip()
