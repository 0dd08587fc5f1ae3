"""A number has the noun that fits it."""

import pytest

from yanmo.counted import counted


@pytest.mark.parametrize(("count", "words"), [(0, "0 rows"), (1, "1 row"), (2, "2 rows"), (1000, "1000 rows")])
def test_one_is_no_plural(count, words):
    assert counted(count, "row") == words
