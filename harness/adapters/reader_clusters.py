"""Which clusters the reader's tsh lists, and which one the reader's kubectl points at."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from harness.adapters import processes
from harness.core import recording
from harness.core.errors import EnvironmentBroken, TransientOracleError
from harness.core.files import write_secret
from harness.core.waiting import eventually, stays

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from harness.adapters.teleport import Teleport
    from harness.environment import JSON
    from harness.scenario import Names

LISTED_SECONDS = 60.0
"""Budget from the deployment to the cluster in `tsh kube ls`."""

UNLISTED_SECONDS = 1.5
"""How long a list is watched for a cluster that must not come; one that may is there within a second."""

ELSEWHERE = "elsewhere"
"""Name of the cluster, and of the context, of a cluster that does not answer."""


class ReaderClusters:
    """The part of `harness.environment.Workstation` that has to do with choosing a cluster."""

    def __init__(self, *, names: Names, env: Mapping[str, str], teleport: Teleport) -> None:
        """Binds the reader's choice to a scenario.

        Args:
            names: The scenario's names.
            env: Of the workstation.
            teleport: The scenario's Teleport, for what is registered.
        """
        self.names = names
        self._env = dict(env)
        self._home = Path(env["HOME"])
        self._teleport = teleport

    def clusters(self) -> list[str]:
        """The clusters that `tsh kube ls` lists now.

        Raises:
            TransientOracleError: tsh failed.
        """
        argv = ["tsh", "kube", "ls", "--format=json"]
        completed = processes.run(argv, env=self._env, cwd=self._home, within=60)
        if completed.exit_code != 0:
            raise TransientOracleError(completed.stderr.strip()[-300:])
        return [str(cluster["kube_cluster_name"]) for cluster in json.loads(completed.stdout) or []]

    def listed_clusters(self) -> list[str]:
        """Waits until `tsh kube ls` lists the scenario's cluster; all that it lists (claim s3.tsh-ls).

        Raises:
            NotObserved: It was not listed in time.
        """
        return eventually(
            self.clusters,
            lambda names: self.names.cluster in names,
            expected=f"tsh kube ls to list {self.names.cluster}",
            within=LISTED_SECONDS,
        )

    def unlisted(self, mend: Callable[[], None]) -> list[str]:
        """Watches that `tsh kube ls` does not list the scenario's cluster; what it lists.

        What shows that the watching could see it (design rule 4): before, the Auth Service has the cluster;
        afterwards the same query lists it, once `mend` has done what the guide says.

        Args:
            mend: Gives the user what the list needs.

        Raises:
            NotObserved: It was listed.
            EnvironmentBroken: The watching was blind.
        """
        return stays(
            self.clusters,
            lambda names: self.names.cluster not in names,
            expected=f"tsh kube ls not to list {self.names.cluster}",
            budget=UNLISTED_SECONDS,
            control=_Mended(self, self._teleport, mend),
        )

    def kubeconfig(self) -> JSON:
        """The reader's kubeconfig, as the file has it."""
        found: JSON = yaml.safe_load(Path(self._env["KUBECONFIG"]).read_text())
        read = {
            "current-context": found.get("current-context"),
            "contexts": [
                {
                    "name": entry["name"],
                    "cluster": entry["context"]["cluster"],
                    "user": entry["context"]["user"],
                }
                for entry in found["contexts"]
            ],
            "servers": {entry["name"]: entry["cluster"]["server"] for entry in found["clusters"]},
            "arguments": {
                entry["name"]: entry["user"].get("exec", {}).get("args", []) for entry in found["users"]
            },
        }
        recording.record_oracle("workstation", "kubeconfig", read)
        return found

    def point_elsewhere(self) -> str:
        """Sets kubectl to a cluster that does not answer; the name of the context before."""
        file = Path(self._env["KUBECONFIG"])
        config = yaml.safe_load(file.read_text())
        # Port 1 of this machine: nobody listens there, and the answer comes at once.
        cluster = {"name": ELSEWHERE, "cluster": {"server": "https://127.0.0.1:1"}}
        user = config["contexts"][0]["context"]["user"]
        context = {"name": ELSEWHERE, "context": {"cluster": ELSEWHERE, "user": user}}
        before: str = config["current-context"]
        changed = {
            **config,
            "clusters": [*config["clusters"], cluster],
            "contexts": [*config["contexts"], context],
            "current-context": ELSEWHERE,
        }
        write_secret(file, yaml.safe_dump(changed))
        return before


class _Mended:
    """Control of "not listed": the cluster is registered, and is listed once its user is given what it takes."""

    def __init__(self, reader: ReaderClusters, teleport: Teleport, mend: Callable[[], None]) -> None:
        self._reader = reader
        self._teleport = teleport
        self._mend = mend

    def before(self) -> None:
        if not self._teleport.kube_servers():
            raise EnvironmentBroken(
                expected=f"the Auth Service to have cluster {self._reader.names.cluster}",
                seen="no kube_server of that name",
                remedy="see the evidence of this scenario: did the agent join?",
            )

    def after(self) -> None:
        self._mend()
        self._reader.listed_clusters()
