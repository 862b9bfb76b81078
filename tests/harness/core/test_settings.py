"""One typed place for settings: precedence, sources, and nothing wrong in silence."""

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from harness.core import settings as module
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
        for name in module._KINDS
        if (value := getattr(expected, name)) is not None
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
    internal = dict.fromkeys(module._INTERNAL_VARIABLES, "x")
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


@pytest.mark.parametrize("env", ["kind", "existing"])
def test_environments_that_are_not_there_yet_are_refused(env: str) -> None:
    text = refusal({"env": env})
    assert "not available yet" in text
    assert "option --env" in text


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
