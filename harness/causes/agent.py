"""Failures of the agent: its way to the proxy, its state, its rights, its identity."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

import trustme

from harness.causes.cause import Cause
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from harness.environment import JSON, Restarted
    from harness.scenario import Scenario

UNKNOWN_HOST = "tele..example.com"
"""No name of a host, by its two dots: nobody's DNS is asked, in the lab or elsewhere."""

CLOSED = "127.0.0.1:9"
"""Where nothing listens: a port of the agent's own pod, of a service that is long gone."""

OTHER_AUTHORITY = "another-authority"
"""Secret with an authority that signed nothing here."""

TOLD_SECONDS = 60.0
"""Budget for kubectl to tell of a refusal: the agent may still be joining."""

_API = "rbac.authorization.k8s.io"


def _arrange(scenario: Scenario) -> None:
    scenario.make_service_account()
    scenario.make_token()


def _upgrade(scenario: Scenario) -> None:
    scenario.agent.upgrade({})


def _trust_another(scenario: Scenario) -> None:
    _arrange(scenario)
    authority = trustme.CA().cert_pem.bytes().decode()
    scenario.kubernetes.apply(
        {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": OTHER_AUTHORITY, "namespace": scenario.names.namespace},
            "stringData": {"ca.pem": authority},
        }
    )


def _named(scenario: Scenario, kind: str) -> dict[str, object]:
    metadata = {"name": scenario.names.release, "namespace": scenario.names.namespace}
    return {"apiVersion": f"{_API}/v1", "kind": kind, "metadata": metadata}


def _unbind(scenario: Scenario) -> None:
    scenario.make_joined_agent()
    scenario.kubernetes.delete("RoleBinding", scenario.names.release)


def _bind(scenario: Scenario) -> None:
    names = scenario.names
    account = {"kind": "ServiceAccount", "name": names.service_account, "namespace": names.namespace}
    role = {"apiGroup": _API, "kind": "Role", "name": names.release}
    scenario.kubernetes.apply({**_named(scenario, "RoleBinding"), "roleRef": role, "subjects": [account]})


def _allow(scenario: Scenario, verbs: Sequence[str]) -> None:
    rule = {"apiGroups": [""], "resources": ["secrets"], "verbs": list(verbs)}
    scenario.kubernetes.apply({**_named(scenario, "Role"), "rules": [rule]})


def _only_read(scenario: Scenario) -> None:
    scenario.make_joined_agent()
    _allow(scenario, ["get"])


def _write_too(scenario: Scenario) -> None:
    _allow(scenario, ["create", "get", "update", "patch"])


def start_without_identity(scenario: Scenario) -> None:
    """Deletes the agent's identity and its pod: another pod has to make itself a new one."""
    scenario.kubernetes.delete("Secret", f"{scenario.names.release}-0-state")
    scenario.agent.again()


def copy_identity(scenario: Scenario) -> None:
    """Another agent has joined; its state Secret is copied to where this one will look for its own."""
    _arrange(scenario)
    copy_state(scenario)


def copy_state(scenario: Scenario) -> Scenario:
    """The same where this one has its service account and token already; gives the other agent's deployment."""
    other = scenario.beside(scenario.names.beside())
    other.make_joined_agent()
    held = other.kubernetes.secret(f"{other.names.release}-0-state") or {"data": {}}
    metadata = {"name": f"{scenario.names.release}-0-state", "namespace": scenario.names.namespace}
    data = {key: value.decode() for key, value in held["data"].items()}
    manifest = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": data}
    scenario.kubernetes.apply(manifest)
    return other


CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        "proxy-unresolvable": Cause(
            _arrange,
            _upgrade,
            # An agent behind an HTTPS proxy would have that one look for the name.
            lambda _: {
                "proxyAddr": f"{UNKNOWN_HOST}:443",
                "extraEnv[0].name": "NO_PROXY",
                "extraEnv[0].value": UNKNOWN_HOST,
            },
        ),
        "proxy-port-closed": Cause(_arrange, _upgrade, lambda _: {"proxyAddr": CLOSED}),
        "proxy-untrusted": Cause(
            _trust_another, _upgrade, lambda _: {"tls.existingCASecretName": OTHER_AUTHORITY}
        ),
        "state-role-missing": Cause(_unbind, _bind),
        "state-not-writable": Cause(_only_read, _write_too),
        "cluster-role-missing": Cause(_arrange, _upgrade, lambda _: {"rbac.create": "false"}),
        "identity-copied": Cause(copy_identity, start_without_identity),
        "several-replicas": Cause(_arrange, values=lambda _: {"highAvailability.replicaCount": "2"}),
    }
)


def ends_before_mended(scenario: Scenario, mend: Callable[[], None]) -> tuple[JSON, ...]:
    """Watches that the agent ends again and again until `mend` was called, and joins then; joins before: none."""
    return tuple(scenario.agent.ends_until(mend))


