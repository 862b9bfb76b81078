"""The passages are those of the edition's text, each kept by a few words and digests alone."""

from pathlib import Path

import pytest

from harness.core.errors import ConformanceError
from harness.guide import passages as passages_
from harness.guide.claims import CLAIMS, Claim
from harness.guide.editions import EDITIONS, INLINE, blocks
from harness.guide.passages import Block, Passage, digest_of, grams, passages, row_for
from harness.guide.pieces import pieces
from harness.guide.reading import read

PASSAGES = [passage for passage in passages("17") if isinstance(passage, Passage)]


def test_only_the_edition_at_hand_has_passages() -> None:
    assert [edition for edition in EDITIONS if passages(edition)] == ["17"]
    assert len(PASSAGES) == 150


@pytest.mark.parametrize("passage", PASSAGES, ids=lambda passage: passage.quote[:30])
def test_a_quote_is_short(passage: Passage) -> None:
    if passage.kind not in ("command", "output", "file"):
        assert len(passage.quote.split()) <= (12 if passage.digest is None else 6)
    assert passage.length >= len(read(passage.quote).text)
    assert (passage.digest is None) == (not passage.sample)


def test_every_claim_is_made_by_a_piece() -> None:
    assert {claim for piece in pieces("17") for claim in piece.claims} == set(CLAIMS)


@pytest.mark.parametrize("claim", [claim for claim in CLAIMS.values() if claim.comments], ids=lambda c: c.id)
@pytest.mark.parametrize("edition", EDITIONS)
def test_a_claim_that_a_comment_makes_has_its_piece(claim: Claim, edition: str) -> None:
    assert any(claim.id in piece.claims for piece in pieces(edition) if piece.passage is None)


@pytest.mark.parametrize("edition", EDITIONS)
def test_every_block_is_a_piece_once(edition: str) -> None:
    whole = [piece.text for piece in pieces(edition) if piece.passage is None]
    printed = [command for block in blocks(edition) for command in block.commands]
    expected = [text for command in printed for text in (command.text, "\n".join(command.output)) if text]
    files = ["\n".join(block.lines) for block in blocks(edition) if block.language == "yaml"]
    remarks = ["\n".join(command.remarks) for command in printed if command.remarks]
    assert sorted(whole) == sorted([*expected, *files, *remarks])
    inline = [piece for piece in pieces(edition) if piece.is_inline]
    assert len(inline) == sum(block.language == INLINE for block in blocks(edition))


def test_a_row_finds_its_passage_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "Whoever reads this \u201cinvented\u201d sentence is in\n a test."
    row = row_for(text)
    assert row["quote"] == "Whoever reads this \u201cinvented\u201d sentence"
    found = passages_._passage("S", row)
    assert found.length == len(read(text).text)
    assert found.digest == digest_of(read(text).text)
    assert found.sample == tuple(value for _, value in grams(read(text).text, passages_.EVERY))
    assert row_for("Six words or fewer are whole.") == {"quote": "Six words or fewer are whole."}


@pytest.mark.parametrize("row", [{"quote": "x", "kind": "poem"}, {"quote": "x", "claims": ["s9.x"]}])
def test_a_wrong_row_is_an_error(row: dict[str, object]) -> None:
    with pytest.raises(ConformanceError):
        passages_._passage("S", row)


@pytest.mark.parametrize(
    "rows",
    [
        pytest.param([Block("eksctl"), PASSAGES[0]], id="wrong order"),
        pytest.param([PASSAGES[0]], id="missing"),
    ],
)
def test_blocks_in_disorder_are_an_error(
    rows: list[Block | Passage], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("harness.guide.pieces.passages", lambda edition: tuple(rows))
    with pytest.raises(ConformanceError, match="among its passages"):
        pieces.__wrapped__("17")
