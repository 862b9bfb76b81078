"""Every Then step of `steps.registration` says yes to what the guide promises, and no to what looks like it."""

from __future__ import annotations

import inspect
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from pytest_bdd.steps import step_function_context_registry

from harness.core.errors import NotObserved, Withheld
from harness.environment import Completed, Joined, Routed, Sockets
from harness.registration import JOINED_AS, Left, Two
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.scenario import Scenario

NAMES = Names.unique("abc")
SECOND = NAMES.beside()
ACCOUNT, OTHER = "111111111111", "111111111112"
RULE = {"aws_account": ACCOUNT, "aws_arn": f"arn:aws:sts::{ACCOUNT}:assumed-role/{NAMES.role}/*"}
OLDER = {"aws_account": OTHER}
PROXY = "tele.example.com:443"
LACKS = 'can not join the cluster, the token does not allow "App" role'
DONE = Completed("script", 0, "", "")
FAILED = Completed("script", 1, "", "ERROR: token already exists", ("tctl create token.yaml",))
JOINED = Joined("host", "13.0.0-dev", {"Kube": "iam", "Instance": "iam"}, ())
SOCKETS = Sockets(listening=frozenset({3000}), probed=frozenset({3000}), dialled=frozenset({PROXY}))
BY_TUNNEL = "remote.kube.proxy.teleport.cluster.local"


def token(*rules: dict[str, str], outcome: Completed = DONE) -> dict[str, Any]:
    return {"teleport__get": {"spec": {"allow": list(rules)}}, "outcome": outcome}


def configuration(*services: str, name: str = NAMES.cluster, method: str = "iam") -> dict[str, Any]:
    sections = {name: {"enabled": "false"} for name in JOINED_AS}
    return {
        **sections,
        **{f"{service}_service": {"enabled": True, "kube_cluster_name": name} for service in services},
        "teleport": {"proxy_server": PROXY, "join_params": {"method": method}},
    }


def joined(*services: str, **methods: str) -> dict[str, Any]:
    return {
        "agent__configuration": configuration(*services),
        "agent__joined_as": replace(JOINED, methods=methods),
    }


def kept_out(*refused: str, **methods: str) -> dict[str, Any]:
    return joined("kubernetes", "app", "discovery", **methods) | {"agent__refused_as": refused}


def release(**changed: Any) -> dict[str, Any]:
    return {
        "agent__configuration": configuration("kubernetes"),
        "agent__chart_version": "13.0.0",
        "agent__deployed": {"spec": {"serviceAccountName": NAMES.service_account}},
        "kubernetes__service_accounts": ["default", NAMES.service_account],
        "kubernetes__secrets": {"teleport-kube-agent-join-token": {"auth-token": NAMES.token.encode()}},
        **changed,
    }


def table(*names: str) -> dict[str, Any]:
    rows = "".join(f"{name:<18} *\n" for name in names)
    return {"outcome": replace(DONE, stdout=f"Kube Cluster Name  Selected\n{'-' * 18} --------\n{rows}\n")}


def pointing(
    kubernetes: str = NAMES.cluster, teleport: str = "tele", server: str = PROXY, current: str = "context"
) -> dict[str, Any]:
    arguments = ["kube", "credentials", f"--kube-cluster={kubernetes}", f"--teleport-cluster={teleport}"]
    return {
        "teleport__ping": {"cluster_name": "tele"},
        "workstation__kubeconfig": {
            "clusters": [{"name": "cluster", "cluster": {"server": f"https://{server}"}}],
            "contexts": [{"name": "context", "context": {"cluster": "cluster", "user": "user"}}],
            "users": [{"name": "user", "user": {"exec": {"args": arguments}}}],
            "current-context": current,
        },
    }


def listed(*names: str, watched: tuple[str, ...] = ()) -> dict[str, Any]:
    return {"outcome": names, "workstation__unlisted": watched}


def pods(*names: str) -> Routed:
    rows = "".join(f"{name} 1/1 Running\n" for name in names)
    return Routed(replace(DONE, stdout=f"NAME READY STATUS\n{rows}"), (), ())


def answered(one: str, other: str, *, hosts: tuple[str, str] = ("one", "other")) -> dict[str, Any]:
    return {"outcome": {NAMES.cluster: one, SECOND.cluster: other}, "two": hosts}


def registered(*addresses: str, listening: frozenset[int] = SOCKETS.listening) -> dict[str, Any]:
    return {
        "agent__sockets": replace(SOCKETS, listening=listening),
        "teleport__kube_servers": [{"spec": {"hostname": address}} for address in addresses],
    }


LEFT = Left(both=frozenset({"one", "other"}), answered=frozenset({"one", "other"}), host="other")
AGENT = [f"{NAMES.release}-0"]
BOTH = {"Kube": "iam", "Instance": "iam"}

