"""Records: what is said of a column that is not there."""

import pytest

from yanmo.data.records import missing_column


@pytest.mark.parametrize(("num_columns", "end"), [(20, "'column19'."), (21, "'column19', …."), (40, "'column19', ….")])
def test_of_many_columns_twenty_are_named(num_columns, end):
    error = missing_column("a.jsonl", "colum1", [f"column{place}" for place in range(num_columns)])
    assert error.message == "a.jsonl has no column 'colum1'. Did you mean 'column1'?"
    assert error.hint.startswith("It has: 'column0', 'column1', ")
    assert error.hint.endswith(f"'column18', {end}")


def test_long_names_are_cut_and_a_further_hint_follows():
    error = missing_column("a.jsonl line 2", "x", ["a" * 40, "b" * 41], more=" More.")
    assert error.message == "a.jsonl line 2 has no column 'x'."
    assert error.hint == f"It has: '{'a' * 40}', '{'b' * 40}'. More."
