"""The `helm` command over Helm's library, as far as no cluster is needed."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import helm_python
import pytest
import yaml
from click.testing import CliRunner, Result

from harness.adapters import clients, daemons, helm_command, processes

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.harness.adapters.conftest import Site

INDEX = yaml.safe_dump({"apiVersion": "v1", "entries": {}, "generated": "2000-01-01T00:00:00Z"})


@pytest.fixture
def repositories(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "config" / "repositories.yaml"
    monkeypatch.setenv("HELM_REPOSITORY_CONFIG", str(path))
    return path


def helm(*arguments: str) -> Result:
    """In this process, since the library takes a second to load."""
    return CliRunner().invoke(helm_command.main, list(arguments), prog_name="helm")


class TestProgram:
    """What is seen from outside; the library is loaded, so once or twice is enough."""

    def run(self, tmp_path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
        env = processes.base_environment(tmp_path, "none") | {
            "HELM_REPOSITORY_CONFIG": str(tmp_path / "repositories.yaml")
        }
        return subprocess.run(
            [sys.executable, "-I", str(clients.HELM_COMMAND), *arguments],
            env=env,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def test_the_version_is_the_librarys(self, tmp_path: Path) -> None:
        done = self.run(tmp_path, "version")
        assert done.returncode == 0, done.stderr
        assert f'Version:"v{helm_python.helm_sdk_version().lstrip("v")}"' in done.stdout
        # It does not pass for the real one.
        assert "helm-python-sdk" in done.stdout

    def test_a_repository_that_is_not_there_is_one_line_and_is_not_kept(self, tmp_path: Path) -> None:
        done = self.run(tmp_path, "repo", "add", "teleport", f"http://127.0.0.1:{daemons.free_port()}")
        assert done.returncode != 0
        assert done.stderr.startswith("Error: ")
        assert "connection refused" in done.stderr
        assert "Traceback" not in done.stderr
        assert not (tmp_path / "repositories.yaml").exists()


class TestRepositories:
    """Chart repositories, kept as Helm keeps them."""

    def test_one_is_kept_once_its_index_could_be_read(
        self, serve: Callable[..., Site], repositories: Path
    ) -> None:
        site = serve(lambda _: (200, INDEX))
        added = helm("repo", "add", "teleport", site.url)
        assert added.output == '"teleport" has been added to your repositories\n'
        assert [request.path for request in site.requests] == ["/index.yaml"]
        assert yaml.safe_load(repositories.read_text())["repositories"] == [
            {"name": "teleport", "url": site.url}
        ]
        updated = helm("repo", "update")
        assert updated.exit_code == 0
        assert 'Successfully got an update from the "teleport" chart repository' in updated.output
        assert len(site.requests) == 2

    def test_another_is_added_to_those_there_are(
        self, serve: Callable[..., Site], repositories: Path
    ) -> None:
        site = serve(lambda _: (200, INDEX))
        for name in ("one", "two", "one"):
            assert helm("repo", "add", name, site.url).exit_code == 0
        names = [entry["name"] for entry in yaml.safe_load(repositories.read_text())["repositories"]]
        assert names == ["one", "two"]

    def test_what_has_no_index_is_not_kept(self, serve: Callable[..., Site], repositories: Path) -> None:
        site = serve(lambda _: (404, "not found"))
        assert isinstance(helm("repo", "add", "teleport", site.url).exception, helm_python.HelmError)
        assert not repositories.exists()

    def test_there_is_nothing_to_update_at_first(self, repositories: Path) -> None:
        done = helm("repo", "update")
        assert done.exit_code == 1
        assert "no repositories found" in done.output

    def test_a_chart_of_an_unknown_repository_is_refused(self, repositories: Path) -> None:
        done = helm("install", "release", "teleport/teleport-kube-agent")
        assert done.exit_code == 1
        assert "repo teleport not found" in done.output


@pytest.mark.parametrize(
    "arguments",
    [
        ("install", "r", "c", "--atomic"),
        ("install", "r", "c", "--set-string", "a=b"),
        ("uninstall", "r", "--keep-history"),
        ("rollback", "r"),
        ("repo", "add", "one"),
        ("list",),
    ],
    ids=" ".join,
)
def test_what_it_does_not_know_is_refused_and_not_ignored(
    repositories: Path, arguments: tuple[str, ...]
) -> None:
    done = helm(*arguments)
    assert done.exit_code == 2
    assert "Usage: helm" in done.output


class TestValues:
    """What a chart is given."""

    def test_settings_win_over_files_and_later_ones_over_earlier(self, tmp_path: Path) -> None:
        first, second, empty = (tmp_path / name for name in ("first.yaml", "second.yaml", "empty.yaml"))
        first.write_text("a: {x: 1, y: 1}\nb: [1, 2]\n")
        second.write_text("a: {y: 2}\nb: [3]\n")
        empty.write_text("")
        values = helm_command._values(("a.z=3", "c=text", "a.x=9"), (first, second, empty))
        assert values == {"a": {"x": 9, "y": 2, "z": 3}, "b": [3], "c": "text"}

    def test_several_settings_are_of_one_item_of_a_list(self) -> None:
        values = helm_command._values(("e[0].name=A", "e[0].value=b", r"roles=kube\,app"), ())
        assert values == {"e": [{"name": "A", "value": "b"}], "roles": "kube,app"}

    def test_settings_are_read_as_helm_reads_them(self) -> None:
        values = helm_command._values(
            (r"roles=kube\,app\,discovery", "serviceAccount.create=false", "joinParams.method=iam"), ()
        )
        assert values == {
            "roles": "kube,app,discovery",
            "serviceAccount": {"create": False},
            "joinParams": {"method": "iam"},
        }

    @pytest.mark.parametrize(
        ("text", "seconds"), [("5m0s", 300), ("90s", 90), ("2m", 120), ("1m30s", 90), ("45", 45)]
    )
    def test_a_duration_is_minutes_and_seconds(self, text: str, seconds: int) -> None:
        assert helm_command._seconds(text) == seconds

    def test_another_duration_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
        done = helm("uninstall", "r", "--timeout", "1h")
        assert done.exit_code == 2
        assert "1h is not a duration" in done.output


def test_installing_gives_the_library_what_the_line_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, repositories: Path
) -> None:
    given: list[Any] = []

    class Config:
        def __init__(self, **options: Any) -> None:
            given.append(options)

        def install(self, *arguments: Any, **options: Any) -> dict[str, Any]:
            given.append((arguments, options))
            return {"name": "r", "namespace": "ns", "status": "deployed", "revision": 1}

    monkeypatch.setattr(helm_python, "Config", Config)
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    repositories.parent.mkdir()
    repositories.write_text(yaml.safe_dump({"repositories": [{"name": "teleport", "url": "https://charts"}]}))
    line = "install r teleport/teleport-kube-agent --set a=1 --version 13.4.2 -n ns --create-namespace"
    done = helm(*line.split())
    assert done.exit_code == 0, done.output
    assert given[0] == {"kubeconfig_path": os.environ["KUBECONFIG"], "namespace": "ns"}
    arguments, options = given[1]
    assert arguments == ("teleport-kube-agent", "r", {"a": 1})
    assert options == {
        "namespace": "ns",
        "create_namespace": True,
        "timeout": 300,
        "wait": None,
        "chart_repo_url": "https://charts",
        "chart_version": "13.4.2",
    }
    assert "STATUS: deployed\nREVISION: 1" in done.output


@pytest.mark.parametrize(("arguments", "kinds"), [((), {"Job", "Secret"}), (("--no-hooks",), {"Secret"})])
def test_a_chart_is_rendered_without_a_cluster(
    tmp_path: Path, arguments: tuple[str, ...], kinds: set[str]
) -> None:
    templates = tmp_path / "chart" / "templates"
    templates.mkdir(parents=True)
    (tmp_path / "chart" / "Chart.yaml").write_text("{apiVersion: v2, name: chart, version: 1.0.0}")
    (templates / "NOTES.txt").write_text("no: [object")
    (templates / "a.yaml").write_text(
        "kind: Secret\nmetadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}\n"
        "stringData: {key: {{ .Values.key }}}\n---\n"
        "kind: Job\nmetadata: {name: hook, annotations: {helm.sh/hook: post-delete}}\n"
    )
    done = helm(
        "template", "one", str(tmp_path / "chart"), "--namespace", "two", "--set", "key=v", *arguments
    )
    assert done.exit_code == 0, done.output
    objects = {item["kind"]: item for item in yaml.safe_load_all(done.output) if item}
    assert set(objects) == kinds
    assert objects["Secret"] == {
        "kind": "Secret",
        "metadata": {"name": "one", "namespace": "two"},
        "stringData": {"key": "v"},
    }