STEPS: dict[str, tuple[list[dict[str, Any]], list[dict[str, Any]]]] = {
    "the token is the reader's, or the reader is told of the older one": (
        [{"outcome": DONE}, token(OLDER, outcome=FAILED)],
        [
            {"outcome": DONE, "teleport__becomes__each": NotObserved("another token")},
            token(OLDER, outcome=replace(FAILED, stderr="")),
            token(RULE, outcome=FAILED),
            token(outcome=FAILED),
        ],
    ),
    "every service of the agent has joined by IAM": (
        [joined("kubernetes", **BOTH), joined("kubernetes", "app", **BOTH, App="iam")],
        [
            joined("kubernetes", "app", **BOTH),
            joined("kubernetes", Kube="iam"),
            joined("kubernetes", Kube="token", Instance="iam"),
            joined("kubernetes", **BOTH, App="iam"),
        ],
    ),
    "the agent logs that the token does not allow the application service": (
        [{"agent__logs": f"ERRO {LACKS}."}],
        [{"agent__logs": LACKS.replace("App", "Kube")}, {"agent__logs": "ERRO token expired"}],
    ),
    "the agent's other services have joined by IAM": (
        [joined("kubernetes", "app", **BOTH)],
        [
            joined("kubernetes", "app", **BOTH, App="iam"),
            joined("kubernetes", "app", Instance="iam"),
            joined("kubernetes", "app", Kube="token", Instance="iam"),
        ],
    ),
    "the token keeps out every service but the one for Kubernetes": (
        [kept_out("App", "Discovery", **BOTH)],
        [
            kept_out("App", **BOTH),
            kept_out(**BOTH),
            # Refused at first, and let in after all.
            kept_out("App", "Discovery", **BOTH, App="iam"),
            kept_out("App", "Discovery", "Kube"),
        ],
    ),
    "the release is of the guide's version and has the guide's values": (
        [release()],
        [
            release(agent__chart_version="12.0.0"),
            release(agent__configuration=configuration("kubernetes", name="another")),
            release(agent__configuration=configuration("kubernetes", "app")),
            release(agent__configuration=configuration("kubernetes", method="token")),
            release(kubernetes__secrets={"teleport-kube-agent-join-token": {"auth-token": b"another"}}),
            release(kubernetes__service_accounts=["default", NAMES.service_account, NAMES.release]),
            release(agent__deployed={"spec": {"serviceAccountName": "default"}}),
        ],
    ),
    "of Teleport the agent itself has dialled the proxy's address, and no other": (
        [{"agent__sockets": SOCKETS}],
        [
            {"agent__sockets": replace(SOCKETS, dialled=frozenset(dialled))}
            for dialled in (
                (),
                ("tele.example.com:3080",),
                ("another.example.com:443",),
                (PROXY, "tele.example.com:3080"),
                (PROXY, "127.0.0.1:3080"),
            )
        ],
    ),
    "nobody can dial in to the agent but its own probes": (
        [registered(BY_TUNNEL), registered(BY_TUNNEL, BY_TUNNEL)],
        [
            registered(BY_TUNNEL, listening=frozenset({3000, 3026})),
            registered(BY_TUNNEL, listening=frozenset()),
            registered(),
            registered("127.0.0.1:3026"),
            registered(BY_TUNNEL, "agent.example.com:3026"),
        ],
    ),
    "the table of clusters has the name chosen in step 3": (
        [table(NAMES.cluster), table("another", NAMES.cluster)],
        [
            table(),
            table("another"),
            table(f"{NAMES.cluster}x"),
            table(NAMES.cluster, NAMES.cluster),
            {"outcome": replace(DONE, stdout=f'Logged into Kubernetes cluster "{NAMES.cluster}".')},
        ],
    ),
    "the kubeconfig points at that cluster by way of Teleport": (
        [pointing()],
        [
            pointing(kubernetes="another"),
            pointing(teleport="another"),
            pointing(server="127.0.0.1:6443"),
            pointing(current="another"),
        ],
    ),
    "the cluster is missing from the list only for want of the user's role": (
        [listed(), listed("another", watched=("another",))],
        [listed(NAMES.cluster), listed(watched=(NAMES.cluster,))],
    ),
    "no pod is listed, and the agent's is once the user's role allows it": (
        [{"outcome": pods(), "workstation__pods_shown": AGENT}],
        [
            {"outcome": pods(*AGENT), "workstation__pods_shown": AGENT},
            {"outcome": pods(), "workstation__pods_shown": []},
            {"outcome": pods(), "workstation__pods_shown": ["another-0"]},
            # kubectl broke, and so listed nothing.
            {
                "outcome": Routed(replace(DONE, exit_code=1, stderr="EOF"), (), ()),
                "workstation__pods_shown": AGENT,
            },
        ],
    ),
    "each was answered by its own agent": (
        [answered("one", "other")],
        [
            answered("other", "one"),
            answered("one", "one"),
            answered("one", "", hosts=("one", "other")),
            answered("one", "one", hosts=("one", "one")),
        ],
    ),
    "tsh lists both": (
        [{"two": ("one", "other"), "listed": [NAMES.cluster, SECOND.cluster, "more"]}],
        [{"two": ("one", "other"), "listed": [SECOND.cluster]}, {"two": ("one", "other"), "listed": []}],
    ),
    "both had answered the user": (
        [{"outcome": LEFT}],
        [
            {"outcome": replace(LEFT, answered=frozenset({"one"}))},
            {"outcome": replace(LEFT, answered=frozenset({"one", "a third"}))},
            {"outcome": replace(LEFT, answered=frozenset())},
            {"outcome": Left(frozenset({"one"}), frozenset({"one"}), "one")},
        ],
    ),
    "the other agent alone answers from then on": (
        [{"outcome": LEFT, "answers": ["other"] * 3}],
        [
            {"outcome": LEFT, "answers": answers}
            for answers in (["one"] * 3, ["other", "one", "other"], ["other", "other", ""], [""] * 3)
        ],
    ),
    "tsh lists the name once": (
        [{"workstation__listed_clusters": ["another", NAMES.cluster]}],
        [
            {"workstation__listed_clusters": [NAMES.cluster, NAMES.cluster]},
            {"workstation__listed_clusters": []},
        ],
    ),
}
"""Phrase -> what the guide promises, and what must not be taken for it."""


