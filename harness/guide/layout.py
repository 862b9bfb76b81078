"""Whether a printed command or file has kept what white space means in it."""

import re
from bisect import bisect_left

from harness.guide.reading import Reading, read

_PROMPT = re.compile(r"\s*\$ ")
_COMMENT = re.compile(r"(?<!\S)#")

_Line = tuple[int, str, int]


def layout_differs(printed: str, reading: Reading, span: tuple[int, int]) -> bool:
    """Tell whether a text has a command or file with other lines, indentation or comment marks.

    Continued lines count as one. Plain text, in which nothing of this is left, never differs.

    Args:
        printed: as an edition prints it.
        reading: the other text.
        span: where its characters stand there.
    """
    if not reading.is_code(span[0]):
        return False
    own = read(f"```\n{printed}\n```\n")
    return _lines(own, (0, len(own.text))) != _lines(reading, span)


def _lines(reading: Reading, span: tuple[int, int]) -> list[_Line]:
    """Return indentation, characters and number of comment marks of each line."""
    begin = reading.source.rfind("\n", 0, reading.places[span[0]]) + 1
    end = reading.places[span[1] - 1] + 1
    found: list[_Line] = []
    continued = False
    position = begin
    for line in reading.source[begin:end].splitlines(keepends=True):
        characters = reading.text[
            bisect_left(reading.places, position) : bisect_left(reading.places, position + len(line))
        ]
        position += len(line)
        marks = len(_COMMENT.findall(line))
        if continued:
            indent, before, marks_before = found.pop()
            found.append((indent, before + characters, marks_before + marks))
        elif characters:
            plain = line.expandtabs()
            prompt = _PROMPT.match(plain)
            indent = len(prompt[0]) - 2 if prompt else len(plain) - len(plain.lstrip())
            found.append((indent, characters, marks))
        continued = line.rstrip("\n").endswith("\\") and bool(found)
    return [(indent - found[0][0], characters, marks) for indent, characters, marks in found]
