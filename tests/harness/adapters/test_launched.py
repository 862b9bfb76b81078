"""Asking the launcher for a simulated program without a client in between: the same as by its wrapper script."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from harness.adapters import processes, simulated_product
from harness.adapters.launched import Launched
from harness.core.errors import EnvironmentBroken
from harness.core.ledger import Ledger
from harness.core.recording import Recorder, recording

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def programs(tmp_path: Path, run_id: str) -> Iterator[Path]:
    ledger = Ledger(tmp_path / "ledger.jsonl")
    env = processes.base_environment(tmp_path, run_id)
    launcher = simulated_product.start_launcher(tmp_path / "launcher", env=env, ledger=ledger)
    yield simulated_product.teleport_programs(tmp_path / "programs", launcher, "13", {})
    simulated_product.daemons.stop_all(run_id)


@pytest.mark.parametrize(
    "arguments", [("version",), ("--nonsense", "a b", "\u00e9"), ("-c", "/none", "get", "token/x")], ids=str
)
def test_it_is_the_same_as_by_the_script(
    programs: Path, tmp_path: Path, run_id: str, arguments: tuple[str, ...]
) -> None:
    env = processes.base_environment(tmp_path, run_id)
    argv = [str(programs / "tctl"), *arguments]
    launched = Launched.beside(programs)
    assert launched is not None
    ways = []
    for name, start in (("one", launched.run), ("two", processes.run)):
        with recording(Recorder(tmp_path / name, "a")):
            done = start(argv, env=env, cwd=tmp_path, within=20, stdin="kind: token")
        evidence = next((tmp_path / name).glob("001-command-*.json")).name
        ways.append((done, evidence))
    assert ways[0] == ways[1]


def test_programs_of_their_own_have_no_launcher(tmp_path: Path) -> None:
    assert Launched.beside(tmp_path) is None


@pytest.mark.parametrize("gone", ["launcher", "time"])
def test_what_does_not_end_is_the_environments_fault(programs: Path, tmp_path: Path, gone: str) -> None:
    launched = Launched.beside(programs)
    assert launched is not None
    if gone == "launcher":
        launched = Launched(str(tmp_path / "nothing"), launched.program, launched.variables)
    with pytest.raises(EnvironmentBroken, match="tctl version` to end within"):
        launched.run(
            [str(programs / "tctl"), "version"],
            env=dict(os.environ),
            cwd=tmp_path,
            within=20 if gone == "launcher" else 0.0001,
        )
