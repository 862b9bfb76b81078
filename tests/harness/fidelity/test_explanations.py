"""What the explanations that the project keeps explain, and above all what they do not."""

from __future__ import annotations

import pytest

from harness.fidelity.comparison import Comparison, Difference, compare, load_explanations
from harness.fidelity.observations import SeenRun

Scenarios = dict[str, dict[str, dict[str, set[str]]]]

LOG = "oracle: kubernetes: log of pod teleport-agent-<id>-0"
STATE = "oracle: kubernetes: Secret teleport-agent-<id>-0-state"
POD = "oracle: kubernetes: pod teleport-agent-<id>-0"
JOINS = "oracle: teleport-audit: instance.join"
LIST = "command: kubectl --cache-dir=<path> get pods --namespace teleport-agent-<id>"
REFUSED = (
    "<time> ERRO [PROC:1] {} failed to establish connection to cluster: rpc error: code = Unknown desc = rpc "
    "error: code = PermissionDenied desc = instance did not match any allow rules, rpc error: code = Unknown "
    "desc = rpc error: code = PermissionDenied desc = instance did not match any allow rules{}. pid:1.1"
)


def compared(simulated: Scenarios, real: Scenarios) -> Comparison:
    return compare(SeenRun({}, frozenset(), simulated), SeenRun({}, frozenset(), real), load_explanations())


def logs(simulated: set[str], real: set[str], scenario: str = "one") -> list[Difference]:
    same = {"<time> INFO [AUTH] A line"}
    return compared(
        {scenario: {LOG: {"": simulated | same}}}, {scenario: {LOG: {"": real | same}}}
    ).unexplained


@pytest.mark.parametrize(
    "line",
    [
        "panic: runtime error: invalid memory address or nil pointer dereference",
        "goroutine 1 [running]:",
        "fatal error: all goroutines are asleep",
        "<time> ERRO [PROC:1] Kube failed to connect: x509: certificate signed by unknown authority",
        "<time> WARN [PROC:1] Something is odd",
        "<time> INFO [AUTH] Failed to register Kube using global STS endpoint error:[",
        "<time> INFO [AUTH] Certificate is not accepted: x509: certificate has expired",
        REFUSED.format("Kube", ""),
        "",
    ],
)
def test_trouble_in_a_real_agents_log_is_not_explained(line: str) -> None:
    assert [one.real for one in logs(set(), {line})] == [(line,)]


@pytest.mark.parametrize(
    "line",
    [
        '<time> INFO [KUBERNETE] Cache "kube" first init succeeded.',
        "Stack Trace:",
        "github.com/gravitational/teleport/lib/auth/register.go:252 github.com/gravitational/teleport/lib/auth.Do",
        "runtime/asm_amd64.s:1594 runtime.goexit",
    ],
)
def test_what_a_real_agent_alone_tells_of_itself_is_explained(line: str) -> None:
    assert not logs(set(), {line})


@pytest.mark.parametrize(("one", "other"), [("Instance", "Kube"), ("Kube", "Instance")])
def test_a_refusal_that_one_side_lacks_is_not_explained(one: str, other: str) -> None:
    """The scenarios wait until both services were refused: there is no moment at which one has it."""
    here = "step2.wrong-role"
    said, also = REFUSED.format(one, ""), REFUSED.format(other, "")
    assert not logs({said, also}, {said, also}, here)
    assert logs({said}, {also}, here)
    assert logs({said}, {said, also}, here)
    assert logs({said, also}, {said}, here)
    assert logs({said}, {REFUSED.format(one, ", the moon is full")}, here)


def test_a_line_of_the_simulated_log_that_no_real_one_has_is_not_explained() -> None:
    assert logs({"<time> INFO [AUTH] A line that nobody else prints"}, set())


