"""The program: what it says of itself, and how it begins and ends."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulators.apiserver.config import ConfigError, load

ROOT = Path(__file__).parents[3]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "simulators.apiserver", *arguments]
    return subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, timeout=30, check=False)


def test_says_that_it_is_simulated(server: Any) -> None:
    assert "simulated" in run("--version").stdout
    status, version = server.client().call("GET", "/version")
    assert status == 200
    assert version["gitVersion"] == "v1.32.0+conformance-simulated"
    assert (version["major"], version["minor"]) == ("1", "32")
    assert "this is a simulated Kubernetes API server" in server.log.read_text().splitlines()[0]


def test_ready_file_names_address_and_process(server: Any) -> None:
    ready = json.loads((server.folder / "ready.json").read_text())
    assert ready == {"server": server.url, "pid": server.process.pid}


@pytest.mark.parametrize(
    ("change", "seen"),
    [
        ({"listen": "0.0.0.0:0"}, "loopback"),
        ({"version": "v1.32.0"}, "has to say that it is simulated"),
        ({"version": "v1.32.0-simulated"}, "has to say that it is simulated"),
        ({"colour": "red"}, "colour"),
        ({"issuer": None}, "issuer"),
    ],
)
def test_wrong_configuration_is_told(server: Any, tmp_path: Path, change: dict[str, Any], seen: str) -> None:
    content = server.config | change
    path = tmp_path / "config.json"
    path.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))
    with pytest.raises(ConfigError, match=seen):
        load(path)


def test_a_user_s_mistake_is_one_line_and_code_4(tmp_path: Path) -> None:
    ended = run(str(tmp_path / "nonesuch"))
    assert ended.returncode == 4
    assert ended.stderr.splitlines() == [
        f"simulated API server: expected a configuration file at {tmp_path}/nonesuch, seen: No such file or directory"
    ]


def test_missing_file_of_a_key_is_told_in_one_line(server: Any, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    own = {"signing_key": "/nonesuch", "audit_log": str(tmp_path / "a"), "ready": str(tmp_path / "r")}
    path.write_text(json.dumps(server.config | own))
    ended = run(str(path))
    assert ended.returncode == 2
    assert "/nonesuch" in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def test_sigterm_ends_it(server: Any, tmp_path: Path) -> None:
    second = type(server)(tmp_path)
    watch = second.admin.lines("/api/v1/pods?watch=1")
    assert second.admin.call("GET", "/api/v1/pods")[0] == 200
    assert second.stop() == 0
    watch.close()
