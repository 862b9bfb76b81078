"""The lab as scenarios see it: attached to through its `environment.json`, by each worker."""

from __future__ import annotations

import contextlib
import secrets as random
from typing import TYPE_CHECKING

from harness.adapters import chart as charts
from harness.adapters import daemons, processes, simulators, teleport_server
from harness.adapters.agent import Agent
from harness.adapters.aws import Account, Clients, Gateway
from harness.adapters.kubernetes import Cluster
from harness.adapters.kubernetes_api import KubernetesAPI
from harness.adapters.teleport import Teleport
from harness.adapters.workstation import Workstation, client_environment
from harness.core.redaction import redactor
from harness.scenario import Names, Scenario

if TYPE_CHECKING:
    from collections.abc import Iterator

    from harness.environments import state


class Lab:
    """`harness.environment.Environment` over a provisioned lab."""

    def __init__(self, written: state.State, secrets: dict[str, str]) -> None:
        """Attaches to a lab.

        Args:
            written: Its state.
            secrets: Its secrets.
        """
        self.description = written.description
        self._state = written
        self._secret = secrets["administrator"]
        redactor.register(self._secret)
        self._gateway = Gateway(written.addresses["control"])
        self._aws = Clients(
            proxy=written.addresses["proxy"],
            ca_file=written.path("ca"),
            key_id=written.administrator,
            secret=self._secret,
            region=written.region,
        )
        self._api = KubernetesAPI(written.path("kubeconfig"))

    @contextlib.contextmanager
    def open(self, scenario_id: str, *, alone: bool) -> Iterator[Scenario]:
        """Gives a scenario its names and ports; on leaving, removes what it made, newest first."""
        made = self._state
        # A scenario in an environment that has died would say something of the product.
        daemons.must_all_be_alive(made.folder)
        # Drawn anew each time: what an earlier run in a reused environment left behind has other names.
        suffix = random.token_hex(3)
        names = Names.printed() if alone else Names.unique(suffix)
        home = made.folder / "homes" / suffix
        env = client_environment(
            home,
            run=made.run,
            programs=made.path("programs"),
            proxy=made.addresses["proxy"],
            ca_file=made.path("ca"),
            region=made.region,
            key_id=made.administrator,
            secret=self._secret,
            kubeconfig=made.path("kubeconfig"),
        )
        server = teleport_server.Server(
            address=made.addresses["teleport"],
            configuration=made.path("teleport_configuration"),
            audit_log=made.path("teleport_audit"),
            log=made.path("teleport_log"),
            version=made.teleport_version,
        )
        cluster = Cluster(self._api, made.path("kubernetes_audit"), names)
        teleport = Teleport(
            names=names,
            server=server,
            administrator=teleport_server.Administrator(
                made.path("teleport"),
                server.configuration,
                # tctl reaches the Auth Service through the proxy's public address.
                processes.base_environment(home, made.run)
                | simulators.network_environment(made.addresses["proxy"], made.path("ca")),
            ),
            ca_file=made.path("ca"),
            tsh=made.path("teleport") / "tsh",
            workstation=env,
        )
        account = Account(
            names=names,
            account_id=made.account_id,
            region=made.region,
            issuer=made.issuer,
            clients=self._aws,
            gateway=self._gateway,
        )
        workstation = Workstation(
            names=names,
            env=env,
            edition=self.description.guide_edition,
            chart_version=made.chart_version,
            region=made.region,
            cluster=cluster,
            teleport=teleport,
        )
        agent = Agent(
            names=names,
            api=self._api,
            cluster=cluster,
            teleport=teleport,
            account=account,
            workstation=workstation,
            env=env,
            chart=charts.Chart(made.path("chart"), made.chart_version, made.chart_app_version),
            proxy_address=f"{teleport_server.HOST}:443",
        )
        scenario = Scenario(
            id=scenario_id,
            names=names,
            aws=account,
            kubernetes=cluster,
            teleport=teleport,
            agent=agent,
            workstation=workstation,
            description=self.description,
        )
        if alone:
            # A run that was killed in a reused environment may have left things under the printed names.
            for clear in (agent.clear, account.undo, teleport.clear):
                clear()
        with contextlib.ExitStack() as undoing:
            for undo in (account.undo, teleport.undo, agent.undo):
                undoing.callback(undo)
            yield scenario
