"""Spans are shown with what stands there, and CoNLL columns give back the tags that they were made of."""

from __future__ import annotations

import polars as pl

from yanmo.answers.answered import Span
from yanmo.artifacts.span_table import conll_rows, has_spans, span_lines, told_spans
from yanmo.tasks import TASKS
from yanmo.text.unit_places import unit_places

NAMES = ["B-ORG", "B-PER", "I-ORG", "I-PER", "O"]
TEXTS = pl.Series(["张三 在云研", "", "a\tb"])
SPANS = [(Span(0, 2, "PER", 0.5), Span(4, 6, "ORG", 0.25)), (), None]


def frame(predictions, texts=TEXTS):
    places = unit_places(texts.to_list(), "characters")
    rows = [places.row(row).tolist() for row in range(len(places))]
    column = TASKS["token_labels"].column(predictions)
    return pl.DataFrame({"prediction": column, "places": pl.Series(rows, dtype=pl.List(pl.Array(pl.Int64, 2)))})


def test_a_frame_of_spans_is_told_from_one_of_labels():
    assert has_spans(frame(SPANS))
    assert not has_spans(pl.DataFrame({"prediction": ["a"]}))
    assert not has_spans(pl.DataFrame({"prediction": [["a"]]}))


def test_spans_are_told_with_their_texts():
    assert [[one["text"] for one in row] for row in told_spans(frame(SPANS), TEXTS)] == [["张三", "云研"], [], []]


def test_lines_show_names_with_labels_and_words_without():
    assert list(span_lines(frame(SPANS), TEXTS, NAMES)) == ["张三/PER  云研/ORG", "", ""]
    words = [(Span(0, 2, "word", 1.0), Span(3, 4, "word", 1.0), Span(4, 6, "word", 1.0)), (), ()]
    assert list(span_lines(frame(words), TEXTS, ["B", "E", "M", "S"])) == ["张三 在 云研", "", ""]


def test_conll_rows_have_a_unit_and_its_tag_on_each_line():
    rows = list(conll_rows(frame(SPANS), TEXTS, NAMES))
    assert rows == ["张\tB-PER\n三\tI-PER\n在\tO\n云\tB-ORG\n研\tI-ORG\n\n", "\n", "a\tO\nb\tO\n\n"]
