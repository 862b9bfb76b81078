"""The reader's own machine: a shell with the real clients and nothing of the user's own set-up."""

from __future__ import annotations

import shlex
import shutil
import stat
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from harness.adapters import processes
from harness.adapters.reader_clusters import ReaderClusters
from harness.adapters.teleport_server import HOST
from harness.core.errors import NotApplicable, NotApplicableCode, TransientOracleError
from harness.core.files import write_secret
from harness.core.findings import note
from harness.core.waiting import eventually
from harness.environment import Completed, Routed
from harness.guide.editions import RECONSTRUCTED
from harness.guide.script import PRINTED, as_it_should_read, as_printed, file_block

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from harness.adapters.kubernetes import Cluster
    from harness.adapters.teleport import Teleport
    from harness.scenario import Names

SCRIPT_SECONDS = 180.0
"""Budget for one pasted script; `helm install` without --wait and a dozen aws calls take 15 s."""

AUDIT_SECONDS = 15.0
"""Budget for a routed call to appear in Teleport's audit log; it is written within a second."""

SHOWN_SECONDS = 30.0
"""Budget for what a user was just given to count; the Auth Service of 13 sees it within a second."""

FILES = {"kube-access.yaml": "ts.role-created", "viewers-bind.yaml": "ts.viewers-bound"}
"""Files that the guide has its reader make in an editor, and the claims they belong to."""

KUBE_CLUSTER = "kube-cluster"
"""Name of the EKS cluster in the guide's `aws eks describe-cluster`."""

# Every failing command of a pasted script is noted, without changing how the script runs.
_PREAMBLES = {
    # A failure inside a pipeline counts as well: the guide pipes aws into sed.
    "bash": 'set -o pipefail\ntrap \'printf "%s\\n" "$BASH_COMMAND" >>"$CONFORMANCE_FAILED"\' ERR\n',
    "zsh": 'setopt pipefail\nTRAPZERR() { print -r -- "command ending with status $?" >>"$CONFORMANCE_FAILED" }\n',
}


def client_environment(  # each is another fact of the run
    home: Path,
    *,
    run: str,
    programs: Path,
    proxy: str,
    ca_file: Path,
    region: str,
    key_id: str,
    secret: str,
    kubeconfig: Path,
) -> dict[str, str]:
    """Makes a home for the clients and returns their whole environment.

    Everything that names the user's own AWS, Kubernetes, Helm or Teleport set-up points into `home`.
    Keys are in a file, not in the environment, as a reader of the guide has them.

    Args:
        home: Folder to make.
        run: Run id.
        programs: Folder with `aws`, `kubectl`, `helm`, `tctl`, `tsh`.
        proxy: Loopback `host:port` of the gateway's proxy.
        ca_file: The run's certificate authority, the only one trusted.
        region: AWS region.
        key_id: Access key id of the account's administrator.
        secret: Its secret.
        kubeconfig: Administrator's kubeconfig; the home gets a copy, since tsh writes to it.
    """
    aws = home / ".aws"
    aws.mkdir(parents=True)
    (aws / "config").write_text(f"[default]\nregion = {region}\noutput = json\nca_bundle = {ca_file}\n")
    write_secret(
        aws / "credentials", f"[default]\naws_access_key_id = {key_id}\naws_secret_access_key = {secret}\n"
    )
    write_secret(home / "kubeconfig", kubeconfig.read_text())
    return processes.base_environment(home, run, [programs]) | {
        "AWS_CONFIG_FILE": str(aws / "config"),
        "AWS_SHARED_CREDENTIALS_FILE": str(aws / "credentials"),
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_PAGER": "",
        "HELM_CACHE_HOME": str(home / "helm" / "cache"),
        "HELM_CONFIG_HOME": str(home / "helm" / "config"),
        "HELM_DATA_HOME": str(home / "helm" / "data"),
        "HELM_REPOSITORY_CONFIG": str(home / "helm" / "config" / "repositories.yaml"),
        "HTTPS_PROXY": f"http://{proxy}",
        "HTTP_PROXY": f"http://{proxy}",
        "NO_PROXY": "127.0.0.1,localhost",
        "KUBECONFIG": str(home / "kubeconfig"),
        "SSL_CERT_FILE": str(ca_file),
        # Else tctl takes /etc/teleport.yaml where there is one, before any profile, and tsh /etc/tsh.yaml.
        "TELEPORT_CONFIG_FILE": "",
        "TELEPORT_GLOBAL_TSH_CONFIG": str(home / "tsh.yaml"),
        "TELEPORT_HOME": str(home / ".tsh"),
    }


