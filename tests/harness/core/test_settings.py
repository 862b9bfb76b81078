"""One typed place for settings: precedence, sources, and nothing wrong in silence."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from harness.core import given
from harness.core import settings as module
from harness.core.contradictions import ONLY_KIND
from harness.core.errors import UsageError
from harness.core.settings import Settings, load


def pyproject(folder: Path, body: str) -> Path:
    path = folder / "pyproject.toml"
    path.write_text(f"[tool.conformance]\n{body}\n")
    return path


def refusal(
    options: dict[str, object] | None = None, environ: dict[str, str] | None = None, path: Path | None = None
) -> str:
    with pytest.raises(UsageError) as raised:
        load(options or {}, environ or {}, path)
    assert raised.value.exit_code == 4
    return str(raised.value)


def test_without_anything_there_are_the_defaults(tmp_path: Path) -> None:
    assert load({}, {}, tmp_path / "pyproject.toml") == Settings()
    assert Settings().command_line() == ["./conformance", "run"]
    assert Settings().source("workers") == "default"


def test_every_attribute_has_its_rule() -> None:
    assert [entry.name for entry in fields(Settings)] == [*module._KINDS, "sources"]


def test_a_source_of_something_unknown_is_not_invented() -> None:
    with pytest.raises(KeyError):
        Settings().source("wrokers")


def test_option_beats_variable_beats_pyproject_beats_default(tmp_path: Path) -> None:
    path = pyproject(tmp_path, 'workers = 3\nname = "file"\nkeep = "always"')
    environ = {"CONFORMANCE_WORKERS": "4", "CONFORMANCE_NAME": "variable"}
    settings = load({"workers": 5, "keep": None, "scenario": ()}, environ, path)
    assert (settings.workers, settings.name, settings.keep, settings.env) == (5, "variable", "always", "lab")
    assert settings.source("workers") == "option --workers"
    assert settings.source("name") == "environment variable CONFORMANCE_NAME"
    assert settings.source("keep") == "[tool.conformance] of pyproject.toml"
    assert settings.source("env") == "default"


def test_every_setting_can_be_given_in_every_place(tmp_path: Path) -> None:
    expected = Settings(
        env="lab",
        teleport=tmp_path / "t",
        control_plane=tmp_path / "c",
        chart=tmp_path / "chart.tgz",
        helm=tmp_path / "helm",
        guide_edition="17",
        report_dir=tmp_path / "r",
        workers=4,
        keep="on-failure",
        name="mine",
        require_real=("teleport", "chart"),
        profile=("guide", "upgrade"),
        scenario=("a", "b"),
        keyword="not slow",
        exit_first=True,
    )
    as_text = {
        name: ",".join(value) if isinstance(value, tuple) else str(value)
        for name in module._NAMES
        if name not in ONLY_KIND and (value := getattr(expected, name)) is not None
    }
    variables = {f"CONFORMANCE_{name.upper()}": text for name, text in as_text.items()}
    lines = [f'{name.replace("_", "-")} = "{text}"' for name, text in as_text.items() if name != "workers"]
    path = pyproject(tmp_path, "\n".join([*lines, "workers = 4"]))
    assert load({name: getattr(expected, name) for name in as_text}, {}) == expected
    assert load({}, variables) == expected
    assert load({}, {}, path) == expected


def test_reuse_can_be_given_in_every_place(tmp_path: Path) -> None:
    assert load({"reuse": "a"}, {}).reuse == "a"
    assert load({}, {"CONFORMANCE_REUSE": "a"}).reuse == "a"
    assert load({}, {}, pyproject(tmp_path, 'reuse = "a"')).reuse == "a"


def test_the_imitated_version_can_be_given_in_every_place(tmp_path: Path) -> None:
    assert load({"simulated_teleport": "17"}, {}).simulated_teleport == "17"
    assert load({}, {"CONFORMANCE_SIMULATED_TELEPORT": "17"}).simulated_teleport == "17"
    for written in ('"17"', "17"):
        settings = load({}, {}, pyproject(tmp_path, f"simulated-teleport = {written}"))
        assert settings.simulated_teleport == "17"
        assert settings.command_line()[-2:] == ["--simulated-teleport", "17"]


@pytest.mark.parametrize("value", ["16", 18, "13.0", True, 17.0, "", None])
def test_another_version_is_not_imitated(value: object) -> None:
    if value is None:
        assert load({"simulated_teleport": value}, {}).simulated_teleport is None
    else:
        assert "expected: simulated-teleport: 13 or 17" in refusal({"simulated_teleport": value})


def test_a_real_teleport_imitates_nothing(tmp_path: Path) -> None:
    path = pyproject(tmp_path, 'teleport = "bin"')
    text = refusal({"simulated_teleport": "13"}, path=path)
    assert "either teleport, which is real, or simulated-teleport" in text
    assert "teleport from [tool.conformance] of pyproject.toml" in text
    assert "simulated-teleport from option --simulated-teleport" in text


def test_lists_and_booleans_of_pyproject_have_their_own_types(tmp_path: Path) -> None:
    settings = load({}, {}, pyproject(tmp_path, 'profile = ["guide", "guide"]\nexit-first = true'))
    assert settings.profile == ("guide",)
    assert settings.exit_first is True
    assert (
        load({}, {"CONFORMANCE_EXIT_FIRST": "no"}, pyproject(tmp_path, "exit-first = true")).exit_first
        is False
    )


def test_relative_paths_of_pyproject_start_at_its_folder(tmp_path: Path) -> None:
    path = pyproject(tmp_path, 'teleport = "bin"\nchart = "/abs/chart"')
    settings = load({"control_plane": "here"}, {}, path)
    assert settings.teleport == tmp_path / "bin"
    assert settings.chart == Path("/abs/chart")
    assert settings.control_plane == Path("here")


def test_the_control_plane_falls_back_to_kubebuilder_assets(tmp_path: Path) -> None:
    environ = {"KUBEBUILDER_ASSETS": "/assets"}
    settings = load({}, environ)
    assert settings.control_plane == Path("/assets")
    assert settings.source("control_plane") == "environment variable KUBEBUILDER_ASSETS"
    assert load({}, environ, pyproject(tmp_path, 'control-plane = "/file"')).control_plane == Path("/file")
    assert load({"control_plane": "/option"}, environ).control_plane == Path("/option")


def test_variables_of_the_run_itself_and_empty_ones_are_no_settings() -> None:
    internal = dict.fromkeys(given._INTERNAL_VARIABLES, "x")
    assert {"CONFORMANCE_RUN", "CONFORMANCE_ENVIRONMENT", "CONFORMANCE_MOUNTS", "CONFORMANCE_PLAN"} <= set(
        internal
    )
    assert load({}, {**internal, "CONFORMANCE_WORKERS": "", "PATH": "/bin"}) == Settings()


def test_an_unknown_variable_is_refused_and_the_nearest_named() -> None:
    text = refusal(environ={"CONFORMANCE_WROKERS": "3"})
    assert "unknown environment variable CONFORMANCE_WROKERS" in text
    assert "did you mean CONFORMANCE_WORKERS?" in text


def test_an_unknown_variable_is_refused_even_when_empty() -> None:
    assert "CONFORMANCE_WROKERS" in refusal(environ={"CONFORMANCE_WROKERS": ""})


def test_an_unknown_key_is_refused_and_the_nearest_named(tmp_path: Path) -> None:
    text = refusal(path=pyproject(tmp_path, 'report_dir = "x"'))
    assert "unknown key 'report_dir'" in text
    assert "did you mean report-dir?" in text


def test_an_unknown_name_like_nothing_known_is_to_be_removed() -> None:
    assert "what to do: remove it" in refusal({"zzzzzz": 1})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("workers", 0),
        ("workers", "many"),
        ("workers", True),
        ("workers", 1.5),
        ("env", "lap"),
        ("keep", "sometimes"),
        ("require_real", "teleport,aws"),
        ("require_real", [1]),
        ("profile", "guide,"),
        ("profile", 3),
        ("exit_first", "perhaps"),
        ("exit_first", 1),
        ("guide_edition", 17),
        ("teleport", ""),
        ("teleport", 3),
        ("name", "../up"),
        ("reuse", ".hidden"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_accepted_and_where_it_came_from(
    name: str, value: object
) -> None:
    text = refusal({name: value})
    assert f"expected: {name.replace('_', '-')}: " in text
    assert repr(value) in text
    assert f"option --{name.replace('_', '-')}" in text


def test_a_wrong_value_is_refused_even_where_a_higher_place_overrides_it() -> None:
    assert "CONFORMANCE_WORKERS" in refusal({"workers": 2}, {"CONFORMANCE_WORKERS": "none"})


@pytest.mark.parametrize(
    "body", ["not toml", "[tool]\nconformance = 3", "tool = 3", "[[tool.conformance]]\na = 1"]
)
def test_a_broken_pyproject_is_told(tmp_path: Path, body: str) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text(body)
    assert str(path) in refusal(path=path)


def test_a_pyproject_of_other_tools_only_is_fine(tmp_path: Path) -> None:
    path = tmp_path / "pyproject.toml"
    path.write_text("[tool.other]\nworkers = 3\n")
    assert load({}, {}, path) == Settings()


@pytest.mark.parametrize(
    "other",
    [{"teleport": "/t"}, {"control_plane": "/c"}, {"chart": "/c"}, {"keep": "always"}, {"keep": "never"}],
)
def test_a_reused_environment_takes_no_programs_and_is_not_kept_by_the_run(other: dict[str, object]) -> None:
    (name,) = other
    text = refusal({"reuse": "mine", **other})
    assert f"either reuse or {name.replace('_', '-')}" in text
    assert "option --reuse" in text


def test_reuse_contradicts_a_variable_too() -> None:
    assert "CONFORMANCE_TELEPORT" in refusal({"reuse": "mine"}, {"CONFORMANCE_TELEPORT": "/t"})


def test_what_is_said_for_every_run_gives_way_to_an_explicit_reuse(tmp_path: Path) -> None:
    path = pyproject(tmp_path, 'teleport = "/t"\nkeep = "always"')
    settings = load({"reuse": "mine"}, {"KUBEBUILDER_ASSETS": "/assets"}, path)
    assert settings == Settings(reuse="mine")
    assert settings.source("teleport") == "default"
    assert "either reuse or teleport" in refusal(path=pyproject(tmp_path, 'teleport = "/t"\nreuse = "mine"'))


def test_an_environment_that_is_not_there_yet_is_refused() -> None:
    text = refusal({"env": "existing"})
    assert "not available yet" in text
    assert "option --env" in text


# The kind environment

KIND: dict[str, object] = {"env": "kind", "teleport": "13.0.0", "chart": "/chart"}


def test_versions_become_images_in_env_kind() -> None:
    settings = load({**KIND, "control_plane": "v1.32.2", "agent": "v17.1.2"}, {})
    repository = "public.ecr.aws/gravitational/teleport-distroless"
    assert settings == Settings(
        env="kind",
        chart=Path("/chart"),
        teleport_image=f"{repository}:13.0.0",
        agent_image=f"{repository}:17.1.2",
        node_image="kindest/node:v1.32.2",
    )
    assert settings.source("teleport_image") == "option --teleport"
    assert settings.source("teleport") == "default"


def test_every_setting_of_env_kind_can_be_given_in_every_place(tmp_path: Path) -> None:
    told = {
        "env": "kind",
        "teleport": "registry.example.com:5000/teleport-ent:17.0.0",
        "agent": "13.0.0",
        "other_agent": "12.0.0",
        "control_plane": f"kindest/node:v1.32.2@sha256:{'a' * 64}",
        "aws_backend": "moto",
        "localstack_image": "mirror/localstack:4.14.0",
        "gateway_image": "mine/gateway:1",
        "webhook_image": "public.ecr.aws/eks/amazon-eks-pod-identity-webhook:v0.6.17",
        "licence": str(tmp_path / "licence.pem"),
        "registry_secret": str(tmp_path / "config.json"),
        "kind": str(tmp_path / "kind"),
        "chart": str(tmp_path / "chart"),
    }
    expected = Settings(
        env="kind",
        teleport_image=told["teleport"],
        agent_image="public.ecr.aws/gravitational/teleport-distroless:13.0.0",
        other_agent_image="public.ecr.aws/gravitational/teleport-distroless:12.0.0",
        node_image=told["control_plane"],
        aws_backend="moto",
        localstack_image=told["localstack_image"],
        gateway_image=told["gateway_image"],
        webhook_image=told["webhook_image"],
        licence=tmp_path / "licence.pem",
        registry_secret=tmp_path / "config.json",
        kind=tmp_path / "kind",
        chart=tmp_path / "chart",
    )
    assert set(ONLY_KIND) < set(told)
    variables = {f"CONFORMANCE_{name.upper()}": text for name, text in told.items()}
    relative = {name: text.removeprefix(f"{tmp_path}/") for name, text in told.items()}
    lines = [f'{name.replace("_", "-")} = "{text}"' for name, text in relative.items()]
    for settings in (
        load(dict(told), {}),
        load({}, variables),
        load({}, {}, pyproject(tmp_path, "\n".join(lines))),
    ):
        assert settings == expected
        words = settings.command_line()
        assert words[:4] == ["./conformance", "run", "--env", "kind"]
        # The command makes the same settings again.
        again = dict(zip(words[2::2], words[3::2], strict=True))
        options = {option.removeprefix("--").replace("-", "_"): value for option, value in again.items()}
        assert load(dict(options), {}) == expected


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (
            {**KIND, "teleport": "/bin"},
            "teleport: a VERSION such as 13.0.0, or an image with its tag or digest",
        ),
        ({**KIND, "teleport": Path("/bin")}, "'/bin' from option --teleport, env kind from option --env"),
        ({**KIND, "teleport": "teleport"}, "the lab takes folders"),
        ({**KIND, "teleport": "teleport:"}, "an image with its tag"),
        ({**KIND, "teleport": 13}, "a VERSION such as 13.0.0"),
        ({**KIND, "control_plane": "/bin"}, "control-plane: a VERSION such as v1.32.2"),
        ({**KIND, "agent": "/bin"}, "agent: a VERSION such as 13.0.0"),
        ({**KIND, "localstack_image": "localstack/localstack"}, "localstack-image: an image with its tag"),
        ({**KIND, "webhook_image": f"x:1@sha256:{'a' * 64}"}, "webhook-image: an image with its tag, and no"),
        ({**KIND, "aws_backend": "aws"}, "aws-backend: one of localstack, moto"),
        ({**KIND, "simulated_teleport": "13"}, "the lab with simulated-teleport"),
        ({"env": "kind", "chart": "/chart"}, "expected: --teleport VERSION|IMAGE with env kind"),
        ({"env": "kind", "teleport": "13.0.0"}, "expected: --chart DIR|ARCHIVE with env kind"),
        ({"env": "kind"}, "seen: no teleport and no chart; env kind from option --env"),
        ({"env": "kind"}, "leave --env out"),
        ({"teleport": "13.0.0"}, "add --env kind, which takes versions and images"),
        ({"env": "lab", "teleport": "mine/teleport:13"}, "env lab from option --env"),
        ({"control_plane": "v1.32.2"}, "control-plane: a folder with its programs"),
        *(({name: "x"}, f"env kind with {name.replace('_', '-')}") for name in ONLY_KIND),
        ({"reuse": "mine", "agent": "13.0.0"}, "either reuse or agent"),
        ({"reuse": "mine", "env": "kind", "teleport": "13.0.0"}, "either reuse or teleport"),
    ],
)
def test_what_does_not_fit_the_environment_is_refused(options: dict[str, object], expected: str) -> None:
    assert expected in refusal(options)


def test_a_standing_kind_environment_needs_nothing() -> None:
    assert load({"env": "kind", "reuse": "mine"}, {}) == Settings(env="kind", reuse="mine")


def test_a_folder_of_the_lab_may_look_like_a_version(tmp_path: Path) -> None:
    (tmp_path / "13.0.0").mkdir()
    assert load({"teleport": str(tmp_path / "13.0.0")}, {}).teleport == tmp_path / "13.0.0"
    assert load({}, {}, pyproject(tmp_path, 'teleport = "13.0.0"')).teleport == tmp_path / "13.0.0"


@pytest.mark.parametrize("assets", ["/assets", "assets", "1.32.2"])
@pytest.mark.parametrize("place", ["option", "variable", "file"])
def test_kubebuilder_assets_do_not_disturb_env_kind(tmp_path: Path, assets: str, place: str) -> None:
    body = "\n".join(f'{name} = "{value}"' for name, value in KIND.items())
    settings = load(
        KIND if place == "option" else {},
        {
            "KUBEBUILDER_ASSETS": assets,
            **(
                {f"CONFORMANCE_{name.upper()}": str(value) for name, value in KIND.items()}
                if place == "variable"
                else {}
            ),
        },
        pyproject(tmp_path, body if place == "file" else ""),
    )
    assert (settings.env, settings.control_plane, settings.node_image) == ("kind", None, None)
    assert "--control-plane" not in settings.command_line()


def test_what_is_said_for_every_run_gives_way_to_an_explicit_environment(tmp_path: Path) -> None:
    of_lab = pyproject(
        tmp_path, 'teleport = "bin"\ncontrol-plane = "/bin"\nsimulated-teleport = "17"\nworkers = 3'
    )
    assert load(KIND, {}, of_lab) == Settings(
        env="kind",
        teleport_image="public.ecr.aws/gravitational/teleport-distroless:13.0.0",
        chart=Path("/chart"),
        workers=3,
    )
    of_kind = pyproject(tmp_path, 'env = "kind"\nteleport = "13.0.0"\nagent = "13.0.1"\nchart = "/chart"')
    assert load({"env": "lab"}, {}, of_kind) == Settings(chart=Path("/chart"))
    assert load({}, {"CONFORMANCE_ENV": "lab", "KUBEBUILDER_ASSETS": "/a"}, of_kind) == Settings(
        control_plane=Path("/a"), chart=Path("/chart")
    )


def test_what_is_said_in_one_place_has_to_fit(tmp_path: Path) -> None:
    assert "env kind with agent" in refusal(path=pyproject(tmp_path, 'agent = "13.0.0"'))
    body = 'env = "kind"\nteleport = "bin"\nchart = "/chart"'
    assert "'bin' from [tool.conformance]" in refusal(path=pyproject(tmp_path, body))
    assert "environment variable CONFORMANCE_TELEPORT" in refusal(KIND, {"CONFORMANCE_TELEPORT": "/bin"})


def test_the_command_line_repeats_the_run(tmp_path: Path) -> None:
    path = pyproject(tmp_path, 'profile = ["guide", "upgrade"]\nexit-first = true')
    environ = {"KUBEBUILDER_ASSETS": "/assets", "CONFORMANCE_WORKERS": "2"}
    settings = load({"teleport": "/t", "keyword": "not slow"}, environ, path)
    words = settings.command_line()
    assert words == [
        *("./conformance", "run", "--teleport", "/t", "--control-plane", "/assets", "--workers", "2"),
        *("--profile", "guide", "--profile", "upgrade", "-k", "not slow", "--exit-first"),
    ]


def test_settings_cannot_be_changed() -> None:
    changing: Any = Settings()
    with pytest.raises(AttributeError):
        changing.workers = 3
