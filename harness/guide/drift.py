"""What another text of the guide has gone, changed, moved or new, compared with an edition.

The edition's pieces are looked for in the other text, character by character as `reading` counts them. What is
not found is looked for again by its parts; what is left of the other text is new.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.core.errors import UsageError
from harness.guide.layout import layout_differs
from harness.guide.pieces import Piece, pieces
from harness.guide.places import Places, Span, located
from harness.guide.reading import Reading, read

DriftKind = Literal["gone", "changed", "moved", "new"]
"""What became of a piece."""


@dataclass(frozen=True)
class Drift:
    """One difference.

    Attributes:
        kind: what became of the piece.
        what: the piece's kind, `command`, `sentence` and so on; `code` or `prose` for what is new.
        printed: what the edition has: a command whole, of a passage the first words; empty for what is new.
        now: what the other text has; empty for what is gone.
        line: line of the other text, from 1, or None for what is gone.
        claims: ids of the claims touched; for what is new those of the pieces around it.
        remark: what else is to be said.
    """

    kind: DriftKind
    what: str
    printed: str
    now: str
    line: int | None
    claims: tuple[str, ...]
    remark: str = ""


@dataclass(frozen=True)
class Comparison:
    """The result.

    Attributes:
        edition: the edition that was compared with.
        drifts: every difference, in the order of the edition; what is new in the order of the text.
        compared: number of pieces that were looked for.
        notes: what could not be compared, and why.
    """

    edition: str
    drifts: tuple[Drift, ...]
    compared: int
    notes: tuple[str, ...]


def compare(source: str, edition: str, *, commands_only: bool = False) -> Comparison:
    """Compare a text of the guide with an edition.

    Args:
        source: the other text: MDX, Markdown or plain.
        edition: one of `editions.EDITIONS`.
        commands_only: leave the prose of both out, for a text that has only the commands.

    Raises:
        UsageError: there is no such edition, or nothing of it is in the text.
    """
    reading = read(source)
    everything = pieces(edition)
    wanted = [piece for piece in everything if not (commands_only and piece.passage)]
    has_prose = any(piece.passage for piece in wanted)
    places = located(wanted, reading)
    if not places.exact:
        raise UsageError(
            expected=f"a text of the guide, to compare with edition {edition}",
            seen="next to nothing of that edition in it",
            remedy="Name a file with the guide as text, Markdown or MDX.",
        )
    drifts = [
        *_moved(wanted, reading, places),
        *_gone_or_changed(wanted, reading, places),
        *_new(wanted, reading, places, prose=has_prose),
    ]
    notes = _notes(reading, everything, places, commands_only=commands_only)
    return Comparison(edition, tuple(drifts), len(wanted), tuple(notes))


def _gone_or_changed(wanted: Sequence[Piece], reading: Reading, places: Places) -> Iterable[Drift]:
    for number, piece in enumerate(wanted):
        span = places.exact.get(number) or places.changed.get(number)
        if span is None:
            yield Drift("gone", piece.kind, piece.text, "", None, piece.claims)
            continue
        now, line = reading.excerpt(*span), reading.line(span[0])
        if number in places.changed:
            yield Drift("changed", piece.kind, piece.text, now, line, piece.claims)
        elif piece.passage is None and layout_differs(piece.text, reading, span):
            remark = "the same words with other line breaks, indentation or comment marks"
            yield Drift("changed", piece.kind, piece.text, now, line, piece.claims, remark)


def _moved(wanted: Sequence[Piece], reading: Reading, places: Places) -> Iterable[Drift]:
    """Give the pieces out of their order; neighbours that moved together are one difference."""
    groups: list[list[int]] = []
    for number in places.moved:
        if groups and groups[-1][-1] == number - 1:
            groups[-1].append(number)
        else:
            groups.append([number])
    for group in groups:
        first = wanted[group[0]]
        claims = tuple(dict.fromkeys(claim for number in group for claim in wanted[number].claims))
        span = places.exact[group[0]]
        remark = f"with the {len(group) - 1} pieces after it" if len(group) > 1 else ""
        yield Drift(
            "moved", first.kind, first.text, reading.excerpt(*span), reading.line(span[0]), claims, remark
        )


def _new(wanted: Sequence[Piece], reading: Reading, places: Places, *, prose: bool) -> Iterable[Drift]:
    for span in places.left:
        code = reading.is_code(span[0])
        if not code and not prose:
            continue
        beside = _beside(wanted, places, span)
        claims = tuple(dict.fromkeys(claim for piece in beside for claim in piece.claims))
        what = "code" if code else "prose"
        yield Drift("new", what, "", reading.excerpt(*span), reading.line(span[0]), claims)


def _beside(wanted: Sequence[Piece], places: Places, span: Span) -> list[Piece]:
    """Return the pieces directly before and after a place of the text."""
    found = {**places.exact, **places.changed}
    before = max((s[1], n) for n, s in [*found.items(), (-1, (0, 0))] if s[1] <= span[0])[1]
    after = min((s[0], n) for n, s in [*found.items(), (-1, (1 << 60, 0))] if s[0] >= span[1])[1]
    return [wanted[number] for number in (before, after) if number >= 0]


def _notes(
    reading: Reading, everything: Sequence[Piece], places: Places, *, commands_only: bool
) -> Iterable[str]:
    prose = [number for number, piece in enumerate(everything) if piece.passage]
    if commands_only:
        yield "the prose was left out"
    elif not prose:
        yield "the prose of this edition was not at hand: passages, gone or new, are not compared"
    elif sum(number in places.exact for number in prose) * 10 < len(prose):
        yield "the text has next to nothing of the edition's prose: --commands-only leaves the prose out"
    if not reading.is_marked:
        yield "plain text: line breaks, indentation and comment marks are not compared"
        if commands_only or not prose:
            yield "plain text: a new command cannot be told from prose and is not shown"
    if reading.unfilled:
        yield f"filled in by the guide's site, so not compared: {', '.join(reading.unfilled)}"
    if reading.includes:
        yield f"what the text includes was not seen: {', '.join(reading.includes)}"
