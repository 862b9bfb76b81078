"""A text of the guide without all that its renderings differ in.

The same guide comes as MDX, as Markdown and as text copied from a page. White space, line wrapping, components,
links, quotes and placeholders differ between them; the other characters do not. So a text is read as the row
of those characters, each with its place, and texts are compared by these rows.
"""

import html
import re
from bisect import bisect_left
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate

VERSION = "(=teleport.version=)"
"""What stands for the Teleport version, written out or filled in by the guide's site."""

SITE = {"kubernetes.major_version": "1", "kubernetes.minor_version": "17", "helm.version": "3.4.2"}
"""What the guide's site put in for other placeholders when edition 17 was printed."""

_FENCE = re.compile(r"[ \t]*(?P<mark>`{3,}|~{3,})[ \t]*(?P<language>\w*)[^`\n]*$")
_PROMPT = re.compile(r"^[ \t]*\$ ", re.MULTILINE)
_INLINE = re.compile(r"`[^`\n]+`")
_SITE = re.compile(r"\(=(?P<name>" + "|".join(map(re.escape, SITE)) + r")=\)")
_INCLUDE = re.compile(r"\(!\s*(?P<path>\S+)[^!]*!\)")
_COMMENTS = re.compile(r"\{/\*.*?\*/\}|<!--.*?-->", re.DOTALL)
_FRONT_MATTER = re.compile(r"\A---\n(?:title:[ \t]*(?P<title>[^\n]*)|.)*?\n---\n", re.DOTALL)
_LABEL = re.compile(r'\b(?:label|title)="(?P<label>[^"]*)"')
_COMPONENT = re.compile(r"(?<!<)</?[A-Z][\w.]*(?:\s(?:[^<>\"{}]|\"[^\"]*\"|\{[^{}]*\})*)?/?>")
_VAR = re.compile(r'<Var\s+(?:[^<>]*?\s)?name="(?P<name>[^"]+)"[^<>]*/?>')
_HTML = re.compile(
    r"</?(?:a|b|br|code|dd|details|div|dl|dt|em|figure|h[1-6]|i|img|li|ol|p|pre|span|strong|summary|table|tbody|td|th|"
    r"thead|tr|ul)\b[^<>]*>"
)
_LINK = re.compile(r"!?\[(?P<text>(?:[^\]\n]|\n(?!\n))*)\]\([^()\s]*(?:\s\"[^\"]*\")?\)")
_EMAIL = re.compile(r"\[email\sprotected\]|[A-Za-z0-9.+-]+@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+")
_OWN_VERSION = re.compile(r"--version[ =]\s*(?P<version>\d+\.\d+\.\d+(?:[-+][\w.-]*\w)?)")
_DEVELOPMENT_VERSION = r"\d+\.\d+\.\d+-dev\b"

# To straight quotes and plain dashes.
_TYPOGRAPHY = str.maketrans("\u2018\u2019\u201c\u201d\u2010\u2011\u2013\u2014", "''\"\"----")
_EVERYWHERE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile("\u2026"), "..."),
    (re.compile("\u2265"), ">="),
    (_PROMPT, ""),
    (re.compile(r"\\(?=\s)"), ""),  # the end of a continued line
    (re.compile(r"(?<!\S)#+(?!\S)"), ""),  # headings and comments
    (re.compile(r"(?<!\S)[-+*](?!\S)"), ""),  # list items
    (re.compile(r"-{3,}|`"), ""),
    (re.compile("[\\s\u200b-\u200d\ufeff]+"), ""),
)
_IN_PROSE: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"^[ \t]*(?:import|export)\s.*$", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*:::.*$", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*\d+[.)]\s", re.MULTILINE), ""),
    (re.compile(r"^[ \t]*>\s", re.MULTILINE), ""),
    (re.compile(r"\*\*|__"), ""),
    (re.compile(r"(?<![\w*])[*_](?=\S)|(?<=[\w.,:!?])[*_](?![\w*])"), ""),
    (re.compile(r"\\(?=[<>{}\[\]()*_#|!.-])"), ""),
)


@dataclass(frozen=True)
class Reading:
    """A text, read.

    Attributes:
        source: the text as it came, line ends apart.
        text: the characters that count, in a row.
        places: index in `source` of each of them.
        fences: (start, end) in `source` of what stands between fences; empty for plain text.
        includes: paths of other files that the text has its site put in.
        unfilled: names of placeholders of `SITE` that the text leaves to its site.
    """

    source: str
    text: str
    places: tuple[int, ...]
    fences: tuple[tuple[int, int], ...]
    includes: tuple[str, ...]
    unfilled: tuple[str, ...]

    @property
    def is_marked(self) -> bool:
        """Whether the text tells code from prose by fences."""
        return bool(self.fences)

    def line(self, position: int) -> int:
        """Return the line of the source, from 1, that a character of `text` stands on."""
        return self.source.count("\n", 0, self.places[position]) + 1

    def excerpt(self, start: int, end: int) -> str:
        """Return what the source has for `text[start:end]`, in one line."""
        return " ".join(self.source[self.places[start] : self.places[end - 1] + 1].split())

    def is_code(self, position: int) -> bool:
        """Tell whether a character of `text` stands between fences."""
        return self._fenced[position]

    def is_word(self, start: int, end: int) -> bool:
        """Tell whether `text[start:end]` neither begins nor ends inside a word of the source."""
        first, last = self.places[start], self.places[end - 1]
        around = self.source[max(first - 1, 0) : first + 1], self.source[last : last + 2]
        return not any(len(pair) == 2 and pair.isalnum() for pair in around)

    def is_border(self, position: int) -> bool:
        """Tell whether prose ends, code ends, or another command begins before a character of `text`."""
        return position in self._borders

    @cached_property
    def _borders(self) -> frozenset[int]:
        edges = [edge for fence in self.fences for edge in fence]
        edges += [match.start() for match in _PROMPT.finditer(self.source)]
        return frozenset(bisect_left(self.places, edge) for edge in edges)

    @cached_property
    def _fenced(self) -> tuple[bool, ...]:
        steps = [0] * (len(self.source) + 1)
        for start, end in self.fences:
            steps[start] += 1
            steps[end] -= 1
        depth = list(accumulate(steps))
        return tuple(depth[place] > 0 for place in self.places)


