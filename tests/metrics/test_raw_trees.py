"""Trees of words that were cut: the scores of the CoNLL 2018 evaluation script, by hand from its definitions."""

import numpy as np
import pytest

from yanmo.arrays import Ragged
from yanmo.metrics.raw_trees import measure_raw_trees
from yanmo.metrics.trees import Attached, RelationTable

LABELS = ["case", "nmod", "nsubj", "nsubj:pass", "obj", "punct", "root"]
TABLE = RelationTable.of(LABELS)


def words(*rows):
    """Return heads and relations, and places, of rows of ``(start, end, head, relation)``."""
    flat = [word for row in rows for word in row]
    offsets = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    heads = np.array([one[2] for one in flat], dtype=np.int64)
    relations = np.array([LABELS.index(one[3]) for one in flat], dtype=np.int64)
    places = np.array([one[:2] for one in flat], dtype=np.int64).reshape(-1, 2)
    return Attached(heads, relations), Ragged(places, offsets)


TRUTH = words(
    # 北京 大学 生 来 。: the third word hangs at the fourth.
    [(0, 2, 2, "nmod"), (2, 4, 3, "nmod"), (4, 5, 4, "nsubj:pass"), (5, 6, 0, "root"), (6, 7, 4, "punct")],
    [(0, 1, 0, "root")],
)


def measured(*rows):
    return measure_raw_trees(*words(*rows), *TRUTH, TABLE)


def test_true_words_and_arcs_are_all_right():
    assert measured(
        [(0, 2, 2, "nmod"), (2, 4, 3, "nmod"), (4, 5, 4, "nsubj"), (5, 6, 0, "root"), (6, 7, 4, "punct")],
        [(0, 1, 0, "root")],
    ) == {"words_f1": 1, "uas": 1, "las": 1, "clas": 1}


def test_a_word_that_was_cut_wrongly_is_missed_and_invented_and_nothing_can_hang_at_it():
    # 北京 大学生 来 。: four words and one; 北京 hangs at a word that is none.
    found = measured(
        [(0, 2, 2, "nmod"), (2, 5, 3, "nsubj"), (5, 6, 0, "root"), (6, 7, 3, "punct")],
        [(0, 1, 0, "root")],
    )
    # 北京, 来, 。 and the other row's word are in both, of 5 + 6 words; of these 来, 。 and the last hang rightly.
    assert found == pytest.approx({"words_f1": 8 / 11, "uas": 6 / 11, "las": 6 / 11, "clas": 4 / 9})


def test_a_head_is_counted_among_the_true_words():
    # 北 京 大学 生 来 。: the numbers of all heads are one more, and mean the same words.
    found = measured(
        [
            (0, 1, 2, "nmod"),
            (1, 2, 3, "nmod"),
            (2, 4, 4, "nmod"),
            (4, 5, 5, "obj"),
            (5, 6, 0, "root"),
            (6, 7, 5, "punct"),
        ],
        [(0, 1, 0, "root")],
    )
    assert found == pytest.approx({"words_f1": 10 / 13, "uas": 10 / 13, "las": 8 / 13, "clas": 6 / 11})


def test_rows_without_words_count_for_nothing():
    none = Attached(np.zeros(0, dtype=np.int64), np.zeros(0, dtype=np.int64))
    empty = Ragged(np.zeros((0, 2), dtype=np.int64), np.zeros(3, dtype=np.int64))
    assert measure_raw_trees(none, empty, *TRUTH, TABLE) == {"words_f1": 0, "uas": 0, "las": 0, "clas": 0}
    assert np.isnan(measure_raw_trees(none, empty, none, empty, TABLE)["las"])
