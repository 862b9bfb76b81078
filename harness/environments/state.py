"""What is written down of a running environment, so that others can attach to it and clean up after it.

One folder a run, below `.conformance/runs/` of the clone: `environment.json` (no secrets), `secrets.json`
(only the user may read it), `ledger.jsonl`, and the folders of the components.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from harness.core.errors import UsageError
from harness.core.files import write_atomically, write_secret
from harness.environment import Component, Description, SimulatedText

CLONE = Path(__file__).resolve().parents[2]
SUITE_VERSION: str = tomllib.loads((CLONE / "pyproject.toml").read_text())["project"]["version"]
RUNS = CLONE / ".conformance" / "runs"
STATE_FILE = "environment.json"
SECRETS_FILE = "secrets.json"
LEDGER_FILE = "ledger.jsonl"
OWNER_FILE = "owner.lock"


@dataclass(frozen=True)
class State:
    """A provisioned lab.

    Attributes:
        run: Run id, the mark of its processes.
        name: What `--reuse` calls it; also the name of its folder.
        description: What it consists of.
        addresses: Loopback `host:port` of the gateway's listeners (`proxy`, `control`, `metadata`,
            `webhook`) and of Teleport's proxy (`teleport`).
        account_id: The run's random AWS account.
        region: AWS region of the cluster.
        issuer: OIDC issuer of the cluster.
        paths: Files and folders by name; absolute.
        chart_version: Version of the chart under test.
        chart_app_version: Version of Teleport that the chart deploys by default.
        teleport_version: As the running proxy tells it.
        seconds: What provisioning took, part by part.
        administrator: Access key id of the account's administrator.
        identities: Container ids by name; empty in the lab.
        lasts: Whether it may be used again, so that scenarios take back what only their own names refer to.
    """

    run: str
    name: str
    description: Description
    addresses: dict[str, str]
    account_id: str
    region: str
    issuer: str
    paths: dict[str, str]
    chart_version: str
    chart_app_version: str
    teleport_version: str
    seconds: dict[str, float]
    administrator: str
    identities: dict[str, str] = field(default_factory=dict)
    lasts: bool = True

    @property
    def folder(self) -> Path:
        """The run's folder."""
        return RUNS / self.name

    def path(self, name: str) -> Path:
        """A file or folder by its name in `paths`."""
        return Path(self.paths[name])

    def write(self, secrets: dict[str, str]) -> Path:
        """Writes `environment.json` and, for the user alone, `secrets.json`; returns the former."""
        document = asdict(self)
        document["description"]["capabilities"] = sorted(self.description.capabilities)
        write_secret(self.folder / SECRETS_FILE, json.dumps(secrets))
        path = self.folder / STATE_FILE
        write_atomically(path, json.dumps(document, indent=1))
        return path

    def ending(self) -> State:
        """The same environment, from now on known to end with the run that started it; written down."""
        made = replace(self, lasts=False)
        made.write(read(self.folder / STATE_FILE)[1])
        return made


def read(path: Path) -> tuple[State, dict[str, str]]:
    """The state of a run, and its secrets.

    Args:
        path: Its `environment.json`.

    Raises:
        UsageError: There is none, or another version of the suite wrote it.
    """
    try:
        document: dict[str, Any] = json.loads(path.read_text())
        secrets: dict[str, str] = json.loads((path.parent / SECRETS_FILE).read_text())
        described = document.pop("description")
        described["components"] = {
            name: Component(**component) for name, component in described["components"].items()
        }
        described["capabilities"] = frozenset(described["capabilities"])
        described["additions"] = tuple(described["additions"])
        described["texts"] = tuple(SimulatedText(**text) for text in described["texts"])
        return State(description=Description(**described), **document), secrets
    except (OSError, ValueError, TypeError, KeyError) as error:
        known = ", ".join(sorted(folder.name for folder in RUNS.glob("*"))) or "none"
        raise UsageError(
            expected=f"a running environment in {path.parent}",
            seen=f"{type(error).__name__}: {error}",
            remedy=f"start one with `./conformance up`; environments that are there: {known}",
        ) from error
