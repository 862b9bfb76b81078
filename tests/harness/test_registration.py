"""Words of steps 2 and 3: what they ask of the ports, and what they make of the answers."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import pytest

from harness import registration
from harness.core.errors import NotApplicable
from harness.core.findings import FindingsOfScenario, current_findings
from harness.environment import Completed, Joined
from harness.registration import Two

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.scenario import Names, Scenario

ACCOUNT = "111111111111"
DONE = Completed("script", 0, "", "")


def found(act: Callable[[], object]) -> list[tuple[str, str]]:
    """Whose findings an act leaves, and about what."""
    findings = FindingsOfScenario("s")
    token = current_findings.set(findings)
    try:
        act()
    finally:
        current_findings.reset(token)
    return [(finding.of, finding.claim) for finding in findings.noted]


def simulated(scenario: Scenario) -> Scenario:
    components = {
        name: replace(component, simulated=True)
        for name, component in scenario.description.components.items()
    }
    return replace(scenario, description=replace(scenario.description, components=components))


def edition(scenario: Scenario, number: str) -> Scenario:
    return replace(scenario, description=replace(scenario.description, guide_edition=number))


class TestTwo:
    """Two deployments beside each other."""

    def test_the_second_has_names_of_its_own_and_the_same_user(self, world: Callable[..., Scenario]) -> None:
        one, other = world(), Mock()
        given: list[Any] = []

        def beside(names: Names) -> Any:
            given.append(names)
            return other

        one = replace(one, beside=beside)
        assert registration.deploy_two(one).other is other
        [names] = given
        kept = {field for field, value in vars(names).items() if value == vars(one.names)[field]}
        assert {"user", "group", "access_role", "binding", "service_account"} <= kept
        assert not kept & {"namespace", "role", "token", "release", "cluster"}
        other.make_joined_agent.assert_called_once_with()
        registration.deploy_two(one, cluster=one.names.cluster)
        assert given[1] == replace(names, cluster=one.names.cluster)

    @pytest.mark.parametrize(("first", "stopped"), [("a", "one"), ("b", "other")])
    def test_the_one_that_answers_is_stopped(
        self, world: Callable[..., Scenario], first: str, stopped: str
    ) -> None:
        one = world(agent__host_id="a", agent__answering=["b", "a", first])
        other = world(agent__host_id="b")
        seen = registration.stop_the_one_that_answers(Two(one, other))
        assert seen.both == seen.answered == {"a", "b"}
        assert seen.host == {"a": "b", "b": "a"}[first]
        calls = {"one": one.agent.stop, "other": other.agent.stop}
        assert [name for name, stop in calls.items() if stop.call_count] == [stopped]  # type: ignore[attr-defined]  # a mock

    def test_the_user_of_two_agents_is_there_before_one_is_stopped(
        self, world: Callable[..., Scenario]
    ) -> None:
        one, other = world(agent__served_by="c"), Mock()
        one = replace(one, beside=lambda _: other)
        two = registration.deploy_two_for_a_user(one)
        assert two == Two(one, other)
        one.teleport.sign_in.assert_called_once()  # type: ignore[attr-defined]  # a mock
        one.agent.served_by.assert_not_called()  # type: ignore[attr-defined]  # a mock
        assert registration.answers_of_the_one_left(two) == {"c"}
        assert one.agent.served_by.call_count > 1  # type: ignore[attr-defined]  # a mock

    def test_whoever_answers_later_is_told_too(self, world: Callable[..., Scenario]) -> None:
        one = world(agent__served_by__each=["a", "a", "b"])
        assert registration.answers_of_the_one_left(Two(one, world())) == {"a", "b"}


class TestToken:
    """Tokens beside the guide's own."""

    def test_a_rule_may_lack_the_arn(self, world: Callable[..., Scenario]) -> None:
        scenario = world()
        registration.make_token_without_arn(scenario)
        [[resource]] = [call.args for call in scenario.teleport.create.call_args_list]  # type: ignore[attr-defined]  # a mock
        assert resource["spec"]["allow"] == [{"aws_account": ACCOUNT}]
        assert (resource["spec"]["roles"], resource["spec"]["join_method"]) == (["Kube"], "iam")

    def test_replacing_without_a_word_is_a_finding(self, world: Callable[..., Scenario]) -> None:
        scenario = world()
        told = replace(DONE, stdout="token existed and was replaced")
        outcome = registration.outcome_of_second_token
        assert found(lambda: outcome(scenario, DONE)) == [("guide", "s2.create")]
        assert found(lambda: outcome(scenario, told)) == []
        assert found(lambda: outcome(simulated(scenario), DONE)) == []

    def test_it_is_replaced_when_it_has_the_readers_one_rule(self, world: Callable[..., Scenario]) -> None:
        scenario = world()
        registration.outcome_of_second_token(scenario, DONE)
        reference, replaced = scenario.teleport.becomes.call_args.args  # type: ignore[attr-defined]  # a mock
        assert reference == f"token/{scenario.names.token}"
        rule = {"aws_account": ACCOUNT, "aws_arn": scenario.role_pattern()}
        older = {"aws_account": scenario.other_account_id()}
        assert replaced({"spec": {"allow": [rule]}})
        for rules in ([older], [rule, older], [{**rule, "aws_arn": "*"}], []):
            assert not replaced({"spec": {"allow": rules}})


