"""What is seen of an agent that does not start, or that ends again and again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.adapters.agent_controls import CanaryRole, Mended
from harness.adapters.agent_readings import CHALLENGE_SECONDS, READY_SECONDS, AgentReadings
from harness.core import recording
from harness.core.waiting import eventually, stays

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from harness.environment import JSON

STILL_SECONDS = 2.0
"""How long an agent is watched that does not start."""

BACK_OFF = "CrashLoopBackOff"


class AgentFailures(AgentReadings):
    """The part of `harness.environment.Agent` for agents that do not get to trying."""

    def events(self, text: str) -> str:
        """Waits until Kubernetes' events about the agent's pod or StatefulSet tell a text; all that they tell.

        Raises:
            NotObserved: It was not told.
        """
        path = f"/api/v1/namespaces/{self.names.namespace}/events"
        about = {self.names.release, f"{self.names.release}-0"}

        def told() -> str:
            found = (self._api.get(path) or {}).get("items", [])
            lines = [
                f"{event['reason']}: {event['message']}"
                for event in found
                if event["involvedObject"].get("name") in about and event.get("type") == "Warning"
            ]
            recording.record_oracle("kubernetes", f"warnings about {self.names.release}", lines)
            return "\n".join(lines)

        return eventually(
            told,
            lambda seen: text in seen,
            expected=f"Kubernetes to tell of the agent {text!r}",
            within=READY_SECONDS,
        )

    def never_starts_until(self, mend: Callable[[], None]) -> Sequence[JSON]:
        """Watches that no container of the agent starts, and has it join once `mend` was called.

        What shows that the watching could see something (design rule 4): its queries are those by which the agent is
        seen to run and to join afterwards, and the audit log shows what the harness makes before and after.

        Returns:
            Containers that started and joins before it was called: none.

        Raises:
            NotObserved: One started, or the agent did not join afterwards.
            EnvironmentBroken: The watching was blind.
        """

        def seen() -> list[JSON]:
            statuses = ((self._api.get(self._pod_path) or {}).get("status") or {}).get(
                "containerStatuses", []
            )
            started = [status for status in statuses if "waiting" not in status.get("state", {})]
            return [*started, *self._joined_so_far()]

        before = stays(
            seen,
            lambda found: len(found) == 0,
            expected=f"no container of pod {self.names.release}-0 started, and no join",
            budget=STILL_SECONDS,
            control=CanaryRole(self, self._teleport),
        )
        mend()
        self.joined()
        return before

    def unregistered_until(self, mend: Callable[[], None]) -> Sequence[str]:
        """Watches that the agent joins again and again and registers nothing, and registers once `mend` was called.

        What shows that the watching could see a registration (design rule 4): mending has this very agent register,
        seen by the same query.

        Returns:
            Hosts registered before it was called: none.

        Raises:
            NotObserved: The agent did not join twice, or registered.
            EnvironmentBroken: It did not register afterwards: nothing shows that the watching could have seen it.
        """
        eventually(
            lambda: [event for event in self._joined_so_far() if event.get("role") == "Kube"],
            lambda joins: len(joins) > 1,
            expected="the agent to join once more",
            within=CHALLENGE_SECONDS,
            last_words=self.last_error,
        )
        return stays(
            lambda: [str(server["spec"]["host_id"]) for server in self._teleport.kube_servers()],
            lambda hosts: len(hosts) == 0,
            expected=f"no kube_server of {self.names.cluster}",
            budget=STILL_SECONDS,
            control=Mended(self, self._teleport, mend),
        )

    def ends_until(self, mend: Callable[[], None]) -> Sequence[JSON]:
        """Watches that the agent ends again and again and does not join, and joins once `mend` was called.

        As `never_starts_until`, for an agent that may have joined before. That Kubernetes starts it again and takes
        its time is waited for first.

        Returns:
            Joins meanwhile: none.

        Raises:
            NotObserved: It was not started again, it joined, or it did not join afterwards.
            EnvironmentBroken: The watching was blind.
        """
        known = len(self._joined_so_far())
        eventually(
            lambda: ((self._api.get(self._pod_path) or {}).get("status") or {}).get("containerStatuses", []),
            lambda statuses: any(
                status["restartCount"] > 0 and status["state"].get("waiting", {}).get("reason") == BACK_OFF
                for status in statuses
            ),
            expected=f"the agent to be started again and to end again, and Kubernetes to tell of {BACK_OFF}",
            within=READY_SECONDS,
        )
        before = stays(
            lambda: self._joined_so_far()[known:],
            lambda found: len(found) == 0,
            expected=f"no other instance.join with token {self.names.token}",
            budget=STILL_SECONDS,
            control=CanaryRole(self, self._teleport),
        )
        mend()
        eventually(
            lambda: self._joined_so_far()[known:],
            lambda found: len(found) > 0,
            expected="the agent to join once the cause is mended",
            within=READY_SECONDS,
            last_words=self.last_error,
        )
        self.joined()
        return before
