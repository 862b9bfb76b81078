"""The kind environment: a cluster of kind, AWS and Teleport as containers in a network of the run's own."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

from harness.adapters import (
    aws_containers,
    clients,
    containers,
    docker_engine,
    gateway_image,
    image_store,
    images,
    kind_clients,
    kind_cluster,
    localstack,
    pod_identity_webhook,
    processes,
    run_containers,
    simulated_product,
    simulators,
    teleport_container,
)
from harness.adapters import chart as charts
from harness.adapters.certificates import Authority, signing_key
from harness.adapters.kubernetes_api import KubernetesAPI
from harness.adapters.teleport_server import HOST
from harness.adapters.workstation import KUBE_CLUSTER, install_programs
from harness.core.credentials import RegistrySecret, localstack_token
from harness.core.errors import UsageError
from harness.core.images import LOCALSTACK
from harness.core.versions import numbers
from harness.environment import OTHER_AGENT, Component, Description
from harness.environments.provisioning import REGION, Provisioning
from harness.faults import clients as client_faults
from harness.faults.catalogue import DECISIONS_FOLDER, TAKEN_VARIABLE, VARIABLE, announcement
from harness.faults.misconfigurations import wrong_chart, wrong_programs
from harness.guide.editions import edition_for

if TYPE_CHECKING:
    from harness.adapters.kind_cluster import KindCluster
    from harness.adapters.teleport_server import Server
    from harness.core.settings import Settings
    from harness.environments import state

CAPABILITIES = frozenset(
    {
        "agent-sockets",
        "aws-call-log",
        "clock",
        "exec",
        "kubernetes-audit-log",
        "node-identity",
        "pod-security",
        "restart-node",
        "role-denial",
        "security-context",
        "stop-teleport",
        "teleport-audit-log",
    }
)

ADDITIONS = (
    "AWS host names are aliases of the AWS gateway in the environment's Docker network",
    "the workstation's clients reach AWS host names and tele.example.com through HTTPS_PROXY, the AWS gateway",
    "clients, Teleport and the agent trust the run's own certificate authority",
    "`helm` on the workstation adds the chart's value tls.existingCASecretName and makes the Secret that it names",
    "the cluster's node has no way out of the environment's network, instance metadata among what it misses",
    "the gateway answers for github.com, which Teleport asks before it takes a GitHub connector",
    "an IAM OIDC provider for the cluster is there before the guide begins (claim pre.oidc-provider)",
)
GATEWAYS_WEBHOOK = "a MutatingWebhookConfiguration sends new pods to the gateway's pod identity webhook"
OFFICIAL_WEBHOOK = (
    "a MutatingWebhookConfiguration sends new pods to the official pod identity webhook, in namespace "
    f"{pod_identity_webhook.NAMESPACE}"
)
CLIENTS_ADDITION = "the AWS CLI, a real one, is a fork of a process of the suite that has imported it"


class KindProvisioning(Provisioning):
    """One kind environment in the making; on failure everything that was begun is undone."""

    def _provision(self) -> state.State:
        began = time.monotonic()
        settings = self._settings
        self.plain = processes.base_environment(self._home("services"), self.run)
        docker_engine.program()  # needed later; its want is to be told first
        self.needed = images.needed(settings)
        kind = kind_cluster.require_program(
            settings.kind, node=self.needed.node, env=self.plain | docker_engine.client_environment()
        )
        self.engine = containers.Engine(self.run, self.ledger)
        docker_engine.check_users(self.engine.client)
        keys = self.folder / "keys"
        keys.mkdir()
        self.authority = Authority(keys)
        self.signing = signing_key(keys)
        given = wrong_chart(settings.fault, _chart(settings), self.folder / "wrong-chart")
        self.chart = charts.publish(given, self.folder / "charts")
        self._progress.say("looking for the images")
        self._timed("images", self._provide_images)
        self.engine.make_network()
        self.told = self._decisions()
        (self.folder / "kubernetes").mkdir()  # the gateway looks into it for a kubeconfig to come
        self._progress.say("starting the kind cluster, the AWS gateway and Teleport")
        made = self._side_by_side(
            kubernetes=lambda: self._start_cluster(kind),
            aws=self._start_aws,
            **({"localstack": self._start_localstack} if self.needed.localstack else {}),
            teleport=self._start_teleport,
            clients=self._install_clients,
        )
        self.addresses = {**made["aws"], "teleport": made["teleport"].address}
        self._progress.say("registering OIDC provider and webhook")
        self._timed("accounts", lambda: self._prepare_accounts(made["kubernetes"]))
        run_containers.must_all_be_alive(self.run, self.engine.network_name)
        for mark in (self.folder / DECISIONS_FOLDER).iterdir():
            mark.unlink()  # what was decided up to here was decided for no scenario
        self.seconds["total"] = time.monotonic() - began
        self.backend = made.get("localstack")
        written = self._state(made["kubernetes"], made["teleport"], made["clients"])
        written.write({"administrator": self.secret})
        return written

    def _stop(self) -> None:
        super()._stop()
        with contextlib.suppress(AttributeError):  # it may have failed before there was an engine
            self.engine.stop_all()

    def _shown(self, part: str) -> str:
        return {
            "accounts": "OIDC provider and webhook",
            "aws": "the AWS gateway",
            "localstack": "LocalStack",
            "clients": "aws, kubectl, helm and tsh",
            "images": "a look for the images",
            "kubernetes": "the kind cluster",
            "teleport": "Teleport",
            "webhook": "the pod identity webhook",
        }.get(part, part)

    def _provide_images(self) -> None:
        chosen = self._settings.registry_secret
        secret = RegistrySecret(chosen) if chosen else None
        image_store.provide(
            self.engine.client,
            self.needed.all,
            credentials=secret.credentials if secret else None,
            tell=self._progress.say,
        )
        self.gateway_image = gateway_image.provide_gateway_image(
            self.engine.client, self._settings.gateway_image, self._settings.aws_backend, self._progress.say
        )

    def _decisions(self) -> dict[str, str]:
        """By which variables the gateway is told of a fault, and where it notes what it decides."""
        taken = self.folder / DECISIONS_FOLDER
        taken.mkdir()
        told = {TAKEN_VARIABLE: str(taken)}
        return told | ({VARIABLE: self._settings.fault} if self._settings.fault else {})

    def _start_cluster(self, kind: Path) -> KindCluster:
        return kind_cluster.create(
            kind,
            self.folder / "kubernetes",
            engine=self.engine,
            image=self.needed.node,
            node_images=[
                image
                for image in (
                    self.needed.agent,
                    self.needed.other_agent,
                    self.needed.aws_cli,
                    self.needed.webhook,
                )
                if image
            ],
            issuer=self.issuer,
            signing=self.signing,
            env=self.plain,
            ledger=self.ledger,
        )

    def _start_aws(self) -> dict[str, str]:
        folder = self.folder / "aws"
        if self._settings.aws_backend == "localstack":
            # The gateway asks it for nothing before the first call.
            backend = f"http://{localstack.NAME}:{localstack.PORT}"
        else:
            backend = aws_containers.start_moto(self.engine, self.folder / "moto", image=self.gateway_image)
        return aws_containers.start_gateway(
            self.engine,
            folder,
            image=self.gateway_image,
            authority=self.authority.pair,
            backend=backend,
            told=self.told,
            configuration={
                "account": self.account_id,
                "key_id": self.key_id,
                "secret": self.secret,
                "region": REGION,
                "issuer": self.issuer,
                "jwks": str(self.signing.jwks),
                "cluster": KUBE_CLUSTER,
                "routes": {f"{HOST}:443": f"{HOST}:443"},
                "charts": str(self.folder / "charts"),
                "kubeconfig": str(self.folder / "kubernetes" / "internal.kubeconfig"),
            },
        )

    def _start_localstack(self) -> localstack.LocalStack:
        return localstack.start(
            self.engine,
            region=REGION,
            image=self.needed.localstack or LOCALSTACK,
            token=localstack_token(os.environ),
        )

    def _start_teleport(self) -> Server:
        return teleport_container.start(
            self.engine,
            self.folder / "teleport",
            image=self.needed.teleport,
            authority=self.authority,
            env={
                "SSL_CERT_FILE": str(self.authority.pair.certificate),
                "AWS_EC2_METADATA_DISABLED": "true",
                # Teleport looks for the metadata service of other clouds at 169.254.169.254, in plain HTTP.
                "HTTP_PROXY": f"http://{aws_containers.NAME}:{aws_containers.PORTS['proxy']}",
            },
            licence=self._settings.licence and self._settings.licence.resolve(),
        )

    def _install_clients(self) -> dict[str, str]:
        """Puts the reader's programs into a folder; their versions."""
        settings = self._settings
        brought_along = teleport_container.clients(
            self.engine, self.needed.teleport, self.folder / "teleport-programs"
        )
        teleport_container.must_run(brought_along / "tsh", env=self.plain)
        self.teleport = wrong_programs(settings.fault, brought_along, self.folder / "wrong-programs")
        launcher = simulated_product.start_launcher(
            self.folder / "clients-launcher",
            env=self.plain,
            ledger=self.ledger,
            arguments=clients.LAUNCHER_ARGUMENTS,
        )
        brought = clients.programs(launcher)
        helm = settings.helm or shutil.which("helm")
        own = self.folder / "helm-library"
        words = shlex.quote(str(Path(helm).resolve() if helm else own))
        if not helm:
            own.write_text(brought["helm"])
            own.chmod(0o700)
        added = kind_clients.values(settings.agent_image, pull_secret=settings.registry_secret is not None)
        programs: dict[str, Path | str] = {
            "aws": brought["aws"],
            "kubectl": settings.kubectl or Path(sys.executable).parent / "kubectl",
            "helm": kind_clients.helm_with_values(
                words,
                added,
                self.folder,
                authority=self.authority.pair.certificate,
                credentials=settings.registry_secret and settings.registry_secret.resolve(),
            ),
            "tctl": self.teleport / "tctl",
            "tsh": self.teleport / "tsh",
        }
        self.programs = install_programs(self.folder / "bin", client_faults.with_fault(programs, settings))
        return clients.versions(self.programs, env=self.plain, cwd=self.folder)

    def _prepare_accounts(self, cluster: KindCluster) -> None:
        self._prepare_account(self.addresses["proxy"], self.authority.pair.certificate)
        with contextlib.closing(KubernetesAPI(cluster.kubeconfig)) as api:
            self._timed("webhook", lambda: self._prepare_webhook(api))

    def _prepare_webhook(self, api: KubernetesAPI) -> None:
        """Has the API server ask the official pod identity webhook where the user named one, else the gateway's."""
        official = self.needed.webhook
        if official:
            pod_identity_webhook.deploy(api, image=official, region=REGION, authority=self.authority)
            return
        api.apply(
            simulators.webhook_configuration(self.addresses["webhook"], self.authority.pair.certificate)
        )

    def _components(
        self, cluster: KindCluster, server: Server, tools: dict[str, str]
    ) -> dict[str, Component]:
        def detail(image: str) -> str:
            return f"image {image}, {image_store.identity(self.engine.client, image)}"

        backend = self._settings.aws_backend
        name = "LocalStack" if backend == "localstack" else backend
        webhook, other = self.needed.webhook, self.needed.other_agent
        return {
            "aws": Component(
                f"AWS gateway over {name}",
                self.backend.version if self.backend else clients.package_version("moto"),
                simulated=True,
                detail="simulated by the suite: IAM, STS, EKS",
            ),
            "kubernetes": Component(
                "kind", cluster.version, simulated=False, detail=detail(self.needed.node)
            ),
            "kubelet": Component("kubelet of the kind node", cluster.version, simulated=False),
            "teleport": Component(
                "teleport", server.version, simulated=False, detail=detail(self.needed.teleport)
            ),
            "chart": Component(
                charts.NAME, self.chart.version, simulated=False, detail=f"agent: {detail(self.needed.agent)}"
            ),
            "clients": Component(
                "aws, kubectl, helm",
                ", ".join(f"{tool} {version}" for tool, version in tools.items()),
                simulated=False,
            ),
            **({"webhook": pod_identity_webhook.component(webhook, detail(webhook))} if webhook else {}),
            **({OTHER_AGENT: _other_agent(other, detail(other))} if other else {}),
        }

    def _state(self, cluster: KindCluster, server: Server, tools: dict[str, str]) -> state.State:
        return self._state_of(
            Description(
                name="kind",
                run=self.run,
                components=self._components(cluster, server, tools),
                capabilities=CAPABILITIES | other_majors(self.needed.other_agent, server.version),
                guide_edition=self._settings.guide_edition or edition_for(server.version),
                additions=(
                    *ADDITIONS,
                    OFFICIAL_WEBHOOK if self.needed.webhook else GATEWAYS_WEBHOOK,
                    CLIENTS_ADDITION,
                    *announcement(self._settings),
                ),
                texts=(),
            ),
            server,
            kubeconfig=cluster.kubeconfig,
            audit_log=cluster.audit_log,
            identities=run_containers.identities(self.run, self.engine.network_name),
        )


def other_majors(other_agent: str | None, version: str) -> frozenset[str]:
    """What an agent of another major lets an environment show: that it is newer, or older, than Teleport.

    Args:
        other_agent: Its image, with a tag; None where there is none.
        version: Of Teleport.
    """
    if other_agent is None:
        return frozenset()
    try:
        major, own = (numbers(text)[0] for text in (other_agent.rpartition(":")[2], version))
    except AssertionError:  # a tag that is no version, such as `latest`
        return frozenset()
    if major == own:
        return frozenset()
    return frozenset({"newer-agent" if major > own else "older-agent"})


def _other_agent(image: str, detail: str) -> Component:
    name, _, tag = image.rpartition(":")
    return Component(name, tag, simulated=False, detail=f"the agent where it is of another major: {detail}")


def _chart(settings: Settings) -> Path:
    if settings.chart is None:
        raise UsageError(
            expected="--chart with --env kind: the folder or archive of teleport-kube-agent",
            seen="none",
            remedy="name it; the lab has a stand-in for the chart (leave --env out)",
        )
    return settings.chart.resolve()
