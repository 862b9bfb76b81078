"""What the tests of the guide share."""

from collections.abc import Mapping
from pathlib import Path

import pytest

from harness.guide.script import PRINTED

SHARED_GUIDE = Path(__file__).parents[4] / "shared" / "guide"


@pytest.fixture(scope="session")
def printed_names() -> Mapping[str, str]:
    """The guide's own names, with a version for what its site fills in."""
    return {**PRINTED, "teleport.version": "17.0.0-dev"}


@pytest.fixture(scope="session")
def shared_guide() -> Path:
    """The folder with the guide's sources, beside the project's clone."""
    if not SHARED_GUIDE.is_dir():
        pytest.skip("no ../shared/guide beside this clone")
    return SHARED_GUIDE
