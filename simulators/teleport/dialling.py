"""What Teleport says where it cannot get as far as its proxy: the words of Go's networking and gRPC."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import aiohttp

if TYPE_CHECKING:
    from simulators.teleport.texts import Imitation


def told(error: Exception, address: str, imitation: Imitation) -> str:
    """The words for an error of a call to the proxy; those of the error itself where it is another one.

    Args:
        error: of the call.
        address: of the proxy, `host:port`.
        imitation: the version.
    """
    host = address.rpartition(":")[0]
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return imitation.text("proxy-untrusted")
    # Python gives up on a name that is none before anybody is asked.
    if isinstance(error, aiohttp.ClientConnectorDNSError | aiohttp.InvalidURL | UnicodeError):
        return imitation.text("proxy-unresolvable", host=host)
    if isinstance(error, aiohttp.ClientHttpProxyError):
        return imitation.text("proxy-not-reached-through-another", status=f"{error.status} {error.message}")
    if isinstance(error, aiohttp.ClientConnectorError) and error.errno == errno.ECONNREFUSED:
        return imitation.text("proxy-refuses", address=address)
    return str(error)
