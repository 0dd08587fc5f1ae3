"""A view of a unit is equal where what is seen is equal, and different elsewhere."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.text.unit_views import UnitViews, _kinds

SHAPES = {"2007": "15", "Abc": "Zzzz", "A1": "B22", "ABC": "XY", "漢字": "字", "ab": "abc", "é": "ß"}


def views(surfaces, name):
    return UnitViews(surfaces).view(name)


@pytest.mark.parametrize(
    ("name", "seen"),
    [
        ("unit", lambda unit: unit),
        ("lower", lambda unit: "".join(one.lower() if one.isascii() else one for one in unit)),
        ("prefix2", lambda unit: unit[:2]),
        ("suffix2", lambda unit: unit[-2:]),
    ],
    ids=["unit", "lower", "prefix2", "suffix2"],
)
@given(surfaces=st.lists(st.text("abAB1漢字é", min_size=1, max_size=4), min_size=1, max_size=30))
def test_views_are_equal_where_what_is_seen_is_equal(name, seen, surfaces):
    expected = [seen(unit) for unit in surfaces]
    hashes = views(surfaces, name)
    for one, text in zip(hashes, expected, strict=True):
        assert [text == other for other in expected] == (hashes == one).tolist()


def test_a_unit_looks_the_same_whoever_stands_beside_it():
    for name in ("unit", "lower", "kind", "shape", "prefix3", "suffix3"):
        alone = [views([unit], name)[0] for unit in ("漢", "a", "Ab1", "2007")]
        np.testing.assert_array_equal(views(["漢", "a", "Ab1", "2007"], name), np.array(alone))


@pytest.mark.parametrize(("one", "other"), SHAPES.items(), ids=str)
def test_runs_of_a_kind_have_one_shape(one, other):
    assert len(set(views([one, other], "shape").tolist())) == 1


def test_kinds_that_differ_have_another_shape():
    assert len(set(views(["Ab", "AB1", "ab", "1", "1a", "漢", "a漢", "é", "-", "a-b"], "shape").tolist())) == 10


def test_full_width_letters_and_digits_are_of_the_kind_of_plain_ones():
    np.testing.assert_array_equal(views(list("Ａａ７－"), "kind"), views(list("Aa7-"), "kind"))


def test_a_unit_of_which_cleaning_leaves_nothing_has_a_view():
    assert len(views(["", "a", ""], "unit")) == 3
    assert len(views([], "suffix3")) == 0


def test_kinds_never_change():
    """A Bundle holds weights by the hash of what is seen of a unit: with other kinds every old one answers nonsense."""
    assert hashlib.sha256(_kinds().tobytes()).hexdigest()[:16] == "015492d1daca1e5d"