def test_a_line_of_trouble_is_not_a_matter_of_the_moment() -> None:
    line = "<time> ERRO [PROC:1] Something broke"
    simulated: Scenarios = {"one": {LOG: {"": {line}}}, "two": {LOG: {"": {line}}}}
    real: Scenarios = {"one": {LOG: {"": set()}}, "two": {LOG: {"": {line}}}}
    assert [one.simulated for one in compared(simulated, real).unexplained] == [(line,)]


@pytest.mark.parametrize("key", [LOG, STATE, POD, JOINS])
def test_what_was_never_read_is_not_explained(key: str) -> None:
    fields = {"": {"<time> INFO a"}, "data..ids.kube.current": {"<bytes>"}}
    both: Scenarios = {"one": {key: fields}, "two": {key: fields}}
    half: Scenarios = {"one": {}, "two": {key: fields}}
    never: Scenarios = {"one": {}, "two": {}}
    for left, right in ((half, both), (both, half), (never, both)):
        assert compared(left, right).unexplained


def test_a_field_that_one_side_never_has_is_not_explained_and_one_that_comes_later_is() -> None:
    path = "data..ids.instance.current"
    early, late = {STATE: {"kind": {"Secret"}}}, {STATE: {"kind": {"Secret"}, path: {"<bytes>"}}}
    assert compared({"a": early, "b": early}, {"a": early, "b": late}).unexplained
    assert not compared({"a": early, "b": late}, {"a": late, "b": late}).unexplained


def test_a_field_that_is_missing_where_the_other_side_always_has_it_is_not_a_matter_of_the_moment() -> None:
    path = "data..ids.kube.current"
    early, late = {STATE: {"kind": {"Secret"}}}, {STATE: {"kind": {"Secret"}, path: {"<bytes>"}}}
    assert compared({"a": early, "b": late}, {"a": late, "b": late}).unexplained
    found = compared({"a": early, "b": late}, {"a": late, "b": early})
    assert (found.unexplained, len(found.explained)) == ([], 2)


def test_an_agent_without_its_instance_join_is_not_explained() -> None:
    kube, both = {JOINS: {"[].role": {"Kube"}}}, {JOINS: {"[].role": {"Instance", "Kube"}}}
    refused = "step2.wrong-account"
    for id_ in ("step3.joined-by-iam", refused):
        assert compared({id_: kube}, {id_: both}).unexplained, id_
    for id_ in ("a", refused):
        assert compared({id_: kube, "b": both}, {id_: both, "b": both}).unexplained, id_


def test_a_pod_that_is_never_ready_is_not_explained() -> None:
    row = "teleport-agent-<id>-0 {}/1 Running 0 <duration>"
    waiting, ready = ({LIST: {"stdout": {row.format(number)}}} for number in (0, 1))
    assert compared({"a": waiting, "b": waiting}, {"a": ready, "b": ready}).unexplained
    assert not compared({"a": waiting, "b": ready}, {"a": ready, "b": waiting}).unexplained


def test_an_older_token_is_explained_where_one_is_replaced_and_nowhere_else() -> None:
    key, path = "oracle: teleport: token/kube-iam-token-<id>", "[].spec.allow[].aws_account"
    own = {key: {path: {"<account 1>"}}}
    for_an_instant = {key: {path: {"<account 1>", "<account 2>"}}}
    replaced = "step2.create-twice-as-printed"
    assert not compared({replaced: own}, {replaced: for_an_instant}).unexplained
    assert compared({"one": own}, {"one": for_an_instant}).unexplained


@pytest.mark.parametrize(
    "path", ["conditions[].status", "containerStatuses[].ready", "containerStatuses[].started"]
)
def test_a_pod_whose_container_never_starts_is_not_explained(path: str) -> None:
    no, yes = {POD: {path: {"false"}}}, {POD: {path: {"true"}}}
    assert compared({"a": no, "b": no}, {"a": yes, "b": yes}).unexplained
    still, made = ({POD: {path: values}} for values in ({"false"}, {"false", "true"}))
    assert compared({"a": still, "b": still}, {"a": made, "b": made}).unexplained
    assert not compared({"a": made, "b": yes}, {"a": yes, "b": made}).unexplained
