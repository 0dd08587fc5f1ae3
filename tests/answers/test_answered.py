"""What is withheld is no answer, and how sure it would have been stays."""

import numpy as np
import pytest

from yanmo.answers.answered import Decided

SURE_N = np.array([0.9, 0.4, 0.6], dtype=np.float32)


@pytest.mark.parametrize("predictions", [["a", "b", "c"], [("a",), (), ("a", "b")]], ids=["labels", "lists"])
def test_answers_are_withheld_row_by_row(predictions):
    decided = Decided(predictions, SURE_N)
    shown = decided.withhold(np.array([False, True, False]))
    assert shown.predictions == [predictions[0], None, predictions[2]]
    assert shown.probability_N is SURE_N
    assert len(shown) == 3
    assert decided.predictions == predictions


def test_what_was_withheld_stays_so():
    decided = Decided(["a", "b", "c"], SURE_N).withhold(SURE_N < 0.5).withhold(np.array([True, False, False]))
    assert decided.predictions == [None, None, "c"]


def test_as_many_rows_are_named_as_there_are():
    with pytest.raises(ValueError, match="shorter"):
        Decided(["a", "b", "c"], SURE_N).withhold(np.array([True]))
    assert Decided([], SURE_N[:0]).withhold(np.zeros(0, dtype=bool)).predictions == []