def install_programs(folder: Path, programs: Mapping[str, Path | str]) -> Path:
    """Makes the folder that the workstation's PATH begins with; returns it.

    Args:
        folder: Folder to make.
        programs: Name of the command -> executable to link, or text of a shell script.
    """
    folder.mkdir(parents=True)
    for name, program in programs.items():
        path = folder / name
        if isinstance(program, str):
            path.write_text(program)
            path.chmod(path.stat().st_mode | stat.S_IXUSR)
        else:
            path.symlink_to(program.resolve())
    return folder


class Workstation(ReaderClusters):
    """`harness.environment.Workstation` over a shell on this machine."""

    proxy_address = f"{HOST}:443"

    def __init__(  # each is another fact of the run
        self,
        *,
        names: Names,
        env: Mapping[str, str],
        edition: str,
        chart_version: str,
        region: str,
        cluster: Cluster,
        teleport: Teleport,
    ) -> None:
        """Binds a workstation to a scenario.

        Args:
            names: The scenario's names.
            env: Made by `client_environment`.
            edition: The guide's edition.
            chart_version: What the guide's site fills in as Teleport's version.
            region: AWS region.
            cluster: The scenario's cluster, for what its audit log saw.
            teleport: The scenario's Teleport, for what its audit log saw.
        """
        super().__init__(names=names, env=env, teleport=teleport)
        self._edition = edition
        self.guide_version = chart_version
        self._region = region
        self._cluster = cluster

    def require(self, *tools: str) -> None:
        """Ends the scenario where a tool that the guide uses is absent.

        Raises:
            NotApplicable: One is.
        """
        for tool in tools:
            if shutil.which(tool, path=self._env["PATH"]) is None:
                raise NotApplicable(NotApplicableCode.TOOL_ABSENT, f"there is no {tool} on this machine")

    def run(self, script: str, *, shell: str = "bash") -> Completed:
        """Runs a script as if pasted: a command that fails does not stop the next.

        Raises:
            NotApplicable: The shell is missing.
            EnvironmentBroken: The script did not end in time.
        """
        self.require(shell)
        home = self._home
        failed = home / "failed-commands"
        failed.write_text("")
        file = home / "pasted.sh"
        file.write_text(_PREAMBLES[shell] + script)
        env = {**self._env, "CONFORMANCE_FAILED": str(failed)}
        completed = processes.run(
            [shell, str(file)], env=env, cwd=home, within=SCRIPT_SECONDS, shown_as=script
        )
        return Completed(
            script=script,
            exit_code=completed.exit_code,
            stdout=completed.stdout,
            stderr=completed.stderr,
            failed=tuple(failed.read_text().splitlines()),
        )

    def guide(  # a reader may deviate in each of these
        self,
        *claims: str,
        shell: str = "bash",
        corrected: bool = False,
        variables: Mapping[str, str] | None = None,
        instead: Mapping[str, str] | None = None,
    ) -> Completed:
        """Runs the edition's code blocks of these claims in one shell, as printed or as they should read.

        Args:
            *claims: Ids of claims with commands.
            shell: `bash` or `zsh`.
            corrected: With the declared corrections, or as printed.
            variables: What the shell has already, from commands before these.
            instead: Names in place of the scenario's, by the guide's own.
        """
        known = "".join(f"export {name}={shlex.quote(value)}\n" for name, value in (variables or {}).items())
        text = self._text(claims, corrected=corrected, instead=instead)
        return self.run(known + text, shell=shell)

    def told(self, program: str, *claims: str, corrected: bool = False) -> list[str]:
        """What the shell passes to a program in these code blocks, the program itself not run.

        Args:
            program: Name of the command; a shell function of that name takes its arguments down.
            *claims: Ids of claims with commands.
            corrected: With the declared corrections, or as printed.
        """
        noted = self._home / "told"
        noted.write_text("")
        function = f'{program}() {{ printf "%s\\n" "$@" >>"$HOME/told"; }}\n'
        self.run(function + self._text(claims, corrected=corrected))
        return noted.read_text().splitlines()

    def _text(
        self, claims: Sequence[str], *, corrected: bool, instead: Mapping[str, str] | None = None
    ) -> str:
        names = {**self.guide_names(), **(instead or {})}
        return (as_it_should_read if corrected else as_printed)(self._edition, claims, names)

    def guide_names(self) -> dict[str, str]:
        """What the reader puts in place of the guide's placeholders (design rule 8)."""
        names = self.names
        return {
            **PRINTED,
            "example.teleport.sh": HOST,
            # The port is given: without one, `tsh login` of 13 looks for it without the HTTPS proxy.
            "teleport.example.com": f"{HOST}:443",
            "email@example.com": names.user,
            "teleport-agent": names.namespace,
            "teleport-kube-agent-sa": names.service_account,
            "kube-iam-policy": names.policy,
            "kube-iam-role": names.role,
            "kube-iam-token": names.token,
            "kube-cluster": KUBE_CLUSTER,
            "aws-region": self._region,
            "release": names.release,
            "CLUSTER": names.cluster,
            "role": names.access_role,
            "group": names.group,
            "binding": names.binding,
            "github": names.github,
            "mysaml": names.saml,
            "myoidc": names.oidc,
            "teleport.version": self.guide_version,
        }

    def file(self, name: str) -> dict[str, Any]:
        """A YAML file that the guide has its reader make in an editor, with the scenario's names.

        Args:
            name: As the guide calls it (`kube-access.yaml`, `viewers-bind.yaml`).
        """
        document: dict[str, Any] = yaml.safe_load(self._file_text(name))
        return document

    def save(self, name: str) -> None:
        """Makes a file of the guide in the reader's home, as in an editor.

        Args:
            name: As in `file`.
        """
        (self._home / name).write_text(self._file_text(name))

    def _file_text(self, name: str) -> str:
        if (self._edition, name) in RECONSTRUCTED:
            # Whoever reads the report has to know that this part is not the guide's own text.
            note(
                "environment",
                FILES[name],
                f"{name} of edition {self._edition}: {RECONSTRUCTED[self._edition, name]}",
            )
        return file_block(self._edition, name, self.guide_names())

    def pods_shown(self) -> Sequence[str]:
        """Waits until kubectl lists pods of the scenario's namespace through Teleport; their names.

        Raises:
            NotObserved: It listed none.
        """
        return eventually(
            lambda: self.kubectl("get", "pods", "--namespace", self.names.namespace).pod_names(),
            lambda names: len(names) > 0,
            expected=f"kubectl to list pods of {self.names.namespace}",
            within=SHOWN_SECONDS,
        )

    def kubectl(self, *arguments: str, routed: bool = False) -> Routed:
        """Runs kubectl through Teleport as the scenario's user, with what both audit logs saw.

        Args:
            *arguments: Of kubectl.
            routed: Whether Teleport must route the call though it may be refused.

        Raises:
            NotObserved: `tsh kube login` wrote no kubeconfig, or the call succeeded or had to be routed, and
                Teleport's audit log never showed it.
        """
        own = self._home / f"{self.names.cluster}.kubeconfig"
        env = {**self._env, "KUBECONFIG": str(own)}
        if not own.exists():
            self._select(env)
        seen = len(self._requests())
        before = len(self._cluster.audit(self.names.user))
        # A cache of discovery from an earlier identity would hide what this one may see.
        cache = self._home / f"kubectl-cache-{seen}"
        argv = ["kubectl", f"--cache-dir={cache}", *arguments]
        completed = processes.run(argv, env=env, cwd=self._home, within=60)
        # The log has a call a moment after kubectl has its answer.
        if routed or completed.exit_code == 0:
            eventually(
                self._requests,
                lambda requests: len(requests) > seen,
                expected=f"Teleport's audit log to show the request of {self.names.user}",
                within=AUDIT_SECONDS,
            )
        return Routed(
            completed=completed,
            teleport=tuple(self._requests()[seen:]),
            kubernetes=tuple(self._cluster.audit(self.names.user))[before:],
        )

    def _requests(self) -> list[Mapping[str, object]]:
        return [
            event for event in self._teleport.audit("kube.request") if event.get("user") == self.names.user
        ]

    def _select(self, env: Mapping[str, str]) -> None:
        """Selects the cluster with `tsh kube login` once it is listed; its own message proves nothing."""
        argv = ["tsh", "kube", "login", self.names.cluster]

        def written() -> bool:
            completed = processes.run(argv, env=env, cwd=self._home, within=60)
            if completed.exit_code != 0:
                raise TransientOracleError(completed.stderr.strip()[-300:])
            return Path(env["KUBECONFIG"]).exists()

        eventually(
            written,
            bool,
            expected=f"tsh kube login {self.names.cluster} to write a kubeconfig",
            within=AUDIT_SECONDS,
        )
