"""The reader's own machine: its environment, pasted scripts, and routed calls with fake clients."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from harness.adapters import processes, reader_clusters, workstation
from harness.adapters.workstation import Workstation, client_environment, install_programs
from harness.core.errors import EnvironmentBroken, NotApplicable, NotObserved
from harness.core.findings import FindingsOfScenario, current_findings
from harness.guide.claims import CLAIMS
from harness.guide.editions import EDITIONS, RECONSTRUCTED, commands_for
from harness.guide.script import as_printed
from harness.scenario import Names

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.adapters.conftest import Evidence

NAMES = Names.unique("t1")
KEY_ID, SECRET = "AKIACONFORMANCE00001", "not-a-secret-of-anyone"

# Each reads what it shall do from its home: `listed` (one look a line), `login` and `kubectl`.
TSH = """
import json, os, sys
os.chdir(os.environ["HOME"])
def told(name):
    return open(name).read() if os.path.exists(name) else ""
with open("tsh-calls", "a") as file:
    file.write(" ".join(sys.argv[1:]) + " " + os.environ.get("KUBECONFIG", "") + "\\n")
if sys.argv[1:3] == ["kube", "ls"]:
    looks = told("listed").splitlines()
    open("listed", "w").write("\\n".join(looks[1:] or looks))
    if looks[0] == "fails":
        sys.exit("ERROR: not logged in")
    print(looks[0])
elif sys.argv[1:3] == ["kube", "login"]:
    # Success is what it says, whatever it does.
    if told("login") == "fails":
        sys.exit("ERROR: kubernetes cluster not found")
    if told("login") != "writes nothing":
        open(os.environ["KUBECONFIG"], "w").write("{}")
    print(f'Logged into kubernetes cluster "{sys.argv[3]}". Try kubectl version to test the connection.')
"""
KUBECTL = """
import json, os, sys
os.chdir(os.environ["HOME"])
with open("kubectl-calls", "a") as file:
    file.write(json.dumps({"argv": sys.argv[1:], "KUBECONFIG": os.environ["KUBECONFIG"]}) + "\\n")
mode = open("kubectl").read() if os.path.exists("kubectl") else ""
if mode not in ("goes another way", "refused"):
    with open("events", "a") as file:
        file.write("request\\n")
if mode in ("denied", "refused"):
    sys.exit("Error from server (Forbidden): pods is forbidden")
print("NAME READY\\nteleport-agent-0 1/1")
"""


@dataclass
class AuditLogs:
    """Takes the place of Teleport and of the cluster: what their audit logs show is in a file."""

    home: Path
    others: list[dict[str, Any]] = field(default_factory=list)

    def audit(self, asked: str) -> list[dict[str, Any]]:
        """Of Teleport an event, of the cluster a user."""
        file = self.home / "events"
        lines = file.read_text().splitlines() if file.exists() else []
        if asked == "kube.request":
            return [
                *self.others,
                *({"event": asked, "user": NAMES.user, "n": n} for n, _ in enumerate(lines)),
            ]
        assert asked == NAMES.user
        return [{"impersonatedUser": {"username": asked}, "n": n} for n, _ in enumerate(lines)]


@pytest.fixture(autouse=True)
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workstation, "AUDIT_SECONDS", 0.5)
    monkeypatch.setattr(reader_clusters, "LISTED_SECONDS", 0.5)


@pytest.fixture
def programs(tmp_path: Path, program: Callable[..., Path]) -> Path:
    for name, text in (("tsh", TSH), ("kubectl", KUBECTL)):
        program(tmp_path / "programs", name, text)
    return tmp_path / "programs"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "reader"


@pytest.fixture
def reader(home: Path, programs: Path, run_id: str, tmp_path: Path) -> dict[str, str]:
    """The environment of the reader's shell."""
    kubeconfig = tmp_path / "admin.kubeconfig"
    kubeconfig.write_text('{"kind": "Config"}')
    return client_environment(
        home,
        run=run_id,
        programs=programs,
        proxy="127.0.0.1:9",
        ca_file=tmp_path / "ca.pem",
        region="eu-west-1",
        key_id=KEY_ID,
        secret=SECRET,
        kubeconfig=kubeconfig,
    )


