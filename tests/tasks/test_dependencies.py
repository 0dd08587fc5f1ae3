"""Trees of words: the losses of a row, also of one that was not read to its end."""

import numpy as np
import polars as pl
import pytest

from yanmo.answers.arcs import Arcs
from yanmo.answers.choices import Choices
from yanmo.answers.links import SOFTMAX
from yanmo.answers.pointers import Pointers
from yanmo.arrays import Ragged
from yanmo.tasks.dependencies import DEPENDENCIES, TARGET

HEADS = ([0.1, 0.0, 0.9], [0.8, 0.2, 0.0], [0.5, 0.0])
"""Of each word the probabilities of the root and of the words of its row."""
RELATIONS = np.array([[0.4, 0.6], [0.7, 0.3], [0.2, 0.8]], dtype=np.float32)


def evidence():
    cells = np.concatenate(([0], np.cumsum([len(one) for one in HEADS])))
    ends = np.array([0, 2, 3])
    heads = Pointers(np.concatenate(HEADS).astype(np.float32), cells, ends, np.zeros((3, 2), dtype=np.int64))
    return Arcs(heads, Choices(RELATIONS, SOFTMAX, ends, np.zeros((3, 2), dtype=np.int64)))


def targets():
    # The first row has a third word, which was not read.
    values = np.zeros(4, dtype=TARGET)
    values["head"], values["relation"] = [2, 0, 1, 0], [1, 0, 0, 1]
    return Ragged(values, np.array([0, 3, 4]))


def test_the_loss_is_the_mean_over_the_words_that_were_read():
    losses_M = DEPENDENCIES.losses_M(evidence(), targets())
    assert losses_M == pytest.approx([-np.log(0.9 * 0.6), -np.log(0.8 * 0.7), -np.log(0.5 * 0.8)], rel=1e-5)
    losses_N = DEPENDENCIES.losses_N(evidence(), targets())
    assert losses_N == pytest.approx([losses_M[:2].mean(), losses_M[2]])


def test_words_stand_at_their_places_in_the_raw_text():
    rows = pl.DataFrame(
        {
            "text": ["It works .", "好 的"],
            "label": [["a", "a", "a"], ["a", "a"]],
            "heads": [[2, 0, 2], [0, 1]],
            "tags": [["", "", ""], ["", ""]],
            "spaces": [[True, False, False], [False, False]],
        }
    )
    found = DEPENDENCIES.targets(rows, ["a"]).values
    raw = ["It works.", "好的"]
    places = list(zip(found["raw_start"].tolist(), found["raw_end"].tolist(), strict=True))
    assert [raw[0][start:end] for start, end in places[:3]] == ["It", "works", "."]
    assert [raw[1][start:end] for start, end in places[3:]] == ["好", "的"]
