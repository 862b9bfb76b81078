"""`run_checks` against fake checkers that note what they are given and fail when told to."""

import sys
from pathlib import Path

import pytest

from harness.adapters.checks import run_checks

FAKE = """#!/bin/sh
place={place}
name=${{0##*/}}
case "$name $2 $3" in
  lint-imports*) name=lint-imports ;;
  *ruff\\ check) name=ruff-check ;;
  *ruff\\ format) name=ruff-format ;;
  *) name=$2 ;;
esac
printf '%s\\n' "$*" >"$place/$name"
env >"$place/$name.variables"
pwd >"$place/$name.folder"
echo "output of $name"
[ ! -e "$place/fail-$name" ]
"""

ALL = ["ruff-check", "ruff-format", "mypy", "lint-imports", "pytest"]


@pytest.fixture
def python(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("python", "lint-imports"):
        program = folder / name
        program.write_text(FAKE.format(place=tmp_path))
        program.chmod(0o755)
    return folder / "python"


def test_all_passing_is_0_and_only_pytest_shows_its_output(
    python: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert run_checks(["-k", "a b"], python=python, clone=tmp_path) == 0
    assert (tmp_path / "pytest").read_text() == "-m pytest -n 2 -rs -k a b\n"
    output = capfd.readouterr().out
    assert output.endswith("pytest\noutput of pytest\n")
    assert output.count("output of") == 1
    assert [line.split(":")[0] for line in output.splitlines()[:4]] == [
        "ruff check",
        "ruff format",
        "mypy",
        "import-linter",
    ]
    assert {(tmp_path / f"{name}.folder").read_text().strip() for name in ALL} == {str(tmp_path)}


@pytest.mark.parametrize("name", ALL)
def test_one_failing_is_1_and_the_others_run_too(
    python: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], name: str
) -> None:
    (tmp_path / f"fail-{name}").touch()
    assert run_checks([], python=python, clone=tmp_path) == 1
    assert all((tmp_path / other).exists() for other in ALL)
    output = capfd.readouterr().out
    assert f"output of {name}" in output
    shown = {"ruff-check": "ruff check", "ruff-format": "ruff format", "lint-imports": "import-linter"}
    assert output.splitlines()[-1] == f"failed: {shown.get(name, name)}"


def test_a_missing_checker_fails(python: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (python.parent / "lint-imports").unlink()
    assert run_checks([], python=python, clone=tmp_path) == 1
    assert "import-linter: failed" in capfd.readouterr().out


def test_nothing_of_the_users_credentials_and_options_is_inherited(
    python: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (
        "AWS_PROFILE",
        "KUBECONFIG",
        "KUBEBUILDER_ASSETS",
        "PYTEST_ADDOPTS",
        "PYTHONPATH",
        "HELM_HOME",
    ):
        monkeypatch.setenv(name, "theirs")
    monkeypatch.setenv("HOME", "/theirs")
    monkeypatch.setenv("CI", "1")
    monkeypatch.setenv("PIP_CERT", "/authority.pem")
    assert run_checks([], python=python, clone=tmp_path) == 0
    for name in ALL:
        variables = (tmp_path / f"{name}.variables").read_text()
        assert "theirs" not in variables
        assert "CI=1\n" in variables
        assert "PIP_CERT=/authority.pem\n" in variables


def test_the_checkers_of_this_environment_are_the_default() -> None:
    assert (Path(sys.executable).parent / "lint-imports").exists()
