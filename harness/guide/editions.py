"""The guide's editions: their code blocks as printed, and which blocks belong to which claim.

The files in `editions/` are the guide's words. Nothing here changes them; replacing the reader's
names is the business of `script`.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from pathlib import Path
from types import MappingProxyType
from typing import TypeVar

from harness.core.errors import ConformanceError, UsageError
from harness.guide.claims import claim_with

_T = TypeVar("_T")

EDITIONS = ("13", "17", "18")
"""The editions that are data of the project."""

_EDITION_BY_MAJOR = {12: "13", 13: "13", 14: "17", 15: "17", 16: "17", 17: "17", 18: "18"}

TOKEN_ROLES: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {"13": ("Kube",), "17": ("Kube",), "18": ("Kube", "App", "Discovery")}
)
"""Edition -> the roles that its token of step 2 allows (claim s2.token)."""

RECONSTRUCTED: Mapping[tuple[str, str], str] = MappingProxyType(
    {
        ("13", "kube-access.yaml"): (
            "The text of edition 13 for this file was not at hand; "
            "it is written with role v6 and kind pod, which Teleport 12 and 13 accept."
        ),
    }
)
"""(edition, file name) -> why that block is not the edition's own words."""

# The guide names these files in prose, so a file block is known by a line of its own.
_FILE_KIND = MappingProxyType(
    {"kube-access.yaml": "kind: role", "viewers-bind.yaml": "kind: ClusterRoleBinding"}
)

INLINE = "inline"
"""Language of a block that is a command printed inside a sentence."""

_PROMPT = "$ "
_FENCE = re.compile(r"```(\w*)$")
_INLINE_CODE = re.compile(r"`([^`]+)`")
_HERE_DOCUMENT = re.compile(r"(?<!<)<<-?\s*['\"]?(\w+)")
_VAR = re.compile(r'<Var name="([^"]+)"/>')


@dataclass(frozen=True)
class Command:
    """One printed command.

    Attributes:
        text: the command without the prompt; continuation lines and here-document included.
        output: sample output printed below it, without blank lines.
        remarks: comment lines printed directly above it.
    """

    text: str
    output: tuple[str, ...] = ()
    remarks: tuple[str, ...] = ()


@dataclass(frozen=True)
class CodeBlock:
    """One code block of an edition.

    Attributes:
        section: title of the `##` section.
        tab: title of the tab (`###`) within the section, or None.
        language: `code`, `yaml`, or `INLINE`.
        line: number of its first line in the edition's file, from 1.
        lines: its lines as printed.
    """

    section: str
    tab: str | None
    language: str
    line: int
    lines: tuple[str, ...]

    @property
    def commands(self) -> tuple[Command, ...]:
        """The commands of the block, in order; none in a file to be edited."""
        return _commands_of(self)


def edition_for(teleport_version: str) -> str:
    """Return the edition that goes with a Teleport version, by its major (design, "Words").

    Args:
        teleport_version: as the running program gives it, for instance `13.0.0-dev` or `v18.7.6`.

    Raises:
        UsageError: no edition goes with that version.
    """
    match = re.match(r"v?(\d+)\.\d+", teleport_version)
    edition = _EDITION_BY_MAJOR.get(int(match[1])) if match else None
    if edition is None:
        raise UsageError(
            expected="a Teleport version from 12 to 18, for which an edition of the guide is known",
            seen=f"Teleport {teleport_version!r}",
            remedy=f"Name the edition to check against: --guide-edition {'|'.join(EDITIONS)}.",
        )
    return edition


@cache
def blocks(edition: str) -> tuple[CodeBlock, ...]:
    """Return all code blocks of an edition in the guide's order.

    Raises:
        UsageError: there is no such edition.
    """
    if edition not in EDITIONS:
        raise UsageError(
            expected=f"an edition of the guide: {', '.join(EDITIONS)}",
            seen=repr(edition),
            remedy="Give --guide-edition one of these.",
        )
    path = Path(__file__).parent / "editions" / f"{edition}.mdx"
    return parse(path.read_text(encoding="utf-8"))


