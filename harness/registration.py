"""Words of steps 2 and 3: which services join, what is registered, and what its user sees of it.

As in `Scenario`, each is made of port calls only; they take the scenario because they are many.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.core.errors import NotApplicable, NotApplicableCode
from harness.core.findings import note
from harness.core.tables import columns, read_table
from harness.core.versions import numbers
from harness.guide.editions import commands_for
from harness.guide.script import prints

if TYPE_CHECKING:
    from collections.abc import Mapping

    from harness.environment import JSON, Completed
    from harness.scenario import Scenario

JOINED_AS: Mapping[str, str] = {
    "kubernetes_service": "Kube",
    "app_service": "App",
    "db_service": "Db",
    "discovery_service": "Discovery",
    "windows_desktop_service": "WindowsDesktop",
}
"""Section of a `teleport.yaml` to the system role that its service joins as."""

PRINTED_ROLES = r"kube\,app\,discovery"
"""What editions 17 and 18 print for `roles` in step 3."""

MINIMAL_ROLES = "roles: [Kube]\n"
"""What editions 13 and 17 print for the token's roles in step 2."""

TIMES_ASKED_AGAIN = 3
"""How often a user asks who lost one of two agents: once may be luck."""

BY_TUNNEL = "remote.kube.proxy.teleport.cluster.local"
"""Address of an agent that nobody can dial (lib/reversetunnel/agent.go; seen on 13): no name server knows it."""

APPLICATION = {"apps[0].name": "conformance", "apps[0].uri": "http://127.0.0.1:1"}
"""An application for the chart's role app, which it does not render without one."""

PODS_NOWHERE = {"kind": "pod", "namespace": "conformance-nowhere", "name": "*"}
"""A rule of `kubernetes_resources` that no pod of a scenario fits."""


@dataclass(frozen=True)
class Two:
    """Two deployments of one scenario.

    Attributes:
        one: The scenario's own.
        other: The one beside it.
    """

    one: Scenario
    other: Scenario

    def agents(self) -> dict[str, str]:
        """Name under which each cluster is registered, and host id of its agent."""
        return {each.names.cluster: each.agent.host_id() for each in (self.one, self.other)}

    def answers(self) -> dict[str, str]:
        """Each cluster's name, and host id of the agent that answers a call to it."""
        return {each.names.cluster: each.agent.served_by() for each in (self.one, self.other)}


@dataclass(frozen=True)
class Left:
    """What is known when one of two agents was stopped.

    Attributes:
        both: Host ids of the two.
        answered: Host ids of the agents that had answered the user by then.
        host: Host id of the agent that is left.
    """

    both: frozenset[str]
    answered: frozenset[str]
    host: str


def _real(scenario: Scenario) -> bool:
    """Whether a finding can be made: of a simulated Teleport nothing is found out about product or guide."""
    return not scenario.description.components["teleport"].simulated


# Several agents (claim how.many-clusters)


def deploy_two(scenario: Scenario, *, cluster: str | None = None) -> Two:
    """Two agents that have joined by IAM, each with a namespace, an account, a role and a token of its own.

    Args:
        scenario: The scenario.
        cluster: Name under which the second one registers; one of its own where not given.
    """
    other = scenario.beside(scenario.names.beside(cluster=cluster))
    for each in (scenario, other):
        each.make_joined_agent()
    return Two(scenario, other)


def deploy_two_for_a_user(scenario: Scenario) -> Two:
    """Two agents that have joined by IAM under one cluster name, and a signed-in user who may view the cluster."""
    two = deploy_two(scenario, cluster=scenario.names.cluster)
    scenario.make_bound_user()
    return two


def stop_the_one_that_answers(two: Two) -> Left:
    """Has the user ask until both have answered, and stops the one that answered last."""
    hosts = {each.agent.host_id(): each for each in (two.one, two.other)}
    answered = two.one.agent.answering(hosts)
    # Which of the two is left is known before it is asked.
    left = next(host for host in hosts if host != answered[-1])
    hosts.get(answered[-1], two.one).agent.stop()
    return Left(frozenset(hosts), frozenset(answered), left)


def answers_of_the_one_left(two: Two) -> set[str]:
    """Host ids of the agents that answer the user now, who asks `TIMES_ASKED_AGAIN` times."""
    return {two.one.agent.served_by() for _ in range(TIMES_ASKED_AGAIN)}


def addresses_told(scenario: Scenario) -> set[str]:
    """Addresses under which Teleport has the agent (claim s3.dials-back)."""
    return {str(server["spec"]["hostname"]) for server in scenario.teleport.kube_servers()}


# The token (claims s2.*)


def make_token_without_arn(scenario: Scenario) -> None:
    """A joining token whose rule names the account alone (claim s2.arn-optional)."""
    scenario.teleport.create(_token(scenario, {"aws_account": scenario.aws.account_id}))


def make_older_token(scenario: Scenario) -> None:
    """A token of that name that somebody made before, for another account (claim s2.create)."""
    scenario.teleport.create(_token(scenario, {"aws_account": scenario.other_account_id()}))


