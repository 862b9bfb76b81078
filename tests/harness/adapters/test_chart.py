"""Publishing the chart under test: from a folder, from an archive, and what is no such chart."""

from __future__ import annotations

import hashlib
import tarfile
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from harness.adapters import chart
from harness.core.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

METADATA = {
    "apiVersion": "v2",
    "name": "teleport-kube-agent",
    "version": "13.4.2",
    "appVersion": "13.4.3",
    "description": "Agent",
    ".version": "an anchor of upstream's, of which Helm 3 knows nothing",
}


def folder(tmp_path: Path, metadata: Any = METADATA, name: str = "given") -> Path:
    made = tmp_path / name
    (made / "templates").mkdir(parents=True)
    (made / "Chart.yaml").write_text(metadata if isinstance(metadata, str) else yaml.safe_dump(metadata))
    (made / "templates" / "role.yaml").write_text("kind: ClusterRole\n")
    return made


def packed(tmp_path: Path, given: Path, name: str = chart.NAME) -> Path:
    archive = tmp_path / "given.tgz"
    with tarfile.open(archive, "w:gz") as tar:
        tar.add(given, arcname=name)
    return archive


def index(repository: Path) -> dict[str, Any]:
    document: dict[str, Any] = yaml.safe_load((repository / "index.yaml").read_text())
    assert document["apiVersion"] == "v1"
    assert document["entries"].keys() == {chart.NAME}
    (entry,) = document["entries"][chart.NAME]
    return dict(entry)


def test_a_folder_is_packed(tmp_path: Path) -> None:
    made = chart.publish(folder(tmp_path), tmp_path / "charts")
    assert made == chart.Chart(tmp_path / "charts" / "teleport-kube-agent-13.4.2.tgz", "13.4.2", "13.4.3")
    with tarfile.open(made.archive) as tar:
        assert {"teleport-kube-agent/Chart.yaml", "teleport-kube-agent/templates/role.yaml"} <= set(
            tar.getnames()
        )


def test_an_archive_is_taken_as_it_is(tmp_path: Path) -> None:
    archive = packed(tmp_path, folder(tmp_path))
    made = chart.publish(archive, tmp_path / "charts")
    assert made.archive.read_bytes() == archive.read_bytes()
    assert (made.version, made.app_version) == ("13.4.2", "13.4.3")


def test_the_index_names_the_archive_and_only_what_helm_knows(tmp_path: Path) -> None:
    made = chart.publish(folder(tmp_path), tmp_path / "charts")
    entry = index(tmp_path / "charts")
    assert entry["urls"] == ["teleport-kube-agent-13.4.2.tgz"]
    assert entry["digest"] == hashlib.sha256(made.archive.read_bytes()).hexdigest()
    assert (entry["version"], entry["appVersion"]) == ("13.4.2", "13.4.3")
    assert entry.keys() <= chart.INDEXED | {"urls", "digest", "created"}


def test_the_app_version_is_the_charts_where_it_names_none(tmp_path: Path) -> None:
    metadata = {key: value for key, value in METADATA.items() if key != "appVersion"}
    assert chart.publish(folder(tmp_path, metadata), tmp_path / "charts").app_version == "13.4.2"


@pytest.mark.parametrize(
    "metadata",
    [
        {**METADATA, "name": "teleport-cluster"},
        {"name": chart.NAME},
        {},
        "",
        "- a list",
        "{not: [yaml",
    ],
)
def test_another_chart_or_none_is_a_usage_error(tmp_path: Path, metadata: Any) -> None:
    with pytest.raises(UsageError, match="--chart to name"):
        chart.publish(folder(tmp_path, metadata), tmp_path / "charts")
    assert not list((tmp_path / "charts").glob("*"))


def test_another_chart_is_called_by_its_name(tmp_path: Path) -> None:
    given = folder(tmp_path, {**METADATA, "name": "teleport-cluster"})
    with pytest.raises(UsageError, match="chart 'teleport-cluster'") as caught:
        chart.publish(given, tmp_path / "charts")
    assert str(given) in caught.value.seen


def test_what_is_no_chart_at_all_is_a_usage_error(tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    text = tmp_path / "chart.tgz"
    text.write_text("no archive")
    whole = packed(tmp_path, folder(tmp_path)).read_bytes()
    torn = tmp_path / "torn.tgz"
    torn.write_bytes(whole[: len(whole) // 2])
    other = packed(tmp_path, folder(tmp_path, name="again"), name="teleport-cluster")
    binary = folder(tmp_path, name="binary")
    (binary / "Chart.yaml").write_bytes(b"\xff\xfe\x00name")
    for given in (tmp_path / "missing", empty, text, torn, other, binary):
        with pytest.raises(UsageError) as caught:
            chart.publish(given, tmp_path / "charts")
        assert str(given) in caught.value.seen


@pytest.mark.parametrize(
    ("values", "image"),
    [
        ({"image": "public.ecr.aws/a/teleport"}, "public.ecr.aws/a/teleport:13.4.2"),
        ({"image": "a/teleport", "teleportVersionOverride": ""}, "a/teleport:13.4.2"),
        ({"image": "a/teleport", "teleportVersionOverride": "13.4.9"}, "a/teleport:13.4.9"),
        ({"image": "a/b", "enterpriseImage": "a/ent", "enterprise": False}, "a/b:13.4.2"),
        ({"image": "a/b", "enterpriseImage": "a/ent", "enterprise": True}, "a/ent:13.4.2"),
    ],
)
def test_the_agents_image_is_what_the_templates_make_of_the_values(
    tmp_path: Path, values: dict[str, Any], image: str
) -> None:
    given = folder(tmp_path)
    (given / "values.yaml").write_text(yaml.safe_dump(values))
    assert chart.agent_image(given) == chart.agent_image(packed(tmp_path, given)) == image


@pytest.mark.parametrize("values", [None, "", "- a list", "{not: [yaml", "enterprise: true\nimage: a/b\n"])
def test_a_chart_that_names_no_image_is_a_usage_error(tmp_path: Path, values: str | None) -> None:
    given = folder(tmp_path)
    if values is not None:
        (given / "values.yaml").write_text(values)
    with pytest.raises(UsageError, match="--chart to name") as caught:
        chart.agent_image(given)
    assert str(given) in caught.value.seen


def test_another_chart_has_no_agent(tmp_path: Path) -> None:
    given = folder(tmp_path, {**METADATA, "name": "teleport-cluster"})
    (given / "values.yaml").write_text("image: a/b\n")
    with pytest.raises(UsageError, match="chart 'teleport-cluster'"):
        chart.agent_image(given)