def parse(text: str) -> tuple[CodeBlock, ...]:
    """Read the code blocks of a text in the guide's MDX."""
    found: list[CodeBlock] = []
    section, tab = "", None
    language: str | None = None
    first, inside = 0, list[str]()
    for number, line in enumerate(text.splitlines(), start=1):
        fence = _FENCE.match(line)
        if language is not None and not fence:
            inside.append(line)
        elif language is not None:
            found.append(CodeBlock(section, tab, language, first, tuple(inside)))
            language = None
        elif fence:
            language, first, inside = fence[1], number + 1, []
        elif line.startswith("## "):
            section, tab = line.removeprefix("## "), None
        elif line.startswith("### "):
            tab = line.removeprefix("### ")
        else:
            commands = _INLINE_CODE.findall(line)
            found.extend(CodeBlock(section, tab, INLINE, number, (command,)) for command in commands)
    if language is not None:
        raise ConformanceError(
            expected="a closing fence for each code block",
            seen=f"none for the block that starts at line {first}",
            remedy="Restore the edition's file.",
        )
    return tuple(found)


def commands_for(edition: str, claim: str) -> tuple[Command, ...]:
    """Return the commands that an edition prints for a claim, in order.

    Empty when the claim has none, or none in this edition.

    Raises:
        ConformanceError: no such claim, or the edition does not print a command that it should.
    """
    return tuple(command for _, command in _located(edition, claim))


def blocks_for(edition: str, claim: str) -> tuple[CodeBlock, ...]:
    """Return the blocks that an edition prints for a claim: those of its commands and its files.

    A block may hold commands of other claims too.

    Raises:
        ConformanceError: as `commands_for`.
    """
    wanted = {block for block, _ in _located(edition, claim)}
    wanted |= {file_code_block(edition, name) for name in claim_with(claim).files}
    return tuple(block for block in blocks(edition) if block in wanted)


def file_code_block(edition: str, name: str) -> CodeBlock:
    """Return the block with the content of a file that the guide has its reader make in an editor.

    Raises:
        ConformanceError: the guide has no such file.
    """
    if name not in _FILE_KIND:
        raise ConformanceError(
            expected=f"a file that the guide prints: {', '.join(_FILE_KIND)}",
            seen=repr(name),
            remedy="Use one of these names.",
        )
    return _only([b for b in blocks(edition) if _FILE_KIND[name] in b.lines], edition, name)


def printed_output(edition: str, claim: str) -> str:
    """Return the sample output printed for a claim's commands, with the guide's own names; may be empty."""
    lines = [line for command in commands_for(edition, claim) for line in command.output]
    return _VAR.sub(r"\1", "".join(f"{line}\n" for line in lines))


def _located(edition: str, claim: str) -> list[tuple[CodeBlock, Command]]:
    """Return a claim's commands, each with its block."""
    wanted = claim_with(claim)
    if edition in wanted.not_printed_in:
        return []
    printed = [(block, command) for block in blocks(edition) for command in block.commands]
    return [
        _only([pair for pair in printed if pair[1].text.startswith(start)], edition, start)
        for start in wanted.commands
    ]


def _only(found: list[_T], edition: str, what: str) -> _T:
    if len(found) != 1:
        raise ConformanceError(
            expected=f"{what!r} once in edition {edition}",
            seen=f"{len(found)} times",
            remedy="Correct claims.yaml, or restore the edition's file.",
        )
    return found[0]


@cache
def _commands_of(block: CodeBlock) -> tuple[Command, ...]:
    if block.language == INLINE:
        return (Command(block.lines[0]),)
    texts: list[str] = []
    between: list[list[str]] = [[]]  # what is printed above the first command, then below each
    lines = list(block.lines)
    while lines:
        if lines[0].startswith(_PROMPT):
            texts.append(_take_command(lines))
            between.append([])
        else:
            between[-1].append(lines.pop(0))
    parts = [_output_and_remarks(gap, last=n == len(texts)) for n, gap in enumerate(between)]
    return tuple(Command(text, output=parts[n + 1][0], remarks=parts[n][1]) for n, text in enumerate(texts))


def _take_command(lines: list[str]) -> str:
    """Remove a command from the head of `lines` and return it without its prompt."""
    taken = [lines.pop(0).removeprefix(_PROMPT)]
    here = _HERE_DOCUMENT.search(taken[0])
    while lines and (taken[-1] != here[1] if here else taken[-1].endswith("\\")):
        taken.append(lines.pop(0))
    return "\n".join(taken)


def _output_and_remarks(gap: list[str], *, last: bool) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Split what stands between two commands into output of the first and remarks on the second.

    Both may start with `#`; the paragraph directly above a command is its remark.
    """
    paragraphs = [list(group) for filled, group in groupby(gap, key=bool) if filled]
    remarks: list[str] = []
    if not last and gap and gap[-1] and all(line.startswith("#") for line in paragraphs[-1]):
        remarks = paragraphs.pop()
    return tuple(line for paragraph in paragraphs for line in paragraph), tuple(remarks)
