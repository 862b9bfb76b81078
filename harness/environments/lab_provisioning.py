"""The lab: real programs as plain processes on loopback, AWS behind the gateway, no Docker.

Provisioning is outside pytest: `provision` starts everything and writes `environment.json`; each worker
attaches with `Lab`. Nothing of the user's is read or written, nothing listens beyond loopback.
"""

from __future__ import annotations

import contextlib
import secrets as random
import shlex
import shutil
import sys
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.adapters import chart as charts
from harness.adapters import clients, control_plane, daemons, processes, simulators, teleport_server
from harness.adapters.aws import Clients
from harness.adapters.certificates import Authority, signing_key
from harness.adapters.kubernetes_api import KubernetesAPI
from harness.adapters.workstation import KUBE_CLUSTER, install_programs
from harness.core.errors import EnvironmentBroken, MissingComponents
from harness.core.ledger import Ledger
from harness.core.redaction import redactor
from harness.environment import Component, Description
from harness.environments import state
from harness.guide.editions import edition_for

if TYPE_CHECKING:
    from collections.abc import Callable

    from harness.core.settings import Settings

REGION = "eu-west-1"
CAPABILITIES = frozenset(
    {"aws-call-log", "clock", "kubernetes-audit-log", "node-identity", "role-denial", "teleport-audit-log"}
)
KUBELET_DETAIL = (
    "pods are local processes in mount, process and host-name namespaces of their own: no pod network, no "
    "securityContext; the diagnostics address of the agent's pod is rewritten to a free loopback port"
)
ADDITIONS = (
    "clients and Teleport reach AWS host names and tele.example.com through HTTPS_PROXY, the AWS gateway",
    "all children trust the run's own certificate authority (SSL_CERT_FILE) and no other",
    "the node gives every container HTTPS_PROXY, SSL_CERT_FILE and a dead AWS_EC2_METADATA_SERVICE_ENDPOINT",
    "a MutatingWebhookConfiguration sends new pods to the gateway's pod identity webhook",
    "an IAM OIDC provider for the cluster is there before the guide begins (claim pre.oidc-provider)",
)


def required(settings: Settings) -> tuple[Path, Path, Path]:
    """The real programs that the lab is made of: Teleport's folder, the control plane's, the chart.

    Raises:
        MissingComponents: One was not given or lacks a program.
    """
    given = {
        "--teleport DIR (teleport, tctl, tsh)": settings.teleport,
        "--control-plane DIR (etcd, kube-apiserver, kube-controller-manager)": settings.control_plane,
        "--chart DIR (teleport-kube-agent)": settings.chart,
    }
    missing = [option for option, value in given.items() if value is None]
    seen = [f"not given: {'; '.join(missing)}"] if missing else []
    for folder, check in (
        (settings.teleport, teleport_server.require_programs),
        (settings.control_plane, control_plane.require_programs),
    ):
        try:
            if folder is not None:
                check(folder.resolve())
        except MissingComponents as error:
            seen.append(f"{error.seen} ({folder})")
    if seen or settings.teleport is None or settings.control_plane is None or settings.chart is None:
        # All at once: nobody wants to be told of one program a run.
        raise MissingComponents(
            expected="real programs to make the lab of",
            seen="; ".join(seen),
            remedy="see 'Real programs' in README.md for where each comes from",
        )
    return settings.teleport.resolve(), settings.control_plane.resolve(), settings.chart.resolve()


