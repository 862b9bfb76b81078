"""What the server has from kubelets: the logs of pods, over mutual TLS."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import aiohttp

from simulators.apiserver.kinds import of
from simulators.apiserver.status import StatusError, bad_request

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Mapping

    from simulators.apiserver.config import Config
    from simulators.apiserver.objects import Object
    from simulators.apiserver.store import Store

DEFAULT_CONTAINER = "kubectl.kubernetes.io/default-container"
_NOT_PASSED = {"container", "insecureSkipTLSVerifyBackend", "timeout"}
_CONNECT_SECONDS = 10


class Kubelets:
    """The kubelets of the cluster's nodes.

    Args:
        config: certificates for the calls.
        store: of the nodes.
        session: for the calls.
    """

    def __init__(self, config: Config, store: Store, session: aiohttp.ClientSession) -> None:
        self._store = store
        self._session = session
        self._tls = ssl.create_default_context(cafile=config.kubelet_ca)
        self._tls.load_cert_chain(config.kubelet_client_certificate, config.kubelet_client_key)

    async def log(self, pod: Object, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        """A container's log, piece by piece; the first one tells that there is one.

        Args:
            pod: whose log.
            query: of the request; what it asks for goes to the kubelet.

        Raises:
            StatusError: there is none, or the node does not answer.
        """
        container = _container(pod, query.get("container", ""))
        node = pod["spec"].get("nodeName")
        if not node:
            yield b""
            return
        meta = pod["metadata"]
        passed = urlencode([(key, value) for key, value in query.items() if key not in _NOT_PASSED])
        place = f"containerLogs/{meta['namespace']}/{meta['name']}/{container}?{passed}"
        url = f"{self._address(node)}/{place}"
        limits = aiohttp.ClientTimeout(sock_connect=_CONNECT_SECONDS)
        try:
            async with self._session.get(url, ssl=self._tls, timeout=limits) as response:
                if response.status != 200:
                    raise _refusal(response.status, await response.text(), meta["name"])
                yield b""
                async for piece in response.content.iter_any():
                    yield piece
        except (aiohttp.ClientError, OSError) as error:
            text = f'Get "{url}": {error}'
            raise StatusError(500, "InternalError", f"Internal error occurred: {text}") from error

    def _address(self, name: str) -> str:
        node = self._store.get(of("nodes"), "", name) or {}
        status = node.get("status", {})
        addresses = [a["address"] for a in status.get("addresses") or [] if a["type"] == "InternalIP"]
        port = ((status.get("daemonEndpoints") or {}).get("kubeletEndpoint") or {}).get("Port")
        if not addresses or not port:
            text = f"no preferred addresses found; known addresses: {status.get('addresses') or []}"
            raise StatusError(500, "InternalError", f"Internal error occurred: {text}")
        return f"https://{addresses[0]}:{port}"


def _container(pod: Object, asked: str) -> str:
    spec, name = pod["spec"], pod["metadata"]["name"]
    names = [container["name"] for container in spec["containers"]]
    first = [container["name"] for container in spec.get("initContainers") or []]
    if not asked:
        asked = (pod["metadata"].get("annotations") or {}).get(DEFAULT_CONTAINER, "")
    if not asked:
        if len(names) == 1:
            return str(names[0])
        choice = f"choose one of: [{' '.join(names)}]"
        if first:
            choice += f" or one of the init containers: [{' '.join(first)}]"
        raise bad_request(f"a container name must be specified for pod {name}, {choice}")
    if asked not in names + first:
        raise bad_request(f"container {asked} is not valid for pod {name}")
    return asked


def _refusal(status: int, text: str, name: str) -> StatusError:
    """The kubelet's refusal as kube-apiserver passes it on."""
    if status == 400:
        return bad_request(text.strip())
    if status == 404:
        message = f"the server could not find the requested resource ( pods/log {name})"
        return StatusError(404, "NotFound", message, {"name": name, "kind": "pods/log"})
    message = f'an error on the server ("{text.strip()}") has prevented the request from succeeding'
    return StatusError(status, "InternalError", message)
