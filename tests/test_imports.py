"""Each import contract of pyproject.toml breaks when it is violated.

A contract over a misspelt or moved module would be kept for ever, so the violations are written
into a copy of the tree and looked for in the linter's answer, one by one.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("bootstrap", "harness", "simulators", "steps")

# Contract, module that imports, module that is imported. The modules are new ones of the copy.
VIOLATIONS = [
    ("Steps stand on the harness", "harness.core.bad_steps", "steps"),
    ("Within the harness", "harness.core.bad_guide", "harness.guide"),
    ("Within the harness", "harness.core.bad_ports", "harness.environment"),
    ("Within the harness", "harness.guide.bad_ports", "harness.scenario"),
    ("Within the harness", "harness.guide.bad_adapters", "harness.adapters"),
    ("Within the harness", "harness.report.bad_adapters", "harness.adapters"),
    ("Within the harness", "harness.adapters.bad_report", "harness.report"),
    ("Within the harness", "harness.adapters.bad_environments", "harness.environments"),
    ("Within the harness", "harness.report.bad_environments", "harness.environments"),
    ("Adapters know ports and core", "harness.adapters.bad_catalogue", "harness.catalogue"),
    ("Steps see ports only", "steps.bad_adapters", "harness.adapters"),
    ("Steps see ports only", "steps.bad_environments", "harness.environments"),
    ("Steps see ports only", "steps.bad_simulators", "simulators"),
    ("Steps see ports only", "steps.bad_subprocess", "subprocess"),
    ("Steps see ports only", "steps.bad_boto3", "boto3"),
    ("Steps see ports only", "steps.bad_kubernetes", "kubernetes"),
    ("Harness, simulators and bootstrap", "harness.core.bad_simulators", "simulators"),
    ("Harness, simulators and bootstrap", "simulators.aws.bad_harness", "harness"),
    ("Harness, simulators and bootstrap", "simulators.kubelet.bad_harness", "harness"),
    ("Harness, simulators and bootstrap", "bootstrap.bad_harness", "harness"),
    ("Simulators and bootstrap know no steps", "simulators.aws.bad_steps", "steps"),
    ("Simulators and bootstrap know no steps", "bootstrap.bad_steps", "steps"),
    ("Simulators do not know each other", "simulators.aws.bad_kubelet", "simulators.kubelet"),
    ("Simulators do not know each other", "simulators.kubelet.bad_aws", "simulators.aws"),
    ("Only adapters start processes", "harness.core.bad_subprocess", "subprocess"),
    ("Only adapters start processes", "harness.guide.bad_boto3", "boto3"),
    ("Only adapters start processes", "harness.environments.bad_kubernetes", "kubernetes"),
    ("Only adapters start processes", "harness.report.bad_testcontainers", "testcontainers"),
    ("Only adapters start processes", "harness.environments.bad_helm", "helm_python"),
]


def lint(tree: Path) -> tuple[int, str]:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-logo", "--no-cache"],
        cwd=tree,
        # Wide, as the answer is wrapped to the terminal.
        env={"PATH": os.defpath, "HOME": str(tree), "COLUMNS": "300"},
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the packages and of pyproject.toml."""
    folder = tmp_path_factory.mktemp("tree")
    for package in PACKAGES:
        ignored = shutil.ignore_patterns("__pycache__", "*.mdx", "*.yaml")
        shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


@pytest.fixture(scope="module")
def broken(tree: Path) -> dict[str, str]:
    """Contract -> the linter's text on it, with every violation in the tree."""
    for _, importer, imported in VIOLATIONS:
        file = tree / (importer.replace(".", "/") + ".py")
        assert not file.exists(), f"{importer} is a real module: take another name for the violation"
        file.write_text(f"import {imported}\n")
    status, output = lint(tree)
    assert status == 1, output
    _, _, details = output.partition("Broken contracts")
    parts = re.split(r"\n([^\n]+)\n-{3,}\n", details)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.parametrize(
    ("contract", "importer", "imported"), VIOLATIONS, ids=[f"{who}-{whom}" for _, who, whom in VIOLATIONS]
)
def test_a_violation_breaks_its_contract(
    broken: dict[str, str], contract: str, importer: str, imported: str
) -> None:
    (text,) = [text for name, text in broken.items() if name.startswith(contract)]
    assert re.search(rf"\b{re.escape(importer)} -> {re.escape(imported)}\b", text), text


def test_a_module_without_a_layer_breaks_the_layers(broken: dict[str, str], tree: Path) -> None:
    (tree / "harness" / "unplaced.py").touch()
    status, output = lint(tree)
    assert status == 1
    assert "unplaced" in output


def test_every_contract_has_a_violation_here(broken: dict[str, str]) -> None:
    named = {name for name in broken for contract, _, _ in VIOLATIONS if name.startswith(contract)}
    assert named == set(broken)
    text = (ROOT / "pyproject.toml").read_text()
    assert text.count("[[tool.importlinter.contracts]]") == len(broken)
