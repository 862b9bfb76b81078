"""Two runs laid beside each other: what counts as a difference, what does not, and what is explained."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from harness.core.errors import UsageError
from harness.core.settings import Settings
from harness.fidelity.command import compare_runs, fidelity
from harness.fidelity.comparison import Explanation, compare, load_explanations
from harness.fidelity.normal import normal
from harness.fidelity.observations import SeenRun, collect, read_run
from harness.fidelity.record import JSON_NAME, MARKDOWN_NAME, difference_lines

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Written = Callable[..., Path]

ALL = ("teleport", "kubernetes", "chart")
POD = "oracle: kubernetes: pod agent-<id>"


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes a report folder with one scenario and its evidence."""

    def write(
        name: str,
        records: list[dict[str, Any]],
        *,
        simulated: tuple[str, ...] = (),
        verdict: str = "passed",
        reason: str = "",
        findings: tuple[str, ...] = (),
    ) -> Path:
        folder = tmp_path / name
        place = folder / "evidence" / "step.one"
        place.mkdir(parents=True)
        for number, content in enumerate(records):
            (place / f"{number}.json").write_text(json.dumps(content))
        components = {
            part: {"kind": part, "version": "1", "simulated": part in simulated} for part in (*ALL, "aws")
        }
        entry = {
            "id": "step.one",
            "verdict": verdict,
            "reason": {"code": "not-as-claimed", "text": reason} if reason else None,
            "evidence": {
                "folder": "evidence/step.one",
                "records": [{"file": f"{number}.json"} for number in range(len(records))],
            },
        }
        report = {
            "environment": {"components": components},
            "scenarios": [entry],
            "findings": [{"scenario": "step.one", "text": text} for text in findings],
        }
        (folder / "conformance-report.json").write_text(json.dumps(report))
        return folder

    return write


def command(stdout: str, *argv: str, exit_code: int = 0, stderr: str = "") -> dict[str, Any]:
    words = argv or ("/opt/programs/tctl", "get", "kube_server")
    return {
        "kind": "command",
        "argv": list(words),
        "exit_code": exit_code,
        "stdout": stdout,
        "stderr": stderr,
    }


def oracle(value: object, query: str = "pod agent-aaaaaa") -> dict[str, Any]:
    return {"kind": "oracle", "oracle": "kubernetes", "query": query, "value": value}


def explained(**patterns: str) -> Explanation:
    sides = {side: re.compile(patterns[side]) if side in patterns else None for side in ("simulated", "real")}
    return Explanation(
        "one",
        "it is known",
        re.compile(patterns.get("key", ".*")),
        re.compile(patterns.get("path", ".*")),
        sides["simulated"],
        sides["real"],
        "elsewhere" in patterns,
    )


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("agent-0a1b2c joined", "agent-ffffff joined"),
        ("at 2026-11-22T19:25:53Z", "at 2026-11-23T01:02:03.123Z"),
        ("host 2fe2874a-f2a3-4354-9b46-8d2ab1ec0325", "host 40917720-d934-4f11-a947-a5a4f5ab59a8"),
        ("/a/.conformance/runs/aaaaaa/x", "/b/c/.conformance/runs/bbbbbb/x"),
        ("[valid for 12h0m0s]", "[valid for 11h59m58s]"),
        ("[valid for 12h0m0s]", "[valid for 11h59m]"),
        ("pod 1/1 Running 0 5s", "pod 1/1 Running 0 2m13s"),
        ("on 127.0.0.1:39579.", "on 127.0.0.1:1."),
        ("text auth/register.go:571", "text simulated:true"),
        (
            'E1122 19:26:10.235960   20838 memcache.go:381] "x"',
            'E1123 01:02:03.000000    7 memcache.go:381] "x"',
        ),
    ],
)
def test_what_any_two_runs_differ_in_is_taken_out(one: str, other: str) -> None:
    assert normal(one) == normal(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("v13.0.0-dev", "v13.0.0-dev+simulated"),
        ("did not match any allow rules", "did not match the allow rules"),
        ("Running 0", "Running 1"),
        ("status 403", "status 404"),
        ("viewers-0a1b2c", "editors-0a1b2c"),
        ("[valid for 12h0m0s]", "[valid for 30h0m0s]"),
        ("[valid for 12h0m0s]", "[valid for 12m0s]"),
    ],
)
def test_what_a_program_says_stays(one: str, other: str) -> None:
    assert normal(one) != normal(other)


