"""The catalogue of scenarios: what the feature files say, before anything runs.

Feature files are read with gherkin-official, the parser that pytest-bdd uses itself, and expanded by
its own compiler, so that a record has exactly the steps that will run (Background included).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from _pytest.mark.expression import Expression
from gherkin.errors import ParserError
from gherkin.parser import Parser
from gherkin.pickles.compiler import Compiler

from harness.core.errors import ConformanceError, NothingSelected, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

PROFILES = ("guide", "robustness", "upgrade")

Node = Mapping[str, Any]

_KINDS = {"Context": "given", "Action": "when", "Outcome": "then"}


@dataclass(frozen=True)
class StepRecord:
    """One step as it will run, placeholders of an Outline filled in.

    Attributes:
        keyword: As written (`Given`, `And`, …).
        text: The phrase after the keyword.
        line: Line in the feature file, from 1.
        kind: `given`, `when` or `then`, inherited by And and But; empty where there is none to inherit.
        has_table: Whether a data table follows.
        docstring: The doc string that follows, or None.
    """

    keyword: str
    text: str
    line: int
    kind: str
    has_table: bool = False
    docstring: str | None = None


@dataclass(frozen=True)
class ScenarioRecord:
    """One scenario of the suite; each Examples row of an Outline is one.

    Attributes:
        id: Of the `@id:` tag; for an Examples row `<id>[<first cell>]`. Empty if the tag is missing.
        name: As in the feature file, placeholders filled in.
        feature: Path of the feature file relative to the repository, with slashes.
        line: Line of the scenario, or of the Examples row.
        tags: All tags without `@`, inherited ones included.
        profiles: Of `guide` (has a claim), `robustness` (has a failure mode), `upgrade`.
        claims: Claim ids, without their revision.
        failures: Failure modes.
        needs: Capabilities that the environment must have.
        alone: Whether nothing else may run beside it.
        rule: Name of the Rule around it, or None.
        steps: All steps in order, Background first.
        template: Name under which pytest-bdd knows the scenario (of the Outline for a row).
        example: Column and cell of the Examples row; empty for a plain scenario.
    """

    id: str
    name: str
    feature: str
    line: int
    tags: tuple[str, ...]
    profiles: tuple[str, ...]
    claims: tuple[str, ...]
    failures: tuple[str, ...]
    needs: tuple[str, ...]
    alone: bool
    rule: str | None
    steps: tuple[StepRecord, ...]
    template: str
    example: tuple[tuple[str, str], ...] = ()

    @property
    def printed_names(self) -> bool:
        """Whether it has the guide's own names, which one scenario at a time can have."""
        return self.alone or "printed-names" in self.tags


@dataclass(frozen=True)
class FeatureDocument:
    """A feature file: its syntax tree (as gherkin-official gives it) and its scenarios.

    Attributes:
        path: Relative to the repository, with slashes.
        tree: The `feature` node of the syntax tree; empty for a file without a Feature.
        records: In the order of the file.
    """

    path: str
    tree: Node
    records: tuple[ScenarioRecord, ...]


def read_features(features: Path) -> list[FeatureDocument]:
    """Reads every `*.feature` file of the folder.

    Args:
        features: The folder; its parent is taken for the repository.

    Returns:
        One document per file, in the order of the file names.

    Raises:
        ConformanceError: A file is not Gherkin.
    """
    return [read_feature(path, features.parent) for path in sorted(features.glob("*.feature"))]


def read_feature(path: Path, repository: Path) -> FeatureDocument:
    """Reads one feature file.

    Args:
        path: The file.
        repository: What its path is to be relative to.

    Raises:
        ConformanceError: The file is not Gherkin.
    """
    relative = path.relative_to(repository).as_posix()
    try:
        document = Parser().parse(path.read_text(encoding="utf-8"))
        pickles = Compiler().compile({**document, "uri": relative})
    except (ParserError, UnicodeDecodeError) as error:
        raise ConformanceError(
            expected=f"{relative} to be a Gherkin feature file", seen=str(error), remedy="correct the file"
        ) from error
    tree: Node = document.get("feature") or {}
    nodes = dict(_nodes_by_id(tree))
    rules = {
        child["scenario"]["id"]: rule["rule"]["name"]
        for rule in tree.get("children", ())
        if "rule" in rule
        for child in rule["rule"]["children"]
        if "scenario" in child
    }
    records = tuple(_record(pickle, nodes, rules, relative) for pickle in pickles)
    return FeatureDocument(relative, tree, records)


def read_catalogue(features: Path) -> list[ScenarioRecord]:
    """Reads all scenarios of the folder, in the order of file names, then lines.

    Args:
        features: The folder with the feature files.

    Raises:
        ConformanceError: A file is not Gherkin.
    """
    return [record for document in read_features(features) for record in document.records]


def select(
    records: Sequence[ScenarioRecord],
    keyword: str | None = None,
    ids: Sequence[str] = (),
    profiles: Sequence[str] = (),
) -> list[ScenarioRecord]:
    """Chooses scenarios; the conditions given must all hold.

    Args:
        records: The catalogue.
        keyword: An expression as of pytest's `-k` over id, name, tags and feature.
        ids: Ids; that of an Outline stands for all its rows.
        profiles: Any of `PROFILES`.

    Returns:
        The chosen records, in the order of the catalogue.

    Raises:
        UsageError: An id or a profile is unknown, or the expression cannot be read.
        NothingSelected: No scenario is left.
    """
    _check_known("scenario", ids, [name for record in records for name in (record.id, outline_id(record))])
    _check_known("profile", profiles, PROFILES)
    chosen = [
        record
        for record in records
        if (not ids or record.id in ids or outline_id(record) in ids)
        and (not profiles or set(profiles) & set(record.profiles))
    ]
    if keyword is not None:
        chosen = [
            record for record, matches in zip(chosen, _matches(keyword, chosen), strict=True) if matches
        ]
    if not chosen:
        raise NothingSelected(
            expected="a selection of at least one scenario",
            seen=f"none of the {len(records)} scenarios fits "
            f"keyword {keyword!r}, ids {list(ids)}, profiles {list(profiles)}",
            remedy="loosen -k, --scenario or --profile",
        )
    return chosen


