"""`./conformance`: which Python it takes, and what arrives at the harness."""

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PYTHON = str(getattr(sys, "_base_executable", sys.executable))
Program = Callable[[Path, str], Path]


@pytest.fixture
def few_programs(tmp_path: Path) -> Path:
    """A PATH with what the command itself needs and no Python."""
    folder = tmp_path / "few"
    folder.mkdir()
    for name in ("sh", "readlink", "mkdir", "ln", "cat", "chmod"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    return folder


def test_arguments_and_working_directory_arrive_as_given(clone: Any) -> None:
    seen = clone.must("run", "-k", "a b", "*", "", "--x=$HOME")
    assert seen["arguments"] == ["run", "-k", "a b", "*", "", "--x=$HOME"]
    assert seen["folder"] == str(clone.folder.parent)
    assert seen["prefix"] == str(clone.environment())


def test_it_works_through_symbolic_links_and_after_a_move(clone: Any, tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "one" / "link").symlink_to(Path("..") / clone.folder.name / "conformance")
    (tmp_path / "two").symlink_to(tmp_path / "one" / "link")
    assert clone.must("run", command=tmp_path / "two")["arguments"] == ["run"]
    moved = clone.folder.rename(tmp_path / "moved")
    assert clone.must("again", command=moved / "conformance")["arguments"] == ["again"]
    assert len(clone.uv.calls("sync")) == 1


def test_variables_of_python_and_foreign_modules_have_no_effect(clone: Any, tmp_path: Path) -> None:
    (tmp_path / "json.py").write_text("raise SystemExit('the json of the working directory was imported')\n")
    seen = clone.must(PYTHONPATH=str(tmp_path), PYTHONHOME="/nowhere", PYTHONSTARTUP="x", KEPT="1")
    assert seen["isolated"] == 1
    assert "KEPT" in seen["variables"]
    assert not [name for name in seen["variables"] if name.startswith(("PYTHON", "CONFORMANCE_"))]


@pytest.mark.parametrize("wrong", ["/nowhere/python3", "cat", "old"])
def test_a_wrong_conformance_python_is_one_line(
    clone: Any, tmp_path: Path, program: Program, wrong: str
) -> None:
    program(tmp_path / "uv" / "bin" / "old", "#!/bin/sh\nexit 1\n")
    status, output, errors = clone.call("run", CONFORMANCE_PYTHON=wrong)
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert f"CONFORMANCE_PYTHON={wrong}" in errors
    assert "unset it" in errors


def test_no_python_is_one_line_with_the_way_out(clone: Any, few_programs: Path, program: Program) -> None:
    program(few_programs / "python3", "#!/bin/sh\nexit 1\n")
    clone.variables.pop("CONFORMANCE_PYTHON")
    status, output, errors = clone.call("run", PATH=str(few_programs))
    assert (status, output, errors.count("\n")) == (2, "", 1)
    assert errors.startswith("conformance: expected Python 3.11 or newer; seen: none on PATH")
    assert "CONFORMANCE_PYTHON" in errors


def test_too_old_and_broken_pythons_are_passed_over(clone: Any, few_programs: Path, program: Program) -> None:
    program(few_programs / "python3.14", "#!/bin/sh\nexit 127\n")
    program(few_programs / "python3.12", "#!/nowhere/interpreter\n")
    (few_programs / "python3").symlink_to(PYTHON)
    (few_programs / "uv").symlink_to(clone.uv.program)
    clone.variables.pop("CONFORMANCE_PYTHON")
    assert clone.must("run", PATH=str(few_programs))["arguments"] == ["run"]


def test_the_python_that_made_the_environment_is_asked_first_next_time(
    clone: Any, few_programs: Path, program: Program
) -> None:
    clone.must("run")
    assert (clone.folder / ".conformance" / "python").read_text() == f"{PYTHON}\n"
    clone.variables.pop("CONFORMANCE_PYTHON")
    asked = few_programs / "asked"
    program(few_programs / "python3", f"#!/bin/sh\n: >'{asked}'\nexit 1\n")
    assert clone.must("run", PATH=str(few_programs))["arguments"] == ["run"]
    assert not asked.exists()
    (clone.folder / ".conformance" / "python").write_text("/nowhere/python3\n")
    status, _, errors = clone.call("run", PATH=str(few_programs))
    assert (status, asked.exists()) == (2, True), errors


def test_a_ready_environment_costs_few_imports(clone: Any) -> None:
    clone.must("run")
    start = clone.folder / "bootstrap" / "start.py"
    done = subprocess.run(
        [PYTHON, "-I", "-S", "-B", "-X", "importtime", str(start)],
        env=clone.variables,
        capture_output=True,
        text=True,
        check=True,
    )
    imported = {line.rsplit("|", 1)[-1].strip() for line in done.stderr.splitlines()}
    assert "hashlib" in imported
    assert not imported & {"pathlib", "subprocess", "re", "bootstrap"}


def test_the_bootstrap_needs_the_standard_library_only(clone: Any) -> None:
    done = subprocess.run(
        [
            PYTHON,
            "-I",
            "-S",
            "-B",
            "-c",
            "import sys; sys.path.insert(0, sys.argv[1]); import bootstrap.setup",
            str(clone.folder),
        ],
        env={"PATH": os.defpath},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
