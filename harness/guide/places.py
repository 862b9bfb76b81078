"""Where the pieces of an edition stand in another text of the guide."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from harness.guide.passages import GRAM, grams
from harness.guide.pieces import Piece
from harness.guide.reading import Reading

Span = tuple[int, int]
"""(start, end) in the characters of a reading."""

LEAST = 0.05
"""Share of the pieces' characters below which a text is another one altogether."""

_ALIKE = 0.35
"""Share of its parts that a changed piece must still have; unrelated sentences of the guide share up to 0.2."""

_SHORT = 24
"""Characters up to which a piece may be part of other words by chance."""

_SHORT_ALIKE = 0.6
"""The same share for such a piece."""

_LEAST_PROSE = 5
"""Letters from which prose that is left over counts; fewer are marks of a page, such as a date."""

_PAGE_WORDS = frozenset({"tip", "note", "info", "danger", "warning", "details", "important"})
"""Labels that a page shows for its boxes."""


@dataclass(frozen=True)
class Places:
    """The result.

    Attributes:
        exact: number of a piece -> where it stands unchanged.
        changed: number of a piece -> where it stands with changes.
        moved: numbers of pieces that are there, but not in their order.
        left: what no piece accounts for.
    """

    exact: Mapping[int, Span]
    changed: Mapping[int, Span]
    moved: Sequence[int]
    left: Sequence[Span]


def located(pieces: Sequence[Piece], reading: Reading) -> Places:
    """Look for the pieces in a text; in one of which next to none is found, none counts.

    Args:
        pieces: in the order of their edition.
        reading: the text.
    """
    search = _Search(pieces, reading)
    search.find_unmistakable()
    search.find_in_order()
    search.find_elsewhere()
    if search.share() < LEAST:
        # Another text altogether: there is nothing that it could be like.
        return Places({}, {}, [], [])
    in_order = search.in_order()
    moved = [n for n in sorted(search.exact) if pieces[n].has_place and n not in in_order]
    changed = search.alike()
    return Places(search.exact, changed, moved, list(search.left()))


