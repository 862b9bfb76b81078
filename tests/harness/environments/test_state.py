"""What is written down of an environment, and what becomes of its folder."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from harness import environments
from harness.core.errors import EnvironmentBroken, UsageError
from harness.core.ledger import Ledger
from harness.core.redaction import redactor
from harness.environment import Component, Description
from harness.environments import state

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> state.State:
    monkeypatch.setattr(state, "RUNS", tmp_path)
    made = state.State(
        run="a1b2c3",
        name="mine",
        description=Description(
            name="lab",
            run="a1b2c3",
            components={"teleport": Component("teleport", "13.0.0", simulated=False, detail="d")},
            capabilities=frozenset({"clock", "aws-call-log"}),
            guide_edition="13",
            additions=("a proxy",),
        ),
        addresses={"proxy": "127.0.0.1:1", "control": "127.0.0.1:2"},
        account_id="123456789012",
        region="eu-west-1",
        issuer="https://issuer",
        paths={"ca": "/ca.pem"},
        chart_version="13.0.0",
        chart_app_version="13.0.0",
        teleport_version="13.0.0",
        seconds={"total": 1.5},
        administrator="AKIA1",
    )
    made.folder.mkdir()
    (made.folder / environments.OWNER).touch()
    return made


def test_what_was_written_is_read(written: state.State) -> None:
    path = written.write({"administrator": "sentinel-secret"})
    assert state.read(path) == (written, {"administrator": "sentinel-secret"})


def test_an_environment_that_ends_with_its_run_says_so(written: state.State) -> None:
    path = written.write({"administrator": "sentinel-secret"})
    assert written.lasts
    ending = written.ending()
    assert ending == replace(written, lasts=False)
    assert state.read(path) == (ending, {"administrator": "sentinel-secret"})


def test_only_the_user_may_read_the_secrets(written: state.State) -> None:
    path = written.write({"administrator": "sentinel-secret"})
    assert "sentinel-secret" not in path.read_text()
    assert (path.parent / state.SECRETS_FILE).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("damage", ["absent", "no secrets", "another version", "no JSON"])
def test_what_cannot_be_read_is_a_usage_error(written: state.State, damage: str) -> None:
    path = written.write({"administrator": "x"})
    if damage == "absent":
        path.unlink()
    elif damage == "no secrets":
        (path.parent / state.SECRETS_FILE).unlink()
    elif damage == "another version":
        path.write_text(json.dumps({**json.loads(path.read_text()), "new_field": 1}))
    else:
        path.write_text("{")
    with pytest.raises(UsageError, match="environments that are there: mine"):
        state.read(path)


def test_attaching_takes_the_users_own_set_up_out(
    written: state.State, monkeypatch: pytest.MonkeyPatch
) -> None:
    # `pytest features/x.feature --reuse NAME` has all of the user's variables.
    sealed: list[object] = []
    monkeypatch.setattr("harness.adapters.processes.seal", sealed.append)
    made: list[object] = []
    monkeypatch.setattr("harness.environments.lab.Lab", lambda *arguments: made.append(arguments))
    environments.attach(written.write({"administrator": "x"}))
    assert made == [(written, {"administrator": "x"})]
    assert sealed == [os.environ]


def test_logs_are_kept_without_secrets(written: state.State, tmp_path: Path) -> None:
    redactor.register("sentinel-administrator-secret")
    folder = written.folder / "aws"
    folder.mkdir()
    (folder / "aws.log").write_text("key sentinel-administrator-secret refused\n")
    (folder / "calls.jsonl").write_text('{"seq": 1}\n')
    events = written.folder / "teleport" / "data" / "log" / "events.log"
    events.parent.mkdir(parents=True)
    events.write_text("join\n")
    environments.keep_logs(written.folder, tmp_path / "kept")
    kept = {file.name: file.read_text() for file in (tmp_path / "kept").iterdir()}
    assert set(kept) == {"aws-aws.log", "aws-calls.jsonl", "decisions.json", "log-events.log"}
    assert "sentinel" not in kept["aws-aws.log"]
    assert "refused" in kept["aws-aws.log"]


def test_logs_of_containers_that_cannot_be_had_cost_no_others(
    written: state.State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    Ledger(written.folder / state.LEDGER_FILE).will_create("container", name="one", run="abc123")
    (written.folder / "aws").mkdir()
    (written.folder / "aws" / "aws.log").write_text("refused\n")
    environments.keep_logs(written.folder, tmp_path / "kept")
    assert (tmp_path / "kept" / "aws-aws.log").read_text() == "refused\n"
    assert "nowhere.sock" in (tmp_path / "kept" / "containers-not-fetched.log").read_text()


def test_a_large_log_is_kept_by_its_end(
    written: state.State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(environments, "LAST_BYTES", 6)
    (written.folder / "a").mkdir()
    (written.folder / "a" / "a.log").write_text("first\nlast\n")
    environments.keep_logs(written.folder, tmp_path / "kept")
    assert (tmp_path / "kept" / "a-a.log").read_text() == "\nlast\n"


def test_the_ledger_stays_until_all_is_undone(written: state.State) -> None:
    ledger = Ledger(written.folder / state.LEDGER_FILE)
    ledger.will_create("process", name="none", run="no-such-run", program="none")
    stuck = ledger.will_create("mount", path="/mnt/x")
    [leftover] = environments.end(written.folder)
    assert leftover.entry.what == {"path": "/mnt/x"}
    assert [entry.kind for entry in ledger.open_entries()] == ["mount"]
    ledger.undone(stuck)
    assert environments.end(written.folder) == []
    assert not written.folder.exists()


def tree(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*")}


@pytest.mark.parametrize("where", ["beside", "below", "runs itself", "its parent", "by way of another"])
def test_only_a_folder_of_runs_is_ended(
    written: state.State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    runs = tmp_path / "runs"
    monkeypatch.setattr(state, "RUNS", runs)
    places = {
        "beside": tmp_path / "other" / "mine",
        "below": runs / "a" / "b",
        "runs itself": runs,
        "its parent": tmp_path,
        "by way of another": runs / "a" / ".." / ".." / "other" / "mine",
    }
    for folder in (runs / "a" / "b", tmp_path / "other" / "mine"):
        folder.mkdir(parents=True)
    # What every run begins with, and what it has to undo: both would do elsewhere, too.
    (places[where] / environments.OWNER).touch()
    entry = Ledger(places[where] / state.LEDGER_FILE).will_create(
        "process", name="x", run="none", program="x"
    )
    before = tree(tmp_path)
    with pytest.raises(EnvironmentBroken, match="a folder that a run made"):
        environments.end(places[where])
    assert tree(tmp_path) == before
    assert Ledger(places[where] / state.LEDGER_FILE).open_entries() == [entry]


def test_a_folder_that_no_run_began_is_not_ended(written: state.State) -> None:
    (written.folder / environments.OWNER).unlink()
    (written.folder / "photo.jpg").write_text("mine")
    with pytest.raises(EnvironmentBroken, match=environments.OWNER) as caught:
        environments.end(written.folder)
    assert (written.folder / "photo.jpg").read_text() == "mine"
    assert str(written.folder) in caught.value.remedy


def test_an_environment_is_known_by_its_name_alone(written: state.State, tmp_path: Path) -> None:
    assert environments.folder("mine") == written.folder
    for name in (str(written.folder), "./mine", "mine/", "mine/.", f"../{tmp_path.name}/mine", "", ".", ".."):
        with pytest.raises(UsageError, match="there are: mine"):
            environments.folder(name)
