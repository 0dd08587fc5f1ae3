"""Texts that are predicted: what is counted in them, whatever tokens cut them, and what a person is told."""

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from yanmo.answers.answered import Answered, Found
from yanmo.answers.sequences import Sequences
from yanmo.tasks import TASKS
from yanmo.text.inputs import Inputs

TASK = TASKS["causal_lm"]


def evenly(texts, width, nats_a_character):
    """Evidence of tokens of some characters, each with so many nats a character."""
    values, places, ends = [], [], [0]
    for text in texts:
        starts = list(range(0, len(text), width))
        places += [(start, min(start + width, len(text))) for start in starts]
        values += [-nats_a_character * (min(start + width, len(text)) - start) for start in starts]
        ends.append(len(places))
    return Sequences(np.array(values, dtype=np.float32), np.array(ends), np.array(places).reshape(-1, 2), list(texts))


@given(
    texts=st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20), min_size=1, max_size=5),
    widths=st.tuples(st.integers(1, 5), st.integers(1, 5)),
)
def test_bits_a_character_and_a_byte_and_a_word_do_not_depend_on_tokens(texts, widths):
    targets = np.zeros(len(texts), dtype=np.int64)
    one, other = (TASK.statistics(evenly(texts, width, 0.7), targets).sum(axis=0) for width in widths)
    np.testing.assert_allclose(np.delete(one, 3), np.delete(other, 3), rtol=1e-5)
    assert TASK.measures[0].name == "bits_per_character"
    assert float(TASK.measures[0].of_sums(one)) == pytest.approx(0.7 / np.log(2), rel=1e-5)


def test_every_measure_has_its_unit():
    evidence = evenly(["你好 ab", "x"], 2, 1.0)
    scores = {one.name: one.score(TASK.statistics(evidence, np.array([0, 0]))) for one in TASK.measures}
    assert scores["bits_per_byte"] == pytest.approx(6 / np.log(2) / 10)
    assert scores["perplexity_per_token"] == pytest.approx(np.exp(6 / 4))
    assert scores["perplexity_per_word"] == pytest.approx(np.exp(6 / 3))
    assert not any(one.higher_is_better for one in TASK.measures)


def test_a_prompt_is_not_counted():
    statistics = TASK.statistics(evenly(["promptanswer"], 3, 1.0), np.array([6]))
    assert statistics.tolist() == [[6, 6, 6, 2, 1]]


def test_a_text_is_told_with_its_log_likelihood_and_the_mean_probability_of_its_tokens():
    evidence = evenly(["abcd", ""], 2, 0.5)
    decided = TASK.decide(evidence, [])
    assert decided.predictions == [-2, 0]
    np.testing.assert_allclose(decided.probability_N, [np.exp(-1), 1], rtol=1e-6)
    nothing = np.zeros(2, dtype=np.int64)
    found = Found(nothing, nothing, nothing.astype(bool), 0)
    told = TASK.tell(Answered(decided, evidence, found), Inputs((["abcd", ""],)), [])
    assert told[0].label is None
    assert told[0].probabilities["log_likelihood"] == -2
    assert TASK.column(decided.predictions).to_list() == [-2, 0]
    assert TASK.decide(evidence, [], threshold=0.5).predictions == [None, 0]


def test_there_are_no_labels():
    column = TASK.parse_labels(pl.Series(["0", "4"]), None)
    assert column.to_list() == [0, 4]
    assert TASK.label_names(column) == []
    assert TASK.encode(column, []).tolist() == [0, 4]
