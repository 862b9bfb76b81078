"""YAML by libyaml where PyYAML was built with it: ten times as fast, for programs that start often."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def load(text: str) -> Any:
    """The document of a text; plain values only.

    Raises:
        yaml.YAMLError: it is no YAML.
    """
    return yaml.load(text, Loader=_LOADER)  # noqa: S506  # a safe one


def load_all(text: str) -> Iterator[Any]:
    """The documents of a text; plain values only.

    Raises:
        yaml.YAMLError: it is no YAML, when what is not is reached.
    """
    return yaml.load_all(text, Loader=_LOADER)


def dump(document: Any) -> str:
    """A document as text."""
    return str(yaml.dump(document, Dumper=_DUMPER))