def test_equal_runs_have_no_difference(written: Written) -> None:
    same = [command("a line\n"), oracle({"phase": "Running"})]
    found = compare(read_run(written("s", same, simulated=ALL)), read_run(written("r", same)), ())
    assert (found.compared, found.unexplained, found.explained) == (["step.one"], [], [])
    assert found.observations == 4, "verdict, findings, command, oracle"


@pytest.mark.parametrize(
    ("simulated", "real"),
    [
        (command("a line\n"), command("another line\n")),
        (command("a line\n"), command("a line\n", exit_code=1)),
        (command("a line\n"), command("a line\n", stderr="a warning")),
        (command('{"a": 1}'), command('{"a": 2}')),
        (command('{"a": 1}'), command('{"a": 1, "b": 2}')),
        (oracle({"phase": "Running"}), oracle({"phase": "Pending"})),
        (oracle([{"user": "alice"}]), oracle([])),
        (oracle("x"), oracle("x", query="pod other")),
    ],
)
def test_each_kind_of_difference_is_found(
    written: Written, simulated: dict[str, Any], real: dict[str, Any]
) -> None:
    found = compare(read_run(written("s", [simulated])), read_run(written("r", [real])), ())
    assert found.unexplained


def test_verdict_reason_and_findings_are_compared(written: Written) -> None:
    left = written("s", [], verdict="failed", reason="expected a pod")
    right = written("r", [], findings=("the guide is wrong",))
    found = compare(read_run(left), read_run(right), ())
    assert {(one.key, one.path) for one in found.unexplained} == {
        ("verdict", ""),
        ("verdict", "reason"),
        ("findings", ""),
    }


def test_a_scenario_that_one_side_alone_has_is_a_difference(written: Written) -> None:
    seen = read_run(written("s", []))
    found = compare(seen, SeenRun({}, frozenset(), {}), ())
    assert [(one.key, one.real) for one in found.unexplained] == [("scenario", ("not there",))]
    assert not found.compared


def test_an_empty_answer_that_was_waited_through_does_not_count_and_the_last_one_does(
    written: Written,
) -> None:
    left = written("s", [oracle(None), oracle({"a": "b"})])
    found = compare(read_run(left), read_run(written("r", [oracle({"a": "b"})])), ())
    assert not found.unexplained
    found = compare(read_run(written("s2", [oracle({"a": "b"}), oracle(None)])), read_run(left), ())
    assert found.unexplained


def test_items_of_other_scenarios_in_a_list_of_the_whole_cluster_are_left_out(written: Written) -> None:
    own = command("", "/x/tctl", "create", "agent-aaaaaa")
    left = written("s", [own, oracle([{"user": "alice-aaaaaa"}, {"user": "alice-bbbbbb", "more": 1}])])
    right = written("r", [own, oracle([{"user": "alice-aaaaaa"}])])
    assert not compare(read_run(left), read_run(right), ()).unexplained


def test_an_explanation_covers_its_side_and_pattern_alone(written: Written) -> None:
    left = read_run(written("s", [oracle({"v": "1+simulated"})]))
    right = read_run(written("r", [oracle({"v": "1"})]))
    both = compare(left, right, [explained(path="v", simulated=r".*\+simulated", real=r"\d+")])
    assert (len(both.explained), both.unexplained, both.unused) == (1, [], [])
    half = compare(left, right, [explained(path="v", simulated=r".*\+simulated")])
    assert [one.real for one in half.unexplained] == [("1",)]
    none = compare(left, right, [explained(path="w", simulated=".*", real=".*")])
    assert (len(none.unexplained), none.unused) == (1, ["one"])


