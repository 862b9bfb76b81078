"""What the Auth Service remembers: resources, passwords and invitations, in memory and in one private file."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

from simulators.teleport.files import write_secret

if TYPE_CHECKING:
    from pathlib import Path

Resource = dict[str, Any]

SAVE_SECONDS = 0.5
"""How long a change may be in memory alone: several scenarios at a time change something all the while."""


class Store:
    """The Auth Service's backend; it is there again after a restart.

    Args:
        path: of its file.

    Attributes:
        tokens: joining tokens by name.
        roles: by name.
        users: by name.
        servers: kube_servers by `HOST_ID/CLUSTER`.
        passwords: user -> {"salt", "hash"}, hexadecimal.
        invitations: secret token -> {"user", "created", "expires"}.
        connectors: of identity providers by `KIND/NAME`, with their secrets.
    """

    PARTS = ("tokens", "roles", "users", "servers", "passwords", "invitations", "connectors")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._due: asyncio.TimerHandle | None = None
        self.fresh = not path.is_file()
        kept: dict[str, dict[str, Resource]] = {} if self.fresh else json.loads(path.read_text())
        (
            self.tokens,
            self.roles,
            self.users,
            self.servers,
            self.passwords,
            self.invitations,
            self.connectors,
        ) = (kept.get(part, {}) for part in self.PARTS)

    def of_kind(self, kind: str) -> dict[str, Resource]:
        """The resources of a kind.

        Args:
            kind: token, role, user or kube_server.
        """
        return {
            "token": self.tokens,
            "role": self.roles,
            "user": self.users,
            "kube_server": self.servers,
        }[kind]

    def save(self) -> None:
        """Write everything down soon; call after each change, in the event loop."""
        if self._due is None:
            self._due = asyncio.get_running_loop().call_later(SAVE_SECONDS, self.flush)

    def flush(self) -> None:
        """Write everything down that is not yet; call at the end."""
        if self._due is None:
            return
        self._due.cancel()
        self._due = None
        write_secret(self._path, json.dumps({part: getattr(self, part) for part in self.PARTS}))
