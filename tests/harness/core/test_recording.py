"""Evidence: numbered, folded, redacted, and never lost in silence."""

import json
import threading
from pathlib import Path
from typing import Any

import pytest

from harness.core import recording
from harness.core.errors import EnvironmentBroken
from harness.core.recording import INDEX, Recorder, current_recorder, record_command, record_oracle


def read(path: Path) -> Any:
    return json.loads(path.read_text())


def run(*argv: str, stdout: str = "", seconds: float = 0.5) -> None:
    record_command(argv, exit_code=0, stdout=stdout, stderr="", seconds=seconds, cwd=Path("/somewhere"))


def test_without_a_recorder_nothing_is_done() -> None:
    assert current_recorder.get() is None
    run("tctl", "status")
    record_oracle("pods", None, [])


def test_commands_and_readings_become_numbered_files(tmp_path: Path) -> None:
    with recording.recording(Recorder(tmp_path / "s3.install", "s3.install")) as recorder:
        run("/opt/bin/tctl", "get", "kube_servers", stdout="[]")
        record_oracle("audit log", {"event": "instance.join"}, [{"method": "iam"}])
    command, oracle = recorder.entries()
    assert command == {
        "number": 1,
        "kind": "command",
        "title": "tctl get kube_servers",
        "file": "001-command-tctl-get-kube-servers.json",
        "seconds": 0.5,
    }
    assert oracle["title"] == 'audit log {"event": "instance.join"}'
    evidence = read(recorder.folder / command["file"])
    assert evidence["scenario"] == "s3.install"
    assert evidence["argv"] == ["/opt/bin/tctl", "get", "kube_servers"]
    assert (evidence["exit_code"], evidence["stdout"], evidence["cwd"]) == (0, "[]", "/somewhere")
    assert read(recorder.folder / oracle["file"])["value"] == [{"method": "iam"}]
    assert {entry.name for entry in recorder.folder.iterdir()} == {command["file"], oracle["file"], INDEX}


def test_the_recorder_is_current_in_its_block_only(tmp_path: Path) -> None:
    with recording.recording(Recorder(tmp_path, "a")) as recorder:
        assert current_recorder.get() is recorder
    assert current_recorder.get() is None


def test_polling_is_folded_even_when_two_oracles_are_polled_in_turn(tmp_path: Path) -> None:
    with recording.recording(Recorder(tmp_path, "a")) as recorder:
        for _ in range(50):
            run("tctl", "get", "kube_servers", stdout="[]")
            record_oracle("kube_servers", None, [])
        record_oracle("kube_servers", None, ["agent"])
        record_oracle("kube_servers", None, [])
    assert [entry["kind"] for entry in recorder.entries()] == ["command", "oracle", "oracle", "oracle"]
    command, first, *_ = read(tmp_path / INDEX)["records"]
    assert (command["count"], first["count"]) == (50, 50)
    assert first["first"] <= first["last"]
    assert recorder.entries()[0]["seconds"] == pytest.approx(25.0)


def test_readings_of_different_queries_are_kept_apart(tmp_path: Path) -> None:
    with recording.recording(Recorder(tmp_path, "a")) as recorder:
        for name in ("a", "b", "a", "b"):
            record_oracle("pods", {"namespace": name}, [])
    assert len(recorder.entries()) == 2


def test_no_secret_reaches_a_file_its_name_or_the_entries(tmp_path: Path) -> None:
    secret = "sentinelsentinel"
    with recording.recording(Recorder(tmp_path, "a")) as recorder:
        record_command(
            ["tsh", "--token", secret, f"--password={secret}"],
            exit_code=1,
            stdout=f"token: {secret}".encode(),
            stderr=f"Authorization: Bearer {secret}",
            seconds=1,
        )
        record_oracle("secret", {"token": secret}, {"kind": "Secret", "data": {"a": "c2VudGluZWw="}})
    everything = json.dumps(recorder.entries()) + "".join(
        entry.name + entry.read_text() for entry in tmp_path.iterdir()
    )
    assert secret not in everything
    assert "c2VudGluZWw=" not in everything
    assert "<8 bytes>" in everything


def test_a_secret_in_a_title_is_masked(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "a")
    recorder.record("oracle", "password=sentinelsentinel", {})
    assert recorder.entries()[0]["title"] == "password=<redacted>"


def test_a_reading_is_kept_as_it_was_when_the_object_changes_later(tmp_path: Path) -> None:
    state = ["a"]
    with recording.recording(Recorder(tmp_path, "a")) as recorder:
        record_oracle("pods", None, state)
        state.append("b")
        record_oracle("pods", None, state)
    assert [read(tmp_path / entry["file"])["value"] for entry in recorder.entries()] == [["a"], ["a", "b"]]


def test_a_long_title_is_cut_and_a_strange_one_still_names_a_file(tmp_path: Path) -> None:
    with recording.recording(Recorder(tmp_path, "a")) as recorder:
        run("bash", "-c", "echo a b c\n" * 500)
        record_oracle("…", None, 1)
    first, second = recorder.entries()
    assert len(first["title"]) <= 160
    assert len(first["file"]) < 80
    assert second["file"] == "002-oracle-untitled.json"


def test_an_empty_recorder_still_has_an_index(tmp_path: Path) -> None:
    assert Recorder(tmp_path / "deep" / "er", "a").entries() == []
    assert read(tmp_path / "deep" / "er" / INDEX) == {"scenario": "a", "records": []}


def test_evidence_of_an_earlier_run_is_never_mixed_with_this_one(tmp_path: Path) -> None:
    Recorder(tmp_path, "a")
    with pytest.raises(EnvironmentBroken, match="of an earlier run"):
        Recorder(tmp_path, "a")


def test_evidence_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EnvironmentBroken, match="evidence folder"):
        Recorder(tmp_path / "file", "a")
    recorder = Recorder(tmp_path / "folder", "a")
    (tmp_path / "folder" / INDEX).unlink()
    (tmp_path / "folder").rmdir()
    with pytest.raises(EnvironmentBroken, match="to write"), recording.recording(recorder):
        record_oracle("pods", None, [])


def test_counting_alone_is_written_once_a_second_and_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = 100.0
    monkeypatch.setattr(recording.time, "monotonic", lambda: clock)

    def counted() -> int:
        return json.loads((tmp_path / INDEX).read_text())["records"][0]["count"]

    recorder = Recorder(tmp_path, "a")
    with recording.recording(recorder):
        for _ in range(3):
            record_oracle("pods", None, [])
        assert counted() == 1
        clock += 1
        record_oracle("pods", None, [])
        assert counted() == 4
        record_oracle("pods", None, [])
    assert counted() == 5


def test_several_threads_can_record(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, "a")
    threads = [
        threading.Thread(target=recorder.record, args=("oracle", f"oracle {number}", {"value": number}))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [entry["number"] for entry in recorder.entries()] == list(range(1, 9))
    assert len(list(tmp_path.glob("*-oracle-*.json"))) == 8
