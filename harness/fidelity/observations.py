"""What a run saw, in a form that can be laid beside that of another run.

An observation is one key of one scenario (a command line, an oracle's query) with all that was seen there,
field by field. How often something was asked, and in which order, depends on the machine and is left out;
so is an empty answer that was only waited through.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from harness.core.errors import UsageError
from harness.fidelity.normal import Accounts, normal
from harness.report.model import REPORT_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

Fields = dict[str, set[str]]
"""Path within an observation to the values seen there."""

VERDICT = "verdict"
FINDINGS = "findings"
_COUNTERS = (".resourceVersion", "[].seq", "metadata.id", ".generation")
"""Fields that count up for as long as a program runs."""
_PRINTED = ("iam-cluster", "kube-iam-token", "teleport-agent-0")
"""Names as the guide prints them: one scenario has them, and its servers outlive it."""
_EMPTY: tuple[object, ...] = (None, [], "", {})


@dataclass(frozen=True)
class SeenRun:
    """One run as its report and evidence tell it.

    Attributes:
        components: Component to its version, with "(simulated)" where it is.
        simulated: Components that are simulated.
        scenarios: Scenario id to its observations: key to fields.
    """

    components: Mapping[str, str]
    simulated: frozenset[str]
    scenarios: Mapping[str, Mapping[str, Fields]]


def read_run(folder: Path) -> SeenRun:
    """Reads the report in a folder and all evidence that it names.

    Args:
        folder: The run's `--report-dir`.

    Raises:
        UsageError: There is no report, or evidence that it names is missing or torn.
    """
    try:
        report = json.loads((folder / REPORT_NAME).read_text())
        scenarios = {
            entry["id"]: _scenario(folder, entry, report["findings"]) for entry in report["scenarios"]
        }
    except (OSError, ValueError, KeyError) as error:
        raise UsageError(
            expected=f"a conformance report with its evidence in {folder}",
            seen=f"{type(error).__name__}: {error}",
            remedy="name the --report-dir of a finished run",
        ) from error
    components = report["environment"]["components"]
    return SeenRun(
        {
            name: f"{part['kind']} {part['version']}{' (simulated)' if part['simulated'] else ''}"
            for name, part in components.items()
        },
        frozenset(name for name, part in components.items() if part["simulated"]),
        scenarios,
    )


def _scenario(folder: Path, entry: Mapping[str, Any], findings: list[Mapping[str, Any]]) -> dict[str, Fields]:
    """Gives verdict, findings and evidence of one scenario as observations."""
    accounts = Accounts()
    seen = _evidence(folder, entry["evidence"], accounts) if entry["evidence"] else {}
    reason = entry["reason"]
    told = reason["text"].splitlines() if reason else []
    noted = [finding["text"] for finding in findings if finding["scenario"] == entry["id"]]
    return {
        VERDICT: {
            "": {entry["verdict"]},
            "reason": {normal(str(accounts.numbered(line))) for line in told},
        },
        FINDINGS: {"": {normal(str(accounts.numbered(text))) for text in noted}},
        **seen,
    }


def _evidence(folder: Path, evidence: Mapping[str, Any], accounts: Accounts) -> dict[str, Fields]:
    """Gives the commands and oracles of one scenario, in the order in which they were recorded."""
    place = folder / evidence["folder"]
    documents = [json.loads((place / record["file"]).read_text()) for record in evidence["records"]]
    own = {name for document in documents for name in _ids(_asked(document))}
    records: defaultdict[str, list[Any]] = defaultdict(list)
    for document in documents:
        key, value = _command(document, own) if document["kind"] == "command" else _oracle(document, own)
        records[str(accounts.numbered(key))].append(accounts.numbered(value))
    return {
        # An empty answer before the last was only waited through.
        key: collect([value for value in values[:-1] if value not in _EMPTY] + values[-1:])
        for key, values in records.items()
    }


def _asked(document: Mapping[str, Any]) -> str:
    """Gives what the scenario itself said: its names are in there."""
    return " ".join(document["argv"]) if document["kind"] == "command" else json.dumps(document["query"])


def _command(document: Mapping[str, Any], own: set[str]) -> tuple[str, object]:
    words = [Path(document["argv"][0]).name, *document["argv"][1:]]
    key = normal(" ".join(_word(word) for word in words))
    return f"command: {key}", {
        "exit": document["exit_code"],
        "stdout": _of_scenario(_parsed(document["stdout"]), own),
        "stderr": _parsed(document["stderr"]),
    }


def _oracle(document: Mapping[str, Any], own: set[str]) -> tuple[str, object]:
    query = normal(json.dumps(document["query"]).strip('"'))
    # Where a reading begins depends on what else runs.
    return f"oracle: {document['oracle']}: {re.sub(r'after [0-9]+ of', 'of', query)}", _of_scenario(
        document["value"], own
    )


def _ids(text: str) -> set[str]:
    """Gives what tells the names of one scenario from those of another."""
    return set(re.findall(r"(?<=-)[0-9a-f]{6}(?=$|[^0-9a-zA-Z])", text))


def _of_scenario(value: object, own: set[str]) -> object:
    """Leaves out items of other scenarios: a list of a whole cluster shows whoever ran before."""
    if not isinstance(value, list):
        return value
    return [item for item in value if _is_of(json.dumps(item, default=str), own)]


def _is_of(item: str, own: set[str]) -> bool:
    if named := _ids(item):
        return bool(named & own)
    # Whoever has names of its own has nothing to do with the guide's.
    return not (own and re.search(rf'"({"|".join(_PRINTED)})"', item))


def _word(word: str) -> str:
    """Gives a command's word without the folders that differ between runs."""
    if word.startswith("--cache-dir="):
        return "--cache-dir=<path>"
    if word.startswith("/") and not word.startswith(("/api", "/version", "/readyz")):
        return "<chart>" if Path(word).name.startswith("teleport-kube-agent") else f"<path>/{Path(word).name}"
    return word


