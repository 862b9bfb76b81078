"""The first use: made beside, proven, renamed; one at a time; nothing half-made left."""

import errno
import json
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bootstrap import setup

Wait = Callable[..., None]


def only_line_of_failure(errors: str) -> str:
    (line,) = [line for line in errors.splitlines() if "expected " in line]
    assert "seen: " in line
    assert "way out: " in line
    assert "Traceback" not in errors
    return line


def test_the_environment_is_made_once_and_kept(clone: Any) -> None:
    status, _, errors = clone.call("run")
    assert status == 0
    assert "first use" in errors
    assert "ready after" in errors
    assert clone.call("run")[2] == ""
    (sync,) = clone.uv.calls("sync")
    assert "--locked --no-install-project --no-build" in sync
    (venv,) = clone.uv.calls("venv")
    assert "--relocatable" in venv
    (built,) = clone.uv.lines("synced")
    assert Path(built).name.startswith(f"{clone.environment().name}.partial-")
    assert not Path(built).exists()


@pytest.mark.parametrize("file", ["uv.lock", "pyproject.toml"])
def test_another_lock_or_project_is_another_environment(clone: Any, file: str) -> None:
    clone.must()
    (clone.folder / file).write_text("changed\n")
    clone.must()
    assert len(clone.environments()) == 2


@pytest.mark.parametrize("damage", ["marker", "python"])
def test_an_environment_that_is_not_whole_is_made_anew(clone: Any, damage: str) -> None:
    clone.must()
    old = clone.environment()
    (old / "old").touch()
    if damage == "marker":
        (old / ".whole").unlink()
    else:
        (old / "bin" / "python").unlink()
        (old / "bin" / "python").symlink_to("/nowhere/python3")
    clone.must()
    assert clone.environment() == old
    assert not (old / "old").exists()


def test_left_over_partial_folders_are_removed(clone: Any) -> None:
    left = [
        clone.folder / ".conformance" / "environments" / "0123456789abcdef.partial-1",
        clone.folder / ".conformance" / "uv-0.0.1.partial-1",
    ]
    for folder in left:
        (folder / "bin").mkdir(parents=True)
    clone.must()
    assert not [folder for folder in left if folder.exists()]


def test_the_second_of_two_first_uses_waits_and_says_so(clone: Any, wait_until: Wait) -> None:
    clone.uv.set("hold")
    first = clone.start("first")
    wait_until(lambda: clone.uv.lines("synced"))
    second = clone.start("second")
    assert "waiting for it" in second.stderr.readline()
    clone.uv.unset("hold")
    for process, name in ((first, "first"), (second, "second")):
        output, _ = process.communicate(timeout=60)
        assert json.loads(output)["arguments"] == [name]
    assert len(clone.uv.calls("sync")) == 1
    assert [folder.name for folder in clone.environments()] == [clone.environment().name]


def test_a_killed_first_use_is_waited_for_until_its_installer_ends(clone: Any, wait_until: Wait) -> None:
    clone.uv.set("hold")
    first = clone.start("first")
    wait_until(lambda: clone.uv.lines("synced"))
    first.kill()
    first.wait(timeout=20)
    second = clone.start("second")
    assert "waiting for it" in second.stderr.readline()
    clone.uv.unset("hold")
    output, _ = second.communicate(timeout=60)
    assert json.loads(output)["arguments"] == ["second"]
    assert len(clone.uv.calls("sync")) == 2
    assert ".partial-" not in clone.environment().name


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_first_use_leaves_nothing(clone: Any, wait_until: Wait, number: int) -> None:
    clone.uv.set("hold")
    first = clone.start("first")
    wait_until(lambda: clone.uv.lines("synced"))
    first.send_signal(number)
    output, errors = first.communicate(timeout=20)
    clone.uv.unset("hold")
    assert (first.returncode, output) == (3, "")
    assert "interrupted" in errors
    assert "Traceback" not in errors
    assert clone.environments() == []


@pytest.mark.parametrize(
    ("says", "expected"),
    [
        ("error: failed\n  cause: No space left on device (os error 28)\n", "free space"),
        ("error: Failed to fetch: https://me:secret@x/simple\n  cause: dns error\n", "index within reach"),
        ("error: something new\n", "uv to install the locked packages"),
        ("", "uv to install the locked packages"),
    ],
)
def test_a_failing_uv_is_one_line_and_leaves_nothing(clone: Any, says: str, expected: str) -> None:
    clone.uv.set("fails", says)
    status, output, errors = clone.call("run")
    assert (status, output) == (2, "")
    assert expected in only_line_of_failure(errors)
    assert "secret" not in errors
    assert clone.environments() == []
    clone.uv.unset("fails")
    assert clone.must("run")["arguments"] == ["run"]


def test_a_program_that_does_not_start_makes_the_environment_unfit(clone: Any) -> None:
    clone.uv.set("program", "echo 'error: bad interpreter'; exit 126\n")
    status, _, errors = clone.call("run")
    assert status == 2
    assert "aws of the new environment to start; seen: error: bad interpreter" in only_line_of_failure(errors)
    assert clone.environments() == []


def test_with_another_index_the_locked_versions_are_looked_up_there(clone: Any) -> None:
    clone.uv.set("other-index")
    clone.must("run")
    assert clone.uv.calls("sync") == []
    assert "--frozen" in clone.uv.calls("export")[0]
    assert "--require-hashes --only-binary :all:" in clone.uv.calls("pip")[0]


def test_a_stale_lock_is_not_taken_for_another_index(clone: Any) -> None:
    clone.uv.set("other-index")
    clone.uv.set("lock-is-stale")
    status, _, errors = clone.call("run")
    assert status == 2
    assert "a uv.lock that fits pyproject.toml" in only_line_of_failure(errors)
    assert clone.environments() == []


def test_a_clone_that_cannot_be_written_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refused(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(tmp_path))

    monkeypatch.setattr(Path, "mkdir", refused)
    with pytest.raises(SystemExit) as ended:
        setup.make_or_exit(str(tmp_path), str(tmp_path / "environments" / "0"))
    assert ended.value.code == 2
    line = only_line_of_failure(capsys.readouterr().err)
    assert "folders that can be written" in line
    assert str(tmp_path) in line
