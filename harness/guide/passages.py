"""The passages of an edition's prose: where each begins, and a digest of the rest.

The prose is its authors'. A few words of each passage are kept to find it, a digest to tell whether it is
still the same, and a sample of small digests to know it again when it is not.
"""

from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Literal, get_args

from harness.core.documents import read_yaml
from harness.core.errors import ConformanceError
from harness.guide.claims import claim_with
from harness.guide.reading import read

Kind = Literal["sentence", "heading", "warning", "command", "output", "file"]
"""What a passage is. Commands, outputs and files are those printed in the prose and not among the blocks."""

GRAM = 5
"""Characters that each digest of a sample is made of."""

EVERY = 6
"""A stored sample has one in so many of the digests."""


@dataclass(frozen=True)
class Passage:
    """One sentence, heading or the like.

    Attributes:
        section: the guide's section.
        kind: what it is.
        quote: its first words; all of it where `digest` is None.
        claims: ids of the claims that it makes.
        length: number of its characters, as `reading` counts them.
        digest: of these characters.
        sample: some of the digests of its parts, in order.
        is_torn: whether a rendering prints it at another place, so that its place means nothing.
    """

    section: str
    kind: Kind
    quote: str
    claims: tuple[str, ...]
    length: int
    digest: str | None
    sample: tuple[int, ...]
    is_torn: bool = False


@dataclass(frozen=True)
class Block:
    """The place of a printed command or file among the passages.

    Attributes:
        begins: how the command begins, or the name of the file.
    """

    begins: str


def digest_of(characters: str) -> str:
    """Return the digest of a passage's characters, in hexadecimal."""
    return blake2b(characters.encode(), digest_size=8).hexdigest()


def grams(characters: str, every: int) -> list[tuple[int, int]]:
    """Return place and digest of the parts of a text, one in `every` of them, chosen by the digest."""
    found = []
    for place in range(max(len(characters) - GRAM + 1, 0)):
        part = characters[place : place + GRAM].encode()
        value = int.from_bytes(blake2b(part, digest_size=2).digest())
        if value % every == 0:
            found.append((place, value))
    return found


def row_for(text: str) -> dict[str, Any]:
    """Return what the passages' file keeps of a passage, without its claims."""
    characters = read(text).text
    words = text.split()
    if len(words) <= 6:
        return {"quote": " ".join(words)}
    return {
        "quote": " ".join(words[:5]),
        "digest": f"{len(characters)}:{digest_of(characters)}",
        "sample": "".join(f"{value:04x}" for _, value in grams(characters, EVERY)),
    }


@cache
def passages(edition: str) -> tuple[Passage | Block, ...]:
    """Return an edition's passages in the guide's order, with the places of its blocks.

    Empty for an edition whose prose was not at hand.

    Raises:
        ConformanceError: the data contradict themselves.
    """
    path = Path(__file__).parent / "passages" / f"{edition}.yaml"
    if not path.exists():
        return ()
    found: list[Passage | Block] = []
    for group in read_yaml(path.read_text(encoding="utf-8")):
        for row in group["passages"]:
            block = row.get("block")
            found.append(Block(block) if block else _passage(group["section"], row))
    return tuple(found)


def _passage(section: str, row: dict[str, Any]) -> Passage:
    kind = row.get("kind", "sentence")
    for claim in row.get("claims", ()):
        claim_with(claim)
    if kind not in get_args(Kind):
        raise ConformanceError(
            expected=f"a passage to be one of {', '.join(get_args(Kind))}",
            seen=f"{kind!r} for {row['quote']!r}",
            remedy="Correct harness/guide/passages.",
        )
    whole = read(row["quote"]).text
    length, digest = str(row.get("digest", ":")).split(":")
    sample = row.get("sample", "")
    return Passage(
        section=section,
        kind=kind,
        quote=row["quote"],
        claims=tuple(row.get("claims", ())),
        length=int(length) if digest else len(whole),
        digest=digest or None,
        sample=tuple(int(sample[at : at + 4], 16) for at in range(0, len(sample), 4)),
        is_torn=row.get("torn", False),
    )
