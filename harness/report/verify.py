"""Anyone's check of a conformance report: is it whole, and does it follow from its own scenarios."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jsonschema import Draft202012Validator

from harness.core.verdicts import Verdict, is_all_real
from harness.guide.claims import CLAIMS
from harness.report import derive

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_SCHEMA = Path(__file__).with_name("schema.json")


def verify(document: Mapping[str, Any]) -> list[str]:
    """Checks a report against the schema, for completeness, and by recomputing what follows.

    Args:
        document: `conformance-report.json`, parsed.

    Returns:
        One line per problem, beginning with the place in the document; empty for a sound report.
    """
    validator = Draft202012Validator(json.loads(_SCHEMA.read_text(encoding="utf-8")))
    malformed = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(document)]
    # What is not of the schema's shape cannot be recomputed.
    return malformed or [*_incomplete(document), *_contradictions(document)]


def _incomplete(document: Mapping[str, Any]) -> Iterator[str]:
    ids = Counter(scenario["id"] for scenario in document["scenarios"])
    for scenario_id, count in ids.items():
        if count > 1:
            yield f"$.scenarios: {scenario_id} is there {count} times"
    for index, scenario in enumerate(document["scenarios"]):
        where = f"$.scenarios[{index}] ({scenario['id']})"
        yield from (f"{where}: {problem}" for problem in _unsound(scenario, document["suite"]["profiles"]))
    for index, finding in enumerate(document["findings"]):
        if finding["scenario"] not in ids:
            yield f"$.findings[{index}]: {finding['scenario']} is no scenario of the report"
    yield from _texts(document["environment"])
    components = document["environment"]["components"]
    for name, version in document["subject"].items():
        seen = components.get(name, {}).get("version")
        if seen != version:
            yield f"$.subject.{name}: {version!r}, but the component says {seen!r}"


def _texts(environment: Mapping[str, Any]) -> Iterator[str]:
    """A simulated Teleport has told where its texts are from; a real one's texts are its own."""
    teleport = environment["components"].get("teleport")
    simulated = bool(teleport and teleport["simulated"])
    if simulated != bool(environment["texts"]):
        seen = f"{len(environment['texts'])} texts"
        yield f"$.environment.texts: {seen}, but Teleport is {'simulated' if simulated else 'not simulated'}"
    for name, count in Counter(text["name"] for text in environment["texts"]).items():
        if count > 1:
            yield f"$.environment.texts: {name} is there {count} times"


def _unsound(scenario: Mapping[str, Any], profiles: Mapping[str, list[str]]) -> Iterator[str]:
    passed = scenario["verdict"] == Verdict.PASSED
    if passed == (scenario["reason"] is not None):
        yield f"{scenario['verdict']} {'with' if passed else 'without'} a reason"
    ran = {step["verdict"] for step in scenario["steps"]}
    if passed and ran != {Verdict.PASSED}:
        yield "passed, but not every step did"
    for profile, ids in profiles.items():
        if (scenario["id"] in ids) != (profile in scenario["profiles"]):
            yield f"its profiles and $.suite.profiles.{profile} disagree"


def _contradictions(document: Mapping[str, Any]) -> Iterator[str]:
    judged = [
        derive.Judged(each["id"], each["verdict"], tuple(each["profiles"]), tuple(each["claims"]))
        for each in document["scenarios"]
    ]
    components = document["environment"]["components"]
    all_real = is_all_real({name: component["simulated"] for name, component in components.items()})
    recomputed = {
        "summary": derive.summary(judged),
        "claims": [asdict(claim) for claim in derive.claims(judged, CLAIMS)],
        "conformant": derive.conformance(judged, document["suite"]["profiles"], all_real=all_real),
    }
    for name, value in recomputed.items():
        if document[name] != value:
            yield f"$.{name}: {_difference(document[name], value)}"


def _difference(stated: Any, recomputed: Any) -> str:
    """Shows the first entry that differs, not two whole tables."""
    if isinstance(stated, dict):
        name = next(key for key in [*stated, *recomputed] if stated.get(key) != recomputed.get(key))
        return f"{name} is stated as {stated.get(name)!r}, but follows as {recomputed.get(name)!r}"
    for before, after in zip(stated, recomputed, strict=False):
        if before != after:
            return f"stated as {before!r}, but follows as {after!r}"
    return f"{len(stated)} entries are stated, but {len(recomputed)} follow"