@pytest.fixture
def logs(home: Path) -> AuditLogs:
    return AuditLogs(home)


@pytest.fixture
def machine(reader: dict[str, str], logs: AuditLogs) -> Workstation:
    return open_machine(reader, logs)


def open_machine(reader: dict[str, str], logs: Any, edition: str = "13") -> Workstation:
    return Workstation(
        names=NAMES,
        env=reader,
        edition=edition,
        chart_version="13.4.2",
        region="eu-west-1",
        cluster=logs,
        teleport=logs,
    )


class TestEnvironment:
    """What the reader's shell finds."""

    def test_everything_that_names_a_set_up_points_into_the_home(
        self, reader: dict[str, str], home: Path, tmp_path: Path
    ) -> None:
        for name in (
            "HOME",
            "TMPDIR",
            "TELEPORT_HOME",
            "TELEPORT_GLOBAL_TSH_CONFIG",
            "KUBECONFIG",
            "AWS_CONFIG_FILE",
            "AWS_SHARED_CREDENTIALS_FILE",
            "HELM_CACHE_HOME",
            "HELM_CONFIG_HOME",
            "HELM_DATA_HOME",
            "HELM_REPOSITORY_CONFIG",
        ):
            assert (home in (home / reader[name]).parents) or reader[name] == str(home), name
        # Set and empty: not /etc/teleport.yaml.
        assert reader["TELEPORT_CONFIG_FILE"] == ""
        assert reader["HTTPS_PROXY"] == "http://127.0.0.1:9"
        assert reader["SSL_CERT_FILE"] == str(tmp_path / "ca.pem")
        assert reader["AWS_EC2_METADATA_DISABLED"] == "true"

    def test_nothing_else_is_inherited(
        self, machine: Workstation, reader: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("AWS_PROFILE", "AWS_CA_BUNDLE", "NO_PROXY", "PYTHONPATH", "EDITOR", "HELM_NAMESPACE"):
            monkeypatch.setenv(name, "the user's")
        seen = dict(line.split("=", 1) for line in machine.run("env").stdout.splitlines())
        assert "the user's" not in seen.values()
        assert seen.keys() - reader.keys() <= {"CONFORMANCE_FAILED", "PWD", "OLDPWD", "SHLVL", "_"}

    def test_keys_are_in_a_file_of_the_users_alone(self, reader: dict[str, str], home: Path) -> None:
        credentials = home / ".aws" / "credentials"
        assert SECRET in credentials.read_text()
        assert KEY_ID in credentials.read_text()
        for file in (credentials, home / "kubeconfig"):
            assert file.stat().st_mode & 0o077 == 0
        assert SECRET not in " ".join(reader.values())
        assert KEY_ID not in " ".join(reader.values())

    def test_the_kubeconfig_is_a_copy(self, reader: dict[str, str], home: Path, tmp_path: Path) -> None:
        (home / "kubeconfig").write_text("changed by tsh")
        assert (tmp_path / "admin.kubeconfig").read_text() == '{"kind": "Config"}'
        assert reader["KUBECONFIG"] == str(home / "kubeconfig")

    def test_the_programs_come_before_the_systems(self, reader: dict[str, str], programs: Path) -> None:
        assert reader["PATH"].split(os.pathsep)[0] == str(programs)
        assert shutil.which("kubectl", path=reader["PATH"]) == str(programs / "kubectl")


def test_programs_are_linked_or_written(tmp_path: Path, env: dict[str, str]) -> None:
    made = install_programs(
        tmp_path / "bin", {"aws": '#!/bin/sh\necho "$2 $1"\n', "printer": tmp_path / ".." / "elsewhere"}
    )
    assert made == tmp_path / "bin"
    assert stat.S_IMODE((made / "aws").stat().st_mode) & stat.S_IXUSR
    assert processes.run([str(made / "aws"), "a", "b c"], env=env, cwd=tmp_path).stdout == "b c a\n"
    assert (made / "printer").readlink() == (tmp_path / ".." / "elsewhere").resolve()


class TestScripts:
    """Pasted scripts."""

    @pytest.fixture(params=["bash", "zsh"])
    def shell(self, request: pytest.FixtureRequest) -> str:
        if shutil.which(request.param) is None:
            pytest.skip(f"no {request.param} on this machine")
        return str(request.param)

    def test_a_command_that_fails_is_noted_and_the_next_runs(self, machine: Workstation, shell: str) -> None:
        done = machine.run("name=x\nls /nowhere/$name\necho after $name\n", shell=shell)
        assert done.stdout == "after x\n"
        assert len(done.failed) == 1
        assert "/nowhere/x" in done.stderr
        assert done.exit_code == 0
        assert done.script == "name=x\nls /nowhere/$name\necho after $name\n"

    def test_a_failure_within_a_pipeline_or_a_substitution_is_noted(
        self, machine: Workstation, shell: str
    ) -> None:
        assert machine.run("false | cat", shell=shell).failed
        assert machine.run("account_id=$(false)", shell=shell).failed

    def test_what_is_tested_for_is_no_failure(self, machine: Workstation, shell: str) -> None:
        assert machine.run("if false; then :; fi\nfalse || true\n! false", shell=shell).failed == ()

    def test_failures_of_an_earlier_script_do_not_count(self, machine: Workstation, shell: str) -> None:
        assert machine.run("false", shell=shell).failed
        assert machine.run("true", shell=shell).failed == ()

    def test_the_failing_command_is_named(self, machine: Workstation) -> None:
        assert machine.run("true\nfalse --with arguments\nno-such-command\n").failed == (
            "false --with arguments",
            "no-such-command",
        )

    def test_the_last_status_is_the_scripts(self, machine: Workstation) -> None:
        assert machine.run("true\nexit 3").exit_code == 3

    def test_it_runs_in_the_home(self, machine: Workstation, home: Path) -> None:
        assert machine.run("pwd; echo ~").stdout.split() == [str(home)] * 2

    def test_the_script_is_evidence_as_pasted(self, machine: Workstation, evidence: Evidence) -> None:
        machine.run("echo as pasted")
        (command,) = evidence.commands()
        assert command["argv"] == ["bash", "echo as pasted"]

    def test_one_that_hangs_is_told(self, machine: Workstation, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(workstation, "SCRIPT_SECONDS", 0.3)
        with pytest.raises(EnvironmentBroken, match="its last line: waiting"):
            machine.run("echo waiting; sleep 60")

    def test_without_the_shell_it_does_not_apply(self, reader: dict[str, str], logs: AuditLogs) -> None:
        machine = open_machine({**reader, "PATH": reader["HOME"]}, logs)
        with pytest.raises(NotApplicable, match="no zsh on this machine") as caught:
            machine.run("true", shell="zsh")  # noqa: S604  # the name of a shell, no flag
        assert caught.value.code == "tool-absent"


class TestGuide:
    """The guide's own commands."""

    @pytest.mark.parametrize("edition", EDITIONS)
    def test_every_command_of_every_edition_gets_the_scenarios_names(
        self, reader: dict[str, str], logs: AuditLogs, edition: str
    ) -> None:
        machine = open_machine(reader, logs, edition)
        claims = [claim for claim in CLAIMS if commands_for(edition, claim)]
        assert len(claims) > 20
        # In `tctl edit github/github` the first is the kind.
        text = as_printed(edition, claims, machine.guide_names()).replace("github/", "")
        assert "<Var" not in text
        assert "(=" not in text
        # The printed names are gone, save where the name is that of a file or lives in the namespace.
        for field_name, printed in vars(Names.printed()).items():
            left = re.findall(rf"(?<![\w-]){re.escape(printed)}(?![\w-])(?!\.yaml)", text)
            assert not left or field_name == "service_account", field_name
        for own in (NAMES.namespace, NAMES.token, NAMES.cluster, NAMES.role, NAMES.policy):
            assert own in text

    @pytest.mark.parametrize("edition", EDITIONS)
    def test_files_of_the_guide_have_the_scenarios_names(
        self, reader: dict[str, str], logs: AuditLogs, edition: str
    ) -> None:
        machine = open_machine(reader, logs, edition)
        role, binding = machine.file("kube-access.yaml"), machine.file("viewers-bind.yaml")
        assert role["metadata"]["name"] == NAMES.access_role
        assert role["spec"]["allow"]["kubernetes_groups"] == [NAMES.group]
        assert binding["metadata"]["name"] == NAMES.binding
        assert [subject["name"] for subject in binding["subjects"]] == [NAMES.group]

    def test_a_file_of_the_guide_is_made_in_the_readers_home(self, machine: Workstation, home: Path) -> None:
        machine.save("kube-access.yaml")
        assert yaml.safe_load((home / "kube-access.yaml").read_text()) == machine.file("kube-access.yaml")

    @pytest.mark.parametrize("edition", EDITIONS)
    def test_a_file_that_is_not_the_guides_own_text_is_a_finding(
        self, reader: dict[str, str], logs: AuditLogs, edition: str
    ) -> None:
        findings = FindingsOfScenario("access.bound")
        token = current_findings.set(findings)
        try:
            for name in workstation.FILES:
                open_machine(reader, logs, edition).file(name)
        finally:
            current_findings.reset(token)
        # It is what this suite lacks, no difference of the guide.
        assert [(finding.of, finding.claim) for finding in findings.noted] == [
            ("environment", claim)
            for name, claim in workstation.FILES.items()
            if (edition, name) in RECONSTRUCTED
        ]

    def test_the_guides_commands_run_as_printed(
        self, machine: Workstation, programs: Path, program: Callable[..., Path]
    ) -> None:
        program(programs, "tctl", '#!/bin/sh\necho "tctl $*"; exit 1\n')
        done = machine.guide("s2.create")
        assert done.script == "tctl create token.yaml\n"
        assert done.stdout == "tctl create token.yaml\n"
        assert done.failed == ("tctl create token.yaml",)

    @pytest.mark.parametrize("shell", ["bash", "zsh"])
    def test_a_new_shell_knows_what_it_is_told(
        self, machine: Workstation, programs: Path, program: Callable[..., Path], shell: str
    ) -> None:
        if shutil.which(shell) is None:
            pytest.skip(f"no {shell} on this machine")
        program(programs, "kubectl", '#!/bin/sh\nfor word; do :; done; echo "$word $AWS_DEFAULT_REGION"\n')
        known = {"account_id": "12", "partition": "aws", "AWS_DEFAULT_REGION": "cn-north-1"}
        done = machine.guide("s1.annotate", shell=shell, corrected=True, variables=known)
        name = f"role/{NAMES.role}"
        assert done.stdout == f"eks.amazonaws.com/role-arn=arn:aws:iam::12:{name} cn-north-1\n"
        assert machine.guide("s1.annotate", shell=shell, corrected=True).exit_code != 0

    def test_a_name_may_be_another_than_the_scenarios(self, machine: Workstation) -> None:
        done = machine.guide("s1.oidc-issuer", instead={"kube-cluster": "another"})
        assert "--name another --region eu-west-1" in done.script

    def test_what_a_program_is_told_is_as_the_shell_reads_it(
        self, machine: Workstation, evidence: Evidence
    ) -> None:
        told = machine.told("eksctl", "s1.eksctl")
        assert told[:4] == ["create", "iamserviceaccount", "--name", NAMES.service_account]
        assert told[-1] == "--approve"
        assert f"arn:aws:iam::aws:policy/{NAMES.policy}" in told
        # Edition 13 loses what follows its first comment.
        assert machine.told("helm", "s3.install")[-1] == "serviceAccount.create=false"
        assert machine.told("helm", "s3.install", corrected=True)[-2:] == ["--version", "13.4.2"]
        assert "eksctl" in evidence.text()

    def test_a_tool_that_is_absent_ends_the_scenario(self, machine: Workstation) -> None:
        machine.require("kubectl", "tsh")
        with pytest.raises(NotApplicable, match="no such-tool on this machine") as caught:
            machine.require("kubectl", "such-tool")
        assert caught.value.code == "tool-absent"


class TestListed:
    """`tsh kube ls`."""

    def test_the_cluster_is_waited_for(
        self, machine: Workstation, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(reader_clusters, "LISTED_SECONDS", 20.0)
        listed = json.dumps([{"kube_cluster_name": name} for name in ("another", NAMES.cluster)])
        (home / "listed").write_text(f"fails\nnull\n{listed}")
        assert machine.listed_clusters() == ["another", NAMES.cluster]
        assert (home / "tsh-calls").read_text().count("kube ls --format=json") == 3

    def test_one_that_is_never_listed_is_not_observed(self, machine: Workstation, home: Path) -> None:
        (home / "listed").write_text(json.dumps([{"kube_cluster_name": f"{NAMES.cluster}-2"}]))
        with pytest.raises(NotObserved, match=f"tsh kube ls to list {NAMES.cluster}"):
            machine.listed_clusters()

    def test_what_tsh_said_last_is_told(self, machine: Workstation, home: Path) -> None:
        (home / "listed").write_text("fails")
        with pytest.raises(NotObserved, match="ERROR: not logged in"):
            machine.listed_clusters()


class TestKubectl:
    """Calls through Teleport."""

    def test_pods_are_waited_for(
        self,
        machine: Workstation,
        programs: Path,
        program: Callable[..., Path],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        assert machine.pods_shown() == ("teleport-agent-0",)
        monkeypatch.setattr(workstation, "SHOWN_SECONDS", 0.3)
        program(programs, "kubectl", "#!/bin/sh\necho No resources found >&2\necho request >>events\n")
        with pytest.raises(NotObserved, match="kubectl to list pods of"):
            machine.pods_shown()

    def test_what_both_logs_saw_of_this_call_stands_beside_it(
        self, machine: Workstation, home: Path, logs: AuditLogs
    ) -> None:
        logs.others.append({"event": "kube.request", "user": "another"})
        first, second = machine.kubectl("get", "pods"), machine.kubectl("get", "pods")
        assert first.pod_names() == ("teleport-agent-0",)
        assert [event["n"] for event in first.teleport] == [0]
        assert [event["n"] for event in second.teleport] == [1]
        assert [record["n"] for record in second.kubernetes] == [1]
        calls = [json.loads(line) for line in (home / "kubectl-calls").read_text().splitlines()]
        # Its own kubeconfig, not the administrator's, and no cache of an earlier identity.
        assert {call["KUBECONFIG"] for call in calls} == {str(home / f"{NAMES.cluster}.kubeconfig")}
        assert len({call["argv"][0] for call in calls}) == 2
        assert [call["argv"][1:] for call in calls] == [["get", "pods"]] * 2
        assert (home / "tsh-calls").read_text() == (
            f"kube login {NAMES.cluster} {home / NAMES.cluster}.kubeconfig\n"
        )
        assert (home / "kubeconfig").read_text() == '{"kind": "Config"}'

    def test_a_login_that_succeeds_and_writes_nothing_is_not_observed(
        self, machine: Workstation, home: Path
    ) -> None:
        (home / "login").write_text("writes nothing")
        with pytest.raises(NotObserved, match="to write a kubeconfig"):
            machine.kubectl("get", "pods")
        assert not (home / "kubectl-calls").exists()

    def test_a_login_that_fails_is_told_in_its_words(self, machine: Workstation, home: Path) -> None:
        (home / "login").write_text("fails")
        with pytest.raises(NotObserved, match="kubernetes cluster not found"):
            machine.kubectl("get", "pods")

    def test_a_call_that_teleport_never_saw_is_not_observed(self, machine: Workstation, home: Path) -> None:
        (home / "kubectl").write_text("goes another way")
        with pytest.raises(NotObserved, match=f"audit log to show the request of {NAMES.user}"):
            machine.kubectl("get", "pods")

    def test_a_denied_call_is_told_as_it_is(self, machine: Workstation, home: Path) -> None:
        (home / "kubectl").write_text("denied")
        seen = machine.kubectl("get", "pods")
        assert seen.completed.exit_code == 1
        assert "Forbidden" in seen.completed.stderr
        assert len(seen.teleport) == 1
        assert len(machine.kubectl("get", "pods", routed=True).teleport) == 1

    def test_a_refused_call_that_must_be_routed_is_waited_for(self, machine: Workstation, home: Path) -> None:
        (home / "kubectl").write_text("refused")
        assert machine.kubectl("get", "pods").teleport == ()
        with pytest.raises(NotObserved, match=f"audit log to show the request of {NAMES.user}"):
            machine.kubectl("get", "pods", routed=True)
