"""The suite's own YAML: plain values, and nothing that runs."""

from __future__ import annotations

import pytest
import yaml

from harness.core.documents import read_yaml


def test_plain_values_and_shared_ones() -> None:
    assert read_yaml("a: &shared [1, two]\nb: *shared\nc: null\n") == {
        "a": [1, "two"],
        "b": [1, "two"],
        "c": None,
    }


@pytest.mark.parametrize("text", ["!!python/object/apply:os.getcwd []", "a: [1"])
def test_what_is_no_plain_document_is_refused(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        read_yaml(text)
