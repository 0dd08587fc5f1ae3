"""A perceptron learns the trees that it is shown, greedily and with a beam, and gives the mean of its weights."""

import numpy as np
import pytest

from yanmo.modeling.structured.arcs_learning import AveragedTable, Perceptron
from yanmo.modeling.structured.beam_learning import learn_with_beam
from yanmo.parsing.arc_search import parse_rows
from yanmo.parsing.sentences import WordHashes, frequent_words

WORDS = [["dogs", "chase", "small", "cats", "here"], ["see", "old", "dogs"], ["cats", "sleep"]]
HEADS = [[2, 0, 4, 2, 2], [0, 3, 1], [2, 0]]
RELATIONS = [[0, 3, 1, 2, 4], [3, 1, 2], [0, 3]]


@pytest.fixture
def lesson():
    """Three sentences with their trees, as rows."""
    surfaces = [word for words in WORDS for word in words]
    offsets = np.array([0, 5, 8, 10])
    words = WordHashes.of(surfaces, np.zeros(10, dtype=np.int64), offsets, frequent_words(surfaces, 1))
    rows = words.rows(np.arange(3))
    heads_P, relations_P = np.arange(len(rows.words_P)), np.zeros(len(rows.words_P), dtype=np.int64)
    for begin, heads, relations in zip(rows.begins_N.tolist(), HEADS, RELATIONS, strict=True):
        inside = slice(begin, begin + len(heads))
        heads_P[inside] = [begin + (head - 1 if head else len(heads)) for head in heads]
        relations_P[inside] = relations
    return rows, heads_P, relations_P


@pytest.mark.parametrize("beam", [1, 4])
def test_trees_that_were_shown_are_found(lesson, beam):
    rows, heads_P, relations_P = lesson
    perceptron = Perceptron(5, 12, 12, seed=1)
    mistakes = []
    for _ in range(40):
        if beam == 1:
            mistakes.append(perceptron.learn(rows, heads_P, relations_P, explore=0.9))
        else:
            mistakes.append(learn_with_beam(perceptron, rows, heads_P, relations_P, beam))
    assert mistakes[0] > mistakes[-1] == 0
    parsed, places = parse_rows(rows, perceptron.average(), beam=beam), rows.places_U()
    assert parsed.heads_P[places].tolist() == heads_P[places].tolist()
    assert parsed.relations_PC[places].argmax(axis=1).tolist() == relations_P[places].tolist()


def test_the_mean_is_that_of_the_weights_after_every_step():
    table, generator = AveragedTable(2, 3), np.random.default_rng(0)
    seen = []
    for _ in range(20):
        buckets, better, worse = (
            generator.integers(0, 4, size=(2, 1)),
            generator.integers(0, 3, 1),
            generator.integers(0, 3, 1),
        )
        table.count_step()
        table.move(buckets, better, worse)
        seen.append(table.weights_KC.copy())
    np.testing.assert_allclose(table.mean_KC(), np.mean(seen, axis=0), atol=1e-5)
    table.restart()
    np.testing.assert_allclose(table.weights_KC, np.mean(seen, axis=0), atol=1e-5)
    np.testing.assert_allclose(table.mean_KC(), table.weights_KC)
