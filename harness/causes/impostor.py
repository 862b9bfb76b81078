"""Somebody else who asks to join: nothing is wrong with the set-up, and nothing is to be mended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from packaging.version import Version

from harness.core.errors import NotApplicable, NotApplicableCode
from harness.core.findings import note
from harness.core.waiting import eventually
from harness.failures.table import measured_texts

if TYPE_CHECKING:
    from harness.environment import JSON, Answered
    from harness.failures.table import Failure
    from harness.failures.texts import Place
    from harness.scenario import Scenario

CLAIM = "s2.proof"
"""What findings are about: the agent proves who it is."""

READS_ENDPOINTS = 17
"""Major version from which on AWS's second SDK is used, which reads where its services are from its environment."""

OF_STS = "aws sts api returned status"
"""How Teleport begins what STS said (lib/auth/join_iam.go)."""

RECORDED_SECONDS = 10.0
"""Budget until Teleport has a join on its audit log; it has within a second."""


def asked(scenario: Scenario, failure: Failure) -> Answered:
    """Somebody asks to join, and it is as the failure says."""
    return scenario.somebody_else.ask(failure.name)


def places_told(scenario: Scenario, failure: Failure) -> set[Place]:
    """Places at which the refusal shows by the table, as measured at the running version; of Teleport's own words.

    Raises:
        Withheld: None was measured.
    """
    return {text.place for text in measured_texts(failure.name, scenario.teleport.version)}


def places_seen(scenario: Scenario, failure: Failure, answered: Answered) -> set[Place]:
    """Places of those at which it is seen in the table's words.

    Raises:
        Withheld: None was measured.
        NotObserved: The Auth Service's log never had them.
    """
    texts = measured_texts(failure.name, scenario.teleport.version)
    return {
        text.place
        for text in texts
        if text.filled()
        in (answered.words if text.place == "answer" else scenario.teleport.logs(text.filled()))
    }


def joins(scenario: Scenario, host_id: str) -> tuple[JSON, ...]:
    """`instance.join` events of a host."""
    return tuple(event for event in scenario.teleport.audit("instance.join") if event["host_id"] == host_id)


def let_in(scenario: Scenario, answered: Answered) -> tuple[JSON, ...]:
    """Joins of who was refused, on record when that of the agent's own request is: none.

    Raises:
        NotObserved: The agent's own request was refused, too, or its join never came on record. Nothing would
            be shown: the way in is closed to everybody.
    """
    genuine = scenario.somebody_else.ask("genuine")
    eventually(
        lambda: joins(scenario, genuine.host_id),
        lambda found: len(found) > 0,
        expected=f"the agent's own request to let host {genuine.host_id} in ({genuine.words or 'certified'})",
        within=RECORDED_SECONDS,
    )
    note_what_is_told(scenario, answered)
    return joins(scenario, answered.host_id)


def deploy_with_another_endpoint(scenario: Scenario) -> None:
    """Deploys an agent that is told another endpoint of STS by the variable of AWS's SDKs.

    Raises:
        NotApplicable: The running version's SDK reads the variable.
    """
    if Version(scenario.teleport.version).major >= READS_ENDPOINTS:
        raise NotApplicable(
            NotApplicableCode.PREREQUISITE_NOT_MET,
            f"the AWS SDK of Teleport {scenario.teleport.version} reads AWS_ENDPOINT_URL_STS; of 12 and 13 it does not",
        )
    host = f"https://{sts_host(scenario)}.example.com"
    values = {"extraEnv[0].name": "AWS_ENDPOINT_URL_STS", "extraEnv[0].value": host}
    scenario.agent.install(values)


def sts_host(scenario: Scenario) -> str:
    """AWS's STS, as the agent asks it."""
    return f"sts.{scenario.aws.region}.amazonaws.com"


def hosts_asked(scenario: Scenario) -> set[str]:
    """Hosts that were asked for the scenario's role, and who has it."""
    return {str(call["host"]) for call in scenario.aws.calls()}


def note_what_is_told(scenario: Scenario, answered: Answered) -> None:
    """Notes what a real Teleport tells too little or too much of somebody whom it refused."""
    if scenario.description.components["teleport"].simulated:
        return
    logged = scenario.teleport.logs("")
    if answered.asked and OF_STS in answered.words and OF_STS not in logged:
        note(
            "product",
            CLAIM,
            "whom STS refused is neither in the Auth Service's log nor among the joins of the audit log",
        )
    if "as a signed header" in answered.words and "Signature=" in logged:
        note("product", CLAIM, "the Auth Service's log has a refused request's whole Authorization header")
    if 'request method ""' in answered.words:
        note("product", CLAIM, "Teleport shows an empty text for the method of a request that is no POST")


def verdicts(answered: Answered) -> set[tuple[str, str]]:
    """What was said to Teleport when it asked who had signed: verdict and code."""
    return {(str(call["verdict"]), str(call["code"])) for call in answered.asked}