def read(source: str) -> Reading:
    """Read a text of the guide: MDX, Markdown or plain.

    Args:
        source: the whole text.
    """
    source = source.replace("\r\n", "\n").replace("\r", "\n")
    fences, marks = _fenced(source)
    row = _Row(source)
    for start, end in marks:
        row.blank(start, end)
    outside = _outside([*fences, *_inline(source)] if fences else [])
    includes = tuple(match["path"] for match in _INCLUDE.finditer(source) if outside(match.start()))
    unfilled = tuple(dict.fromkeys(match["name"] for match in _SITE.finditer(source)))
    row.replace(_FRONT_MATTER, lambda match: f"{match['title'] or ''}\n")
    row.replace(_VAR, lambda match: match["name"])
    row.replace(_SITE, lambda match: SITE[match["name"]])
    for pattern in (_COMMENTS, _INCLUDE):
        row.replace(pattern, "", where=outside)
    row.replace(_COMPONENT, _label, where=outside)
    row.replace(_HTML, "", where=outside)
    row.replace(_LINK, lambda match: match["text"], where=outside)
    if fences:
        for pattern, replacement in _IN_PROSE:
            row.replace(pattern, replacement, where=outside)
        row.replace(re.compile(r"&(?:#\d+|[A-Za-z]+);"), lambda match: html.unescape(match[0]), where=outside)
    row.text = row.text.translate(_TYPOGRAPHY)
    row.replace(_EMAIL, "(email)")
    row.replace(_versions(row.text), VERSION)
    for pattern, replacement in _EVERYWHERE:
        row.replace(pattern, replacement)
    return Reading(source, row.text, tuple(row.places), tuple(fences), includes, unfilled)


def squeezed(text: str) -> str:
    """Return the characters of a piece of code that count."""
    return read(f"```\n{text}\n```\n").text


class _Row:
    """A text under replacements, each character with its place in the source."""

    def __init__(self, source: str) -> None:
        self.text = source
        self.places = list(range(len(source)))

    def blank(self, start: int, end: int) -> None:
        """Put spaces for what stands there; nothing may have been replaced before."""
        self.text = self.text[:start] + " " * (end - start) + self.text[end:]

    def replace(
        self,
        pattern: re.Pattern[str],
        replacement: str | Callable[[re.Match[str]], str],
        where: Callable[[int], bool] | None = None,
    ) -> None:
        """Replace each match that starts at a place of the source for which `where` holds."""
        texts: list[str] = []
        places: list[int] = []
        last = 0
        for match in pattern.finditer(self.text):
            if match.start() == match.end() or (where and not where(self.places[match.start()])):
                continue
            new = replacement if isinstance(replacement, str) else replacement(match)
            texts += [self.text[last : match.start()], new]
            places += self.places[last : match.start()]
            places += self._places_of(new, match)
            last = match.end()
        self.text = "".join([*texts, self.text[last:]])
        self.places = places + self.places[last:]

    def _places_of(self, new: str, match: re.Match[str]) -> list[int]:
        """Return places for a replacement: its own where it is part of the match, else from first to last."""
        own = match[0].find(new.strip())
        at = match.start() + max(own, 0)
        found = [self.places[min(at + number, match.end() - 1)] for number in range(len(new))]
        if new and own < 0:
            found[-1] = self.places[match.end() - 1]
        return found


def _fenced(source: str) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return what stands between fences, and the fences."""
    inside: list[tuple[int, int]] = []
    fences: list[tuple[int, int]] = []
    opened: tuple[str, int] | None = None
    position = 0
    for line in source.splitlines(keepends=True):
        fence = _FENCE.match(line.rstrip("\n"))
        closes = opened and fence and fence["mark"].startswith(opened[0]) and not fence["language"]
        if fence and (opened is None or closes):
            fences.append((position, position + len(line.rstrip("\n"))))
        if opened is None and fence:
            opened = (fence["mark"], position + len(line))
        elif opened and closes:
            inside.append((opened[1], position))
            opened = None
        position += len(line)
    if opened:
        inside.append((opened[1], len(source)))
    return inside, fences


def _inline(source: str) -> list[tuple[int, int]]:
    return [(match.start(), match.end()) for match in _INLINE.finditer(source)]


def _outside(code: list[tuple[int, int]]) -> Callable[[int], bool]:
    covered = {place for start, end in code for place in range(start, end)}
    return lambda place: place not in covered


def _label(match: re.Match[str]) -> str:
    label = _LABEL.search(match[0])
    return f" {label['label']} " if label else " "


def _versions(text: str) -> re.Pattern[str]:
    """Build the pattern for the version of Teleport that this text is about."""
    own = {match["version"] for match in _OWN_VERSION.finditer(text)}
    return re.compile(
        "|".join([re.escape(VERSION), _DEVELOPMENT_VERSION, *map(re.escape, sorted(own, reverse=True))])
    )