def _parsed(text: str) -> object:
    """Gives JSON and YAML output as data, other output as it is."""
    try:
        if text.lstrip().startswith(("{", "[")):
            return json.loads(text)
        if text.startswith("kind: "):  # what tctl prints of several resources
            return list(yaml.safe_load_all(text))
    except (ValueError, yaml.YAMLError):
        return text
    return text


def collect(values: list[Any]) -> Fields:
    """Lays out values field by field.

    Args:
        values: What was seen under one key, each as JSON knows it. Items of lists share a path, so that
            neither number nor order of polled entries counts; each line of a text is a value.
    """
    fields: defaultdict[str, set[str]] = defaultdict(set)
    for value in values:
        for path, leaf in _leaves(value, ""):
            fields[path].add(leaf)
    return dict(fields)


def _leaves(value: object, path: str) -> Iterator[tuple[str, str]]:
    if path and value in (None, []):
        return  # what JSON leaves out as well
    if path.endswith(_COUNTERS):
        yield path, "<counter>"
    elif isinstance(value, dict) and value:
        for name, inner in value.items():
            yield from _leaves(inner, f"{path}.{normal(name)}".lstrip("."))
    elif isinstance(value, list) and value:
        for inner in value:
            yield from _leaves(inner, f"{path}[]")
    elif isinstance(value, str):
        for line in value.splitlines() or [""]:
            if (embedded := _embedded(line)) is not None:
                yield from _leaves(embedded, f"{path}{{}}")
            else:
                yield path, re.sub(r"\s+", " ", normal(line)).strip()
    else:
        yield path, json.dumps(value)


def _embedded(line: str) -> object | None:
    """Gives the data of a line that is JSON, such as an annotation."""
    if line.startswith("{") and line.endswith("}"):
        try:
            parsed: object = json.loads(line)
        except ValueError:
            return None
        return parsed
    return None
