"""Spans become one tag a unit that says them, or there is a reason why not."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from yanmo.data.tagged.laying import lay_spans
from yanmo.data.tagged.sentence import TaggedText
from yanmo.data.tagged.tag_sequences import TagNotation, read_tags
from yanmo.text.unit_places import unit_places

FORMS = {
    "IOB2": TagNotation("spans"),
    "BMES": TagNotation("words", closes=True),
    "BMES-kind": TagNotation("joint", closes=True),
}


def lay(text, spans, rule="characters", writing="IOB2", **more):
    starts, ends = unit_places([text], rule).row(0).T.tolist()
    return lay_spans(TaggedText(1, text, spans, **more), starts, ends, writing)


@settings(deadline=None)
@given(
    text=st.text(st.sampled_from("ab 中\u3000😀-'\u0301"), min_size=1, max_size=20),
    rule=st.sampled_from(["characters", "words", "tokens"]),
    writing=st.sampled_from(list(FORMS)),
    data=st.data(),
)
def test_the_tags_say_the_spans(text, rule, writing, data):
    places = unit_places([text], rule).row(0).tolist()
    edges = data.draw(st.lists(st.integers(0, len(places)), max_size=6, unique=True).map(sorted))
    pairs = list(zip(edges[::2], edges[1::2], strict=False))
    kinds = ["word" if writing == "BMES" else data.draw(st.sampled_from(["A", "B-x"])) for _ in pairs]
    spans = [(places[one][0], places[other - 1][1], kind) for (one, other), kind in zip(pairs, kinds, strict=True)]
    found = lay(text, spans, rule, writing)
    if not places:
        assert found.problem == "text without a unit"
    elif not spans and writing != "IOB2":
        assert found.problem == "missing label"
    else:
        assert len(found.tags) == len(places)
        said = [(*pair, kind) for pair, kind in zip(pairs, kinds, strict=True)]
        assert read_tags(found.tags, FORMS[writing]) == (said, 0)
        assert (found.kinds, found.problem) == (kinds, None)


@pytest.mark.parametrize(
    ("spans", "problem"),
    [
        ([(0, 4, "A"), (3, 6, "B")], "overlapping spans"),
        ([(0, 6, "A"), (2, 3, "B")], "nested spans"),
        ([(0, 4, "A"), (0, 4, "B")], "nested spans"),
        ([(0, 4, "A"), (0, 2, "A")], "nested spans"),
        ([(0, 4, "A"), (4, 6, "B")], None),
        ([(4, 6, "A"), (0, 3, "A")], None),
        ([(0, 1, "A"), (0, 1, "A")], None),
        ([(-1, 2, "A")], "span outside of the text"),
        ([(3, 7, "A")], "span outside of the text"),
        ([(3, 2, "A")], "span outside of the text"),
        ([(3, 4, "A")], "span without a unit"),
        ([(2, 2, "A")], "span without a unit"),
    ],
)
def test_spans_that_cannot_be_are_refused(spans, problem):
    assert lay("abc ef", spans).problem == problem


@pytest.mark.parametrize(
    ("span", "rule", "problem"),
    [
        ((3, 4), "tokens", "span cuts a unit"),
        ((1, 6), "tokens", "span cuts a unit"),
        ((3, 6), "tokens", None),
        ((3, 7), "tokens", None),
        ((3, 6), "words", "span cuts a unit"),
        ((0, 7), "words", None),
        ((4, 6), "characters", None),
    ],
)
def test_a_span_that_cuts_a_unit_is_refused(span, rule, problem):
    assert lay("at 7pm!", [(*span, "A")], rule).problem == problem


def test_white_space_at_the_edges_is_left_out_and_counted():
    found = lay(" ab  cd", [(0, 4, "A"), (5, 7, "B")])
    assert (found.tags, found.num_trimmed) == (["B-A", "I-A", "B-B", "I-B"], 1)


def test_a_span_that_is_given_twice_counts_once():
    found = lay("ab", [(0, 1, "A"), (0, 1, "A")])
    assert (found.tags, found.kinds, found.num_repeated) == (["B-A", "O"], ["A"], 1)


def test_what_nothing_is_said_about_has_no_tag():
    assert lay("ab cd", [(0, 2, "A")], unlabeled=[(3, 4)]).tags == ["B-A", "I-A", None, "O"]
    assert lay("ab cd", [(0, 2, "A")], writing="BMES-kind").tags == ["B-A", "E-A", None, None]
    assert lay("ab", [], unlabeled=[(0, 2)]).problem == "missing label"


def test_plain_tags_are_given_to_whole_words_alone():
    assert lay("ab cd", [(0, 2, "N"), (3, 5, "V")], "words", "plain").tags == ["N", "V"]
    assert lay("ab cd", [(0, 5, "N")], "words", "plain").problem == "word is not one unit"
    assert lay("ab", [(0, 2, "N")], "characters", "plain").problem == "word is not one unit"


def test_a_text_of_white_space_has_no_unit():
    assert lay(" \u3000", []).problem == "text without a unit"
    assert lay("\u200b", [], "tokens").problem == "text without a unit"


def test_what_was_wrong_before_stays_wrong():
    assert lay("ab", [], problem="discontinuous span").problem == "discontinuous span"


def test_a_long_text_is_laid():
    text = "ab " * 50_000
    found = lay(text, [(start, start + 2, "A") for start in range(0, 150_000, 3)])
    assert len(found.tags) == 100_000
    assert found.tags[-2:] == ["B-A", "I-A"]
