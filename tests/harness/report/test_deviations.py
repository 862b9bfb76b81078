"""Known deviations are declared strictly: a careless declaration would excuse too much."""

from __future__ import annotations

from pathlib import Path

import pytest

from harness.core.errors import ConformanceError
from harness.report.deviations import DEVIATIONS_NAME, find, load_deviations

LINK = "https://example.com/issues/1"


def load(tmp_path: Path, text: str) -> list[str]:
    path = tmp_path / DEVIATIONS_NAME
    path.write_text(text, encoding="utf-8")
    return [deviation.id for deviation in load_deviations(path, ["s3.install"])]


@pytest.mark.parametrize("text", ["", "[]", "# nothing\n"])
def test_no_declaration(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == []


def test_no_file_declares_nothing(tmp_path: Path) -> None:
    assert load_deviations(tmp_path / DEVIATIONS_NAME, []) == []


def test_the_repositorys_own_file_is_sound() -> None:
    own = Path(__file__).parents[3] / DEVIATIONS_NAME
    assert own.is_file()
    assert load_deviations(own, []) == []


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("{", "expected"),
        ("a: b", "a dict instead of a list"),
        (f"- {{id: s3.install, versions: '>=17', issue: '{LINK}', note: x}}", "instead of the texts"),
        ("- {id: s3.install, versions: '>=17'}", "instead of the texts"),
        (f"- {{id: s3.install, versions: 17, issue: '{LINK}'}}", "instead of the texts"),
        (f"- {{id: s3.instal, versions: '>=17', issue: '{LINK}'}}", "did you mean s3.install?"),
        (f"- {{id: s3.install, versions: 'seventeen', issue: '{LINK}'}}", "seventeen"),
        (f"- {{id: s3.install, versions: '', issue: '{LINK}'}}", "no versions"),
        ("- {id: s3.install, versions: '>=17', issue: later}", "'later' instead of the issue's link"),
    ],
)
def test_a_malformed_declaration_is_refused(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConformanceError) as caught:
        load(tmp_path, text)
    assert problem in str(caught.value)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("teleport", "holds"),
    [
        ("17.0.0", True),
        ("17.9.9", True),
        ("18.0.0", False),
        ("16.9.9", False),
        ("17.0.0-dev", True),
        ("17.0.0-alpha.1", True),
        ("18.0.0-rc.1", False),
        ("unknown", False),
        ("", False),
    ],
)
def test_versions_count_pre_releases_as_their_release(tmp_path: Path, teleport: str, *, holds: bool) -> None:
    path = tmp_path / DEVIATIONS_NAME
    path.write_text(f"- {{id: s3.install, versions: '>=17,<18', issue: '{LINK}'}}", encoding="utf-8")
    deviations = load_deviations(path, ["s3.install"])
    assert (find(deviations, "s3.install", teleport) is not None) is holds
    assert find(deviations, "s1.policy", teleport) is None
