"""Tables line up."""

from harness.report.tables import as_columns, as_markdown

ROWS = [["a", "long"], ["two\nlines", "x|y"]]


def test_columns_are_as_wide_as_their_widest_line() -> None:
    assert as_columns(ROWS) == "a      long\ntwo    x|y\nlines\n"


def test_markdown_escapes_what_ends_a_cell() -> None:
    assert as_markdown(ROWS) == "| a | long |\n| --- | --- |\n| two, lines | x\\|y |\n"
