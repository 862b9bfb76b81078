"""Failures of the chart: what Helm refuses, what it takes in silence, what it removes and leaves."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING

from harness.causes.cause import Cause
from harness.core.errors import Withheld, WithheldCode
from harness.core.findings import note
from harness.core.waiting import eventually
from harness.scenario import Scenario

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.environment import JSON, Completed

INIT_IMAGE = "public.ecr.aws/aws-cli/aws-cli:latest"
"""Image of an init container: any will do, it never starts."""


def _arrange(scenario: Scenario) -> None:
    scenario.make_service_account()
    scenario.make_token()


def _install(scenario: Scenario) -> None:
    scenario.agent.install()


def _upgrade(scenario: Scenario) -> None:
    scenario.agent.upgrade({})


def _upgrade_and_restart(scenario: Scenario) -> None:
    _upgrade(scenario)
    # A StatefulSet does not replace a pod that was never ready.
    scenario.agent.again()


TAKES_NEIGHBOURS = frozenset({"12.0.0-alpha.2", "13.0.0-dev", "13.0.0-dev+simulated"})
"""Versions whose hook was seen to delete the identity of a release with a longer name."""


def neighbour(scenario: Scenario, *, release: str = "") -> Scenario:
    """A second deployment in the same namespace, by the same role: its own release, token and cluster name.

    Args:
        scenario: The first one, arranged already.
        release: Its name; one of its own where not given.
    """
    names = scenario.names
    own = replace(names.beside(), namespace=names.namespace, role=names.role, policy=names.policy)
    second = scenario.beside(replace(own, release=release) if release else own)
    second.make_token()
    return second


def _beside_a_release(scenario: Scenario) -> None:
    _arrange(scenario)
    neighbour(scenario).agent.install()


def _beside_a_namesake(scenario: Scenario) -> None:
    _arrange(scenario)
    namesake = scenario.beside(replace(scenario.names.beside(), release=scenario.names.release))
    namesake.make_service_account()
    namesake.make_token()
    namesake.agent.install()


def _own_secret(scenario: Scenario) -> None:
    scenario.agent.install({"secretName": f"{scenario.names.release}-join-token"})


def _own_cluster_role(scenario: Scenario) -> None:
    name = f"{scenario.names.release}-of-its-own"
    scenario.agent.install({"clusterRoleName": name, "clusterRoleBindingName": name})


def _namespace(scenario: Scenario, labels: Mapping[str, str]) -> None:
    metadata = {"name": scenario.names.namespace, "labels": dict(labels)}
    scenario.kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": metadata})


def _restrict(scenario: Scenario) -> None:
    _arrange(scenario)
    _namespace(scenario, {"pod-security.kubernetes.io/enforce": "restricted"})


def _without_account(scenario: Scenario) -> None:
    scenario.make_joined_agent()
    scenario.kubernetes.delete("ServiceAccount", scenario.names.service_account)


def _without_cluster_role(scenario: Scenario) -> None:
    _arrange(scenario)
    scenario.agent.install({"rbac.create": "false"})
    scenario.agent.joined()


CAUSES: Mapping[str, Cause] = MappingProxyType(
    {
        "proxy-address-missing": Cause(_arrange, _install, lambda _: {"proxyAddr": ""}),
        "cluster-name-missing": Cause(_arrange, _install, lambda _: {"kubeClusterName": ""}),
        "chart-lacks-apps": Cause(_arrange, _install, lambda _: {"roles": r"kube\,app"}),
        "join-secret-taken": Cause(_beside_a_release, _own_secret),
        "release-name-taken": Cause(_beside_a_namesake, _own_cluster_role),
        "token-value-misspelt": Cause(
            _arrange,
            _upgrade,
            lambda scenario: {"joinParams.tokenName": "", "joinParams.token": scenario.names.token},
        ),
        "account-value-misspelt": Cause(
            _arrange,
            _upgrade,
            lambda scenario: {
                "serviceAccount.name": "",
                "serviceaccount.name": scenario.names.service_account,
            },
        ),
        "init-containers-given": Cause(
            _arrange,
            _upgrade,
            lambda _: {"initContainers[0].name": "first", "initContainers[0].image": INIT_IMAGE},
        ),
        "authority-secret-missing": Cause(
            _arrange, _upgrade_and_restart, lambda _: {"tls.existingCASecretName": "nobody-made-this"}
        ),
        "rendered-without-cluster": Cause(_arrange),
        "restricted-namespace": Cause(_restrict, lambda scenario: _namespace(scenario, {})),
        "release-uninstalled": Cause(Scenario.make_joined_agent, _install),
        "account-gone-at-uninstall": Cause(_without_account),
        "no-cluster-role-at-uninstall": Cause(_without_cluster_role),
    }
)


def refused_by_helm(told: Completed) -> str:
    """What Helm told where it refused; empty where it did not.

    Args:
        told: What it left behind.
    """
    return told.stderr if told.exit_code != 0 else ""


def starts_before_mended(scenario: Scenario, mend: Callable[[], None]) -> tuple[JSON, ...]:
    """Watches that no agent starts until `mend` was called, and joins then; what started or joined before: none."""
    return tuple(scenario.agent.never_starts_until(mend))


GONE_SECONDS = 60.0
"""Budget for what a release made to go once Helm has ended: a pod takes its time to end."""


def left(scenario: Scenario) -> tuple[set[str], set[str], bool, int]:
    """What an uninstalled release leaves in its namespace, waited for until no pod is left.

    Returns:
        Names of the Secrets, of the service accounts but `default`, whether Teleport has the joining token, and how
        many servers of the cluster it lists.

    Raises:
        NotObserved: A pod does not go.
    """
    eventually(
        scenario.kubernetes.pods,
        lambda found: len(found) == 0,
        expected="no pod to be left",
        within=GONE_SECONDS,
    )
    return (
        set(scenario.kubernetes.secrets()),
        set(scenario.kubernetes.service_accounts()) - {"default"},
        scenario.teleport.get(f"token/{scenario.names.token}") is not None,
        len(scenario.teleport.kube_servers()),
    )


def installed_again(scenario: Scenario, mend: Callable[[], None], before: str) -> tuple[bool, bool]:
    """Installs an agent that was uninstalled: whether it joins as another host, and whether its Secret is its own.

    Args:
        scenario: The scenario.
        mend: Installs it.
        before: Its host id before it was uninstalled.
    """
    mend()
    joined = scenario.agent.joined()
    return joined.host_id != before, scenario.agent.host_id() == joined.host_id


def neighbours(scenario: Scenario, *, alike: bool) -> Scenario:
    """Two agents in one namespace; the other one.

    Args:
        scenario: The scenario, whose agent is the first.
        alike: Whether the name of the other's release is the end of this one's.

    Raises:
        Withheld: It was not seen at the running version what becomes of a release whose name is the end of another's:
            a later one may have mended that.
    """
    if alike and scenario.teleport.version not in TAKES_NEIGHBOURS:
        raise Withheld(
            WithheldCode.TEXT_NOT_MEASURED,
            f"whether the hook of {scenario.teleport.version} takes a neighbour's identity was not measured",
        )
    scenario.make_joined_agent()
    end = scenario.names.release.removeprefix("teleport-")
    other = neighbour(scenario, release=end if alike else "")
    other.agent.install({"secretName": f"{other.names.release}-join-token"})
    other.agent.joined()
    return other


def identities(scenario: Scenario) -> set[str]:
    """State Secrets in the namespace."""
    return {name for name in scenario.kubernetes.secrets() if name.endswith("-state")}


def refused_by_kubectl(scenario: Scenario, told: Completed) -> str:
    """What kubectl told where it did not take all that was rendered; empty where it did.

    Args:
        scenario: The scenario.
        told: What it left behind.
    """
    if told.exit_code == 0:
        return ""
    # Of a simulated chart nothing is found out about the product.
    if not scenario.description.components["chart"].simulated:
        text = "rendered without the cluster, the chart names a PodSecurityPolicy, which Kubernetes has not since 1.25"
        note("product", "failure:rendered-without-cluster", text)
    return told.stderr


def applied_without_policy(scenario: Scenario) -> bool:
    """Renders the chart without its PodSecurityPolicy and applies it: whether kubectl takes all of it."""
    return scenario.agent.apply_rendered({"podSecurityPolicy.enabled": "false"}, hooks=False).exit_code == 0


def make_rendered(scenario: Scenario) -> None:
    """An agent whose chart was rendered and applied without its hooks, and that has joined."""
    _arrange(scenario)
    applied_without_policy(scenario)
    scenario.agent.joined()


def apply_with_hooks(scenario: Scenario) -> str:
    """Applies the rendered chart with its hooks, and waits until its Job has run; the agent's host before.

    Raises:
        NotObserved: The Job never ran to its end.
    """
    host = scenario.agent.host_id()
    scenario.agent.apply_rendered({"podSecurityPolicy.enabled": "false"}, hooks=True)
    job = f"{scenario.names.release}-delete-hook"
    eventually(
        lambda: [
            pod["status"].get("phase")
            for pod in scenario.kubernetes.pods()
            if pod["metadata"]["name"].startswith(job)
        ],
        lambda phases: "Succeeded" in phases,
        expected=f"a pod of Job {job} to succeed",
        within=GONE_SECONDS,
    )
    return host


def identities_beside_another_release(scenario: Scenario) -> set[str]:
    """State Secrets in the namespace, once another release of it was uninstalled; a finding where none is left."""
    found = identities(scenario)
    # Of a simulated Teleport nothing is found out about the product.
    if not found and not scenario.description.components["teleport"].simulated:
        note(
            "product",
            "failure:neighbour-uninstalled",
            "uninstalling a release deletes the state Secrets of those releases of the namespace whose names end with "
            "its name: the pattern of kube-state delete is open at its beginning",
        )
    return found


def serving_beside_another_release(scenario: Scenario) -> tuple[set[str], str]:
    """State Secrets in the namespace, once another release of it was uninstalled, and the host in the agent's own."""
    return identities(scenario), scenario.agent.host_id()