def told_by_kubectl(scenario: Scenario, words: str) -> str:
    """Waits until kubectl tells the signed-in user these words when it asks for pods; what it tells.

    Raises:
        NotObserved: They did not come.
    """
    return eventually(
        lambda: _asked(scenario)[1],
        lambda told: words in told,
        expected=f"kubectl to tell the user {words!r}",
        within=TOLD_SECONDS,
    )


def refused_before_mended(
    scenario: Scenario, mend: Callable[[], None], *, routed: bool = True
) -> tuple[int, tuple[str, ...]]:
    """A call before and after mending: its status on Teleport's audit log before, and the pods shown afterwards.

    Args:
        scenario: The scenario.
        mend: Takes away what keeps the user from the cluster.
        routed: Whether Teleport must route the call before; otherwise the status is 0 where it did not.
    """
    status, _ = _asked(scenario, routed=routed)
    mend()
    return status, tuple(scenario.workstation.pods_shown())


def _asked(scenario: Scenario, *, routed: bool = False) -> tuple[int, str]:
    """Asks for pods by way of the agent: the status that Teleport's audit log has for it, and what kubectl tells."""
    path = f"/api/v1/namespaces/{scenario.names.namespace}/pods"
    answer = scenario.workstation.kubectl("get", "--raw", path, routed=routed)
    statuses = [int(event.get("response_code", 0)) for event in answer.teleport]
    return (statuses[-1] if statuses else 0), answer.completed.stderr


def delete_identity(scenario: Scenario) -> str:
    """Deletes the state Secret of an agent that runs; its host id before."""
    before = scenario.agent.host_id()
    scenario.kubernetes.delete("Secret", f"{scenario.names.release}-0-state")
    return before


def make_account_anew(scenario: Scenario) -> str:
    """Deletes the service account of an agent that runs, and makes it as it was; the agent's host id."""
    arn = str(scenario.aws.role()["Arn"])
    scenario.kubernetes.delete("ServiceAccount", scenario.names.service_account)
    scenario.kubernetes.create_service_account(arn)
    return scenario.agent.host_id()


def served_after_restart(scenario: Scenario) -> str:
    """The agent's pod is made anew: the host that answers the signed-in user once it is ready."""
    scenario.agent.again()
    scenario.agent.ready()
    return scenario.agent.served_by()


def serves_on(scenario: Scenario) -> tuple[str, bool]:
    """Host that answers the signed-in user, and whether the agent's state Secret is there."""
    served_by = scenario.agent.served_by()
    return served_by, scenario.kubernetes.secret(f"{scenario.names.release}-0-state") is not None


def serves_after_restart(scenario: Scenario) -> tuple[str, str]:
    """The agent's pod is made anew: the host that it joins as, and the one that answers the signed-in user."""
    scenario.agent.again()
    joined = scenario.agent.joined()
    return joined.host_id, scenario.agent.served_by()


def registered_as(scenario: Scenario) -> tuple[set[str], int]:
    """Waits until the scenario's cluster is registered: the hosts that serve it, and how often the agent joined.

    Raises:
        NotObserved: It is not.
    """
    servers = eventually(
        scenario.teleport.kube_servers,
        lambda found: len(found) > 0,
        expected=f"a kube_server of {scenario.names.cluster}",
        within=TOLD_SECONDS,
    )
    return {str(server["spec"]["host_id"]) for server in servers}, len(_joins(scenario))


def copied_from(scenario: Scenario) -> str:
    """Host id in the state Secret of the other agent, whose identity was copied."""
    return scenario.beside(scenario.names.beside()).agent.host_id()


def hosts_of_replicas(scenario: Scenario, replicas: int) -> tuple[set[str], set[str]]:
    """Waits until as many hosts serve the cluster: those that do, and those of the replicas' state Secrets.

    Raises:
        NotObserved: They do not.
    """
    servers = eventually(
        scenario.teleport.kube_servers,
        lambda found: len({str(server["spec"]["host_id"]) for server in found}) >= replicas,
        expected=f"{replicas} hosts with a kube_server of {scenario.names.cluster}",
        within=TOLD_SECONDS,
    )
    names = [f"{scenario.names.release}-{number}-state" for number in range(replicas)]
    kept = scenario.kubernetes.secrets()
    stored = {kept.get(name, {}).get(".host_uuid", b"").decode().strip() for name in names}
    return {str(server["spec"]["host_id"]) for server in servers}, stored


def _joins(scenario: Scenario) -> Sequence[JSON]:
    joins = scenario.teleport.audit("instance.join")
    return [
        event for event in joins if event.get("token_name") == scenario.names.token and event.get("success")
    ]


def restart_often(scenario: Scenario, times: int) -> Restarted:
    """Deletes the agent's pod so often, each time once the last one is ready; what is known of it all."""
    before, joins = scenario.agent.host_id(), len(_joins(scenario))
    for _ in range(times - 1):
        scenario.agent.again()
        scenario.agent.ready()
    last = scenario.agent.restart()
    return replace(last, host_id_before=before, joins=tuple(_joins(scenario)[joins:]))
