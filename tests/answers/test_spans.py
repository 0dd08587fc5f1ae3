"""Spans are found in tags, whatever rules these break, and written as tags again."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.answers.spans import find_spans, span_probability_M, tags_of_spans
from yanmo.answers.tags import TagScheme

IOB2 = ["B-x", "B-y", "I-x", "I-y", "O"]
BMES = ["B-x", "E-x", "M-x", "S-x", "B-y", "E-y"]


def spans_of(rows, labels, **options):
    """The spans of rows of tags, as (row, first unit, unit behind the last, kind), units counted in the row."""
    scheme = TagScheme.of(labels)
    path_U = np.array([labels.index(tag) if tag else -1 for row in rows for tag in row], dtype=np.int64)
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    found = find_spans(path_U, offsets, scheme, **options)
    begins = offsets[found.row_M]
    columns = (found.row_M, found.start_M - begins, found.end_M - begins, found.kind_M)
    return [(*three, scheme.kinds[kind]) for *three, kind in zip(*(one.tolist() for one in columns), strict=True)]


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("O B-x I-x O B-y", [(1, 3, "x"), (4, 5, "y")]),
        ("B-x B-x I-x", [(0, 1, "x"), (1, 3, "x")]),
        ("I-x I-x O I-y", [(0, 2, "x"), (3, 4, "y")]),
        ("B-x I-y I-y", [(0, 1, "x"), (1, 3, "y")]),
        ("O O", []),
        ("", []),
    ],
    ids=str,
)
def test_in_iob2_what_goes_on_with_nothing_begins_a_span(tags, spans):
    assert [one[1:] for one in spans_of([tags.split()], IOB2)] == spans


@pytest.mark.parametrize(
    ("tags", "spans"),
    [
        ("B-x M-x E-x S-x B-y E-y", [(0, 3, "x"), (3, 4, "x"), (4, 6, "y")]),
        ("E-x E-x M-x M-x S-x", [(0, 1, "x"), (1, 2, "x"), (2, 4, "x"), (4, 5, "x")]),
        ("B-x B-x E-y M-x", [(0, 1, "x"), (1, 2, "x"), (2, 3, "y"), (3, 4, "x")]),
    ],
    ids=str,
)
def test_in_bmes_a_word_ends_where_none_goes_on_with_it(tags, spans):
    assert [one[1:] for one in spans_of([tags.split()], BMES)] == spans


def test_strict_leaves_out_what_does_not_begin_or_end_by_the_rules():
    assert spans_of([["I-x", "I-x", "B-y", "I-x"]], IOB2, strict=True) == [(0, 2, 3, "y")]
    assert spans_of([["B-x", "M-x", "B-y", "E-y", "E-x", "S-x"]], BMES, strict=True) == [(0, 2, 4, "y"), (0, 5, 6, "x")]


def test_a_span_ends_with_its_row_and_empty_rows_have_none():
    assert spans_of([[], ["B-x"], [], ["I-x", "I-x"], []], IOB2) == [(1, 0, 1, "x"), (3, 0, 2, "x")]


def test_of_plain_tags_every_unit_is_a_span():
    assert spans_of([["b", "b"], ["a"]], ["a", "b"]) == [(0, 0, 1, "b"), (0, 1, 2, "b"), (1, 0, 1, "a")]


def test_a_unit_without_a_tag_is_in_no_span():
    assert spans_of([["B-x", None, "I-x"]], IOB2) == [(0, 0, 1, "x"), (0, 2, 3, "x")]
    assert spans_of([["b", None]], ["a", "b"]) == [(0, 0, 1, "b")]


@st.composite
def rows_of_spans(draw):
    """Spans of one row that do not overlap, and its number of units."""
    steps = draw(st.lists(st.tuples(st.integers(0, 2), st.integers(1, 3), st.sampled_from("xy")), max_size=5))
    spans, place = [], 0
    for gap, length, kind in steps:
        spans.append((place + gap, place + gap + length, kind))
        place += gap + length
    return spans, place + draw(st.integers(0, 2))


@given(st.lists(rows_of_spans(), max_size=4))
def test_spans_that_are_written_as_tags_are_found_again(rows):
    written = [(row, *span) for row, (spans, _) in enumerate(rows) for span in spans]
    labels = {"iob2": IOB2, "bmes": [f"{letter}-{kind}" for kind in "xy" for letter in "BMES"]}
    for style, names in labels.items():
        tags = [
            tags_of_spans(*([one[place] for one in spans] for place in range(3)), num_units, style=style)
            for spans, num_units in rows
        ]
        assert spans_of(tags, names) == written
        assert spans_of(tags, names, strict=True) == written


def test_words_are_tagged_without_a_kind():
    assert tags_of_spans([0, 1], [1, 4], ["word", "word"], 5, style="bmes") == ["S", "B", "M", "E", None]
    assert tags_of_spans([1], [3], ["a"], 3, style="plain") == [None, "a", "a"]


def test_a_span_is_the_text_between_its_first_and_its_last_unit():
    texts, places = ["new york is", "巴 黎"], np.array([[0, 3], [4, 8], [9, 11], [0, 1], [2, 3]])
    path_U, offsets = np.array([0, 2, 4, 1, 3]), np.array([0, 3, 5])
    spans = find_spans(path_U, offsets, TagScheme.of(IOB2))
    assert spans.places_M2(places).tolist() == [[0, 8], [0, 3]]
    assert spans.texts(texts, places) == ["new york", "巴 黎"]


def test_a_span_is_as_sure_as_its_least_sure_tag_and_its_end():
    labels = ["B-x", "I-x", "O"]
    scheme, offsets = TagScheme.of(labels), np.array([0, 3, 5])
    probabilities_UC = np.array(
        [[0.9, 0.05, 0.05], [0.1, 0.8, 0.1], [0.1, 0.3, 0.6], [0.7, 0.2, 0.1], [0.1, 0.9, 0.0]], dtype=np.float32
    )
    path_U = np.array([0, 1, 2, 0, 1])
    spans = find_spans(path_U, offsets, scheme)
    # The first span's end is less sure than its tags; the second ends with its row.
    sure_M = span_probability_M(Choices(probabilities_UC, SOFTMAX, offsets), path_U, scheme, spans)
    assert sure_M.tolist() == pytest.approx([0.7, 0.7])
    words = TagScheme.of(["B", "E", "M", "S"])
    path_U = np.array([3, 0, 1])
    probabilities_UC = np.array([[0, 0.1, 0.3, 0.6], [0.4, 0.4, 0.1, 0.1], [0, 0.9, 0, 0.1]], dtype=np.float32)
    spans = find_spans(path_U, np.array([0, 3]), words)
    found = span_probability_M(Choices(probabilities_UC, SOFTMAX, np.array([0, 3])), path_U, words, spans)
    assert found.tolist() == pytest.approx([0.6, 0.4])


def test_a_span_is_as_sure_as_its_model_says_of_it_as_a_whole():
    scheme, offsets, path_U = TagScheme.of(["B-x", "I-x", "O"]), np.array([0, 4]), np.array([0, 1, 2, 0])
    joint_U = np.array([0.3, 0.3, np.nan, np.nan], dtype=np.float32)
    evidence = Choices(np.full((4, 3), 1 / 3, dtype=np.float32), SOFTMAX, offsets, joint_M=joint_U)
    found = span_probability_M(evidence, path_U, scheme, find_spans(path_U, offsets, scheme))
    # What it says nothing of is as sure as its least sure tag.
    assert found.tolist() == pytest.approx([0.3, 1 / 3])


def test_where_no_span_is_none_is_sure():
    scheme, path_U, offsets = TagScheme.of(["B-x", "O"]), np.array([1, 1]), np.array([0, 2])
    evidence = Choices(np.eye(2, dtype=np.float32), SOFTMAX, offsets)
    found = span_probability_M(evidence, path_U, scheme, find_spans(path_U, offsets, scheme))
    assert (found.dtype, len(found)) == (np.float32, 0)
