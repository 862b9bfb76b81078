"""The claims are those of the guide, each once."""

import re
from pathlib import Path

import pytest

from harness.core.errors import ConformanceError
from harness.guide import claims
from harness.guide.claims import CLAIMS, claim_with

SECTION_OF_PREFIX = {
    "how": "How it works",
    "pre": "Prerequisites",
    "s1": "Step 1/3",
    "s2": "Step 2/3",
    "s3": "Step 3/3",
    "ts": "Not seeing Kubernetes clusters?",
}


def test_there_are_58_claims() -> None:
    assert len(CLAIMS) == 58


def test_ids_and_defects_are_those_of_the_claims_page(shared_guide: Path) -> None:
    page = (shared_guide / "claims.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| ((?:how|pre|s\d|ts)\.[^|]*) \| (.*) \|$", page, re.MULTILINE)
    ids = [claim_id for left, _ in rows for claim_id in left.split(" / ")]
    assert list(CLAIMS) == ids
    doubted = {claim_id for left, text in rows if "Defect?" in text for claim_id in left.split(" / ")}
    # The page doubts one sentence for two ids. More defects may have been found since it was written.
    assert {c.id for c in CLAIMS.values() if c.defect} >= doubted - {"ts.saml-secret"}


@pytest.mark.parametrize("claim", CLAIMS.values(), ids=CLAIMS)
def test_a_claim_is_a_sentence_in_its_section(claim: claims.Claim) -> None:
    assert claim.section == SECTION_OF_PREFIX[claim.id.split(".")[0]]
    assert claim.text[-1] in ".…"
    assert claim.revision >= 1


def test_an_unknown_id_is_named() -> None:
    with pytest.raises(ConformanceError, match=r"s9\.nothing"):
        claim_with("s9.nothing")


def test_an_id_in_two_sections_is_refused() -> None:
    section = "- section: S\n  claims: {a.b: {text: T.}}\n"
    with pytest.raises(ConformanceError, match=r"a\.b in two sections"):
        claims._load(section + section)
