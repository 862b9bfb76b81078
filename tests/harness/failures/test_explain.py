"""`./conformance explain`: right on logs of our own labs, and silent on what it does not know."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from harness.core.errors import UsageError
from harness.failures.explain import explained
from harness.failures.explain_command import explain
from harness.failures.table import FAILURES, Failure
from harness.failures.texts import Place, Provenance, Text

EXCERPTS = Path(__file__).with_name("excerpts")
"""Lines of logs and commands in labs of real programs, by what failed and Teleport's major version; stack traces are
left out. Those of `unknown` are of other programs."""

KNOWN = {
    "clock-behind-12": "clock-behind",
    "clock-behind-13": "clock-behind",
    "foreign-sts-host-13": "foreign-sts-host",
    "group-not-bound-13": "group-not-bound",
    "init-containers-13": "init-containers-given",
    "join-secret-taken-13": "join-secret-taken",
    "method-not-iam-13": "method-not-iam",
    "no-credentials-12": "no-aws-credentials",
    "no-credentials-13": "no-aws-credentials",
    "no-kubernetes-groups-13": "no-kubernetes-groups",
    "no-oidc-provider-13": "no-oidc-provider",
    "node-identity-refused-12": "node-identity-refused",
    "node-identity-refused-13": "node-identity-refused",
    "proxy-address-missing-13": "proxy-address-missing",
    "proxy-port-closed-13": "proxy-port-closed",
    "proxy-unresolvable-13": "proxy-unresolvable",
    "proxy-untrusted-13": "proxy-untrusted",
    "release-name-taken-13": "release-name-taken",
    "request-not-posted-12": "request-not-posted",
    "request-replayed-13": "request-replayed",
    "role-missing-13": "role-missing",
    "signature-altered-13": "signature-altered",
    "state-not-writable-13": "state-not-writable",
    "state-role-missing-13": "state-role-missing",
    "sts-unreachable-12": "sts-unreachable-from-agent",
    "sts-unreachable-from-auth-13": "sts-unreachable-from-auth",
    "token-lacks-kube-13": "token-lacks-kube",
    "token-removed-13": "token-removed",
    "token-removed-auth-13": "token-removed",
    "trust-audience-12": "trust-audience-differs",
    "trust-in-a-pod-13": "trust-subject-differs",
    "web-identity-expired-13": "web-identity-expired",
}
"""Excerpt -> the failure that was arranged in the lab; others with the same words may stand beside it."""

UNKNOWN = (
    "healthy-agent-13",
    "healthy-auth-13",
    "unknown-crash",
    "unknown-half-a-text",
    "unknown-image",
    "unknown-like-a-refusal",
)


def told(excerpt: str) -> list[set[str]]:
    text = (EXCERPTS / f"{excerpt}.txt").read_text()
    return [{each.failure.name for each in group} for group in explained(text)]


def failure(name: str, *texts: tuple[str, str, Provenance], place: Place = "agent-log") -> Failure:
    return Failure(
        name=name,
        family="agent",
        cause=f"the cause of {name}",
        diagnosis=f"The diagnosis of {name}.",
        fix="The fix.",
        besides="nothing",
        texts=tuple(
            Text(name, place, SpecifierSet(versions), text, provenance, "a source")
            for versions, text, provenance in texts
        ),
    )


def names(groups: object) -> list[list[str]]:
    return [[each.failure.name for each in group] for group in groups]  # type: ignore[attr-defined]  # of groups


def test_there_are_thirty_and_each_is_here() -> None:
    assert {file.stem for file in EXCERPTS.glob("*.txt")} == {*KNOWN, *UNKNOWN}
    assert len(KNOWN) + len(UNKNOWN) >= 30


@pytest.mark.parametrize(("excerpt", "expected"), KNOWN.items())
def test_what_failed_in_the_lab_is_told_first(excerpt: str, expected: str) -> None:
    first, *_ = told(excerpt)
    assert expected in first
    # What stands beside it has the same words at some version or place; nothing else is taken for likeliest.
    words = {text.text for text in FAILURES[expected].texts}
    assert all(words & {text.text for text in FAILURES[name].texts} for name in first)


@pytest.mark.parametrize("excerpt", UNKNOWN)
def test_what_nobody_knows_is_not_guessed(excerpt: str) -> None:
    assert told(excerpt) == []


def test_the_longest_words_come_first_then_the_best_known() -> None:
    rows = [
        failure("short", ("", "it is broken somewhere", "measured")),
        failure("long", ("", "it is broken somewhere in the house", "inferred")),
        failure("read", ("", "the door is open again", "read")),
    ]
    seen = "it is broken somewhere in the house\nthe door is open again"
    assert names(explained(seen, None, rows)) == [["long"], ["short"], ["read"]]


def test_information_comes_after_errors() -> None:
    rows = [
        failure("told", ("", "a very long piece of information", "measured")),
        failure("broken", ("", "it is broken somewhere", "measured")),
    ]
    lines = ["INFO a very long piece of information", "ERRO it is broken somewhere"]
    assert names(explained("\n".join(lines), None, rows)) == [["broken"], ["told"]]


def test_failures_with_the_same_words_stand_together_whatever_their_placeholders_are_called() -> None:
    rows = [
        failure("one", ("", 'no "{what}" in the house', "measured")),
        failure("other", ("", 'no "{thing}" in the house', "read")),
    ]
    assert names(explained('no "light" in the house', None, rows)) == [["one", "other"]]


@pytest.mark.parametrize(
    "line",
    [
        'node "n" has no "light"',
        r'{"level":"error","msg":"node \"n\" has no \"light\""}',
        "Original Error: node &#34;n&#34; has no &#34;light&#34;",
        '\x1b[31mERRO\x1b[0m node "n" has no \x1b[1m"light"',
        'node "n" has\n  no "light"',
    ],
)
def test_quotes_colours_and_wrapped_lines_do_not_hide_a_text(line: str) -> None:
    rows = [failure("dark", ("", 'node "{node}" has no "light"', "measured"))]
    assert names(explained(line, None, rows)) == [["dark"]]


def test_words_that_are_only_alike_are_none() -> None:
    rows = [failure("dark", ("", 'node "{node}" has no "light"', "measured"))]
    for seen in ('node "n" has no "Light"', 'Node "n" has no light', "has no", 'node ""'):
        assert explained(seen, None, rows) == (), seen


def test_lines_of_a_log_are_not_put_together() -> None:
    rows = [failure("dark", ("", "{node} has no light at all", "measured"))]
    assert explained("\n".join(["n has no", "light at all", *["x"] * 30]), None, rows) == ()


def test_a_version_leaves_out_what_others_say() -> None:
    rows = [failure("new", (">=14.dev0", "it says so in new words", "read"))]
    assert names(explained("it says so in new words", Version("15.0.0-dev"), rows)) == [["new"]]
    assert explained("it says so in new words", Version("13.0.0-dev"), rows) == ()


def run(*arguments: str, given: str | None = None) -> tuple[int, str]:
    result = CliRunner().invoke(explain, arguments, input=given)
    if isinstance(result.exception, UsageError):
        raise result.exception
    return result.exit_code, result.output


def test_the_command_says_what_it_means_and_what_mends_it() -> None:
    file = EXCERPTS / "state-role-missing-13.txt"
    code, output = run(str(file))
    row = FAILURES["state-role-missing"]
    assert code == 0
    for words in (row.cause, row.diagnosis, row.fix, "needed besides: nothing", "measured agent-log"):
        assert words in output
    number = int(output.partition("line ")[2].partition(":")[0])
    assert "is forbidden" in file.read_text().splitlines()[number - 1]


def test_the_command_says_that_words_are_shared() -> None:
    code, output = run("INFO x instance did not match any allow rules")
    assert code == 0
    assert "failures have these words; what each means tells them apart" in output
    assert FAILURES["wrong-account"].diagnosis in output
    assert FAILURES["wrong-arn"].diagnosis in output


def test_of_a_long_line_the_words_are_shown() -> None:
    _, output = run(f"{'x' * 900} instance did not match any allow rules {'y' * 900}")
    shown = next(line for line in output.splitlines() if "seen: " in line)
    assert "instance did not match any allow rules" in shown
    assert len(shown) < 320


def test_words_within_words_are_shown_once() -> None:
    _, output = run("AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity")
    block = output[output.index("(trust-subject-differs)") :].partition("means:")[0]
    assert block.count("seen: ") == 1


def test_the_command_reads_standard_input() -> None:
    assert run("-", given=(EXCERPTS / "token-removed-auth-13.txt").read_text())[0] == 0


def test_what_is_unknown_is_said_to_be() -> None:
    code, output = run("the moon is in the wrong place")
    assert (code, output.partition(":")[0]) == (1, "unknown")
    code, output = run("--version", "10.0.0", "instance did not match any allow rules")
    assert code == 1
    assert "known of other versions" in output
    assert FAILURES["wrong-account"].cause in output


def test_no_secret_of_a_log_is_shown() -> None:
    secret = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhbGljZSJ9.c2lnbmF0dXJl"
    code, output = run(f"token={secret} password: hunter2hunter2 instance did not match any allow rules")
    assert code == 0
    assert secret not in output
    assert "hunter2" not in output


@pytest.mark.parametrize(
    "arguments",
    [["nothing-there.log"], [""], ["  "], [str(EXCERPTS)], ["--version", "thirteen", "some text"]],
)
def test_what_cannot_be_read_is_a_usage_error(arguments: list[str]) -> None:
    with pytest.raises(UsageError):
        run(*arguments)


def test_a_very_long_text_is_a_text() -> None:
    assert run("x" * 5000)[0] == 1
