"""What stands in for the product: the version that is imitated, the chart that goes with it, and what it says."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import yaml

from harness.adapters import simulated_product
from harness.adapters.processes import base_environment
from harness.adapters.simulators import Launcher
from harness.core.errors import EnvironmentBroken
from harness.environment import SimulatedText

if TYPE_CHECKING:
    from collections.abc import Mapping

CLONE = Path(__file__).resolve().parents[3]


class Direct(Launcher):
    """Runs the simulators as processes of their own, or a text that a test chose in their place."""

    def __init__(self, code: str = "") -> None:
        super().__init__(Path("nowhere"))
        object.__setattr__(self, "code", code)

    def command(self, program: str, *arguments: str) -> list[str]:
        code: str = getattr(self, "code", "")
        if code:
            return [sys.executable, "-c", code]
        return [sys.executable, "-m", f"simulators.{program}", *arguments]


def environment(home: Path) -> Mapping[str, str]:
    return {**base_environment(home, "abcdef"), "PYTHONPATH": str(CLONE)}


@pytest.mark.parametrize("program", ["teleport", "tctl", "tsh"])
@pytest.mark.parametrize("major", ["13", "17"])
def test_the_programs_carry_the_version_whatever_their_environment_says(
    tmp_path: Path, major: str, program: str
) -> None:
    folder = simulated_product.teleport_programs(tmp_path / "bin", Direct(), major, {})
    other = {"13": "17", "17": "13"}[major]
    told = subprocess.run(
        [folder / program, "version"],
        env={**environment(tmp_path), "CONFORMANCE_SIMULATED_TELEPORT": other},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert f"v{major}.0.0" in told
    assert "simulated" in told


@pytest.mark.parametrize("major", ["13", "17"])
def test_the_stand_in_chart_goes_with_the_version_and_says_what_it_is(tmp_path: Path, major: str) -> None:
    chart = simulated_product.stand_in_chart(tmp_path / "chart", major)
    metadata = yaml.safe_load((chart / "Chart.yaml").read_text())
    assert (metadata["version"], metadata["appVersion"]) == (f"{major}.0.0-simulated",) * 2
    assert "not Teleport's chart" in metadata["description"]
    assert "is simulated" in (chart / "templates" / "NOTES.txt").read_text()
    assert (chart / "values.yaml").is_file()


@pytest.mark.parametrize(("major", "known"), [("13", "measured"), ("17", "inferred")])
def test_the_texts_come_with_their_provenance(tmp_path: Path, major: str, known: str) -> None:
    texts = simulated_product.teleport_texts(Direct(), major, env=environment(tmp_path), cwd=tmp_path)
    refusal = next(text for text in texts if text.name == "no-rule-matched")
    assert refusal.provenance == known
    assert "did not match any allow rules" in refusal.text
    assert len({text.name for text in texts}) == len(texts) > 20


@pytest.mark.parametrize(
    ("code", "seen"),
    [
        ("print('no JSON')", "JSONDecodeError"),
        ("print('{}')", "KeyError"),
        ("print('[]')", "TypeError"),
        ('print(\'{"texts": {"a": {}}}\')', "KeyError"),
        ("print('{\"texts\": [1]}')", "AttributeError"),
        ("import sys; sys.exit('no such version')", "no such version"),
    ],
)
def test_anything_else_than_texts_is_told(tmp_path: Path, code: str, seen: str) -> None:
    with pytest.raises(EnvironmentBroken, match=seen):
        simulated_product.teleport_texts(Direct(code), "13", env=environment(tmp_path), cwd=tmp_path)


def test_texts_are_taken_as_they_are(tmp_path: Path) -> None:
    code = 'print(\'{"texts": {"a": {"text": "b {c}", "provenance": "read"}}}\')'
    texts = simulated_product.teleport_texts(Direct(code), "13", env=environment(tmp_path), cwd=tmp_path)
    assert texts == [SimulatedText("a", "b {c}", "read")]
