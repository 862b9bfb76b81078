"""The course that a failure takes: brought about, shown, staying, mended; the words that its steps speak."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.causes import agent, aws, chart, pod, teleport, token
from harness.core.errors import ConformanceError
from harness.environment import OTHER_AGENT
from harness.failures.table import failure_with_cause, measured_texts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.causes.cause import Cause
    from harness.environment import JSON
    from harness.failures.table import Failure
    from harness.failures.texts import Place, Text
    from harness.scenario import Scenario

CAUSES: Mapping[str, Cause] = MappingProxyType(
    {**agent.CAUSES, **aws.CAUSES, **chart.CAUSES, **pod.CAUSES, **teleport.CAUSES, **token.CAUSES}
)
"""By the failure's name."""


def arranged(scenario: Scenario, cause: str) -> Failure:
    """Arranges all that an agent needs, but for what is wrong; the failure that has to come of it.

    Args:
        scenario: The scenario.
        cause: What is wrong, in the table's words.
    """
    failure = failure_with_cause(cause)
    CAUSES[failure.name].make(scenario)
    return failure


def deploy(scenario: Scenario, failure: Failure) -> None:
    """Deploys the agent, with the values that the cause asks for, and does what is late of it."""
    cause = CAUSES[failure.name]
    scenario.agent.install(cause.values(scenario))
    cause.late(scenario)


def mend(scenario: Scenario, failure: Failure) -> None:
    """Does what the table says mends the failure, what that needs besides not included."""
    CAUSES[failure.name].mend(scenario)


def places_told(scenario: Scenario, failure: Failure) -> set[Place]:
    """Places at which the failure shows by the table, as measured at the running version.

    Raises:
        Withheld: None was measured.
    """
    return {text.place for text in measured_texts(failure.name, scenario.teleport.version)}


def places_seen(scenario: Scenario, failure: Failure) -> set[Place]:
    """Places of those at which it is seen in the table's words; waited for at each.

    Raises:
        Withheld: No text was measured.
        NotObserved: One did not come.
    """
    texts = measured_texts(failure.name, scenario.teleport.version)
    return {text.place for text in texts if _shown(scenario, text)}


def _shown(scenario: Scenario, text: Text) -> bool:
    reader = _READERS.get(text.place)
    if reader is None:
        raise ConformanceError(
            expected=f"a place of {sorted(_READERS)} for the text of {text.failure}",
            seen=text.place,
            remedy="Have the scenario's own step look at this place.",
        )
    words = filled(scenario, text)
    return words in reader(scenario, words)


def filled(scenario: Scenario, text: Text) -> str:
    """A text with the scenario's own names in it."""
    names = scenario.names
    # Only where it is asked for: it is a call.
    issuer = scenario.kubernetes.issuer() if "issuer" in text.placeholders else ""
    other = scenario.description.components.get(OTHER_AGENT)
    words = {
        "agent_major": other.version.partition(".")[0] if other else "",
        "major": scenario.teleport.version.partition(".")[0],
        "account": scenario.aws.account_id,
        "cluster": names.cluster,
        "issuer": issuer,
        "namespace": names.namespace,
        "node": f"{names.release}-0",
        "pod_identity": aws.POD_IDENTITY,
        "proxy": agent.CLOSED,
        "proxy_host": agent.UNKNOWN_HOST,
        "release": names.release,
        "role": "Kube",
        "secret": f"{names.release}-0-state",
        "service_account": names.service_account,
        "token": names.token,
        "user": names.user,
    }
    return text.filled(**{name: words[name] for name in text.placeholders})


_READERS: Mapping[Place, Callable[[Scenario, str], str]] = MappingProxyType(
    {
        "agent-log": lambda scenario, words: scenario.agent.logs(words),
        "auth-log": lambda scenario, words: scenario.teleport.logs(words),
        "kubectl-raw": agent.told_by_kubectl,
        "pod": lambda scenario, words: scenario.agent.events(words),
    }
)
"""How each place is read that needs no command of the user: waits until it has the words."""


def joins_before_mended(scenario: Scenario, failure: Failure) -> tuple[JSON, ...]:
    """Watches that the agent stays out until the cause is mended, and joins then; joins before that: none.

    Where mending needs a restart besides, it is mended before the watch: that alone must not let the agent in.
    """
    if failure.besides == "restart":
        mend(scenario, failure)
        return tuple(scenario.agent.out_until(scenario.agent.again))
    return tuple(scenario.agent.out_until(lambda: mend(scenario, failure)))
