"""What shows that watching an agent for something that must not happen could have seen it (design rule 4)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.core.errors import EnvironmentBroken
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.adapters.agent import Agent
    from harness.adapters.agent_readings import AgentReadings
    from harness.adapters.aws import Account
    from harness.adapters.teleport import Teleport

SERVICES = frozenset({"Instance", "Kube"})
"""System roles as which an agent joins that was refused: once refused, each tries again for itself."""

SHOWN_SECONDS = 15.0
"""Budget for what the harness just did to appear in a log; it is written within a second."""


class CanaryCall:
    """Control of "no AWS call": the role's calls were seen before, and one made afterwards appears."""

    def __init__(self, agent: Agent, account: Account, mark: int) -> None:
        """Binds the control to a scenario's agent and its AWS account.

        Args:
            agent: The agent that is watched.
            account: The scenario's AWS account.
            mark: Where the watched part of the gateway's log begins.
        """
        self._agent = agent
        self._account = account
        self._mark = mark

    def before(self) -> None:
        """Shows that the log holds the calls of the agent's first join, and that they lie before the mark."""
        earlier = [call for call in self._account.calls() if call["seq"] <= self._mark]
        if not earlier:
            raise EnvironmentBroken(
                expected="the gateway's log to hold the calls of the agent's first join",
                seen=f"no call of the role up to number {self._mark}",
                remedy="the watch for AWS calls is blind; see the gateway's log",
            )

    def after(self) -> None:
        """Shows that a call made by the harness for the role appears in the watched part of the log."""
        made = self._agent.call_aws()
        if made["seq"] not in [call["seq"] for call in self._account.calls(after=self._mark)]:
            raise EnvironmentBroken(
                expected="a call made by the harness for the role to appear in the gateway's log",
                seen=f"number {made['seq']} is not in the log after number {self._mark}",
                remedy="the watch for AWS calls is blind; see the gateway's log",
            )


class CanaryRole:
    """Control of "no join": what the harness makes before and after the watch appears in the audit log."""

    def __init__(self, agent: AgentReadings, teleport: Teleport) -> None:
        """Binds the control to a scenario's agent.

        Args:
            agent: The agent that is watched.
            teleport: The scenario's Teleport.
        """
        self._role = agent.names.access_role
        self._teleport = teleport

    def before(self) -> None:
        """Shows that the audit log has what this scenario just made."""

        def told() -> int:
            return len(
                [event for event in self._teleport.audit("role.created") if event["name"] == self._role]
            )

        known = told()
        self._teleport.create(
            {"kind": "role", "version": "v5", "metadata": {"name": self._role}, "spec": {"allow": {}}}
        )
        eventually(
            told,
            lambda seen: seen > known,
            expected="the audit log to show what this scenario makes",
            within=SHOWN_SECONDS,
        )

    after = before


class Mended(CanaryRole):
    """Control of "no join": the audit log works before, and mending what keeps the agent out lets it join."""

    def __init__(self, agent: AgentReadings, teleport: Teleport, mend: Callable[[], None]) -> None:
        """Binds the control to a scenario's agent.

        Args:
            agent: The agent that is kept out.
            teleport: The scenario's Teleport.
            mend: Takes away what keeps it out.
        """
        super().__init__(agent, teleport)
        self._agent = agent
        self._mend = mend

    def after(self) -> None:
        """Mends it, and shows the agent's join by the same query."""
        self._mend()
        # Not as every role: 13 lets the instance of an agent whose token was missing in without a join of its own.
        self._agent.joined()


class MendedToken(Mended):
    """The same where the token's rule keeps the agent out: it is set to what STS answered."""

    def __init__(self, agent: Agent, teleport: Teleport, answered: Sequence[tuple[str, str]]) -> None:
        """Binds the control to a scenario's agent.

        Args:
            agent: The agent that is refused.
            teleport: The scenario's Teleport.
            answered: Account and ARN that STS answered about the agent.
        """
        super().__init__(agent, teleport, self._admit)
        self._answered = answered

    def after(self) -> None:
        """Makes the token admit the agent, and shows its joins by the same query."""
        self._mend()
        self._agent.joined_as(SERVICES)

    def _admit(self) -> None:
        token = self._teleport.get(f"token/{self._agent.names.token}") or {}
        # The last part of the ARN is the session's name, another one at each attempt.
        allow = [
            {"aws_account": account, "aws_arn": f"{arn.rpartition('/')[0]}/*"}
            for account, arn in self._answered
        ]
        self._teleport.create({**token, "spec": {**token["spec"], "allow": allow}})