def outline_id(record: ScenarioRecord) -> str:
    """Gives the id as tagged: that of the Outline for an Examples row."""
    return record.id.partition("[")[0]


def folder_name(scenario_id: str) -> str:
    """Gives the name of the folder that holds a scenario's evidence.

    Args:
        scenario_id: Id of the scenario; that of an Examples row has brackets and the cell's text.
    """
    return re.sub(r"[^A-Za-z0-9._]+", "-", scenario_id).strip("-.")


def nearest(name: str, known: Iterable[str]) -> str:
    """Gives `did you mean …?` for the known name closest to a mistaken one, or the list of all.

    Args:
        name: What was written.
        known: What could have been meant.
    """
    names = sorted(set(known))
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.4)
    return f"did you mean {close[0]}?" if close else f"known are: {', '.join(names) or 'none'}"


def _check_known(what: str, names: Sequence[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise UsageError(expected=f"a known {what}", seen=repr(name), remedy=nearest(name, known))


def _matches(keyword: str, records: Sequence[ScenarioRecord]) -> list[bool]:
    """Evaluates an expression as pytest's `-k` does; the one place that knows pytest's class for it."""
    try:
        # An empty expression is none to pytest (everything matches), and False to its compiler.
        expression = Expression.compile(keyword if keyword.strip() else "()")
        return [expression.evaluate(_matcher(record)) for record in records]
    except Exception as error:  # compiling and evaluating each raise types of their own, by pytest version
        raise UsageError(
            expected="an expression such as 's3 and not restart'",
            seen=f"{keyword!r}: {error}",
            remedy="use names joined by and, or, not and brackets",
        ) from error


def _matcher(record: ScenarioRecord) -> Any:
    texts = [text.casefold() for text in (record.id, record.name, record.feature, *record.tags)]

    def contains(name: str, /, **unsupported: object) -> bool:
        if unsupported:
            raise ValueError("name(key=value) is not supported")
        return any(name.casefold() in text for text in texts)

    return contains


def _nodes_by_id(node: object) -> Iterable[tuple[str, Node]]:
    """Walks the syntax tree; a pickle refers to nodes by id."""
    if isinstance(node, Mapping):
        if "id" in node:
            yield node["id"], node
        for value in node.values():
            yield from _nodes_by_id(value)
    elif isinstance(node, list):
        for value in node:
            yield from _nodes_by_id(value)


def _record(
    pickle: Node, nodes: Mapping[str, Node], rules: Mapping[str, str], feature: str
) -> ScenarioRecord:
    scenario = nodes[pickle["astNodeIds"][0]]
    example = _example(scenario, pickle["astNodeIds"][1:])
    tags = tuple(dict.fromkeys(_filled(tag["name"].removeprefix("@"), example) for tag in pickle["tags"]))
    families: dict[str, list[str]] = {"id": [], "guide": [], "failure": [], "needs": []}
    for tag in tags:
        family, _, value = tag.partition(":")
        if family in families:
            families[family].append(value)
    identity = next(iter(families["id"]), "")
    profiles = (bool(families["guide"]), bool(families["failure"]), "upgrade" in tags)
    return ScenarioRecord(
        id=f"{identity}[{example[0][1]}]" if example else identity,
        name=pickle["name"],
        feature=feature,
        line=pickle["location"]["line"],
        tags=tags,
        profiles=tuple(profile for profile, has in zip(PROFILES, profiles, strict=True) if has),
        claims=tuple(claim.partition("~")[0] for claim in families["guide"]),
        failures=tuple(families["failure"]),
        needs=tuple(families["needs"]),
        alone="alone" in tags,
        rule=rules.get(scenario["id"]),
        steps=tuple(_step(step, nodes[step["astNodeIds"][0]]) for step in pickle["steps"]),
        template=scenario["name"],
        example=example,
    )


def _filled(tag: str, example: Sequence[tuple[str, str]]) -> str:
    """A tag with the cells of its row in it, as `@failure:<failure>` has them; Gherkin leaves tags alone."""
    for column, cell in example:
        tag = tag.replace(f"<{column}>", cell)
    return tag


def _example(scenario: Node, row_ids: Sequence[str]) -> tuple[tuple[str, str], ...]:
    for examples in scenario["examples"] if row_ids else ():
        for row in examples["tableBody"]:
            if row["id"] == row_ids[0]:
                header = examples["tableHeader"]["cells"]
                return tuple((h["value"], c["value"]) for h, c in zip(header, row["cells"], strict=True))
    return ()


def _step(step: Node, node: Node) -> StepRecord:
    argument = step.get("argument") or {}
    return StepRecord(
        keyword=node["keyword"].strip(),
        text=step["text"],
        line=node["location"]["line"],
        kind=_KINDS.get(step["type"], ""),
        has_table="dataTable" in argument,
        docstring=argument["docString"]["content"] if "docString" in argument else None,
    )
