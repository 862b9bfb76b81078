"""The real clients of the workstation: which they are and what versions they tell."""

from __future__ import annotations

import importlib.metadata
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

from harness.adapters import processes

if TYPE_CHECKING:
    from collections.abc import Mapping

HELM_COMMAND = Path(__file__).with_name("helm_command.py")
AWS_CLI_IMAGE = "public.ecr.aws/aws-cli/aws-cli:latest"
"""Image of the pod that shows a service account's AWS identity; in the lab a name for the local `aws`."""


def package_version(name: str) -> str:
    """Version of a package of the suite's own environment."""
    return importlib.metadata.version(name)


def versions(programs: Path, *, env: Mapping[str, str], cwd: Path) -> dict[str, str]:
    """Versions of `aws`, `kubectl` and `helm`, as each tells it of itself (claims pre.*-version).

    Args:
        programs: The workstation's folder of programs.
        env: Environment of the children.
        cwd: Working directory.

    Raises:
        EnvironmentBroken: One does not run.
    """

    def output(*argv: str) -> str:
        completed = processes.run([str(programs / argv[0]), *argv[1:]], env=env, cwd=cwd, within=60)
        return processes.checked(completed, expected=f"{' '.join(argv)} to succeed").stdout

    def number(text: str) -> str:
        found = re.search(r"\d+\.\d+(\.\d+)?\S*", text)
        return found.group().rstrip('",') if found else text.strip()

    kubectl = json.loads(output("kubectl", "version", "--client", "-o", "json"))
    return {
        "aws": number(output("aws", "--version")),
        "kubectl": str(kubectl["clientVersion"]["gitVersion"]),
        "helm": number(output("helm", "version")),
    }
