"""The command as its user meets it, before anything is started: mistakes, selections, what is missing."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

    from .conftest import Project


def nothing_was_begun(project: Project) -> bool:
    return not project.runs.exists() and not project.results.exists()


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--teleprt", "x"], "--teleport"),
        (["--keep", "alwys"], "one of never, on-failure, always"),
        (["--workers", "0"], "a whole number of at least 1"),
        (["--profile", "guid"], "some of guide, robustness, upgrade"),
        (["--require-real", "teleport,helm"], "some of teleport, kubernetes, chart"),
        (["--env", "existing"], "not available yet"),
        (["--env", "kind"], "no teleport and no chart; env kind from option --env"),
        (["--env", "kind", "--teleport", "13.0.0"], "--chart DIR|ARCHIVE with env kind"),
        (["--env", "kind", "--teleport", "/bin", "--chart", "x"], "teleport '/bin' from option --teleport"),
        (["--env", "kind", "--teleport", "13.0.0", "--chart", "x", "--simulated-teleport", "13"], "the lab"),
        (["--teleport", "13.0.0"], "add --env kind"),
        (["--control-plane", "v1.32.2"], "add --env kind"),
        (["--agent", "13.0.0"], "env kind with agent"),
        (["--licence", "x"], "env kind with licence"),
        (["--guide-edition", "14"], "13, 17, 18"),
        (["--name", "../x"], "a name of letters"),
        (["--reuse", "mine", "--teleport", "x"], "either reuse or teleport"),
        (["--reuse", "mine", "--name", "other"], "either reuse or name"),
        (["--reuse", "mine", "--simulated-teleport", "17"], "either reuse or simulated-teleport"),
        (["--teleport", "x", "--simulated-teleport", "17"], "either teleport, which is real, or simulated"),
        (["--simulated-teleport", "16"], "13 or 17"),
        (["--reuse", "nobody"], "there are: none"),
        (["--scenario", "one.pases"], "one.passes"),
        (["-k", "one and"], "one and"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_a_bad_option_is_a_usage_error(project: Project, arguments: list[str], expected: str) -> None:
    project.settings("")  # no real programs either: told later
    ended = project.main("run", *arguments)
    assert ended.exit_code == 4, ended.text
    assert expected in ended.stderr
    assert "Traceback" not in ended.text
    assert nothing_was_begun(project)


def test_a_misspelt_variable_names_the_nearest(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CONFORMANCE_WORKRES", "2")
    ended = project.main("run")
    assert ended.exit_code == 4
    assert "did you mean CONFORMANCE_WORKERS?" in ended.stderr


def test_a_misspelt_key_names_the_nearest(project: Project) -> None:
    project.settings('report-dri = "x"')
    ended = project.main("run")
    assert ended.exit_code == 4
    assert "did you mean report-dir?" in ended.stderr


@pytest.mark.parametrize(
    "arguments", [["rnu"], ["down"], ["down", "nobody"], ["report", "verify"]], ids=" ".join
)
def test_other_mistakes_are_usage_errors_too(project: Project, arguments: list[str]) -> None:
    ended = project.main(*arguments)
    assert ended.exit_code == 4
    assert ended.stderr
    assert "Traceback" not in ended.text


KIND = ("--env", "kind", "--teleport", "13.0.0")


@pytest.mark.parametrize(
    "arguments",
    [
        ("run", *KIND),
        ("up", *KIND),
        ("images", "list", *KIND[2:]),
        ("images", "pull", *KIND[2:]),
        ("images", "save", "all.tar", *KIND[2:]),
        ("images", "load", "all.tar"),
    ],
    ids=" ".join,
)
def test_without_a_docker_engine_there_is_one_paragraph(
    project: Project, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """The lab's folders of the project's settings give way to the kind environment."""
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere.sock")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", "/assets")
    (project.root / "programs" / "Chart.yaml").write_text("name: teleport-kube-agent\nversion: 13.0.0\n")
    (project.root / "programs" / "values.yaml").write_text("image: mine/teleport\n")
    (project.root / "programs" / "kind").write_text("#!/bin/sh\necho kind v0.32.0 go1.24.6 linux/amd64\n")
    (project.root / "programs" / "kind").chmod(0o755)
    (project.root / "programs" / "docker").touch(0o755)
    monkeypatch.setenv("PATH", f"{project.root / 'programs'}{os.pathsep}{os.environ['PATH']}")
    ended = project.main(*arguments)
    assert ended.exit_code == 2, ended.text
    assert "none answers at unix:///nowhere.sock" in ended.text
    assert "leave --env out" in ended.text
    assert "Traceback" not in ended.text
    assert not list(project.runs.glob("*"))


def test_fidelity_is_of_labs(project: Project) -> None:
    ended = project.main("fidelity", *KIND)
    assert ended.exit_code == 4, ended.text
    assert "env lab with `fidelity`" in ended.stderr
    assert nothing_was_begun(project)


def test_a_token_that_can_not_be_masked_is_a_usage_error(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOCALSTACK_AUTH_TOKEN", "tiny")
    ended = project.main("run")
    assert ended.exit_code == 4
    assert "LOCALSTACK_AUTH_TOKEN" in ended.stderr
    assert "tiny" not in ended.text
    assert nothing_was_begun(project)


def test_help_is_no_mistake(project: Project) -> None:
    ended = project.main("run", "--help")
    assert ended.exit_code == 0
    assert "Exit codes" in ended.stdout


def test_nothing_selected_is_told_before_real_programs_are_looked_for(project: Project) -> None:
    project.settings("")
    ended = project.main("run", "-k", "nothing_of_that_name")
    assert ended.exit_code == 5, ended.text
    assert nothing_was_begun(project)


def test_a_defect_is_not_taken_for_a_failed_scenario(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: object, **_options: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr("harness.running.read_catalogue", broken)
    ended = project.main("run")
    assert ended.exit_code == 2
    assert "RuntimeError: a defect" in ended.stderr
    assert "please report it" in ended.stderr


# The report folder


@pytest.mark.parametrize("place", ["file", "file/below", "/proc"])
def test_a_report_folder_that_cannot_be_written(project: Project, place: str) -> None:
    (project.root / "file").write_text("mine")
    ended = project.main("run", "--report-dir", place)
    assert ended.exit_code == 4, ended.text
    assert "--report-dir" in ended.stderr
    assert (project.root / "file").read_text() == "mine"
    assert not project.runs.exists()


def test_somebody_elses_files_are_not_touched(project: Project) -> None:
    (project.results / "evidence").mkdir(parents=True)
    (project.results / "evidence" / "photo.jpg").write_text("mine")
    (project.results / "junit.xml").write_text("mine")
    ended = project.main("run")
    assert ended.exit_code == 4
    assert "no plan.json of an earlier run" in ended.stderr
    assert (project.results / "evidence" / "photo.jpg").read_text() == "mine"
    assert (project.results / "junit.xml").read_text() == "mine"


def test_an_earlier_report_outlives_a_misspelt_run(project: Project) -> None:
    project.results.mkdir()
    for name in ("plan.json", "conformance-report.json"):
        (project.results / name).write_text("of an earlier run")
    assert project.main("run", "--reuse", "nobody").exit_code == 4
    (project.root / "known-deviations.yaml").write_text("- {id: one.passes}\n")
    ended = project.main("run")
    assert ended.exit_code != 0
    assert "known-deviations.yaml" in ended.stderr
    assert (project.results / "conformance-report.json").read_text() == "of an earlier run"
    assert not project.runs.exists()


# Missing real programs


def missing(project: Project) -> str:
    """What a run says is missing; the report says it too, and that nothing ran."""
    ended = project.main("run")
    assert ended.exit_code == 3, ended.text
    assert project.verdicts() == {"one.passes": "not-run"}
    code, text = project.reasons()["one.passes"]
    assert code == "components-missing"
    assert "'Real programs' in README.md" in text
    assert all(line.strip() in ended.stdout for line in text.splitlines())
    assert not list(project.runs.glob("*"))
    return text


def test_nothing_given_where_real_is_required(project: Project) -> None:
    project.settings('require-real = ["teleport", "kubernetes", "chart"]')
    text = missing(project)
    assert "--teleport DIR (teleport, tctl, tsh)" in text
    assert "--control-plane DIR (etcd, kube-apiserver, kube-controller-manager)" in text
    assert "--chart DIR (teleport-kube-agent)" in text


def test_envtest_folders_lack_the_controller_manager(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assets = project.programs("assets", "etcd", "kube-apiserver", "kubectl")
    monkeypatch.setenv("KUBEBUILDER_ASSETS", str(assets))
    project.settings('teleport = "programs"\nchart = "programs"')
    text = missing(project)
    assert f"no kube-controller-manager there ({assets})" in text
    assert "--teleport" not in text


def test_all_that_is_missing_is_told_at_once(project: Project) -> None:
    project.programs("half", "teleport", "etcd")
    project.settings('teleport = "half"\ncontrol-plane = "half"\nrequire-real = ["chart"]')
    text = missing(project)
    for name in ("no tctl", "no tsh", "no kube-apiserver", "no kube-controller-manager", "--chart DIR"):
        assert name in text


def test_what_is_simulated_is_not_enough_where_real_is_required(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert project.main("up", "--name", "mine").exit_code == 0
    path = project.runs / "mine" / "environment.json"
    document = json.loads(path.read_text())
    document["description"]["components"]["chart"]["simulated"] = True
    path.write_text(json.dumps(document))
    project.settings("")
    ended = project.main("run", "--reuse", "mine", "--require-real", "teleport,chart")
    assert ended.exit_code == 3, ended.text
    assert "simulated: chart" in ended.stdout


# Environments


def begun(project: Project, name: str) -> Path:
    """The folder of a run that has begun and done nothing yet."""
    folder = project.runs / name
    folder.mkdir(parents=True)
    (folder / "owner.lock").touch()
    return folder


def test_up_status_down(project: Project) -> None:
    up = project.main("up", "--name", "mine")
    assert up.exit_code == 0, up.text
    assert f"KUBECONFIG={project.runs}/mine/kubeconfig" in up.stdout
    assert "./conformance down mine" in up.stdout
    assert "mine: standing; 1 processes; " in project.main("status").stdout
    for command in ("up", "run"):
        taken = project.main(command, "--name", "mine")
        assert taken.exit_code == 4
        assert "mine is there already" in taken.stderr
    assert not project.results.exists()
    assert len(project.left_running()) == 1
    assert project.main("down", "mine").stdout == "mine: removed\n"
    assert (project.left_running(), list(project.runs.iterdir())) == ([], [])
    assert project.main("status").stdout == "no environments\n"


def test_up_that_breaks_leaves_nothing(project: Project) -> None:
    project.lab("breaks")
    ended = project.main("up", "--name", "mine")
    assert ended.exit_code == 2
    assert "no space left" in ended.stderr
    assert (project.left_running(), list(project.runs.iterdir())) == ([], [])


def test_up_that_is_interrupted_leaves_nothing(project: Project) -> None:
    project.lab("hangs")
    process = project.start("up")
    project.wait_for("starting", process)
    process.terminate()
    stdout, _ = process.communicate(timeout=30)
    assert process.returncode == 3, stdout
    assert "SIGTERM: ended" in stdout
    assert (project.left_running(), list(project.runs.iterdir())) == ([], [])


def test_cleanup_goes_on_after_what_it_cannot_remove(project: Project) -> None:
    for name in ("a", "b"):
        begun(project, name)
    stuck = {"id": "1", "kind": "mount", "what": {"path": "/mnt/x"}, "at": "now"}
    (project.runs / "a" / "ledger.jsonl").write_text(json.dumps(stuck) + "\n")
    ended = project.main("cleanup")
    assert ended.exit_code == 2
    assert "/mnt/x" in ended.stdout
    assert "b: removed" in ended.stdout
    assert [folder.name for folder in project.runs.iterdir()] == ["a"]
    (project.runs / "a" / "ledger.jsonl").unlink()


def test_cleanup_goes_on_after_a_folder_that_no_run_began(project: Project) -> None:
    (project.runs / "a").mkdir(parents=True)
    (project.runs / "a" / "photo.jpg").write_text("mine")
    begun(project, "b")
    ended = project.main("cleanup")
    assert ended.exit_code == 2
    assert "a folder that a run made" in ended.stdout
    assert "b: removed" in ended.stdout
    assert (project.runs / "a" / "photo.jpg").read_text() == "mine"
    shutil.rmtree(project.runs / "a")


@pytest.mark.parametrize(
    "where", ["absolute", "..", ".", "", "../../x", "../runs/mine", "mine/", "mine/below"]
)
def test_down_takes_the_name_of_an_environment_and_no_path(project: Project, where: str) -> None:
    # Each has all that a run's folder has, so that nothing but its place tells it from one.
    for folder in (
        project.root / "x",
        project.runs.parent,
        project.runs,
        project.runs / "mine",
        project.runs / "mine" / "below",
    ):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "owner.lock").touch()
        (folder / "ledger.jsonl").touch()
    before = sorted(project.root.rglob("*"))
    ended = project.main("down", project.root / "x" if where == "absolute" else where)
    assert ended.exit_code == 4, ended.text
    assert "there are: mine" in ended.stderr
    assert "Traceback" not in ended.text
    assert sorted(project.root.rglob("*")) == before


def test_an_owner_is_one_that_lives(project: Project) -> None:
    folder = project.runs / "mine"
    folder.mkdir(parents=True)
    with (folder / "owner.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert project.main("status").stdout == "mine: in use; not up\n"
        assert project.main("cleanup").stdout == "mine: spared, it is in use\n"
    assert project.main("status").stdout == "mine: left over: ./conformance cleanup; not up\n"


# report verify


@pytest.fixture
def report(project: Project) -> Path:
    project.settings('require-real = ["teleport"]')
    assert project.main("run").exit_code == 3
    return project.results / "conformance-report.json"


def test_a_report_is_verified(project: Project, report: Path) -> None:
    ended = project.main("report", "verify", report)
    assert (ended.exit_code, ended.stdout) == (0, f"{report}: agrees with itself\n")


def test_a_tampered_report_is_found_out(project: Project, report: Path) -> None:
    document = json.loads(report.read_text())
    document["summary"] |= {"passed": 1, "not-run": 0}
    report.write_text(json.dumps(document))
    ended = project.main("report", "verify", report)
    assert ended.exit_code == 1
    assert "$.summary" in ended.stdout


@pytest.mark.parametrize("content", [None, "no JSON"], ids=["missing", "no JSON"])
def test_what_is_no_report_is_a_mistake(project: Project, content: str | None) -> None:
    file = project.root / "report.json"
    if content:
        file.write_text(content)
    ended = project.main("report", "verify", file)
    assert ended.exit_code == 4
    assert "name a conformance-report.json" in ended.stderr
