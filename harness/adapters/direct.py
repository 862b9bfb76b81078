"""Requests of the harness to its own servers on loopback: past every proxy of the user's machine."""

from __future__ import annotations

import ssl
import urllib.request
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def opener(context: ssl.SSLContext | None = None) -> urllib.request.OpenerDirector:
    """An opener that uses no proxy.

    Args:
        context: For HTTPS; None where only plain HTTP is asked for.
    """
    # No proxy of the user's may stand between the harness and its own server.
    direct = urllib.request.ProxyHandler({})
    if context is None:
        return urllib.request.build_opener(direct)
    return urllib.request.build_opener(direct, urllib.request.HTTPSHandler(context=context))


def chain_only(ca_file: Path) -> ssl.SSLContext:
    """A TLS context for a server that is dialled by address: its chain is verified, its name is not.

    Args:
        ca_file: The only authority trusted.
    """
    context = ssl.create_default_context(cafile=str(ca_file))
    context.check_hostname = False
    return context
