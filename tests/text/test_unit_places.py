"""Units are cut from the text as it was given, and nothing that is done to them moves their places."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.text import unit_places as unit_places_module
from yanmo.text.inputs import Inputs
from yanmo.text.pipeline import TextConfig, TextPipeline
from yanmo.text.unit_places import choose_rule, cut_places, cut_units, unit_places

TEXTS = ["吴重阳， 中国", "", "don't  stop\x1enow \U0001f600.", " \u3000\t"]
CUT = {
    "characters": [list("吴重阳，中国"), [], list("don'tstopnow\U0001f600."), []],
    "words": [["吴重阳，", "中国"], [], ["don't", "stop", "now", "\U0001f600."], []],
    "tokens": [list("吴重阳，中国"), [], ["don't", "stop", "now", "\U0001f600", "."], []],
}


def rows(texts, rule):
    places = unit_places(texts, rule)
    flat = cut_units(texts, places)
    return [flat[start:stop] for start, stop in pairwise(places.offsets)]


@pytest.mark.parametrize("rule", CUT)
def test_a_rule_says_what_a_unit_is(rule):
    assert rows(TEXTS, rule) == CUT[rule]


@given(st.lists(st.text(max_size=30), max_size=5))
def test_words_are_what_python_splits_and_characters_are_all_that_is_no_space(texts):
    assert rows(texts, "words") == [text.split() for text in texts]
    assert rows(texts, "characters") == [[one for one in text if not one.isspace()] for text in texts]


@given(st.lists(st.text(max_size=30), max_size=5), st.booleans())
def test_what_is_cut_out_is_what_stands_there(texts, few):
    places = unit_places(texts, "tokens")
    # Whatever the text holds, pieces are the same cut at once and one by one.
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(unit_places_module, "FEW", 100 if few else 1)
        found = cut_places(texts, places)
    assert found == [text[a:b] for text, row in zip(texts, range(len(texts)), strict=True) for a, b in places.row(row)]


def test_a_lone_surrogate_is_a_unit():
    assert rows(["a\ud800b"], "characters") == [["a", "\ud800", "b"]]


def test_mostly_chinese_texts_are_cut_into_characters():
    assert choose_rule(["上海市体育局 2008"]) == "characters"
    assert choose_rule(["the Shanghai 局"]) == "words"


def test_units_are_cleaned_one_by_one_and_keep_their_places():
    config = TextConfig(cleaning=("unicode_nfkc", "lowercase", "collapse_whitespace"), units="words")
    read = TextPipeline(config).read(Inputs((["Ｔｈｅ  ﬁrst\r\n㎏", "x"],)))
    assert read.units.surfaces == ["the", "first", "kg", "x"]
    assert read.units.places.values.tolist() == [[0, 3], [5, 9], [11, 12], [0, 1]]
    assert read.first == ["Ｔｈｅ  ﬁrst\r\n㎏", "x"]
    taken = read.take(np.array([1, 0]))
    assert taken.units.surfaces == ["x", "the", "first", "kg"]
    assert taken.units.places.offsets.tolist() == [0, 1, 4]


def test_texts_without_units_are_read_whole_and_their_config_says_nothing_of_units():
    config = TextConfig()
    read = TextPipeline(config).read(Inputs((["Ａ  b"],)))
    assert (read.columns, read.units) == ((["A b"],), None)
    assert "units" not in config.model_dump(mode="json")
