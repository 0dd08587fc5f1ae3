"""The texts of units are the list that they stand for, however many of them are equal."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.text import surfaces as surfaces_module
from yanmo.text.surfaces import Surfaces
from yanmo.text.units import code_points

CHARACTERS = st.text("上海a\U0001f600\ud800", max_size=20)


@given(st.lists(CHARACTERS, max_size=20))
def test_they_are_the_list_that_they_were_made_of(texts):
    found = Surfaces.of(texts)
    assert found == texts
    assert Surfaces.of(found) is found
    assert len(found.distinct) == len(set(texts))
    assert [found[place] for place in range(len(texts))] == texts
    assert found[1:3] == texts[1:3]
    chosen = np.arange(len(texts))[::-2]
    assert found.take(chosen) == [texts[place] for place in chosen]
    assert found.changed(lambda some: [one.upper() for one in some]) == [one.upper() for one in texts]


@pytest.mark.parametrize("few", [0, 500])
@given(characters=CHARACTERS.filter(bool))
def test_characters_are_counted_as_one_where_there_are_many(few, characters):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(surfaces_module, "FEW", few)
        found = Surfaces.of_characters(code_points(characters))
    assert found == list(characters)
    assert len(found.distinct) == len(characters if few else set(characters))
