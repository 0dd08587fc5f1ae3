"""Answers as a Dataset has them become the places that a model is held against."""

import polars as pl

from yanmo.answers.passage_truth import ANSWERS, PassageTruth
from yanmo.text.unit_places import unit_places


def test_an_answer_is_widened_to_whole_units_and_told_as_it_was_given():
    passages = ["Romeo lives in Rome."]
    rows = [[{"start": 0, "text": "Rome"}, {"start": 12, "text": "in Rom"}]]
    truth = PassageTruth.read(passages, pl.Series(rows, dtype=ANSWERS), unit_places(passages, "tokens"))
    assert truth.spans.row(0).tolist() == [[0, 5], [12, 19]]
    assert truth.answers == [("Rome", "in Rom")]
    nothing = PassageTruth.read(passages, pl.Series([None], dtype=ANSWERS), unit_places(passages, "tokens"))
    assert nothing.answers == [()]