class TestRoles:
    """Services that are deployed, and those that the token lets in."""

    def test_another_edition_or_an_old_chart_is_no_case(self, world: Callable[..., Scenario]) -> None:
        new = world(workstation__guide_version="17.0.0")
        registration.must_print_more_roles(edition(new, "17"))
        for number in ("13", "18"):
            with pytest.raises(NotApplicable, match=f"edition {number}"):
                registration.must_print_more_roles(edition(new, number))
        with pytest.raises(NotApplicable, match=r"chart 13\.0\.0 has no role discovery"):
            registration.must_print_more_roles(edition(world(), "17"))

    def test_more_roles_than_are_needed_are_a_finding(self, world: Callable[..., Scenario]) -> None:
        roles = {"Kube": "iam", "Instance": "iam"}
        scenario = world(
            agent__configuration={"kubernetes_service": {"enabled": True}},
            agent__joined_as=Joined("host", "18.0.0", roles, ()),
        )
        seen = {
            number: found(lambda: registration.deployed_and_joined(edition(scenario, number)))  # noqa: B023  # called at once
            for number in ("13", "17", "18")
        }
        assert seen == {"13": [], "17": [], "18": [("guide", "s2.minimal-roles")]}
        assert registration.deployed_and_joined(scenario) == (set(roles), roles)

    def test_services_kept_out_of_what_the_guide_deploys_are_a_finding(
        self, world: Callable[..., Scenario]
    ) -> None:
        services = {f"{name}_service": {"enabled": "yes"} for name in ("kubernetes", "app", "discovery")}
        joined = Joined("host", "17.0.0", {"Kube": "iam", "Instance": "iam"}, ())
        scenario = world(
            agent__configuration=services, agent__refused_as=["App", "Discovery"], agent__joined_as=joined
        )
        assert found(lambda: registration.services_kept_out(scenario)) == [("guide", "s2.minimal-roles")]
        assert found(lambda: registration.services_kept_out(simulated(scenario))) == []
        assert scenario.agent.refused_as.call_args.args == ({"App", "Discovery"},)  # type: ignore[attr-defined]  # a mock


class TestSeen:
    """What a user sees."""

    def test_columns_that_are_not_the_guides_are_a_finding(self, world: Callable[..., Scenario]) -> None:
        printed = "Kube Cluster Name Labels Selected\n----------------- ------ --------\niam *\n"
        as_promised = "Kube Cluster Name Selected\n----------------- --------\niam\n"
        names = registration.names_in_the_table
        for number in ("13", "17", "18"):
            scenario = edition(world(), number)
            assert found(lambda: names(scenario, printed)) == [("guide", "s3.tsh-ls")]  # noqa: B023  # called at once
            assert found(lambda: names(scenario, as_promised)) == []  # noqa: B023  # called at once
        assert found(lambda: names(simulated(world()), printed)) == []

    def test_a_switch_that_fails_counts(self, world: Callable[..., Scenario]) -> None:
        failed = replace(DONE, failed=("kubectl config use-context lab",))
        scenario = world(workstation__run=failed, workstation__guide=DONE)
        assert registration.deploy_as_it_should_read(scenario, "lab").failed == failed.failed

    @pytest.mark.parametrize("shell", ["bash", "zsh"])
    def test_every_command_runs_in_the_shell_that_is_asked_for(
        self, world: Callable[..., Scenario], shell: str
    ) -> None:
        scenario = world(workstation__run=DONE, workstation__guide=DONE)
        registration.deploy_as_it_should_read(scenario, "lab", shell=shell)
        registration.follow_to_the_pods(scenario, shell=shell)
        workstation: Any = scenario.workstation
        calls = [*workstation.run.call_args_list, *workstation.guide.call_args_list]
        assert [call.kwargs["shell"] for call in calls] == [shell] * 3

    def test_users_are_kept_from_what_the_scenario_is_about(self, world: Callable[..., Scenario]) -> None:
        for make, field in (
            (registration.make_user_of_no_cluster, "kubernetes_labels"),
            (registration.make_user_of_no_pods, "kubernetes_resources"),
        ):
            scenario = world(workstation__file={"kind": "ClusterRoleBinding"})
            make(scenario)
            [resource] = [call.args[0] for call in scenario.teleport.create.call_args_list]  # type: ignore[attr-defined]  # a mock
            assert "nowhere" in str(resource["spec"]["allow"][field])
            assert resource["spec"]["allow"]["kubernetes_groups"] == [scenario.names.group]
