"""The measures of trees, by hand from the definitions of the CoNLL 2018 shared task."""

import numpy as np
import pytest

from yanmo.metrics.trees import TREE_MEASURES, Attached, RelationTable, right_trees, tree_statistics

LABELS = ["aux", "det", "nsubj", "nsubj:pass", "obj", "punct", "root"]
PLACES = {label: place for place, label in enumerate(LABELS)}


def attached(*pairs):
    return Attached(
        np.array([head for head, _ in pairs], dtype=np.int64),
        np.array([PLACES[relation] for _, relation in pairs], dtype=np.int64),
    )


TRUTH = attached(
    # The dog was seen .
    *((2, "det"), (4, "nsubj:pass"), (4, "aux"), (0, "root"), (4, "punct")),
    # Dogs bark
    *((2, "nsubj"), (0, "root")),
)
FOUND = attached(
    # A subtype is missed, the auxiliary hangs at the wrong word, the full stop as well.
    *((2, "det"), (4, "nsubj"), (2, "aux"), (0, "root"), (2, "punct")),
    *((2, "obj"), (0, "root")),
)
OFFSETS = np.array([0, 5, 7])


def scores(found, truth=TRUTH, offsets=OFFSETS):
    statistics_NS = tree_statistics(found, truth, offsets, RelationTable.of(LABELS))
    return {one.name: one.score(statistics_NS) for one in TREE_MEASURES}, statistics_NS


def test_every_measure_is_what_its_definition_gives():
    found, statistics_NS = scores(FOUND)
    assert found == pytest.approx(
        {
            "uas": 5 / 7,
            # The subtype does not count, "obj" for "nsubj" does.
            "las": 4 / 7,
            "las_with_subtypes": 3 / 7,
            "uas_without_punctuation": 5 / 6,
            "las_without_punctuation": 4 / 6,
            # Content words: nsubj:pass, root | nsubj, root; of these three are right, four were given as content.
            "clas": 2 * 3 / (4 + 4),
            "right_rows": 0.0,
            "right_structures": 0.5,
        }
    )
    assert right_trees(statistics_NS).tolist() == [False, False]


def test_the_truth_is_all_right():
    found, statistics_NS = scores(TRUTH)
    assert set(found.values()) == {1.0}
    assert right_trees(statistics_NS).all()


def test_words_that_were_not_read_are_wrong():
    cut = Attached(np.where(np.arange(7) == 6, -1, TRUTH.heads_M), TRUTH.relations_M)
    found, _ = scores(cut)
    assert found["uas"] == pytest.approx(6 / 7)
    # It was not given as a content word, but it is one.
    assert found["clas"] == pytest.approx(2 * 3 / (4 + 3))


def test_a_sentence_of_punctuation_alone_has_no_score_without_punctuation():
    marks = attached((0, "root"), (1, "punct"))
    found, _ = scores(marks, marks, np.array([0, 2]))
    assert found["las"] == 1.0
    only = attached((0, "punct"))
    found, _ = scores(only, only, np.array([0, 1]))
    assert np.isnan(found["las_without_punctuation"])
    assert np.isnan(found["clas"])
