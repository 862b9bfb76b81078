"""Teleport stopped for a while, without its data, or with another configuration, in any environment."""

from __future__ import annotations

import contextlib
import shutil
from typing import TYPE_CHECKING, Any

import yaml

from harness.adapters import daemons
from harness.core.errors import EnvironmentBroken

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from pathlib import Path


class TeleportDisruption:
    """The part of `harness.environment.Disruption` that concerns Auth and Proxy Service."""

    def __init__(self, *, away: Callable[[], AbstractContextManager[None]], log: Path) -> None:
        """Binds to an environment's Teleport.

        Args:
            away: Stops it for a block, starts it again and waits for it, whatever becomes of the block.
            log: What Teleport writes, beside its folder `data` and its `teleport.yaml`.
        """
        self._away = away
        self._data = log.with_name("data")
        self._configuration = log.with_name("teleport.yaml")
        # Beside those with which it runs meanwhile.
        self._kept = log.with_name("data-kept")
        self._kept_configuration = log.with_name("teleport-kept.yaml")

    def left(self) -> list[str]:
        """What a process left behind that was killed in the middle of a disruption, in words."""
        found = {
            self._kept: "Teleport runs without its data, which lies in {}",
            self._kept_configuration: "Teleport runs with another configuration; its own is {}",
        }
        return [words.format(path) for path, words in found.items() if path.exists()]

    def must_be_over(self) -> None:
        """Checks that no disruption was left behind by a process that was killed in the middle of it.

        Raises:
            EnvironmentBroken: One was.
        """
        if left := self.left():
            raise EnvironmentBroken(
                expected="an environment as it was made",
                seen="; ".join(left),
                remedy="a run was killed in the middle of a disruption: end this environment (./conformance down) "
                "and make a new one",
            )

    @contextlib.contextmanager
    def teleport_away(self) -> Iterator[None]:
        """Auth and Proxy Service are stopped; started again with their data, and waited for.

        Raises:
            EnvironmentBroken: They did not stop, or did not come back.
        """
        with self._away():
            yield

    @contextlib.contextmanager
    def teleport_without_data(self) -> Iterator[None]:
        """Auth and Proxy Service have lost all their data for a block, and are waited for before and after it.

        They come back as a new cluster of the same name: other authorities, no users, roles or tokens. What they had
        is put aside and back.

        Raises:
            EnvironmentBroken: They did not stop, or did not come back.
        """
        with contextlib.ExitStack() as undoing:
            with self._away():
                self._data.rename(self._kept)
                undoing.enter_context(self._with_data_again())
            yield

    @contextlib.contextmanager
    def _with_data_again(self) -> Iterator[None]:
        """Puts Teleport's data back when a block ends, and starts it with them."""
        try:
            yield
        finally:
            with self._away():
                shutil.rmtree(self._data, ignore_errors=True)
                self._kept.rename(self._data)

    def teleport_with_tunnel_at(self, address: str) -> AbstractContextManager[None]:
        """Auth and Proxy Service send agents elsewhere for the reverse tunnel, for a block.

        Args:
            address: `host:port` to which they do.
        """
        own = ("listen_addr", "tunnel_listen_addr", "kube_listen_addr")
        listening = {key: f"127.0.0.1:{daemons.free_port()}" for key in own}
        return self._configured(
            {
                # Otherwise the tunnel has the web address, whatever is configured for it.
                "auth_service": {"proxy_listener_mode": "separate"},
                "proxy_service": {**listening, "tunnel_public_addr": address},
            }
        )

    def teleport_without_kubernetes(self) -> AbstractContextManager[None]:
        """The Proxy Service takes no requests of kubectl, for a block."""
        # In the first format it does only where it is told to.
        return self._configured({"version": "v1"})

    @contextlib.contextmanager
    def _configured(self, changes: Mapping[str, Any]) -> Iterator[None]:
        """Auth and Proxy Service run with other settings for a block, and are waited for before and after it.

        Args:
            changes: What is set in `teleport.yaml`, by section; None takes a key out of it.

        Raises:
            EnvironmentBroken: They did not stop, or did not come back.
        """
        with contextlib.ExitStack() as undoing:
            with self._away():
                self._configuration.rename(self._kept_configuration)
                undoing.enter_context(self._configured_again())
                document = yaml.safe_load(self._kept_configuration.read_text())
                self._configuration.write_text(yaml.safe_dump(_changed(document, changes)))
            yield

    @contextlib.contextmanager
    def _configured_again(self) -> Iterator[None]:
        """Puts Teleport's configuration back when a block ends, and starts it with it."""
        try:
            yield
        finally:
            with self._away():
                self._kept_configuration.rename(self._configuration)


def _changed(document: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    merged = {
        key: _changed(document.get(key, {}), value) if isinstance(value, dict) else value
        for key, value in changes.items()
    }
    return {key: value for key, value in {**document, **merged}.items() if value is not None}
