"""An edition as one row of pieces, each of which can be looked for in another text of the guide."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache, cached_property

from harness.core.errors import ConformanceError
from harness.guide.claims import CLAIMS
from harness.guide.editions import INLINE, CodeBlock, Command, blocks, commands_for, file_code_block
from harness.guide.passages import Block, Passage, digest_of, grams, passages
from harness.guide.reading import read, squeezed


@dataclass(frozen=True)
class Piece:
    """A command, its output, a remark on it, a file, or a passage of the prose.

    Attributes:
        kind: which of these; for a passage its own kind.
        claims: ids of the claims that it makes.
        text: as printed; of a passage its quote.
        passage: the passage, or None for what is printed in a code block.
        is_inline: whether it is a command inside a sentence.
    """

    kind: str
    claims: tuple[str, ...]
    text: str
    passage: Passage | None = None
    is_inline: bool = False

    @cached_property
    def characters(self) -> str:
        """The characters that count, of a passage those of its quote."""
        return read(self.text).text if self.passage else squeezed(self.text)

    @property
    def length(self) -> int:
        """How many characters the whole piece has."""
        return self.passage.length if self.passage else len(self.characters)

    @property
    def is_known_whole(self) -> bool:
        """Whether the whole text is at hand, not only a digest of it."""
        return self.passage is None or self.passage.digest is None

    @property
    def has_place(self) -> bool:
        """Whether its place in the guide says something."""
        return not self.is_inline and not (self.passage and self.passage.is_torn)

    @cached_property
    def sample(self) -> tuple[int, ...]:
        """Digests of its parts: all of them where the whole text is at hand."""
        if self.passage and self.passage.digest:
            return self.passage.sample
        return tuple(value for _, value in grams(self.characters, 1))

    def occurrences(self, text: str) -> Iterator[int]:
        """Give the places where the whole piece stands in a row of characters."""
        start = text.find(self.characters)
        while start >= 0:
            if self.is_known_whole or self._continues(text[start : start + self.length]):
                yield start
            start = text.find(self.characters, start + 1)

    def _continues(self, found: str) -> bool:
        return self.passage is not None and digest_of(found) == self.passage.digest


@cache
def pieces(edition: str) -> tuple[Piece, ...]:
    """Return the pieces of an edition in the guide's order; its passages are among them where they are at hand.

    Raises:
        UsageError: there is no such edition.
        ConformanceError: the passages do not name each block once, or not in the blocks' order.
    """
    printed = [(begins, list(group)) for begins, group in _printed(edition)]
    prose = passages(edition)
    if not prose:
        return tuple(piece for _, group in printed for piece in group)
    found: list[Piece] = []
    rest = [(begins, group) for begins, group in printed if not group[0].is_inline]
    for passage in prose:
        if isinstance(passage, Passage):
            found.append(Piece(passage.kind, passage.claims, passage.quote, passage))
        elif rest and rest[0][0].startswith(passage.begins):
            found += rest.pop(0)[1]
        else:
            raise _disorder(edition, passage, rest[0][0] if rest else "nothing")
    if rest:
        raise _disorder(edition, Block("nothing"), rest[0][0])
    # A command inside a sentence has no place of its own.
    return tuple(found + [piece for _, group in printed for piece in group if piece.is_inline])


def _printed(edition: str) -> Iterator[tuple[str, list[Piece]]]:
    """Give each command with what belongs to it, and each file, with how it begins or is called."""
    claims = _claims_of_commands(edition)
    files = {
        file_code_block(edition, name): (name, claim.id) for claim in CLAIMS.values() for name in claim.files
    }
    for block in blocks(edition):
        if block in files:
            name, claim = files[block]
            yield name, [Piece("file", (claim,), "\n".join(block.lines))]
        for command in block.commands:
            yield command.text, list(_of_command(block, command, claims.get(command, ())))


def _of_command(block: CodeBlock, command: Command, claims: tuple[str, ...]) -> Iterator[Piece]:
    if command.remarks:
        remarks = "\n".join(command.remarks)
        yield Piece("remark", _with_comments(claims, remarks), remarks)
    commented = _with_comments(claims, command.text)
    yield Piece("command", commented, command.text, is_inline=block.language == INLINE)
    if command.output:
        yield Piece("output", claims, "\n".join(command.output))


def _with_comments(claims: tuple[str, ...], text: str) -> tuple[str, ...]:
    """Return the claims with those that comments in the text make."""
    said = (claim.id for claim in CLAIMS.values() if any(words in text for words in claim.comments))
    return tuple(dict.fromkeys((*claims, *said)))


def _claims_of_commands(edition: str) -> dict[Command, tuple[str, ...]]:
    found: dict[Command, tuple[str, ...]] = {}
    for claim in CLAIMS:
        for command in commands_for(edition, claim):
            found[command] = (*found.get(command, ()), claim)
    return found


def _disorder(edition: str, passage: Block, printed: str) -> ConformanceError:
    return ConformanceError(
        expected=f"the blocks of edition {edition} among its passages, each once and in order",
        seen=f"{passage.begins!r} where {printed.splitlines()[0]!r} is next",
        remedy=f"Correct harness/guide/passages/{edition}.yaml.",
    )
