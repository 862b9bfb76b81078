"""Where uv comes from."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bootstrap import packages
from bootstrap.failures import SetupFailedError
from bootstrap.packages import Runner, install_uv, pinned_uv, uv_on_path

Program = Callable[[Path, str], Path]

# `-m venv FOLDER` copies itself into the folder, `-m pip install` notes its arguments.
FAKE_PYTHON = """#!/bin/sh
here={here}
case "$3" in
  venv) mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
  pip) printf '%s\\n' "$*" >"$here/pip-call"; {then} ;;
esac
"""


@pytest.fixture
def runner(tmp_path: Path) -> Runner:
    lock = os.open(tmp_path / "lock", os.O_CREAT | os.O_RDWR)
    return Runner({"PATH": f"{tmp_path / 'uv' / 'bin'}:/usr/bin:/bin"}, tmp_path, lock)


@pytest.mark.parametrize("version", ["0.9.0", "0.13.9", "1.0.2"])
def test_the_users_uv_is_taken_when_new_enough(runner: Runner, uv: Any, version: str) -> None:
    uv.set("version", version)
    assert uv_on_path(runner) == uv.program


@pytest.mark.parametrize("version", ["0.8.99", "", "nonsense"])
def test_an_old_or_odd_uv_is_not(runner: Runner, uv: Any, version: str) -> None:
    uv.set("version", version)
    assert uv_on_path(runner) is None


@pytest.mark.parametrize("text", ["#!/bin/sh\nexit 1\n", "#!/nowhere/sh\n"])
def test_a_broken_uv_is_not(runner: Runner, uv: Any, program: Program, text: str) -> None:
    program(uv.program, text)
    assert uv_on_path(runner) is None


def test_the_own_uv_is_used_where_the_users_is_too_old(clone: Any, uv: Any, program: Program) -> None:
    uv.set("version", "0.8.0")
    own = clone.folder / ".conformance" / f"uv-{pinned_uv()}" / "bin" / "uv"
    program(own, uv.program.read_text())
    status, _, errors = clone.call("run")
    assert status == 0
    assert f"with {own}" in errors


def test_uv_is_installed_by_pip_with_hashes(
    runner: Runner, tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = FAKE_PYTHON.format(here=tmp_path, then='touch "${0%/*}/uv"')
    python = program(tmp_path / "fake python", text)
    monkeypatch.setattr(packages, "base_python", lambda: str(python))
    install_uv(runner, tmp_path / "made")
    assert (tmp_path / "made" / "bin" / "uv").exists()
    call = (tmp_path / "pip-call").read_text()
    assert "--require-hashes" in call
    assert "--only-binary :all:" in call


def test_a_failing_pip_is_explained(
    runner: Runner, tmp_path: Path, program: Program, monkeypatch: pytest.MonkeyPatch
) -> None:
    says = "WARNING: Retrying after NewConnectionError\nERROR: No matching distribution found for uv\n"
    (tmp_path / "says").write_text(says)
    text = FAKE_PYTHON.format(here=tmp_path, then='cat "$here/says"; exit 1')
    python = program(tmp_path / "fake python", text)
    monkeypatch.setattr(packages, "base_python", lambda: str(python))
    with pytest.raises(SetupFailedError, match="a package index within reach"):
        install_uv(runner, tmp_path / "made")


def test_a_python_without_ensurepip_is_told_before_anything_is_made(
    runner: Runner, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None if name == "ensurepip" else object())
    with pytest.raises(SetupFailedError, match="python3-venv"):
        install_uv(runner, tmp_path / "made")
    assert not (tmp_path / "made").exists()


def test_every_requirement_of_uv_is_pinned_by_hash() -> None:
    text = packages.REQUIREMENTS.read_text()
    lines = [line for line in text.replace("\\\n", " ").splitlines() if line and not line.startswith("#")]
    assert [line.split()[0] for line in lines] == [f"uv=={pinned_uv()}"]
    assert lines[0].count("--hash=sha256:") > 10
