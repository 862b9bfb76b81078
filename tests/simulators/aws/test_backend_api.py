"""What the gateway remembers of its backend: look-ups, until a write of the same thing has passed."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

import pytest

from simulators.aws.answers import Answer, Request
from simulators.aws.backend_api import Backend
from simulators.aws.credentials import RoleArn

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

ACCOUNT = "111111111111"
ROLE = RoleArn.parse(f"arn:aws:iam::{ACCOUNT}:role/mine")


class Counted(Backend):
    """A backend that knows every role and notes what it is asked."""

    def __init__(self) -> None:
        super().__init__("http://127.0.0.1:1", None)  # type: ignore[arg-type]  # nothing is sent
        self.asked: list[str] = []
        self.meanwhile: Callable[[], Awaitable[Any]] | None = None

    async def _send(self, method: str, target: str, headers: dict[str, str], body: bytes) -> Answer:
        action = parse_qs(body.decode())["Action"][0]
        self.asked.append(action)
        if action.startswith("Get") and self.meanwhile:
            meanwhile, self.meanwhile = self.meanwhile, None
            await meanwhile()
        assert ROLE is not None
        return Answer(200, f"<R><Arn>{ROLE.text}</Arn></R>".encode(), "text/xml")

    async def call(self, action: str, **parameters: str) -> None:
        form = urlencode({"Action": action, **parameters}).encode()
        await self.forward(Request("POST", "iam.amazonaws.com", "/", (), form), ACCOUNT, "us-east-1")

    async def look_up(self) -> int:
        """Looks the role and its provider up; how many of the two the backend was asked for."""
        assert ROLE is not None
        before = len(self.asked)
        assert await self.role(ROLE) is not None
        await self.provider_client_ids(ACCOUNT, "aws", "arn:of:provider")
        return len(self.asked) - before


@pytest.mark.parametrize(
    ("action", "parameters", "asked_again"),
    [
        ("GetRole", {"RoleName": "mine"}, 0),
        ("ListRoles", {}, 0),
        ("UpdateAssumeRolePolicy", {"RoleName": "another"}, 0),
        ("UpdateAssumeRolePolicy", {"RoleName": "mine"}, 1),
        ("DeleteOpenIDConnectProvider", {"OpenIDConnectProviderArn": "arn:of:provider"}, 2),
        ("CreatePolicy", {"PolicyName": "mine"}, 2),
    ],
)
def test_a_look_up_holds_until_it_may_be_another(
    action: str, parameters: dict[str, str], asked_again: int
) -> None:
    async def run() -> None:
        backend = Counted()
        assert (await backend.look_up(), await backend.look_up()) == (2, 0)
        await backend.call(action, **parameters)
        assert await backend.look_up() == asked_again

    asyncio.run(run())


def test_an_answer_that_a_write_has_overtaken_is_not_remembered() -> None:
    async def run() -> None:
        backend = Counted()
        backend.meanwhile = lambda: backend.call("DeleteRole", RoleName="mine")
        await backend.look_up()
        backend.asked.clear()
        await backend.look_up()
        assert backend.asked == ["GetRole"]

    asyncio.run(run())