def outcome_of_second_token(scenario: Scenario, outcome: Completed) -> str:
    """What `tctl create` did where there was such a token; a finding where it says nothing of it.

    Returns:
        `replaced` where no command failed, `refused` where the token is as before and the reader was told so.

    Raises:
        NotObserved: No command failed, and the token is not the reader's.
    """
    if outcome.failed:
        untouched = scenario.token_admits() == ((scenario.other_account_id(), ""),)
        return "refused" if untouched and "exist" in outcome.stderr else f"failed: {outcome.failed}"
    meant = {"aws_account": scenario.aws.account_id, "aws_arn": scenario.role_pattern()}
    scenario.teleport.becomes(
        f"token/{scenario.names.token}", lambda token: list(token["spec"]["allow"]) == [meant]
    )
    if "exist" not in outcome.stdout + outcome.stderr and _real(scenario):
        note("guide", "s2.create", "`tctl create token.yaml` replaces a token of that name without a word")
    return "replaced"


def _token(scenario: Scenario, rule: JSON) -> JSON:
    return {
        "kind": "token",
        "version": "v2",
        "metadata": {"name": scenario.names.token, "expires": "3000-01-01T00:00:00Z"},
        "spec": {"roles": ["Kube"], "join_method": "iam", "allow": [rule]},
    }


def must_print_more_roles(scenario: Scenario) -> None:
    """Sees that this edition deploys roles in step 3 that its token of step 2 does not allow.

    Raises:
        NotApplicable: It does not, or the chart is of a version that cannot deploy them.
    """
    edition = scenario.description.guide_edition
    prints(edition, "s3.install", PRINTED_ROLES)
    prints(edition, "s2.token", MINIMAL_ROLES)
    chart = scenario.workstation.guide_version
    if numbers(chart)[0] < 14:
        raise NotApplicable(
            NotApplicableCode.PREREQUISITE_NOT_MET,
            f"chart {chart} has no role discovery, and edition {edition} is not its own",
        )


def deploy_printed_roles(scenario: Scenario) -> None:
    """Deploys the agent with the roles that step 3 prints."""
    scenario.agent.install({"roles": PRINTED_ROLES})


def deploy_with_application(scenario: Scenario) -> None:
    """Deploys the agent with an application service beside the Kubernetes one."""
    scenario.agent.install({"roles": r"kube\,app", **APPLICATION})


def services_deployed(scenario: Scenario) -> set[str]:
    """System roles that the agent needs for what it runs: its services', and its own."""
    configuration = scenario.agent.configuration()
    enabled = {JOINED_AS[name] for name in JOINED_AS if _enabled(configuration.get(name) or {})}
    return enabled | {"Instance"}


def _enabled(section: JSON) -> bool:
    return str(section.get("enabled", "no")).lower() in {"yes", "true", "on"}


def services_joined(scenario: Scenario, roles: set[str]) -> dict[str, str]:
    """Waits for joins as these system roles; each role as which the agent has joined, and the method."""
    return dict(scenario.agent.joined_as(roles).methods)


def deployed_and_joined(scenario: Scenario) -> tuple[set[str], dict[str, str]]:
    """Services deployed by a token of role Kube, and those joined with their method; a finding where more is printed.

    Edition 18 prints more roles than these under the words "minimal set" (revision 2 of claim s2.minimal-roles).
    """
    deployed = services_deployed(scenario)
    joined = services_joined(scenario, deployed)
    printed = "".join(
        command.text for command in commands_for(scenario.description.guide_edition, "s2.token")
    )
    if MINIMAL_ROLES not in printed and set(joined) == deployed:
        note("guide", "s2.minimal-roles", "the token has roles that the Kubernetes Service does not need")
    return deployed, joined


def services_kept_out(scenario: Scenario) -> set[str]:
    """Services of the agent that the token kept out; a finding where the guide deploys them.

    The agent's other services have joined by then.
    """
    deployed = services_deployed(scenario)
    allowed = {"Kube", "Instance"}
    refused = set(scenario.agent.refused_as(deployed - allowed))
    joined = set(services_joined(scenario, allowed))
    if refused and _real(scenario):
        note(
            "guide",
            "s2.minimal-roles",
            f"the token of step 2 keeps out {', '.join(sorted(refused))} of step 3",
        )
    return refused - joined


# The release (claims s3.repo, s3.context, s3.install)


def deploy_as_it_should_read(scenario: Scenario, context: str, *, shell: str = "bash") -> Completed:
    """Switches kubectl to a context and runs the commands of step 3 that deploy the agent.

    Args:
        scenario: The scenario.
        context: Name of the cluster's context.
        shell: `bash` or `zsh`.
    """
    workstation = scenario.workstation
    switched = workstation.run(f"kubectl config use-context {context}\n", shell=shell)
    deployed = workstation.guide("s3.repo", "s3.install", corrected=True, shell=shell)
    return replace(deployed, failed=switched.failed + deployed.failed)


