"""A whole run of the command: verdicts, exit codes, signals, and what is left behind."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
from typing import TYPE_CHECKING

import pytest

from harness import environments

if TYPE_CHECKING:
    from pathlib import Path

    from harness.core.ledger import Leftover

    from .conftest import Project


def test_a_run_that_passes(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("USERS_TOKEN", "theirs")
    project.scenarios({"two.passes": "looks for the user"}, tags="@alone @guide:s3.install")
    ended = project.main("run", "--profile", "guide")
    assert ended.exit_code == 0, ended.text
    assert project.verdicts() == {"one.passes": "passed", "two.passes": "passed"}
    assert ended.stdout.index("[1/2] passed    two.passes") < ended.stdout.index("[2/2] passed    one.passes")
    assert "left behind" not in ended.text
    assert json.loads((project.results / "plan.json").read_text())["scenarios"] == [
        "one.passes",
        "two.passes",
    ]
    assert (project.results / "junit.xml").is_file()
    page = project.results / "report.html"
    assert "two.passes" in page.read_text()
    assert f"page: {page}" in ended.stdout
    assert "Teleport is starting" in (project.results / "environment/teleport-teleport.log").read_text()
    assert (project.root / "closed.txt").read_text().split() == ["two.passes", "one.passes"]
    assert project.main("report", "verify", project.results / "conformance-report.json").exit_code == 0
    assert (project.left_running(), list(project.runs.iterdir())) == ([], [])


@pytest.mark.parametrize(
    ("options", "apart"),
    [
        (("--workers", "2"), True),
        (("--workers", "2", "--keep", "on-failure"), False),
        (("--workers", "1"), False),
    ],
    ids=["apart", "may be kept", "one at a time"],
)
def test_in_a_simulated_run_the_others_need_not_wait_for_those_that_are_alone(
    project: Project, options: tuple[str, ...], *, apart: bool
) -> None:
    project.lab("is simulated")
    project.scenarios({"two.a": "works", "two.b": "works"}, tags="@alone @guide:s3.install")
    ended = project.main("run", *options)
    assert ended.exit_code == 0, ended.text
    assert project.verdicts() == dict.fromkeys(("one.passes", "two.a", "two.b"), "passed")
    seen = (project.root / "environments.txt").read_text().split()
    assert (sorted(seen[0::2]), len(set(seen[1::2]))) == (["plan-alone", "plan-together"], 2 if apart else 1)
    log = project.results / "environment" / "apart" / "teleport-teleport.log"
    assert log.exists() == apart
    report = json.loads((project.results / "conformance-report.json").read_text())
    told = [text for text in report["environment"]["additions"] if "second environment" in text]
    assert len(told) == (1 if apart else 0)
    assert (project.left_running(), list(project.runs.iterdir())) == ([], [])


@pytest.mark.parametrize("behaviour", ["dies", "hangs"])
def test_what_ends_a_run_with_an_environment_apart_leaves_neither(project: Project, behaviour: str) -> None:
    project.lab("is simulated")
    project.scenarios({"two.a": behaviour, "two.b": "works"}, tags="@alone @guide:s3.install")
    if behaviour == "hangs":
        process = project.start("run", "--workers", "2")
        project.wait_for("hanging", process)
        process.send_signal(signal.SIGINT)
        output, _ = process.communicate(timeout=40)
        assert process.returncode == 3, output
    else:
        assert project.main("run", "--workers", "2").exit_code == 2
    assert project.verdicts()["two.a"] != "passed"
    if behaviour == "dies":
        assert project.reasons()["two.a"][0] == "environment-error"
    assert (project.left_running(), list(project.runs.iterdir())) == ([], [])


def test_what_an_earlier_run_left_is_replaced_and_nothing_else(project: Project) -> None:
    evidence = project.results / "evidence" / "one.passes" / "001-command-old.json"
    evidence.parent.mkdir(parents=True)
    evidence.touch()
    (project.results / "plan.json").write_text("{}")
    (project.results / "conformance-report.json").write_text("of an earlier run")
    (project.results / "report.html").write_text("of an earlier run")
    (project.results / "notes.txt").write_text("mine")
    ended = project.main("run")
    assert ended.exit_code == 0, ended.text
    assert not evidence.exists()
    assert project.verdicts() == {"one.passes": "passed"}
    assert "one.passes" in (project.results / "report.html").read_text()
    assert (project.results / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("behaviour", "code", "verdict"),
    [("fails", 1, "failed"), ("breaks", 2, "error")],
    ids=["failed", "error"],
)
def test_one_scenario_that_did_not_pass(project: Project, behaviour: str, code: int, verdict: str) -> None:
    project.scenarios({"two.bad": behaviour})
    ended = project.main("run", "--keep", "on-failure", "--name", "mine")
    assert ended.exit_code == code, ended.text
    assert project.verdicts() == {"one.passes": "passed", "two.bad": verdict}
    assert re.search(r"again +\./conformance run .*--scenario two\.bad", ended.stdout)
    assert "--reuse mine" in ended.stdout
    assert "mine: standing; 1 processes; " in project.main("status").stdout


def test_keep_on_failure_ends_what_passed(project: Project) -> None:
    ended = project.main("run", "--keep", "on-failure")
    assert (ended.exit_code, project.left_running(), list(project.runs.iterdir())) == (0, [], [])


def test_a_kept_environment_is_reused_spared_and_ended(project: Project) -> None:
    assert project.main("run", "--keep", "always", "--name", "mine").exit_code == 0
    project.settings("")
    ended = project.main("run", "--reuse", "mine", "--workers", "1")
    assert ended.exit_code == 0, ended.text
    assert project.main("cleanup").stdout == "mine: spared, it is standing\n"
    assert project.left_running()
    assert project.main("cleanup", "--all").stdout == "mine: removed\n"
    assert (project.left_running(), list(project.runs.iterdir())) == ([], [])


def test_pytest_that_breaks(project: Project) -> None:
    project.scenarios({"two.dies": "dies", "two.after": "works"})
    ended = project.main("run", "--keep", "on-failure", "--name", "mine")
    assert ended.exit_code == 2
    assert project.verdicts() == {"one.passes": "passed", "two.dies": "not-run", "two.after": "not-run"}
    code, text = project.reasons()["two.after"]
    assert code == "environment-error"
    assert "status 3" in text
    # What had run by then passed, but not everything did.
    assert (project.runs / "mine" / "standing").exists()


@pytest.mark.parametrize("keep", ["never", "always"])
def test_an_environment_that_breaks_while_starting(project: Project, keep: str) -> None:
    project.lab("breaks")
    ended = project.main("run", "--keep", keep)
    assert ended.exit_code == 2
    assert "Traceback" not in ended.text
    assert project.verdicts() == {"one.passes": "not-run"}
    code, text = project.reasons()["one.passes"]
    assert code == "environment-error"
    assert text == "expected: etcd to start\nseen: no space left\nwhat to do: make room"
    assert text.splitlines()[1] in ended.stdout
    assert "Teleport is starting" in (project.results / "environment/teleport-teleport.log").read_text()
    assert (project.left_running(), list(project.runs.iterdir())) == ([], [])


def test_a_defect_of_the_suite_costs_neither_report_nor_clean_up(project: Project) -> None:
    project.lab("has a defect")
    ended = project.main("run")
    assert ended.exit_code == 2
    code, text = project.reasons()["one.passes"]
    assert code == "environment-error"
    assert "KeyError: 'a defect of the suite'" in text
    assert "please report it" in ended.stdout
    assert (project.left_running(), list(project.runs.iterdir())) == ([], [])


def test_what_cannot_be_undone_is_named_and_its_folder_stays(project: Project) -> None:
    project.lab("leaves something")
    ended = project.main("run", "--name", "mine")
    assert project.verdicts() == {"one.passes": "passed"}
    assert ended.exit_code == 2
    assert "left behind: mount {'path': '/mnt/left-behind'}" in ended.stdout
    assert project.left_running() == []
    again = project.main("cleanup")
    assert again.exit_code == 2
    assert "/mnt/left-behind" in again.stdout
    assert (project.runs / "mine" / "ledger.jsonl").is_file()
    shutil.rmtree(project.runs / "mine")


def test_a_folder_that_will_not_go_is_told(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_args: object, **_options: object) -> None:
        raise OSError("device or resource busy")

    with monkeypatch.context() as patch:
        patch.setattr("harness.environments.shutil.rmtree", refuse)
        ended = project.main("run")
    assert ended.exit_code == 2
    assert project.verdicts() == {"one.passes": "passed"}
    assert "device or resource busy" in ended.stdout


def test_what_is_the_users_mistake_is_one_also_while_starting(project: Project) -> None:
    project.lab("refuses the chart")
    ended = project.main("run")
    assert ended.exit_code == 4
    assert "chart nginx" in ended.stderr
    assert (project.left_running(), list(project.runs.iterdir())) == ([], [])


@pytest.mark.parametrize("where", ["starting", "hanging"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_ends_the_run_with_a_report(project: Project, where: str, number: signal.Signals) -> None:
    if where == "starting":
        project.lab("hangs")
    project.scenarios({"two.hangs": "hangs", "two.after": "works"})
    process = project.start("run")
    project.wait_for(where, process)
    process.send_signal(number)
    process.send_signal(number)
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 3, stdout
    assert "Traceback" not in stdout
    verdicts = project.verdicts()
    first = "passed" if where == "hanging" else "not-run"
    assert verdicts == {"one.passes": first, "two.hangs": "not-run", "two.after": "not-run"}
    assert project.reasons()["two.after"] == (
        "interrupted",
        f"{number.name} ended the run before this scenario",
    )
    if where == "hanging":
        assert (project.root / "closed.txt").read_text().split() == ["one.passes", "two.hangs"]
    assert (project.left_running(), list(project.runs.iterdir())) == ([], [])


def test_a_signal_during_clean_up_does_not_spoil_it(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = environments.end

    def interrupted(found: Path) -> list[Leftover]:
        os.kill(os.getpid(), signal.SIGTERM)
        return end(found)

    with monkeypatch.context() as patch:
        patch.setattr(environments, "end", interrupted)
        ended = project.main("run")
    assert (ended.exit_code, project.verdicts()) == (0, {"one.passes": "passed"}), ended.text
    assert (project.left_running(), list(project.runs.iterdir())) == ([], [])


def test_a_failure_before_the_signal_decides_the_exit_code(project: Project) -> None:
    project.scenarios({"two.fails": "fails", "two.hangs": "hangs"})
    process = project.start("run")
    project.wait_for("hanging", process)
    process.terminate()
    stdout, _ = process.communicate(timeout=60)
    assert process.returncode == 1, stdout
    assert "interrupted" in stdout


def test_cleanup_after_a_kill_and_not_before(project: Project) -> None:
    project.scenarios({"two.hangs": "hangs"})
    process = project.start("run", "--name", "mine")
    project.wait_for("hanging", process)
    assert project.main("status").stdout.startswith("mine: in use; ")
    assert project.main("cleanup", "--all").stdout == "mine: spared, it is in use\n"
    process.kill()
    # pytest, a process of its own, holds the pipe: it is what cleanup has to end.
    process.wait()
    assert project.left_running()
    assert project.main("status").stdout.startswith("mine: left over: ./conformance cleanup; ")
    assert project.main("cleanup").stdout == "mine: removed\n"
    process.communicate(timeout=10)
    assert (project.left_running(), list(project.runs.iterdir())) == ([], [])


def test_a_reused_environment_is_in_use(project: Project) -> None:
    assert project.main("up", "--name", "mine").exit_code == 0
    project.scenarios({"two.hangs": "hangs"})
    project.settings("workers = 1")
    process = project.start("run", "--reuse", "mine")
    project.wait_for("hanging", process)
    assert project.main("cleanup", "--all").stdout == "mine: spared, it is in use\n"
    process.terminate()
    process.communicate(timeout=60)
    assert project.main("status").stdout.startswith("mine: standing; 1 processes; ")


def test_a_report_folder_is_one_runs_at_a_time(project: Project) -> None:
    project.scenarios({"two.hangs": "hangs"})
    project.settings("workers = 1")
    process = project.start("run")
    project.wait_for("hanging", process)
    second = project.main("run", "--scenario", "one.passes")
    assert (second.exit_code, "another run that has not ended" in second.stderr) == (4, True)
    elsewhere = project.main("run", "--scenario", "one.passes", "--report-dir", "elsewhere")
    assert elsewhere.exit_code == 0, elsewhere.text
    process.terminate()
    process.communicate(timeout=60)
    # The first run's report is its own, whole.
    assert project.verdicts() == {"one.passes": "passed", "two.hangs": "not-run"}


def test_the_command_that_repeats_a_scenario_names_no_environment(project: Project) -> None:
    project.scenarios({"two.bad": "fails"})
    ended = project.main("run", "--keep", "on-failure", "--name", "mine")
    (again,) = (line for line in ended.stdout.splitlines() if line.strip().startswith("again "))
    assert "--name" not in again


def test_exit_first_is_no_defect_of_the_suite(project: Project) -> None:
    project.scenarios({"two.bad": "fails", "three.bad": "fails", "four.bad": "fails", "five.bad": "fails"})
    ended = project.main("run", "--exit-first", "--workers", "2")
    assert ended.exit_code == 1, ended.text
    assert "pytest to run the scenarios" not in ended.stdout
    assert {code for code, _ in project.reasons().values()} <= {"not-as-claimed", "exit-first"}
