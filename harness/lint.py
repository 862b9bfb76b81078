"""What pytest-bdd lets pass in silence, found before the first scenario runs.

Each check stands for a trap that was seen to turn a scenario green, or to drop it, without a word:
duplicate names, empty scenarios, arguments that no function takes, and so on. Any problem stops the run.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from typing import TYPE_CHECKING

from harness.catalogue import folder_name, nearest, read_features
from harness.guide.claims import CLAIMS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from pytest_bdd.steps import StepFunctionContext

    from harness.catalogue import FeatureDocument, Node, ScenarioRecord, StepRecord
    from harness.guide.claims import Claim

MOST_STEPS = 5
PLAIN_TAGS = ("alone", "printed-names", "upgrade")
TAG_FAMILIES = ("id", "guide", "failure", "needs")

_NAME = re.compile(r"[a-z0-9]+(?:[.-][a-z0-9]+)*")
_REVISED = re.compile(r"(?P<claim>[^~]+)(?:~(?P<revision>\d+))?")
_ORDER = ("given", "when", "then")

# What a feature file must not say: these are decisions of the adapters, not behaviour.
_TECHNICAL = {
    "YAML": re.compile(r"^\s*(?:-\s+)?(?:apiVersion|kind|metadata|spec)\s*:", re.MULTILINE),
    "a port": re.compile(r"\bports?\s+\d+|[\w\]]:\d{2,5}\b", re.IGNORECASE),
    "a time-out": re.compile(
        r"time-?\s?outs?\b|\b(?:within|after|for|up to|at most|every|wait)\s+\d+(?:\.\d+)?\s*"
        r"(?:ms|s|secs?|seconds?|m|mins?|minutes?|h|hours?)\b",
        re.IGNORECASE,
    ),
}


def lint(
    features: Path,
    definitions: Iterable[StepFunctionContext],
    claims: Mapping[str, Claim] = CLAIMS,
) -> list[str]:
    """Looks for everything in the feature files that pytest-bdd would let pass in silence.

    Args:
        features: The folder with the feature files.
        definitions: All step definitions, as pytest-bdd's registry has them.
        claims: The guide's claims by id.

    Returns:
        One line per problem, `file:line: what is wrong`, in the order of the files; empty if all is well.

    Raises:
        ConformanceError: A file is not Gherkin.
    """
    documents = read_features(features)
    records = [record for document in documents for record in document.records]
    known = list(definitions)
    problems = [*_uncollected(features, documents), *_async_definitions(known)]
    for document in documents:
        problems.extend(_of_document(document))
    for record in records:
        problems.extend(
            f"{record.feature}:{record.line}: {problem}" for problem in _of_record(record, claims)
        )
        for step in record.steps:
            where = f"{record.feature}:{step.line}"
            problems.extend(f"{where}: {problem}" for problem in _of_step(step, known))
    problems.extend(_duplicate_ids(records))
    # Rows of an Outline and a Background say the same about the same line.
    return list(dict.fromkeys(problems))


def _uncollected(features: Path, documents: Sequence[FeatureDocument]) -> Iterator[str]:
    collected = {features.parent / document.path for document in documents if document.records}
    for path in sorted(features.rglob("*")):
        # A dot in front: an editor's swap file.
        looks_like_one = ".feature" in path.name.lower() and not path.name.startswith(".")
        if looks_like_one and path.is_file() and path not in collected:
            relative = path.relative_to(features.parent).as_posix()
            yield (
                f"{relative}:1: no scenario of it would run: "
                f"a feature file lies in {features.name}/ itself, ends in .feature and has a scenario"
            )


def _async_definitions(definitions: Sequence[StepFunctionContext]) -> Iterator[str]:
    for definition in definitions:
        function = definition.step_func
        if inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function):
            name = definition.parser.name
            yield f"{_place(function)}: step {name!r} is async: it would pass without running"


def _of_document(document: FeatureDocument) -> Iterator[str]:
    scenarios = list(_scenarios(document.tree))
    names = Counter(scenario["name"] for scenario in scenarios)
    for scenario in scenarios:
        where = f"{document.path}:{scenario['location']['line']}"
        if names[scenario["name"]] > 1:
            yield f"{where}: scenario name {scenario['name']!r} is there twice: one of them would not run"
        if scenario["description"].strip():
            yield f"{where}: text before the first step is no step: {_short(scenario['description'])}"
        for line, problem in _of_examples(scenario):
            yield f"{document.path}:{line}: {problem}"
    for text, line in _prose(document.tree):
        for what, pattern in _TECHNICAL.items():
            if pattern.search(text):
                yield f"{document.path}:{line}: {what} has no place in a feature file: {_short(text)}"


def _of_examples(scenario: Node) -> Iterator[tuple[int, str]]:
    tables = scenario["examples"]
    if _is_outline(scenario) and not any(table.get("tableBody") for table in tables):
        line = scenario["location"]["line"]
        yield line, "the Outline has no Examples row: it would run with its placeholders as they are"
    for table in tables:
        line = table["location"]["line"]
        if table["tags"]:
            yield line, "tags on Examples are not the scenario's: move them there"
        if not table.get("tableBody"):
            yield line, "Examples without a row"


def _scenarios(tree: Node) -> Iterator[Node]:
    """Gives the scenarios of a Feature, those inside Rules too."""
    for child in tree.get("children", ()):
        if "scenario" in child:
            yield child["scenario"]
        elif "rule" in child:
            yield from _scenarios(child["rule"])


def _is_outline(scenario: Node) -> bool:
    placeholders = any(re.search(r"<[^<>]+>", step["text"]) for step in scenario["steps"])
    return bool(scenario["examples"]) or "outline" in scenario["keyword"].lower() or placeholders


def _prose(node: Node) -> Iterator[tuple[str, int]]:
    """Gives every text of a syntax tree that a person wrote, with its line; tags and keywords are none."""
    line = node.get("location", {}).get("line", 1)
    for key in ("name", "description", "text", "content", "value"):
        if isinstance(node.get(key), str):
            yield node[key], line
    for key, value in node.items():
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, dict) and key not in ("location", "tags"):
                yield from _prose(child)


def _of_record(record: ScenarioRecord, claims: Mapping[str, Claim]) -> Iterator[str]:
    yield from _of_tags(record, claims)
    if not record.steps:
        yield "a scenario without steps passes"
        return
    if len(record.steps) > MOST_STEPS:
        yield f"{len(record.steps)} steps, Background counted: {MOST_STEPS} is the most"
    kinds = [step.kind for step in record.steps]
    if "" in kinds:
        yield "the first step must be Given, When or Then"
        return
    if kinds.count("when") != 1:
        yield f"{kinds.count('when')} When steps (And counted): a scenario has exactly one"
    if "then" not in kinds:
        yield "no Then step: nothing would be checked"
    for before, step in zip(record.steps, record.steps[1:], strict=False):
        if _ORDER.index(step.kind) < _ORDER.index(before.kind):
            yield f"{step.kind.title()} after {before.kind.title()} in line {step.line}"


def _of_tags(record: ScenarioRecord, claims: Mapping[str, Claim]) -> Iterator[str]:
    ids = [tag for tag in record.tags if tag.startswith("id:")]
    if len(ids) != 1:
        yield f"exactly one @id: tag is needed, there are {len(ids)}"
    if not record.claims and not record.failures:
        yield "neither @guide: nor @failure: says what the scenario checks"
    for tag in record.tags:
        family, colon, value = tag.partition(":")
        if colon and family in TAG_FAMILIES:
            if family == "guide":
                yield from _of_claim(value, claims)
            elif not _NAME.fullmatch(value):
                yield f"@{tag}: after the colon, small letters and digits joined by dots and hyphens"
        elif tag not in PLAIN_TAGS:
            known = [*PLAIN_TAGS, *(f"{name}:" for name in TAG_FAMILIES)]
            yield f"unknown tag @{tag}: {nearest(tag, known)}"


def _of_claim(value: str, claims: Mapping[str, Claim]) -> Iterator[str]:
    matched = _REVISED.fullmatch(value)
    if matched is None or matched["claim"] not in claims:
        yield f"@guide:{value}: no such claim, {nearest(value.partition('~')[0], claims)}"
        return
    newest = claims[matched["claim"]].revision
    if int(matched["revision"] or 1) > newest:
        yield f"@guide:{value}: the newest revision of the claim is {newest}"


def _of_step(step: StepRecord, definitions: Sequence[StepFunctionContext]) -> Iterator[str]:
    matching = [definition for definition in definitions if definition.parser.is_matching(step.text)]
    fitting = [definition for definition in matching if definition.type in (None, step.kind)]
    phrase = f"{step.keyword} {step.text}"
    if not fitting:
        others = sorted({str(definition.type).title() for definition in matching})
        yield (
            f"{phrase!r} is defined for {', '.join(others)} only: keywords count"
            if matching
            else f"{phrase!r} has no step definition"
        )
    if len(fitting) > 1:
        places = ", ".join(_place(definition.step_func) for definition in fitting)
        yield f"{phrase!r} is ambiguous: the first of {places} would win"
    for definition in fitting:
        accepted = set(inspect.signature(definition.step_func).parameters)
        captured = set(definition.parser.parse_arguments(step.text) or ())
        place = _place(definition.step_func)
        if unused := sorted(captured - accepted):
            yield f"{phrase!r} captures {', '.join(unused)}, which {place} does not take"
        if step.has_table and "datatable" not in accepted:
            yield f"{phrase!r} has a data table, which {place} does not take (datatable)"
        if step.docstring is not None and "docstring" not in accepted:
            yield f"{phrase!r} has a doc string, which {place} does not take (docstring)"


def _duplicate_ids(records: Sequence[ScenarioRecord]) -> Iterator[str]:
    seen: dict[str, ScenarioRecord] = {}
    for record in records:
        # Evidence lies in a folder named after the id, where only these characters are kept.
        folded = folder_name(record.id)
        if folded in seen and record.id:
            first = seen[folded]
            where = f"{record.feature}:{record.line}"
            yield f"{where}: id {record.id!r} is that of {first.feature}:{first.line} too"
        seen.setdefault(folded, record)


def _place(function: Callable[..., object]) -> str:
    code = inspect.unwrap(function).__code__
    return f"{code.co_filename.rpartition('/')[2]}:{code.co_firstlineno}"


def _short(text: str) -> str:
    return repr(" ".join(text.split())[:60])