def values_of_the_guide(scenario: Scenario) -> dict[str, object]:
    """What step 3 means each of its values to bring about."""
    names = scenario.names
    return {
        "--version": scenario.workstation.guide_version,
        "kubeClusterName": names.cluster,
        "roles": {"Kube", "Instance"},
        "proxyAddr": scenario.workstation.proxy_address,
        "joinParams.method": "iam",
        "joinParams.tokenName": names.token,
        "serviceAccount.create": (),
        "serviceAccount.name": names.service_account,
    }


def values_in_effect(scenario: Scenario) -> dict[str, object]:
    """What the release made of each value of step 3, read from what it left in the cluster."""
    configuration = scenario.agent.configuration()
    teleport = configuration["teleport"]
    # `default` is every namespace's own, made by the control plane in its own time.
    made = set(scenario.kubernetes.service_accounts()) - {"default", scenario.names.service_account}
    return {
        "--version": scenario.agent.chart_version(),
        "kubeClusterName": configuration["kubernetes_service"]["kube_cluster_name"],
        "roles": services_deployed(scenario),
        "proxyAddr": teleport["proxy_server"],
        "joinParams.method": teleport["join_params"]["method"],
        "joinParams.tokenName": scenario.given_to_join(),
        "serviceAccount.create": tuple(sorted(made)),
        "serviceAccount.name": scenario.account_of_the_agent(),
    }


# What a user sees (claims s3.tsh-ls, s3.tsh-login, s3.diagnosis)


def follow_to_the_pods(scenario: Scenario, *, shell: str = "bash") -> Completed:
    """Runs what the guide prints from `tsh kube ls` to `kubectl get pods`.

    Args:
        scenario: The scenario.
        shell: `bash` or `zsh`.
    """
    return scenario.workstation.guide("s3.tsh-ls", "s3.tsh-login", "s3.kubectl-routed", shell=shell)


def names_in_the_table(scenario: Scenario, printed: str) -> list[str]:
    """Names of the clusters in the table that tsh printed; a finding where its columns are not the guide's.

    Args:
        scenario: The scenario.
        printed: What tsh printed. It breaks a name at the width of the terminal, if there is one.
    """
    edition = scenario.description.guide_edition
    sample = [
        line.removeprefix("# ") for command in commands_for(edition, "s3.tsh-ls") for line in command.output
    ]
    promised, seen = columns("\n".join(sample)), columns(printed)
    if seen and promised != seen and _real(scenario):
        note(
            "guide",
            "s3.tsh-ls",
            f"tsh kube ls has the columns {', '.join(seen)}; {', '.join(promised)} printed",
        )
    return [row.get("Kube Cluster Name", "") for row in read_table(printed)]


def pointed_at(scenario: Scenario) -> dict[str, str]:
    """Where the current context of the reader's kubeconfig leads: server, Teleport and Kubernetes cluster."""
    config = scenario.workstation.kubeconfig()
    named = {
        kind: {entry["name"]: entry[kind] for entry in config[f"{kind}s"]}
        for kind in ("cluster", "context", "user")
    }
    context = named["context"].get(config.get("current-context", ""), {})
    told = named["user"].get(context.get("user"), {}).get("exec", {}).get("args", ())
    options = dict(option.removeprefix("--").split("=", 1) for option in told if "=" in option)
    return {
        "server": named["cluster"].get(context.get("cluster"), {}).get("server", ""),
        "teleport": options.get("teleport-cluster", ""),
        "kubernetes": options.get("kube-cluster", ""),
    }


def cluster_by_way_of_teleport(scenario: Scenario) -> dict[str, str]:
    """Where the kubeconfig has to lead: to the proxy, for the cluster chosen in step 3."""
    return {
        "server": f"https://{scenario.workstation.proxy_address}",
        "teleport": scenario.teleport.ping()["cluster_name"],
        "kubernetes": scenario.names.cluster,
    }


def make_user_of_no_cluster(scenario: Scenario) -> None:
    """A signed-in user whose one role reaches no Kubernetes cluster, by its labels."""
    _make_user(scenario, "v5", kubernetes_labels={"conformance": "nowhere"})


def make_user_of_no_pods(scenario: Scenario) -> None:
    """A signed-in user whose one role reaches the cluster and none of its pods; the group is bound."""
    _make_user(scenario, "v6", kubernetes_labels={"*": "*"}, kubernetes_resources=[PODS_NOWHERE])
    scenario.bind_group()


def _make_user(scenario: Scenario, version: str, **allow: object) -> None:
    names = scenario.names
    scenario.teleport.create(
        {
            "kind": "role",
            "version": version,
            "metadata": {"name": names.access_role},
            "spec": {"allow": {"kubernetes_groups": [names.group], **allow}},
        }
    )
    scenario.make_signed_in_user(names.access_role)


def hidden_by_the_role(scenario: Scenario) -> bool:
    """Whether the cluster was not listed for want of the role alone: it is, once the role is the guide's."""
    return scenario.names.cluster not in scenario.workstation.unlisted(scenario.make_guide_role)


def pods_once_allowed(scenario: Scenario) -> tuple[str, ...]:
    """Gives the user's role the guide's access; names of the pods that kubectl lists from then on."""
    scenario.make_guide_role()
    return tuple(scenario.workstation.pods_shown())
