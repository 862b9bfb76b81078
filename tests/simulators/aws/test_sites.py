"""GitHub, as far as Teleport asks it before it takes a connector."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.simulators.aws.conftest import Lab


@pytest.mark.parametrize("path", ["/orgs/octocats/sso", "/", "/login/oauth/authorize"])
def test_github_has_no_sign_in_page_of_an_organisation_nor_anything_else(lab: Lab, path: str) -> None:
    assert lab.send("GET", f"https://github.com{path}").status == 404
    record = lab.last_call()
    assert (record["host"], record["service"], record["action"]) == ("github.com", "github", f"GET {path}")
