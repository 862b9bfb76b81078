"""A project in small that the command runs in, with a lab of fake programs."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from harness import cli
from harness.core.waiting import eventually

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]

INI = """
[pytest]
minversion = 9.0
addopts = --strict-markers --strict-config --import-mode=importlib -p no:cacheprovider
filterwarnings = error
"""


def fake_lab() -> Any:
    """The module beside this file; test folders are no packages."""
    found = importlib.util.spec_from_file_location("fake_lab", HERE / "fake_lab.py")
    assert found
    assert found.loader
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


FAKE_LAB = fake_lab()


@dataclass(frozen=True)
class Ended:
    """What a command left on its caller's screen."""

    exit_code: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout + self.stderr


@dataclass(frozen=True)
class Project:
    """A folder that looks like the suite's clone, and the command in it."""

    root: Path
    monkeypatch: pytest.MonkeyPatch
    capfd: pytest.CaptureFixture[str]

    # What is there

    @property
    def runs(self) -> Path:
        return self.root / ".conformance" / "runs"

    @property
    def results(self) -> Path:
        return self.root / "conformance-report"

    def scenarios(self, behaviours: dict[str, str], tags: str = "@guide:s3.install") -> None:
        """Writes a feature file with a scenario per id, each of them behaving so."""
        blocks = [
            f"  @id:{scenario_id} {tags}\n  Scenario: The product {behaviour} in {scenario_id}\n"
            f"    Given a product\n    When it {behaviour}\n    Then it did as claimed\n"
            for scenario_id, behaviour in behaviours.items()
        ]
        name = f"{next(iter(behaviours)).partition('.')[0]}.feature"
        (self.root / "features").mkdir(exist_ok=True)
        (self.root / "features" / name).write_text(f"Feature: {name}\n\n" + "\n".join(blocks))

    def lab(self, behaviour: str) -> None:
        """Says how the lab behaves when it is started."""
        (self.root / "lab.txt").write_text(behaviour)

    def settings(self, text: str) -> None:
        """Replaces the project's own settings."""
        (self.root / "pyproject.toml").write_text(f"[tool.conformance]\n{text}\n")

    def programs(self, name: str, *programs: str) -> Path:
        """Makes a folder with these programs, which nobody will start."""
        folder = self.root / name
        folder.mkdir()
        for program in programs:
            (folder / program).touch(0o755)
        return folder

    # The command

    def main(self, *arguments: object) -> Ended:
        """Runs the command in this process."""
        self.capfd.readouterr()
        self.monkeypatch.setattr(sys, "argv", ["conformance", *map(str, arguments)])
        try:
            cli.entry()
            code = 0
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else 0 if exit_.code is None else 1
        return Ended(code, *self.capfd.readouterr())

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Starts the command as a process of its own."""
        return subprocess.Popen(
            [sys.executable, str(HERE / "fake_lab.py"), str(self.root), *arguments],
            cwd=self.root,
            env={"PATH": os.environ["PATH"], "PYTHONPATH": str(REPOSITORY), "HOME": str(self.root / "user")},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def wait_for(self, mark: str, process: subprocess.Popen[str]) -> None:
        """Waits until lab or scenario came to the point where it stays."""
        eventually(
            (self.root / mark).exists,
            bool,
            expected=f"the run to come to {mark}",
            within=40,
            failed=lambda _: None if process.poll() is None else str(process.communicate()),
            interval=0.05,
        )

    # What it left

    def report(self) -> dict[str, Any]:
        document: dict[str, Any] = json.loads((self.results / "conformance-report.json").read_text())
        return document

    def verdicts(self) -> dict[str, str]:
        return {entry["id"]: entry["verdict"] for entry in self.report()["scenarios"]}

    def reasons(self) -> dict[str, tuple[str, str]]:
        scenarios = [entry for entry in self.report()["scenarios"] if entry["reason"]]
        return {entry["id"]: (entry["reason"]["code"], entry["reason"]["text"]) for entry in scenarios}

    def left_running(self) -> list[str]:
        """Processes whose temporary files lie in this project."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.environ().get("TMPDIR", "").startswith(str(self.root)):
                    found.append(" ".join(process.cmdline()))
            except psutil.Error:
                continue
        return found


@pytest.fixture
def project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Iterator[Project]:
    for place, name, value in FAKE_LAB.replacements(tmp_path):
        monkeypatch.setattr(place, name, value)
    monkeypatch.chdir(tmp_path)
    user = {name: value for name, value in os.environ.items() if not name.startswith("CONFORMANCE_")}
    user.pop("KUBEBUILDER_ASSETS", None)
    made = Project(tmp_path, monkeypatch, capfd)
    (tmp_path / "harness").symlink_to(REPOSITORY / "harness")
    shutil.copy(HERE / "fake_steps.py", tmp_path / "conftest.py")
    (tmp_path / "pytest.ini").write_text(INI)
    (tmp_path / "known-deviations.yaml").write_text("[]\n")
    made.programs("programs", *FAKE_LAB.PROGRAMS)
    made.settings('teleport = "programs"\ncontrol-plane = "programs"\nchart = "programs"\nworkers = 1')
    made.lab("works")
    made.scenarios({"one.passes": "looks for the plan"})
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(user)
    try:
        yield made
    finally:
        # The command seals its own environment, which here is the tests'.
        os.environ.clear()
        os.environ.update(before)
        for name in [folder.name for folder in made.runs.glob("*")]:
            made.main("down", name)
