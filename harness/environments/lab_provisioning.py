"""The lab: real programs as plain processes on loopback, AWS behind the gateway, no Docker.

Provisioning is outside pytest: `provision` starts everything and writes `environment.json`; each worker
attaches with `Lab`. Nothing of the user's is read or written, nothing listens beyond loopback.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.adapters import chart as charts
from harness.adapters import (
    clients,
    control_plane,
    daemons,
    processes,
    simulated_product,
    simulators,
    teleport_server,
)
from harness.adapters.certificates import Authority, signing_key
from harness.adapters.kubernetes_api import KubernetesAPI
from harness.adapters.workstation import KUBE_CLUSTER, install_programs
from harness.core.errors import MissingComponents
from harness.environment import Description
from harness.environments.lab_components import (
    ADDITIONS,
    CLIENTS_ADDITION,
    LAUNCHER_ADDITION,
    Given,
    components,
)
from harness.environments.provisioning import REGION, Provisioning
from harness.faults import clients as client_faults
from harness.faults.catalogue import DECISIONS_FOLDER, TAKEN_VARIABLE, VARIABLE, announcement
from harness.faults.chart import with_fault
from harness.faults.misconfigurations import wrong_chart, wrong_programs
from harness.guide.editions import edition_for

if TYPE_CHECKING:
    from harness.core.settings import Settings
    from harness.environment import SimulatedText
    from harness.environments import state

CAPABILITIES = frozenset(
    {
        "agent-sockets",
        "aws-call-log",
        "clock",
        "kubernetes-audit-log",
        "node-identity",
        "role-denial",
        "stop-teleport",
        "teleport-audit-log",
    }
)


def capabilities(given: Given) -> frozenset[str]:
    """What a lab can show or do.

    A real Teleport runs commands over SPDY, which the simulated API server does not speak. Nor does that one admit
    pods by the Pod Security Standards.

    Args:
        given: Which programs are real.
    """
    understood = given.teleport is None or given.control_plane is not None
    real = {"pod-security"} if given.control_plane is not None else set()
    # A simulated Teleport has the same authorities for good.
    real |= {"rotation"} if given.teleport is not None else set()
    return CAPABILITIES | real | ({"exec"} if understood else set())


def given(settings: Settings) -> Given:
    """The real programs that the user gave, each looked at.

    Raises:
        MissingComponents: A folder lacks a program, or one that has to be real was not given.
    """
    seen = []
    for folder, check in (
        (settings.teleport, teleport_server.require_programs),
        (settings.control_plane, control_plane.require_programs),
    ):
        try:
            if folder is not None:
                check(folder.resolve())
        except MissingComponents as error:
            seen.append(f"{error.seen} ({folder})")
    options = {
        "teleport": (settings.teleport, "--teleport DIR (teleport, tctl, tsh)"),
        "kubernetes": (
            settings.control_plane,
            "--control-plane DIR (etcd, kube-apiserver, kube-controller-manager)",
        ),
        "chart": (settings.chart, "--chart DIR (teleport-kube-agent)"),
    }
    absent = [options[name][1] for name in settings.require_real if options[name][0] is None]
    if absent:
        seen.append(f"not given: {'; '.join(absent)}")
    if seen:
        # All at once: nobody wants to be told of one program a run.
        raise MissingComponents(
            expected="real programs to make the lab of",
            seen="; ".join(seen),
            remedy="see 'Real programs' in README.md for where each comes from",
        )
    return Given(
        *(path and path.resolve() for path in (settings.teleport, settings.control_plane, settings.chart))
    )


class LabProvisioning(Provisioning):
    """One lab in the making; on failure everything that was begun is undone."""

    def __init__(self, settings: Settings) -> None:
        """Looks at what the user gave.

        Args:
            settings: What the user chose.

        Raises:
            MissingComponents: A real program is missing.
        """
        self.given = given(settings)
        super().__init__(settings)

    def _provision(self) -> state.State:
        began = time.monotonic()
        keys = self.folder / "keys"
        keys.mkdir()
        self.authority = Authority(keys)
        self.signing = signing_key(keys)
        self.given = self._made_wrong()
        self.chart = charts.publish(self.given.chart or self._stand_in_chart(), self.folder / "charts")
        # Known beforehand, so that nothing has to wait for another to learn them.
        self.addresses = {
            "teleport": f"127.0.0.1:{daemons.free_port()}",
            "proxy": f"127.0.0.1:{daemons.free_port()}",
        }
        # Each simulator looks whether the fault is its own, and notes which decisions it takes.
        taken = self.folder / DECISIONS_FOLDER
        taken.mkdir()
        self.told = {TAKEN_VARIABLE: str(taken)}
        if self._settings.fault:
            self.told[VARIABLE] = self._settings.fault
        self.plain = processes.base_environment(self._home("services"), self.run) | self.told
        self.network = simulators.network_environment(
            self.addresses["proxy"], self.authority.pair.certificate
        )
        launchers = self._side_by_side(
            launcher=self._start_launcher, clients_launcher=self._start_clients_launcher
        )
        self.launcher, self.clients_launcher = launchers["launcher"], launchers["clients_launcher"]
        self.teleport = self._teleport_programs()
        self.programs = self._programs()
        self._progress.say(f"starting {self._plane_name}, {self._teleport_name} and the AWS gateway")
        # Simulated pods need no mount namespace: they are forks that find their files otherwise.
        real = self.given.teleport is not None
        made = self._side_by_side(
            **({"isolation": self._check_isolation} if real else {"texts": self._texts}),
            kubernetes=self._start_control_plane,
            aws=self._start_aws,
            teleport=self._start_teleport,
            clients=lambda: clients.versions(self.programs, env=self.plain, cwd=self.folder),
        )
        self.addresses |= made["aws"]
        self._progress.say("starting the kubelet; registering OIDC provider and webhook")
        self._timed("kubelet", lambda: self._start_kubelet(made["kubernetes"]))
        self._timed("accounts", lambda: self._prepare_accounts(made["kubernetes"]))
        # Whoever died unwatched meanwhile (the controller manager is not waited for) is told here.
        daemons.must_all_be_alive(self.folder)
        # What was decided up to here was decided for no scenario.
        for mark in taken.iterdir():
            mark.unlink()
        self.seconds["total"] = time.monotonic() - began
        written = self._state(made["kubernetes"], made["teleport"], made["clients"], made.get("texts", ()))
        written.write({"administrator": self.secret})
        return written

    @property
    def _plane_name(self) -> str:
        return "a simulated API server" if self.given.control_plane is None else "etcd, kube-apiserver"

    @property
    def _teleport_name(self) -> str:
        return "a simulated Teleport" if self.given.teleport is None else "Teleport"

    @property
    def _imitated(self) -> str:
        return self._settings.simulated_teleport or simulated_product.MEASURED

    def _made_wrong(self) -> Given:
        """The real programs, one of them made wrong where the chosen fault says so."""
        chart, teleport, fault = self.given.chart, self.given.teleport, self._settings.fault
        return replace(
            self.given,
            chart=chart and wrong_chart(fault, chart, self.folder / "wrong-chart"),
            teleport=teleport and wrong_programs(fault, teleport, self.folder / "wrong-programs"),
        )

    def _stand_in_chart(self) -> Path:
        chart = simulated_product.stand_in_chart(self.folder / "stand-in-chart", self._imitated)
        return with_fault(chart, self.folder / "faulty-chart", self._settings)

    def _start_launcher(self) -> simulators.Launcher | None:
        """The process to fork, where there is enough to fork to be worth its imports."""
        if self.given.teleport is not None and self.given.control_plane is not None:
            return None
        self._progress.say("starting the launcher of simulated programs")
        return simulated_product.start_launcher(self.folder / "launcher", env=self.plain, ledger=self.ledger)

    def _start_clients_launcher(self) -> simulators.Launcher | None:
        """The same for the AWS CLI and Helm; a pod with a mount namespace could not use it."""
        if self.given.teleport is not None:
            return None
        return simulated_product.start_launcher(
            self.folder / "clients-launcher",
            env=self.plain,
            ledger=self.ledger,
            arguments=clients.LAUNCHER_ARGUMENTS,
        )

    def _teleport_programs(self) -> Path:
        if self.given.teleport is not None or self.launcher is None:
            return self.given.teleport or Path()
        return simulated_product.teleport_programs(
            self.folder / "teleport-programs", self.launcher, self._imitated, self.told
        )

    def _texts(self) -> tuple[SimulatedText, ...]:
        if self.launcher is None:
            return ()
        return tuple(
            simulated_product.teleport_texts(self.launcher, self._imitated, env=self.plain, cwd=self.folder)
        )

    @property
    def _additions(self) -> tuple[str, ...]:
        launchers = {LAUNCHER_ADDITION: self.launcher, CLIENTS_ADDITION: self.clients_launcher}
        return (*ADDITIONS, *(text for text, launcher in launchers.items() if launcher is not None))

    def _check_isolation(self) -> None:
        simulators.check_isolation(env=self.plain)

    def _start_control_plane(self) -> control_plane.ControlPlane:
        if self.given.control_plane is None:
            return simulated_product.start_apiserver(
                self.folder / "kubernetes",
                run=self.run,
                env=self.plain,
                ledger=self.ledger,
                authority=self.authority,
                signing=self.signing,
                issuer=self.issuer,
                launcher=self.launcher,
            )
        return control_plane.start(
            self.given.control_plane,
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
            launcher=self.launcher,
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

    def _shown(self, part: str) -> str:
        """A part in words for the user."""
        return {
            "accounts": "OIDC provider and webhook",
            "aws": "the AWS gateway",
            "clients": "versions of aws, kubectl and helm",
            "isolation": "a look whether pods can have namespaces",
            "kubelet": "the kubelet",
            "kubernetes": self._plane_name,
            "launcher": "the launcher of simulated programs",
            "teleport": self._teleport_name,
            "clients_launcher": "the launcher of client programs",
            "texts": "texts of the simulated Teleport",
        }.get(part, part)

    def _programs(self) -> Path:
        environment = Path(sys.executable).parent
        beside = self._settings.kubectl or (self.given.control_plane and self.given.control_plane / "kubectl")
        helm = self._settings.helm or shutil.which("helm")
        brought = clients.programs(self.clients_launcher)
        programs: dict[str, Path | str] = {
            "aws": brought["aws"],
            # The one beside the API server fits its version.
            "kubectl": beside if beside and beside.is_file() else environment / "kubectl",
            "helm": Path(helm) if helm else brought["helm"],
            "tctl": self.teleport / "tctl",
            "tsh": self.teleport / "tsh",
        }
        return install_programs(self.folder / "bin", client_faults.with_fault(programs, self._settings))

    def _start_kubelet(self, plane: control_plane.ControlPlane) -> None:
        simulators.start_kubelet(
            self.folder / "kubelet",
            run=self.run,
            env=self.plain,
            ledger=self.ledger,
            authority=self.authority,
            kubeconfig=plane.kubelet_kubeconfig,
            isolation="none" if self.given.teleport is None else "mount-namespace",
            launcher=self.launcher,
            images=[
                {
                    "name": "*/teleport*",
                    "entrypoint": ["teleport", "start", "-c", "/etc/teleport/teleport.yaml"],
                    "path": str(self.teleport),
                },
                {"name": clients.AWS_CLI_IMAGE, "entrypoint": ["aws"], "path": str(self.programs)},
            ],
            environment=self.network
            | self.told
            | {
                "AWS_CA_BUNDLE": str(self.authority.pair.certificate),
                # No node identity unless a scenario asks for one: the gateway answers 404 below this path.
                "AWS_EC2_METADATA_SERVICE_ENDPOINT": f"http://{self.addresses['metadata']}/none",
            },
        )

    def _prepare_accounts(self, plane: control_plane.ControlPlane) -> None:
        """Looks whose AWS it is, before the first write; then provider and webhook."""
        self._prepare_account(self.addresses["proxy"], self.authority.pair.certificate)
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
        texts: tuple[SimulatedText, ...],
    ) -> state.State:
        return self._state_of(
            Description(
                name="lab",
                run=self.run,
                components=components(
                    self.given,
                    kubernetes=plane.version,
                    teleport=server.version,
                    chart=self.chart.version,
                    tools=tools,
                ),
                capabilities=capabilities(self.given),
                guide_edition=self._settings.guide_edition or edition_for(server.version),
                additions=(*self._additions, *announcement(self._settings)),
                texts=texts,
            ),
            server,
            kubeconfig=plane.kubeconfig,
            audit_log=plane.audit_log,
        )