class _Search:
    """Finds one piece after the other; what is found is covered, and not found again."""

    def __init__(self, pieces: Sequence[Piece], reading: Reading) -> None:
        self._pieces = pieces
        self._reading = reading
        self._covered = bytearray(len(reading.text))
        self.exact: dict[int, Span] = {}
        self._longest_first = sorted(range(len(pieces)), key=lambda number: -pieces[number].length)
        self._candidates = {
            number: list(piece.occurrences(reading.text)) for number, piece in enumerate(pieces)
        }

    def find_unmistakable(self) -> None:
        """Take the pieces that are printed once and stand once in the text."""
        printed = Counter((piece.characters, piece.length) for piece in self._pieces)
        for number in self._longest_first:
            piece = self._pieces[number]
            places = self._free(number)
            if printed[piece.characters, piece.length] == 1 and len(places) == 1:
                self._take(number, places[0])

    def find_in_order(self) -> None:
        """Take of several places the first between the piece's neighbours."""
        # In order of the edition, so that what is printed three times takes three places one after the other.
        for number in range(len(self._pieces)):
            if number in self.exact:
                continue
            start, end = self._between(number)
            between = [place for place in self._free(number) if start <= place < end]
            if between:
                self._take(number, between[0])

    def find_elsewhere(self) -> None:
        """Take any place for what is still missing."""
        for number in self._longest_first:
            places = self._free(number)
            if number not in self.exact and places:
                self._take(number, places[0])

    def share(self) -> float:
        """Return the share of all characters of the pieces that stand in the text unchanged."""
        found = sum(self._pieces[number].length for number in self.exact)
        return found / sum(piece.length for piece in self._pieces)

    def in_order(self) -> set[int]:
        """Return the most pieces that can be kept with their places in the edition's order."""
        numbers = [number for number in sorted(self.exact) if self._pieces[number].has_place]
        tails: list[tuple[int, int]] = []
        before: dict[int, int | None] = {}
        for number in numbers:
            place = self.exact[number][0]
            at = bisect_left(tails, (place, -1))
            before[number] = tails[at - 1][1] if at else None
            tails[at : at + 1] = [(place, number)]
        kept: set[int] = set()
        number_or_none = tails[-1][1] if tails else None
        while number_or_none is not None:
            kept.add(number_or_none)
            number_or_none = before[number_or_none]
        return kept

    def alike(self) -> dict[int, Span]:
        """Take what is left of the text for missing pieces that it is like, or whose place it has."""
        changed: dict[int, Span] = {}
        missing = [number for number in self._longest_first if number not in self.exact]
        for number in missing:
            span = self._most_like(number)
            if span:
                changed[number] = span
                self._cover(span)
        for number in sorted(set(missing) - set(changed)):
            span = self._in_its_place(number, changed)
            if span:
                changed[number] = span
                self._cover(span)
        return {number: self._grown(span, self._pieces[number].length) for number, span in changed.items()}

    def left(self) -> Iterator[Span]:
        """Give what is not covered and long enough to mean something."""
        for start, end in self._runs():
            letters = re.sub(r"[^A-Za-z]", "", self._reading.text[start:end])
            code = self._reading.is_code(start)
            if letters.lower() in _PAGE_WORDS and not code:
                continue
            if len(letters) >= (1 if code else _LEAST_PROSE):
                yield start, end

    # One piece

    def _free(self, number: int) -> list[int]:
        """Return the places where a piece stands and no other one was found."""
        piece = self._pieces[number]
        places = self._candidates[number]
        if piece.is_inline:
            return places
        if self._reading.is_marked and piece.passage is None:
            places = [place for place in places if self._reading.is_code(place)]
        if self._reading.is_marked and piece.length <= _SHORT:
            places = [place for place in places if self._reading.is_word(place, place + piece.length)]
        return [place for place in places if not any(self._covered[place : place + piece.length])]

    def _take(self, number: int, place: int) -> None:
        span = (place, place + self._pieces[number].length)
        self.exact[number] = span
        if not self._pieces[number].is_inline:
            self._cover(span)

    def _cover(self, span: Span) -> None:
        self._covered[span[0] : span[1]] = b"\1" * (span[1] - span[0])

    def _between(self, number: int) -> Span:
        """Return where a piece has to stand, by the nearest found before and after it that are in order."""
        kept = self.in_order()
        start = max((self.exact[n][1] for n in kept if n < number), default=0)
        end = min((self.exact[n][0] for n in kept if n > number), default=len(self._covered))
        return start, end

    # What is not there as printed

    def _runs(self) -> Iterator[Span]:
        """Give what is not covered, in one piece each; prose and code are apart, and so are commands."""
        start = None
        for place in range(len(self._covered) + 1):
            ends = place == len(self._covered) or self._covered[place]
            if start is not None and (ends or self._reading.is_border(place)):
                yield start, place
                start = None
            if not ends and start is None:
                start = place

    def _most_like(self, number: int) -> Span | None:
        piece = self._pieces[number]
        wanted = Counter(piece.sample)
        least = _SHORT_ALIKE if piece.length <= _SHORT else _ALIKE
        best: tuple[float, Span] | None = None
        for start, end in self._runs():
            if self._reading.is_marked and piece.passage is None and not self._reading.is_code(start):
                continue
            within = [gram for gram in self._grams(start, end) if gram[1] in wanted]
            span = _densest([place for place, _ in within], piece.length)
            if span is None:
                continue
            seen = Counter(value for place, value in within if span[0] <= place < span[1])
            share = (seen & wanted).total() / wanted.total()
            if share >= least and (best is None or share > best[0]):
                best = share, span
        return best[1] if best else None

    def _grams(self, start: int, end: int) -> list[tuple[int, int]]:
        """Return places and digests of the parts of the text between two places."""
        everything = self._all_grams
        return everything[bisect_left(everything, (start, 0)) : bisect_left(everything, (end - GRAM + 1, 0))]

    @cached_property
    def _all_grams(self) -> list[tuple[int, int]]:
        return grams(self._reading.text, 1)

    def _in_its_place(self, number: int, changed: Mapping[int, Span]) -> Span | None:
        """Return the only thing left between a piece's neighbours, if the piece alone is missing there."""
        length = self._pieces[number].length
        if not self._pieces[number].has_place:
            return None
        start, end = self._between(number)
        kept = self.in_order()
        first = max((n for n in kept if n < number), default=-1)
        last = min((n for n in kept if n > number), default=len(self._pieces))
        others = [
            n for n in range(first + 1, last) if n != number and n not in self.exact and n not in changed
        ]
        code = self._pieces[number].passage is None
        runs = [
            run
            for run in self._runs()
            if any(character.isalnum() for character in self._reading.text[run[0] : run[1]])
            and start <= run[0] < run[1] <= end
            and length <= 2 * (run[1] - run[0]) <= 4 * length
            and (not self._reading.is_marked or self._reading.is_code(run[0]) == code)
        ]
        return runs[0] if len(runs) == 1 and not others else None

    def _grown(self, span: Span, length: int) -> Span:
        """Return a span with what is left over beside it, up to the piece's length or if it is little."""
        start, end = span
        for run in list(self._runs()):
            size = run[1] - run[0]
            if size > max(length // 3, length * 11 // 10 - (end - start)):
                continue
            if run[1] == start and not self._reading.is_border(start):
                start = run[0]
                self._cover(run)
            elif run[0] == end and not self._reading.is_border(end):
                end = run[1]
                self._cover(run)
        return start, end


def _densest(places: Sequence[int], length: int) -> Span | None:
    """Return the span with the most places that is not much longer than `length`."""
    best: Sequence[int] = ()
    for at, place in enumerate(places):
        within = places[at : bisect_left(places, place + length * 3 // 2)]
        if len(within) > len(best):
            best = within
    return (best[0], best[-1] + GRAM) if best else None
