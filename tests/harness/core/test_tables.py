"""Tables as programs print them."""

import pytest

from harness.core.tables import columns, read_table

PRINTED = """
Kube Cluster Name  Labels  Selected
------------------ ------- --------
iam-cluster-a73f02 env=x   *
another

below: 1 2
"""


def test_a_row_has_its_cell_under_each_header() -> None:
    assert columns(PRINTED) == ("Kube Cluster Name", "Labels", "Selected")
    assert read_table(PRINTED) == [
        {"Kube Cluster Name": "iam-cluster-a73f02", "Labels": "env=x", "Selected": "*"},
        {"Kube Cluster Name": "another", "Labels": "", "Selected": ""},
    ]


def test_the_dashes_tell_the_columns_and_not_the_spaces() -> None:
    sample = "Kube Cluster Name Selected\n----------------- --------\niam-cluster"
    assert columns(sample) == ("Kube Cluster Name", "Selected")
    assert read_table(sample) == [{"Kube Cluster Name": "iam-cluster", "Selected": ""}]


@pytest.mark.parametrize("text", ["", "no table", "Name\n", "Name\n----x\nrow", "a b\n-- -- c\nd e"])
def test_what_has_no_line_of_dashes_is_no_table(text: str) -> None:
    assert (columns(text), read_table(text)) == ((), [])


def test_a_table_may_be_empty() -> None:
    text = "Name Age\n---- ---\n\nrow 1"
    assert (columns(text), read_table(text)) == (("Name", "Age"), [])