def then_steps() -> dict[str, Callable[..., object]]:
    return {
        context.parser.name: context.step_func
        for context in step_function_context_registry.values()
        if context.type == "then" and context.step_func.__module__ == "steps.registration"
    }


def two(world: Callable[..., Scenario], told: dict[str, Any]) -> Two:
    """Two deployments, whose agents have these host ids."""
    hosts = told.get("two", ("", ""))
    one = world(agent__host_id=hosts[0], agent__served_by__each=told.get("answers", []))
    other = world(agent__host_id=hosts[1], workstation__listed_clusters=told.get("listed", []))
    return Two(one, replace(other, names=SECOND))


def carry_out(phrase: str, world: Callable[..., Scenario], told: dict[str, Any]) -> None:
    function = then_steps()[phrase]
    answers = {name: value for name, value in told.items() if "__" in name}
    given = {"scenario": world(**answers), "outcome": told.get("outcome"), "two": two(world, told)}
    function(**{name: given[name] for name in inspect.signature(function).parameters})


def test_every_then_step_is_here() -> None:
    assert set(STEPS) == set(then_steps())
    assert all(right and wrong for right, wrong in STEPS.values())


@pytest.mark.parametrize(
    ("phrase", "told"), [(phrase, told) for phrase in STEPS for told in STEPS[phrase][0]]
)
def test_what_the_guide_promises_passes(
    world: Callable[..., Scenario], phrase: str, told: dict[str, Any]
) -> None:
    carry_out(phrase, world, told)


@pytest.mark.parametrize(
    ("phrase", "told"), [(phrase, told) for phrase in STEPS for told in STEPS[phrase][1]]
)
def test_what_only_looks_like_it_fails(
    world: Callable[..., Scenario], phrase: str, told: dict[str, Any]
) -> None:
    with pytest.raises(AssertionError):
        carry_out(phrase, world, told)


def test_a_text_that_nobody_measured_decides_nothing(world: Callable[..., Scenario]) -> None:
    with pytest.raises(Withheld):
        carry_out(
            "the agent logs that the token does not allow the application service",
            world,
            {"agent__logs": LACKS, "teleport__version": "13.9.9"},
        )


@pytest.mark.parametrize(
    ("phrase", "told"),
    [
        ("every service of the agent has joined by IAM", {"agent__joined_as__each": NotObserved("nothing")}),
        (
            "of Teleport the agent itself has dialled the proxy's address, and no other",
            {"agent__sockets__each": NotObserved("nothing")},
        ),
        (
            "nobody can dial in to the agent but its own probes",
            {"agent__sockets__each": NotObserved("nothing")},
        ),
        ("tsh lists the name once", {"workstation__listed_clusters__each": NotObserved("nothing")}),
    ],
)
def test_what_was_not_observed_is_not_swallowed(
    world: Callable[..., Scenario], phrase: str, told: dict[str, Any]
) -> None:
    answers = {"agent__configuration": configuration("kubernetes"), **told}
    with pytest.raises(NotObserved):
        carry_out(phrase, world, answers)