def test_elsewhere_needs_the_value_in_another_scenario_of_the_other_side() -> None:
    moment = [explained(key=POD, simulated=".*", real=".*", elsewhere="yes")]
    fields: dict[str, dict[str, dict[str, set[str]]]] = {
        "one": {POD: collect([{"phase": "Pending"}])},
        "two": {POD: collect([{"phase": "Running"}])},
    }
    other = {"one": fields["two"], "two": fields["two"]}
    found = compare(SeenRun({}, frozenset(), fields), SeenRun({}, frozenset(), other), moment)
    assert [one.simulated for one in found.unexplained] == [("Pending",)]
    assert [one.real for one in found.explained] == [("Running",)]


def test_no_explanation_covers_a_verdict_and_each_has_a_reason_and_a_name_of_its_own() -> None:
    known = load_explanations()
    assert len({one.id for one in known}) == len(known) > 0
    for one in known:
        assert not one.key.fullmatch("verdict"), one.id
        assert not one.key.fullmatch("scenario"), one.id
        assert one.reason, one.id
        assert one.simulated or one.real, one.id


def test_the_record_is_written_and_says_what_ran_where(
    written: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    left = written("s", [oracle({"phase": "Running"})], simulated=ALL)
    right = written("r", [oracle({"phase": "Pending"})])
    assert compare_runs(left, right, tmp_path, print, whole=True) == 1
    told = capsys.readouterr().out
    assert "simulated alone: Running" in told
    assert "1 unexplained" in told.splitlines()[-1]
    assert "teleport 1 (simulated)" in (tmp_path / MARKDOWN_NAME).read_text()
    document = json.loads((tmp_path / JSON_NAME).read_text())
    assert document["unexplained"][0]["real"] == ["Pending"]
    assert (
        compare_runs(left, written("r2", [oracle({"phase": "Running"})]), tmp_path, print, whole=False) == 0
    )


def test_two_runs_on_the_same_programs_are_refused(written: Written, tmp_path: Path) -> None:
    left, right = written("s", [], simulated=ALL), written("r", [])
    for one, other in ((left, left), (right, right), (right, left)):
        with pytest.raises(UsageError, match="a run on simulated programs alone"):
            compare_runs(one, other, tmp_path, print, whole=False)


@pytest.mark.parametrize("missing", ["conformance-report.json", "evidence/step.one/0.json"])
def test_a_run_without_report_or_evidence_is_refused(written: Written, missing: str) -> None:
    folder = written("s", [oracle(1)])
    (folder / missing).unlink()
    with pytest.raises(UsageError, match="conformance report with its evidence"):
        read_run(folder)


def test_without_real_programs_there_is_nothing_to_compare_with() -> None:
    with pytest.raises(UsageError, match="real programs"):
        fidelity(Settings(), print)


def test_a_long_difference_is_shortened_for_people(written: Written) -> None:
    left = read_run(written("s", [oracle("\n".join(f"line {'x' * 400} {n}" for n in range(20)))]))
    found = compare(left, read_run(written("r", [oracle("y")])), ())
    lines = difference_lines(found.unexplained[0])
    assert any("and 8 more" in line for line in lines)
    assert max(map(len, lines)) < 400


def test_a_scenario_with_verdict_and_findings_alone_is_told(
    written: Written, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare_runs(written("s", [], simulated=ALL), written("r", []), tmp_path, print, whole=False) == 0
    told = "verdict and findings alone"
    assert f"{told}, nothing else was recorded: step.one" in capsys.readouterr().out
    assert told in (tmp_path / MARKDOWN_NAME).read_text()
    assert json.loads((tmp_path / JSON_NAME).read_text())["bare"] == ["step.one"]
    full = [oracle("x")]
    compare_runs(written("s2", full, simulated=ALL), written("r2", full), tmp_path, print, whole=False)
    assert told not in capsys.readouterr().out + (tmp_path / MARKDOWN_NAME).read_text()
