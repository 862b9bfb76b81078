"""Nobody can take a simulated program for what it stands in for: each says what it is when asked for its version.

Their logs and the report of a run say it too; tests/test_simulated_run.py looks at those.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CLONE = Path(__file__).resolve().parents[2]
PROGRAMS = {
    "apiserver": (["simulators.apiserver"], "simulated Kubernetes API server v"),
    "backend": (["simulators.aws.backend"], "simulated AWS: moto "),
    "gateway": (["simulators.aws"], "simulated AWS: the conformance suite's gateway"),
    "kubelet": (["simulators.kubelet"], "simulated kubelet of the conformance suite"),
    "launcher": (
        ["simulators.launcher"],
        "launcher of the conformance suite: everything that it starts is simulated",
    ),
    "tctl": (
        ["simulators.teleport", "tctl"],
        "simulated tctl v13.0.0-dev+simulated. Simulation of Teleport 13",
    ),
    "teleport": (
        ["simulators.teleport", "teleport"],
        "simulated teleport v13.0.0-dev+simulated. Simulation of Teleport 13",
    ),
    "tsh": (["simulators.teleport", "tsh"], "simulated tsh v13.0.0-dev+simulated. Simulation of Teleport 13"),
}
"""Program -> module with its first arguments, beginning of what it tells."""


def modules() -> set[str]:
    """All packages of simulators, and modules among them, that are programs."""
    files = [*CLONE.glob("simulators/*/__main__.py"), *CLONE.glob("simulators/*/[a-z]*.py")]
    programs = [
        file for file in files if "argparse.ArgumentParser(" in file.read_text() or file.stem == "__main__"
    ]
    found = (".".join(file.relative_to(CLONE).with_suffix("").parts) for file in programs)
    return {name.removesuffix(".__main__") for name in found} - {"simulators.teleport.command_line"}


def test_the_table_has_every_program() -> None:
    assert {argv[0] for argv, _ in PROGRAMS.values()} == modules()


@pytest.mark.parametrize("program", PROGRAMS)
def test_its_version_says_that_it_is_simulated(program: str) -> None:
    argv, expected = PROGRAMS[program]
    done = subprocess.run(
        [sys.executable, "-m", *argv, "--version"],
        cwd=CLONE,
        env={"PATH": "/usr/bin:/bin", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(expected)
    assert done.stdout.count("\n") == 1
