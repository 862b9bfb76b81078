"""What of the user's configuration reaches pip and uv."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bootstrap.user_configuration import installer_environment, with_pip_configuration


@pytest.fixture
def python(tmp_path: Path, program: Callable[[Path, str], Path]) -> Callable[[str], str]:
    """A Python whose pip has the given configuration."""

    def make(listed: str) -> str:
        (tmp_path / "listed").write_text(listed)
        return str(program(tmp_path / "python", f"#!/bin/sh\ncat '{tmp_path / 'listed'}'\n"))

    return make


@pytest.mark.parametrize(
    "name",
    [
        "UV_DEFAULT_INDEX",
        "UV_INDEX_CORP_PASSWORD",
        "UV_CACHE_DIR",
        "PIP_CERT",
        "SSL_CERT_FILE",
        "HTTPS_PROXY",
    ],
)
def test_where_packages_come_from_is_the_users(name: str) -> None:
    assert installer_environment({name: "x"}) == {name: "x"}


@pytest.mark.parametrize(
    "name",
    [
        *("UV_LINK_MODE", "UV_PYTHON", "UV_COMPILE_BYTECODE", "UV_FROZEN", "PIP_TARGET", "PIP_USER"),
        *("PIP_PREFIX", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE", "VIRTUAL_ENV", "CONDA_PREFIX"),
    ],
)
def test_what_would_bend_the_installation_is_left_out(name: str) -> None:
    assert installer_environment({name: "x", "HOME": "/h"}) == {"HOME": "/h"}


def test_uv_is_told_what_pip_was_told(python: Callable[[str], str], tmp_path: Path) -> None:
    listed = (
        "global.index-url='https://global/simple'\ninstall.index-url='https://install/simple'\n"
        "global.cert='/c.pem'\nglobal.proxy='http://p:1'\nfreeze.timeout='3'\nglobal.odd=[1]\n"
        f"global.find-links='/nowhere {tmp_path} https://links/x'\n"
    )
    added = with_pip_configuration({"HOME": "/h"}, python(listed))
    assert added == {
        "HOME": "/h",
        "UV_DEFAULT_INDEX": "https://install/simple",
        "SSL_CERT_FILE": "/c.pem",
        "ALL_PROXY": "http://p:1",
        "UV_FIND_LINKS": f"{tmp_path},https://links/x",
    }


def test_variables_win_over_files_and_uvs_own_over_both(python: Callable[[str], str]) -> None:
    pip = python("global.index-url='https://file/simple'\n")
    variables = {"PIP_INDEX_URL": "https://variable/simple"}
    assert with_pip_configuration(variables, pip)["UV_DEFAULT_INDEX"] == "https://variable/simple"
    own = {**variables, "UV_INDEX_URL": "https://uv/simple"}
    assert with_pip_configuration(own, pip) == own


def test_a_python_without_pip_adds_only_the_variables(
    program: Callable[[Path, str], Path], tmp_path: Path
) -> None:
    python = str(program(tmp_path / "python", "#!/bin/sh\necho 'No module named pip' >&2\nexit 1\n"))
    assert with_pip_configuration({}, python) == {}
    assert with_pip_configuration({"PIP_CERT": "/c"}, python)["SSL_CERT_FILE"] == "/c"