class Provisioning:
    """One lab in the making; on failure everything that was begun is undone."""

    def __init__(self, settings: Settings, report: Callable[[str], None]) -> None:
        """Prepares the run's folder.

        Args:
            settings: What the user chose.
            report: Told, in a few words, what is being done.

        Raises:
            MissingComponents: A real program is missing.
        """
        self.teleport, self.plane, self.chart_given = required(settings)
        self._settings = settings
        self._report = report
        self.run = random.token_hex(3)
        self.name = settings.name or self.run
        self.folder = state.RUNS / self.name
        self.account_id = str(random.randbelow(9 * 10**11) + 10**11)
        # As EKS names issuers: 32 upper-case hexadecimal digits.
        self.issuer = f"https://oidc.eks.{REGION}.amazonaws.com/id/{random.token_hex(16).upper()}"
        self.key_id = f"AKIA{random.token_hex(8).upper()}"
        self.secret = random.token_urlsafe(30)
        redactor.register(self.secret)
        self.seconds: dict[str, float] = {}

    def begin(self) -> None:
        """Makes the run's folder and its ledger.

        Raises:
            FileExistsError: An environment of that name is there.
        """
        state.RUNS.mkdir(parents=True, exist_ok=True)
        self.folder.mkdir(mode=0o700)
        self.ledger = Ledger(self.folder / state.LEDGER_FILE)

    def provision(self) -> state.State:
        """Starts everything that does not depend on another at the same time; returns what there is.

        Raises:
            EnvironmentBroken: Something did not start; what did is stopped.
        """
        try:
            return self._provision()
        except BaseException:
            # Once more, for what a thread started while the first round went on.
            daemons.stop_all(self.run)
            raise

    def _provision(self) -> state.State:
        began = time.monotonic()
        keys = self.folder / "keys"
        keys.mkdir()
        self.authority = Authority(keys)
        self.signing = signing_key(keys)
        self.chart = charts.publish(self.chart_given, self.folder / "charts")
        # Known beforehand, so that nothing has to wait for another to learn them.
        self.addresses = {
            "teleport": f"127.0.0.1:{daemons.free_port()}",
            "proxy": f"127.0.0.1:{daemons.free_port()}",
        }
        self.plain = processes.base_environment(self._home("services"), self.run)
        self.network = simulators.network_environment(
            self.addresses["proxy"], self.authority.pair.certificate
        )
        self.programs = self._programs()
        self._report("starting etcd, kube-apiserver, Teleport and the AWS gateway")
        made = self._side_by_side(
            isolation=lambda: simulators.check_isolation(env=self.plain),
            kubernetes=self._start_control_plane,
            aws=self._start_aws,
            teleport=self._start_teleport,
            clients=lambda: clients.versions(self.programs, env=self.plain, cwd=self.folder),
        )
        self.addresses |= made["aws"]
        self._report("starting the kubelet; registering OIDC provider and webhook")
        self._timed("kubelet", lambda: self._start_kubelet(made["kubernetes"]))
        self._timed("accounts", lambda: self._prepare_accounts(made["kubernetes"]))
        # Whoever died unwatched meanwhile (the controller manager is not waited for) is told here.
        daemons.must_all_be_alive(self.folder)
        self.seconds["total"] = time.monotonic() - began
        written = self._state(made["kubernetes"], made["teleport"], made["clients"])
        written.write({"administrator": self.secret})
        return written

    def _side_by_side(self, **work: Callable[[], Any]) -> dict[str, Any]:
        """Does all at once; the first that fails stops the others and is the one that is told."""
        with ThreadPoolExecutor() as pool:
            making = {name: pool.submit(self._timed, name, call) for name, call in work.items()}
            try:
                done, _ = wait(making.values(), return_when=FIRST_EXCEPTION)
                for failed in done:
                    failed.result()
            except BaseException:
                # The threads end when what they wait for is gone, and only then does the pool.
                daemons.stop_all(self.run)
                raise
            return {name: future.result() for name, future in making.items()}

    def _start_control_plane(self) -> control_plane.ControlPlane:
        return control_plane.start(
            self.plane,
            self.folder / "kubernetes",
            authority=self.authority,
            signing=self.signing,
            issuer=self.issuer,
            env=self.plain,
            ledger=self.ledger,
        )

    def _start_aws(self) -> dict[str, str]:
        # tsh writes the port that the proxy listens on into the kubeconfig, not the public one.
        ports = ("443", self.addresses["teleport"].rpartition(":")[2])
        return simulators.start_gateway(
            self.folder / "aws",
            run=self.run,
            env=self.plain,
            ledger=self.ledger,
            authority=self.authority.pair,
            configuration={
                "proxy": self.addresses["proxy"],
                "account": self.account_id,
                "key_id": self.key_id,
                "secret": self.secret,
                "region": REGION,
                "issuer": self.issuer,
                "jwks": str(self.signing.jwks),
                "cluster": KUBE_CLUSTER,
                "routes": {f"{teleport_server.HOST}:{port}": self.addresses["teleport"] for port in ports},
                "charts": str(self.folder / "charts"),
                "kubeconfig": str(self.folder / "kubernetes" / "admin.kubeconfig"),
            },
        )

    def _start_teleport(self) -> teleport_server.Server:
        return teleport_server.start(
            self.teleport,
            self.folder / "teleport",
            authority=self.authority,
            env=self.plain | self.network,
            address=self.addresses["teleport"],
            ledger=self.ledger,
        )

    def _home(self, name: str) -> Path:
        home = self.folder / "homes" / name
        home.mkdir(parents=True)
        return home

    def _timed(self, name: str, work: Callable[[], Any]) -> Any:
        began = time.monotonic()
        try:
            return work()
        finally:
            self.seconds[name] = time.monotonic() - began

    def _programs(self) -> Path:
        environment = Path(sys.executable).parent
        kubectl = self.plane / "kubectl"
        helm = self._settings.helm or shutil.which("helm")
        library = shlex.join([sys.executable, "-I", str(clients.HELM_COMMAND)])
        return install_programs(
            self.folder / "bin",
            {
                "aws": f'#!/bin/sh\nexec {shlex.quote(str(environment / "aws"))} "$@"\n',
                # The one beside the API server fits its version.
                "kubectl": kubectl if kubectl.is_file() else environment / "kubectl",
                "helm": Path(helm) if helm else f'#!/bin/sh\nexec {library} "$@"\n',
                "tctl": self.teleport / "tctl",
                "tsh": self.teleport / "tsh",
            },
        )

    def _start_kubelet(self, plane: control_plane.ControlPlane) -> None:
        simulators.start_kubelet(
            self.folder / "kubelet",
            run=self.run,
            env=self.plain,
            ledger=self.ledger,
            authority=self.authority,
            kubeconfig=plane.kubelet_kubeconfig,
            images=[
                {
                    "name": "*gravitational/teleport*",
                    "entrypoint": ["teleport", "start", "-c", "/etc/teleport/teleport.yaml"],
                    "path": str(self.teleport),
                },
                {"name": clients.AWS_CLI_IMAGE, "entrypoint": ["aws"], "path": str(self.programs)},
            ],
            environment=self.network
            | {
                "AWS_CA_BUNDLE": str(self.authority.pair.certificate),
                # No node identity unless a scenario asks for one: the gateway answers 404 below this path.
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{self.addresses['metadata']}/none",
            },
        )

    def _prepare_accounts(self, plane: control_plane.ControlPlane) -> None:
        """Checks that AWS is the run's own, before the first write; then provider and webhook."""
        aws = Clients(
            proxy=self.addresses["proxy"],
            ca_file=self.authority.pair.certificate,
            key_id=self.key_id,
            secret=self.secret,
            region=REGION,
        )
        seen = aws.client("sts").get_caller_identity()["Account"]
        if seen != self.account_id:
            raise EnvironmentBroken(
                expected=f"get-caller-identity to return the run's own account {self.account_id}",
                seen=f"account {seen}",
                remedy="nothing was written; please report this, with what proxies or AWS settings there are",
            )
        aws.client("iam").create_open_id_connect_provider(
            Url=self.issuer, ClientIDList=["sts.amazonaws.com"], ThumbprintList=["0" * 40]
        )
        api = KubernetesAPI(plane.kubeconfig)
        with contextlib.closing(api):
            api.apply(
                simulators.webhook_configuration(self.addresses["webhook"], self.authority.pair.certificate)
            )

    def _state(
        self,
        plane: control_plane.ControlPlane,
        server: teleport_server.Server,
        tools: dict[str, str],
    ) -> state.State:
        components = {
            "aws": Component(
                "AWS gateway over moto",
                clients.package_version("moto"),
                simulated=True,
                detail="IAM, STS, EKS",
            ),
            "kubernetes": Component("control plane", plane.version, simulated=False),
            "kubelet": Component(
                "the lab's kubelet", f"of suite {state.SUITE_VERSION}", simulated=True, detail=KUBELET_DETAIL
            ),
            "teleport": Component("teleport", server.version, simulated=False),
            "chart": Component(charts.NAME, self.chart.version, simulated=False),
            "clients": Component(
                "aws, kubectl, helm",
                ", ".join(f"{name} {version}" for name, version in tools.items()),
                simulated=False,
            ),
        }
        return state.State(
            run=self.run,
            name=self.name,
            description=Description(
                name="lab",
                run=self.run,
                components=components,
                capabilities=CAPABILITIES,
                guide_edition=self._settings.guide_edition or edition_for(server.version),
                additions=ADDITIONS,
            ),
            addresses=self.addresses,
            account_id=self.account_id,
            region=REGION,
            issuer=self.issuer,
            paths={
                "ca": str(self.authority.pair.certificate),
                "programs": str(self.programs),
                "teleport": str(self.teleport),
                "teleport_configuration": str(server.configuration),
                "teleport_audit": str(server.audit_log),
                "teleport_log": str(server.log),
                "kubeconfig": str(plane.kubeconfig),
                "kubernetes_audit": str(plane.audit_log),
                "chart": str(self.chart.archive),
            },
            chart_version=self.chart.version,
            chart_app_version=self.chart.app_version,
            teleport_version=server.version,
            seconds={name: round(value, 2) for name, value in self.seconds.items()},
            administrator=self.key_id,
        )
