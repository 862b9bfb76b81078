"""Command lines: what is not known is refused with one line, as Teleport's programs do."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, NoReturn

from simulators.teleport.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence


class Parser(argparse.ArgumentParser):
    """An argument parser that raises instead of ending the process."""

    def error(self, message: str) -> NoReturn:
        """Refuse a command line.

        Raises:
            UsageError: always.
        """
        raise UsageError(f"{self.prog.partition(' ')[0]}: error: {message} (simulated {self.prog})")


def parser(program: str) -> Parser:
    """A parser for a program; abbreviations of options are not accepted."""
    made = Parser(prog=program, allow_abbrev=False)
    made.add_argument("-d", "--debug", action="store_true", help="accepted, and without effect")
    return made


def commands(of: argparse.ArgumentParser, name: str, known: Sequence[str]) -> dict[str, Parser]:
    """Make the parsers of a program's or a command's subcommands.

    Args:
        of: parser that they belong to.
        name: of the attribute that tells which one was given.
        known: names of the subcommands.
    """
    group = of.add_subparsers(dest=name, required=True, metavar="COMMAND", parser_class=Parser)
    return {word: group.add_parser(word, allow_abbrev=False) for word in known}
